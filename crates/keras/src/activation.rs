//! The `activation=` argument: <https://keras.io/api/layers/activations/>. What a name means depends on the version
//! of Keras: `hard_sigmoid` is another function in Keras 2 than in Keras 3.

mod expression;
mod functions;

pub(crate) use expression::Expression;

use crate::build::{Build, is_keras_module};
use crate::fields::brief;
use crate::layer::LayerObject;
use crate::layers::axis_from_front;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, KerasVersion, Result};
use k2o_core::ops::{Binary, BinaryKind, Slice, Softmax, Sparsemax, Unary};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// A function applied to a layer's output.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Activation {
    /// No function.
    Linear,
    /// A function of each element.
    Unary(Unary),
    /// Softmax over one axis, or its logarithm.
    Softmax {
        /// The axis, from the back where negative.
        axis: i64,
        /// Whether the result is the logarithm.
        log: bool,
    },
    /// Keras's sparsemax along one axis.
    Sparsemax {
        /// The axis, from the back where negative.
        axis: i64,
    },
    /// One half of the tensor times the sigmoid of the other.
    Glu {
        /// The axis that is halved, from the back where negative.
        axis: i64,
    },
    /// A layer given as the argument.
    Layer(Arc<LayerObject>),
    /// A function that [`Importer::register_activation`](crate::Importer::register_activation) was given.
    Custom(CustomActivation),
}

/// A function of one tensor.
type Function = dyn Fn(&mut Lowering, Tensor) -> Result<Tensor> + Send + Sync;

/// An activation from outside this crate.
#[derive(Clone)]
pub struct CustomActivation(Arc<Function>);

impl CustomActivation {
    pub(crate) fn new(
        function: impl Fn(&mut Lowering, Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> CustomActivation {
        CustomActivation(Arc::new(function))
    }
}

impl fmt::Debug for CustomActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomActivation")
    }
}

impl Activation {
    /// Reads the argument under `key`; no argument is no function.
    pub fn take(fields: &mut Fields<'_, '_>, key: &'static str) -> Result<Activation> {
        let Some(value) = fields.take(&[key]) else { return Ok(Activation::Linear) };
        if let Some(name) = value.as_str() {
            return named(name, None, fields.build());
        }
        match (value.get("class_name").and_then(Value::as_str), value.get("config")) {
            (Some("__lambda__") | None, _) | (Some("function"), Some(Value::Object(_)) | None) => {
                Err(Error::unsupported(format!("`{key}` is Python code, which is never run here")).help(
                    "give the layer a function of keras.activations in its place, and save the model again",
                ))
            }
            // Keras writes a function as an object whose `config` is its name.
            (Some(_), Some(Value::String(name))) => {
                let module = value.get("module").and_then(Value::as_str);
                named(name, module.filter(|module| *module != "builtins"), fields.build())
            }
            (Some(_), _) => Ok(Activation::Layer(Arc::new(fields.layer(value, key)?))),
        }
    }

    /// The function of single elements that it is: `Some(None)` where it is none at all, `None` where it is another kind.
    pub(crate) fn as_function(&self) -> Option<Option<Unary>> {
        match self {
            Activation::Linear => Some(None),
            Activation::Unary(function) => Some(Some(*function)),
            _ => None,
        }
    }

    /// Whether each vector along the last axis is computed from the vector at the same place alone.
    pub(crate) fn is_per_vector(&self) -> bool {
        match self {
            Activation::Linear | Activation::Unary(_) => true,
            Activation::Softmax { axis, .. } | Activation::Sparsemax { axis } | Activation::Glu { axis } => {
                *axis == -1
            }
            Activation::Layer(layer) => layer.is_per_vector(),
            Activation::Custom(_) => false,
        }
    }

    /// The function's value for `tensor`.
    pub fn lower(&self, cx: &mut Lowering, tensor: Tensor) -> Result<Tensor> {
        let axis = |cx: &Lowering, axis: i64| axis_from_front(axis, cx.shape(tensor)?.rank());
        match self {
            Activation::Linear => Ok(tensor),
            Activation::Unary(function) => cx.apply(*function, tensor),
            Activation::Softmax { axis: over, log } => {
                refuse_batch_only(cx, "softmax", tensor)?;
                let axes = vec![axis(cx, *over)?];
                cx.apply(Softmax { axes, log: *log }, tensor)
            }
            Activation::Sparsemax { axis: along } => {
                refuse_batch_only(cx, "sparsemax", tensor)?;
                let axis = axis(cx, *along)?;
                cx.apply(Sparsemax { axis }, tensor)
            }
            Activation::Glu { axis: along } => {
                let axis = axis(cx, *along)?;
                glu(cx, tensor, axis)
            }
            Activation::Layer(layer) if layer.is_broken() => Ok(Tensor::UNKNOWN),
            Activation::Layer(layer) => {
                let outputs = cx.call_child(layer, &Call::of(tensor))?;
                outputs.first().copied().ok_or_else(|| Error::malformed("the activation layer has no output"))
            }
            Activation::Custom(function) => (function.0)(cx, tensor),
        }
    }
}

/// The function that a config calls `name`: one that was registered or defined, or Keras's own.
fn named(name: &str, module: Option<&str>, build: &mut Build) -> Result<Activation> {
    if let Some(activation) = build.registered_activation(name) {
        return activation;
    }
    let shown = brief(&Value::from(name));
    // The name goes into a command line, so only one that can stand there.
    let plain = name.len() <= 80 && !name.contains(|c: char| c.is_control() || c == '\'');
    let argument = if plain { name } else { "NAME" };
    let example = format!("--define '{argument}=relu(negative_slope=0.1, max_value=20)'");
    let help = format!("if it is a function of your own, say what it computes: {example}");
    if let Some(module) = module.filter(|module| !is_keras_module(module)) {
        let message =
            format!("the activation {shown} is a function of the module {}", brief(&Value::from(module)));
        return Err(Error::unsupported(message).help(help));
    }
    let Some(function) = functions::find(name) else {
        return Err(Error::unsupported(format!("the activation {shown} is not one of Keras's")).help(help));
    };
    if build.version < KerasVersion::V3 && !function.is_in_keras2 {
        let message = format!("the activation {shown} is not one of Keras 2's");
        let help =
            format!("if it computes what Keras 3's does, say so: --define '{argument}={}'", function.text());
        return Err(Error::unsupported(message).help(help));
    }
    match Expression::of(function) {
        Some(expression) => expression.activation(build.version),
        None => {
            let message = format!("the activation {shown} needs arguments, which a name does not give");
            let help = format!("say which: --define '{argument}={}'", function.text());
            Err(Error::unsupported(message).help(help))
        }
    }
}

/// Refuses a tensor whose only axis is the batch.
fn refuse_batch_only(cx: &Lowering, what: &str, tensor: Tensor) -> Result<()> {
    match cx.shape(tensor)?.rank() {
        0 | 1 => Err(Error::unsupported(format!("{what} of a tensor of rank 1"))),
        _ => Ok(()),
    }
}

/// The first half along `axis` times the sigmoid of the second.
fn glu(cx: &mut Lowering, tensor: Tensor, axis: usize) -> Result<Tensor> {
    let size = cx.size(tensor, axis)?;
    let half = (size % 2 == 0).then_some(size / 2).and_then(|half| i64::try_from(half).ok());
    let shape = cx.shape(tensor)?;
    let half = half.ok_or_else(|| {
        k2o_core::Error::shape(format!("glu halves axis {axis} of the input {shape}, whose size is odd"))
    })?;
    let values = cx.apply(Slice { axis, before: 0, after: half }, tensor)?;
    let gates = cx.apply(Slice { axis, before: half, after: 0 }, tensor)?;
    let gates = cx.apply(Unary::Sigmoid, gates)?;
    let operands = [cx.operand(values)?, cx.operand(gates)?];
    cx.add(Binary { kind: BinaryKind::Mul }, &operands)
}
