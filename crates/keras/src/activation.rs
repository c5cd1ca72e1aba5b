//! The `activation=` argument: <https://keras.io/api/layers/activations/>. What a name means depends on the version
//! of Keras: `hard_sigmoid` is another function in Keras 2 than in Keras 3.

use crate::fields::brief;
use crate::layer::LayerObject;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, KerasVersion, Result};
use k2o_core::ops::{Softmax, Unary};
use serde_json::Value;

/// A function applied to a layer's output.
#[derive(Debug)]
pub enum Activation {
    /// No function.
    Linear,
    /// A function of each element.
    Unary(Unary),
    /// Softmax over the last axis.
    Softmax,
    /// A layer given as the argument.
    Layer(Box<LayerObject>),
}

/// The element functions by name.
fn by_name(name: &str, version: KerasVersion) -> Option<Activation> {
    let keras2 = version < KerasVersion::V3;
    Some(Activation::Unary(match name {
        "linear" => return Some(Activation::Linear),
        "softmax" => return Some(Activation::Softmax),
        "relu" => Unary::Relu,
        "relu6" => Unary::Clip { min: 0.0, max: 6.0 },
        "leaky_relu" => Unary::LeakyRelu { slope: 0.2 },
        "elu" => Unary::Elu { alpha: 1.0 },
        "selu" => Unary::Selu,
        "sigmoid" => Unary::Sigmoid,
        "hard_sigmoid" if keras2 => Unary::HardSigmoid { slope: 0.2, offset: 0.5 },
        "hard_sigmoid" => Unary::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
        "tanh" => Unary::Tanh,
        "softplus" => Unary::Softplus,
        "softsign" => Unary::Softsign,
        "exponential" => Unary::Exp,
        "silu" | "swish" => Unary::Silu,
        "hard_silu" | "hard_swish" => Unary::HardSilu,
        "gelu" => Unary::Gelu { approximate: false },
        "mish" => Unary::Mish,
        _ => return None,
    }))
}

impl Activation {
    /// Reads the argument under `key`; no argument is no function.
    pub fn take(fields: &mut Fields<'_, '_>, key: &'static str) -> Result<Activation> {
        let Some(value) = fields.take(&[key]) else { return Ok(Activation::Linear) };
        if let Some(name) = value.as_str() {
            return Activation::named(name, fields.version());
        }
        // Keras 3 writes a function as an object whose `config` is its name.
        if let Some(name) = value.get("config").and_then(Value::as_str) {
            return Activation::named(name, fields.version());
        }
        match value.get("class_name").and_then(Value::as_str) {
            Some("__lambda__" | "function") | None => {
                Err(Error::unsupported(format!("`{key}` is Python code, which is never run here")))
            }
            Some(_) => Ok(Activation::Layer(Box::new(fields.layer(value, key)?))),
        }
    }

    fn named(name: &str, version: KerasVersion) -> Result<Activation> {
        by_name(name, version).ok_or_else(|| {
            Error::unsupported(format!("the activation {} is not supported", brief(&Value::from(name))))
        })
    }

    /// The function's value for `tensor`.
    pub fn lower(&self, cx: &mut Lowering, tensor: Tensor) -> Result<Tensor> {
        match self {
            Activation::Linear => Ok(tensor),
            Activation::Unary(function) => cx.apply(*function, tensor),
            Activation::Softmax => {
                let rank = cx.shape(tensor)?.rank();
                if rank < 2 {
                    return Err(Error::unsupported("softmax of a tensor of rank 1"));
                }
                cx.apply(Softmax { axes: vec![rank - 1] }, tensor)
            }
            Activation::Layer(layer) => {
                let outputs = cx.call_child(layer, &Call::of(tensor))?;
                outputs.first().copied().ok_or_else(|| Error::malformed("the activation layer has no output"))
            }
        }
    }
}
