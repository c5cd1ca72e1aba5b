//! Models as layers: `Sequential` and `Functional`, outermost or nested.
//!
//! <https://keras.io/guides/sequential_model/>, <https://keras.io/guides/functional_api/>

mod functional;
mod sequential;

use crate::archive::shown;
use crate::build::Build;
use crate::fields::{brief, expected};
use crate::import::InputShape;
use crate::layer::LayerObject;
use crate::lowering::{Arg, Call, Lowering, MAX_RANK, Outputs, Tensor, too_many_axes};
use crate::snake_case::to_snake_case;
use crate::{Error, ErrorKind, Result};
use k2o_core::{DType, Dim, Shape, TensorType};
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) use functional::Functional;
pub(crate) use sequential::Sequential;

/// A model: layers and how they are connected.
#[derive(Debug)]
pub(crate) enum Model {
    Sequential(Sequential),
    Functional(Functional),
}

/// Whether layers of this class have layers of their own.
pub(crate) fn is_model_class(class: &str) -> bool {
    matches!(class, "Sequential" | "Functional" | "Model")
}

impl Model {
    /// Reads `{"name": .., "layers": [..], ..}`, or, from the oldest Sequential models, the bare list of layers.
    pub fn from_config(
        class: &str,
        config: Option<&Value>,
        description: &Value,
        build: &mut Build,
        store: &str,
    ) -> Result<Model> {
        let config = config.unwrap_or(&Value::Null);
        match class {
            "Sequential" => {
                Ok(Model::Sequential(Sequential::from_config(config, description, build, store)?))
            }
            _ if config.get("layers").is_some() => {
                Ok(Model::Functional(Functional::from_config(config, build, store)?))
            }
            _ => Err(Error::unsupported("a subclassed model keeps its graph in Python code")
                .help("rebuild it with the functional API, or export it from Keras")),
        }
    }

    /// The names of the model's layers, in the config's order.
    pub fn layer_names(&self) -> Vec<&str> {
        let layers = match self {
            Model::Sequential(model) => model.layers(),
            Model::Functional(model) => model.layers(),
        };
        layers.iter().map(|layer| layer.name.as_str()).collect()
    }

    /// Calls the model inside another.
    pub fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Outputs> {
        let mut call = call.clone();
        let mask = call.kwargs.remove("mask");
        let mut inputs = call.inputs()?;
        if let ([input], Some(Arg::Tensor(mask))) = (inputs.as_mut_slice(), mask) {
            *input = input.with_mask(Some(mask));
        }
        match self {
            Model::Sequential(model) => {
                let input = match inputs.as_slice() {
                    [input] => *input,
                    _ => return Err(Error::malformed("a Sequential model takes one input")),
                };
                Ok(Outputs { tensors: vec![model.lower(cx, input)], complete: true })
            }
            Model::Functional(model) => {
                let outputs = model.lower(cx, &inputs)?;
                Ok(Outputs {
                    tensors: outputs.into_iter().map(|(_, tensor)| tensor).collect(),
                    complete: true,
                })
            }
        }
    }

    /// Makes the outermost model's inputs, calls it, and names its outputs.
    pub fn lower_outermost(&self, cx: &mut Lowering, mut symbols: Symbols) -> Result<Vec<(String, Tensor)>> {
        match self {
            Model::Sequential(model) => {
                symbols.check(&[model.input_name()])?;
                let (name, r#type) = model.input(&mut symbols)?;
                let input = outermost_input(cx, name, r#type)?;
                Ok(vec![(model.output_name(), model.lower(cx, input))])
            }
            Model::Functional(model) => {
                symbols.check(&model.input_names())?;
                let mut inputs = Vec::new();
                for (name, r#type) in model.inputs(&mut symbols)? {
                    inputs.push(outermost_input(cx, name, r#type)?);
                }
                model.lower(cx, &inputs)
            }
        }
    }
}

/// Adds an input of the graph.
fn outermost_input(cx: &mut Lowering, name: String, r#type: TensorType) -> Result<Tensor> {
    let place = format!("the input {}", shown(&name));
    let input = cx.builder.input(name, r#type).map_err(|error| Error::from(error).within(place))?;
    Ok(input.into())
}

/// Gives every unknown dimension of the inputs a symbol.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    used: BTreeMap<&'static str, usize>,
    /// Sizes that are wanted instead of those in the config.
    wanted: Vec<InputShape>,
    /// The number of steps that is wanted for inputs of steps and channels.
    steps: Option<u64>,
}

impl Symbols {
    pub fn new(wanted: Vec<InputShape>, steps: Option<u64>) -> Symbols {
        Symbols { used: BTreeMap::new(), wanted, steps }
    }

    /// Refuses sizes for inputs that are none of these.
    pub fn check(&self, inputs: &[&str]) -> Result<()> {
        for wanted in &self.wanted {
            let is_known = match &wanted.name {
                Some(name) => inputs.contains(&name.as_str()),
                None => inputs.len() == 1,
            };
            if !is_known {
                let named = wanted.name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
                let message = format!("sizes were given for an input{named}; the model's are {inputs:?}");
                return Err(Error::new(ErrorKind::Input, message));
            }
        }
        Ok(())
    }

    /// The type that the config of the input `name` (or of the first layer) describes; `None` where it says no shape.
    pub fn input_type(&mut self, name: &str, config: &Value) -> Result<Option<TensorType>> {
        for key in ["batch_shape", "batch_input_shape", "input_shape"] {
            if let Some(value) = config.get(key).filter(|value| !value.is_null() && !value.is_array()) {
                return Err(expected(key, "a list of sizes", value));
            }
        }
        let with_batch = [config.get("batch_shape"), config.get("batch_input_shape")];
        let said = match with_batch.into_iter().flatten().find_map(Value::as_array) {
            Some(dims) => Some(dims.clone()),
            None => config
                .get("input_shape")
                .and_then(Value::as_array)
                .map(|dims| std::iter::once(Value::Null).chain(dims.iter().cloned()).collect()),
        };
        let is_wanted = |wanted: &&InputShape| wanted.name.as_deref().is_none_or(|other| other == name);
        let mut dims: Vec<Value> = match (self.wanted.iter().find(is_wanted), said) {
            (Some(wanted), said) => {
                let batch = said.and_then(|dims| dims.into_iter().next()).unwrap_or_default();
                std::iter::once(batch).chain(wanted.sizes.iter().map(|size| Value::from(*size))).collect()
            }
            (None, Some(dims)) => dims,
            (None, None) => return Ok(None),
        };
        if let (Some(steps), [_, slot, _]) = (self.steps, dims.as_mut_slice()) {
            *slot = Value::from(steps);
        }
        let dtype = match config.get("dtype").and_then(Value::as_str) {
            None => DType::F32,
            Some(name) => match DType::from_name(name) {
                Some(dtype) if dtype.is_float() => DType::F32,
                Some(DType::I64 | DType::U32 | DType::U64) => DType::I64,
                Some(DType::Bool) => DType::Bool,
                Some(_) => DType::I32,
                None if name.starts_with("mixed_") => DType::F32,
                None => {
                    return Err(Error::unsupported(format!("inputs of dtype {name:?} are not supported")));
                }
            },
        };
        for flag in ["sparse", "ragged"] {
            if config.get(flag) == Some(&Value::Bool(true)) {
                return Err(Error::unsupported(format!("{flag} inputs are not supported")));
            }
        }
        self.shape(&dims).map(|shape| Some(TensorType::new(shape, dtype)))
    }

    /// The shape with these dimensions, `null` where unknown.
    pub fn shape(&mut self, dims: &[Value]) -> Result<Shape> {
        if dims.len() > MAX_RANK {
            return Err(too_many_axes(dims.len()));
        }
        let dim = |(axis, dim): (usize, &Value)| match dim {
            Value::Null if axis == 0 => Ok(Dim::symbol("batch")),
            Value::Null => Ok(self.fresh(if axis == 1 { "steps" } else { "size" })),
            dim => dim.as_i64().filter(|&n| n >= 0).map(Dim::fixed).ok_or_else(|| {
                Error::malformed(format!("an input dimension {}; expected a number or null", brief(dim)))
            }),
        };
        dims.iter().enumerate().map(dim).collect()
    }

    fn fresh(&mut self, stem: &'static str) -> Dim {
        let count = self.used.entry(stem).or_insert(0);
        *count += 1;
        match *count {
            1 => Dim::symbol(stem),
            n => Dim::symbol(&format!("{stem}_{}", n - 1)),
        }
    }
}

/// Makes the layers of a model, each with the group that holds its weights: `layers/<class>[_N]`, where N counts
/// the layers of the same class before it (`keras/src/saving/saving_lib.py`, `_save_container_state`).
pub(crate) fn layer_objects(
    descriptions: &[Value],
    build: &mut Build,
    store: &str,
    mut keep: impl FnMut(&Value) -> bool,
) -> Result<Vec<LayerObject>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut objects = Vec::new();
    for description in descriptions.iter().filter(|description| keep(description)) {
        let class = description.get("class_name").and_then(Value::as_str).unwrap_or_default();
        // A registered class is saved under its bare name.
        let group = to_snake_case(class.rsplit('>').next().unwrap_or(class));
        let count = counts.entry(group.clone()).or_insert(0);
        let group = match *count {
            0 => group,
            n => format!("{group}_{n}"),
        };
        let is_operation = description
            .get("module")
            .and_then(Value::as_str)
            .is_some_and(|module| module.starts_with("keras.src.ops") || module.starts_with("keras.ops"));
        if !is_operation {
            *count += 1;
        }
        let object = build.object(description, format!("{store}/layers/{group}"));
        let place = || format!("layer {} of its `layers`", objects.len());
        let object = object.map_err(|error| error.at(place()))?;
        objects.push(object);
    }
    Ok(objects)
}

/// The list of layers in a model's config.
pub(crate) fn layer_list(config: &Value) -> Result<&[Value]> {
    let layers = config.get("layers").unwrap_or(config).as_array();
    layers.map(Vec::as_slice).ok_or_else(|| Error::malformed("the model's config has no list `layers`"))
}
