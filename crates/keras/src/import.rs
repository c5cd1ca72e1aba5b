//! From an archive to a graph.

use crate::activation::CustomActivation;
use crate::archive::Archive;
use crate::build::Build;
use crate::keras1;
use crate::layer::{Kind, Layer};
use crate::lowering::{Lowering, Meeting, Tensor};
use crate::model::Symbols;
use crate::registry::Registry;
use crate::weights::bind;
use crate::{Error, KerasVersion, Limits, Result};
use k2o_core::{Graph, Outline};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How to import.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// What a file may make this crate do.
    pub limits: Limits,
    /// Whether the states of stateful recurrent layers become inputs of the model, named `<layer>/state_0` and so on,
    /// behind its own, and outputs named `<layer>/next_state_0`; else they begin as zeros in each run.
    pub expose_states: bool,
    /// Whether the weights are left out, as if the archive had none.
    pub without_weights: bool,
    /// Other sizes for inputs than the config says.
    pub input_shapes: Vec<InputShape>,
    /// Another number of steps for every input `[batch, steps, channels]` than the config says.
    pub steps: Option<u64>,
}

/// Sizes for an input, instead of those in the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// The input's name; `None` for the only one.
    pub name: Option<String>,
    /// All but the batch; `None` for a size that is not known.
    pub sizes: Vec<Option<u64>>,
}

/// An imported model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What the model computes, layer by layer, not yet rewritten.
    pub graph: Graph,
    /// The layer calls that the graph came from.
    pub outline: Outline,
    /// The version of Keras whose meanings were used.
    pub version: KerasVersion,
}

/// Imports models that use more than Keras's own layers and activations.
///
/// What is registered takes precedence over what Keras calls the same.
///
/// ```
/// # use k2o_core::ops::{Affine, Unary};
/// use k2o_keras::{Archive, Call, Fields, ImportOptions, Importer, Layer, Limits, Lowering, Result, Source, Tensor};
/// use k2o_keras::WeightSpec;
///
/// /// `x * gain`, with one gain per channel: a custom layer whose config is its number of channels.
/// #[derive(Debug)]
/// struct Gain {
///     units: usize,
/// }
///
/// impl Layer for Gain {
///     fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
///         Ok(Gain { units: fields.positive(&["units"])? as usize })
///     }
///
///     fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
///         let input = call.input()?;
///         let gain = cx.weights(&[WeightSpec::trainable("gain", &[self.units])])?.remove(0);
///         let zero = gain.derived("zero", gain.expr.sub(&gain.expr)?);
///         let operands = [cx.operand(input)?, cx.constant(&gain)?, cx.constant(&zero)?];
///         let axis = cx.shape(input)?.rank() - 1;
///         Ok(vec![cx.add(Affine { axis }, &operands)?])
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let config = r#"{"class_name": "Sequential", "config": {"name": "model", "layers": [
///     {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [null, 4]}},
///     {"class_name": "Gain", "module": "my_layers", "registered_name": "mine>Gain",
///      "config": {"name": "gain", "units": 4}},
///     {"class_name": "Activation", "config": {"name": "root", "activation": "root"}},
///     {"class_name": "Activation", "config": {"name": "capped", "activation": "<lambda>"}}]}}"#;
/// let archive = Archive::read(&Source::from_bytes("model.json", config.as_bytes()), &Limits::default())?;
///
/// let imported = Importer::new()
///     .register::<Gain>("mine>Gain")
///     .register_activation("root", |cx, tensor| cx.apply(Unary::Sqrt, tensor))
///     .define("<lambda>", "relu(negative_slope=0.1, max_value=20)")?
///     .import(&archive, &ImportOptions::default())?;
/// assert_eq!(imported.graph.nodes().len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Importer {
    registry: Registry,
}

impl Importer {
    /// An importer of Keras's own layers and activations.
    pub fn new() -> Importer {
        Importer::default()
    }

    /// The same importer, for which layers called `class` are `L`s. `class` is the name of the Python class, or the
    /// name that it was registered with, such as `Package>Name`; of which module it is does not matter.
    #[must_use]
    pub fn register<L: Layer + 'static>(mut self, class: impl Into<String>) -> Importer {
        self.registry.layer(class.into(), |fields| Ok(Box::new(L::from_config(fields)?)));
        self
    }

    /// The same importer, for which the activation `name` adds to the graph what `function` does. `name` is the name
    /// of the Python function, with or without the package that it was registered in.
    #[must_use]
    pub fn register_activation(
        mut self,
        name: impl Into<String>,
        function: impl Fn(&mut Lowering, Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Importer {
        self.registry.function(name.into(), CustomActivation::new(function));
        self
    }

    /// The same importer, for which the activation `name` is one of Keras's with arguments, written as in Python:
    /// `relu(negative_slope=0.1, max_value=20)`. A model that does not use it cannot be imported.
    ///
    /// # Errors
    /// Where Keras has no such function or argument, and where `name` is taken.
    pub fn define(mut self, name: impl Into<String>, expression: &str) -> Result<Importer> {
        self.registry.definition(name.into(), expression)?;
        Ok(self)
    }

    /// The graph and outline of the model in `archive`; without weights if the archive has none.
    ///
    /// # Errors
    /// Everything that is wrong with the model at once: classes and config keys that are not supported, shapes that do
    /// not fit, weights that are missing, left over or of another shape.
    pub fn import(&self, archive: &Archive, options: &ImportOptions) -> Result<Imported> {
        let version = KerasVersion::detect(archive.keras_version.as_deref(), &archive.config);
        let within = |error: Error| error.at(&archive.config_part);
        let known = |description: &Value, class: &str| self.registry.find_layer(description, class).is_some();
        let config = keras1::to_keras2(&archive.config, version, &known)?;
        let mut build = Build::new(version, options.limits.clone(), self.registry.clone());
        let root = build.object(&config, String::new()).map_err(within)?;
        let Kind::Model(model) = &root.kind else {
            let error = Error::all(std::mem::take(&mut build.errors));
            return Err(error.unwrap_or_else(|| {
                let class = archive.config.get("class_name").and_then(Value::as_str).unwrap_or("nothing");
                Error::unsupported(format!("the file holds a {class}, not a model"))
                    .within(&archive.config_part)
            }));
        };
        let mut cx = Lowering::new(version, &root.name);
        cx.states.wanted = options.expose_states;
        cx.calls_left = options.limits.max_layers;
        cx.text_left = options.limits.max_config_bytes;
        let symbols = Symbols::new(options.input_shapes.clone(), options.steps);
        cx.meeting = Meeting::of(version, archive.keras_version.as_deref());
        let outcome = model.lower_outermost(&mut cx, symbols);
        let Lowering { mut builder, mut outline, requests, errors: mut noted, states, .. } = cx;
        let left_over = build.left_over();
        let mut errors = build.errors;
        errors.append(&mut noted);
        let complete = match outcome {
            Ok(outputs) => {
                let mut names = Names::default();
                let mut complete = true;
                for (name, tensor) in outputs.into_iter().chain(states.outputs) {
                    match tensor.value() {
                        Some(value) => builder.output(names.unique(name), value),
                        None => complete = false,
                    }
                }
                complete
            }
            Err(error) => {
                errors.push(within(error));
                false
            }
        };
        // Weights and definitions that were not asked for because a layer failed would only hide what is wrong.
        let failed = !errors.is_empty();
        if let Some(store) = archive.weights.as_ref().filter(|_| !options.without_weights) {
            let problems = bind(&requests, &model.layer_names(), store, &mut outline);
            errors.extend(problems.into_iter().filter(|_| !failed));
        }
        errors.extend(left_over.filter(|_| !failed));
        if let Some(error) = Error::all(errors) {
            return Err(error);
        }
        if !complete || builder.graph().outputs().is_empty() {
            return Err(Error::malformed("the model has no outputs").within(&archive.config_part));
        }
        Ok(Imported { graph: builder.finish(), outline, version })
    }
}

/// As [`Importer::import`], with Keras's own layers and activations.
///
/// # Errors
/// As [`Importer::import`].
pub fn import(archive: &Archive, options: &ImportOptions) -> Result<Imported> {
    Importer::new().import(archive, options)
}

/// The names of outputs so far, and the number that the next one of the same name tries first.
#[derive(Default)]
struct Names {
    taken: BTreeSet<String>,
    next: BTreeMap<String, usize>,
}

impl Names {
    /// The name, with `_1`, `_2`.. where it is taken.
    fn unique(&mut self, name: String) -> String {
        let mut candidate = name.clone();
        while !self.taken.insert(candidate.clone()) {
            let n = self.next.entry(name.clone()).or_insert(1);
            candidate = format!("{name}_{n}");
            *n += 1;
        }
        candidate
    }
}
