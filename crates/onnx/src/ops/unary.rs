//! `Unary`: one node where the opset has the function, else its formula; in any layout.
//!
//! `Gelu` is an operator from opset 20 on, `Mish` from 18 on, `HardSwish` from 14 on; `Swish`
//! (silu) is one from 24 on, but onnxruntime 1.32 has it in opset 24 only.

use super::{Emit, Layouts, Lower, TakesFlat, Tie, any_layout};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::{Error, Result};
use k2o_core::ops::Unary;
use k2o_core::{DType, Graph, Node};
use std::f64::consts::{PI, SQRT_2};

impl Lower for Unary {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn takes_flat(&self, _: &Graph, _: &Node, _: usize) -> TakesFlat {
        TakesFlat::Passes
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        any_layout(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let opset = emit.opset();
        let node = |op_type| NodeSpec::new(op_type, [x]);
        let last = match *self {
            Unary::Relu => node("Relu"),
            Unary::LeakyRelu { slope } => node("LeakyRelu").float("alpha", slope),
            Unary::Clip { min, max } => clip(emit, x, min, max)?,
            Unary::GeneralRelu { negative_slope, max_value, threshold } => {
                general_relu(emit, x, negative_slope, max_value, threshold)?
            }
            Unary::Elu { alpha } => with_float(node("Elu"), "alpha", alpha, 1.0),
            Unary::Selu => node("Selu"),
            Unary::Sigmoid => node("Sigmoid"),
            Unary::HardSigmoid { slope, offset } => {
                with_float(with_float(node("HardSigmoid"), "alpha", slope, 0.2), "beta", offset, 0.5)
            }
            Unary::Tanh => node("Tanh"),
            Unary::Softplus => node("Softplus"),
            Unary::Softsign => node("Softsign"),
            Unary::Exp => node("Exp"),
            Unary::Silu => NodeSpec::new("Mul", [x, emit.call("Sigmoid", [x])]),
            Unary::HardSilu if opset >= 14 => node("HardSwish"),
            Unary::HardSilu => {
                let gate = emit.node(node("HardSigmoid").float("alpha", 1.0 / 6.0));
                NodeSpec::new("Mul", [x, Arg::Tensor(gate)])
            }
            Unary::Gelu { approximate: false } if opset >= 20 => node("Gelu"),
            Unary::Gelu { approximate: true } if opset >= 20 => node("Gelu").string("approximate", "tanh"),
            Unary::Gelu { approximate } => gelu(emit, x, approximate)?,
            Unary::Mish if opset >= 18 => node("Mish"),
            Unary::Mish => {
                let softplus = emit.call("Softplus", [x]);
                NodeSpec::new("Mul", [x, emit.call("Tanh", [softplus])])
            }
            Unary::Celu { alpha } => celu(emit, x, alpha)?,
            // -softplus(-x)
            Unary::LogSigmoid => {
                let opposite = emit.call("Neg", [x]);
                NodeSpec::new("Neg", [emit.call("Softplus", [opposite])])
            }
            Unary::TanhShrink => NodeSpec::new("Sub", [x, emit.call("Tanh", [x])]),
            Unary::HardShrink { threshold } => shrink(x, threshold, 0.0),
            Unary::SoftShrink { threshold } if threshold >= 0.0 => shrink(x, threshold, threshold),
            Unary::SoftShrink { threshold } => {
                return Err(Error::unsupported(format!("a soft shrinking by {threshold}")));
            }
            Unary::Squareplus { b } => squareplus(emit, x, b)?,
            // The parabola lies above `x` where it is between its ends, and below it beyond the upper one.
            Unary::SparsePlus => {
                let root = Arg::Tensor(emit.node(node("HardSigmoid").float("alpha", 0.5)));
                NodeSpec::new("Max", [x, emit.call("Mul", [root, root])])
            }
            Unary::Threshold { threshold, value: 0.0 } => {
                with_float(node("ThresholdedRelu"), "alpha", threshold, 1.0)
            }
            Unary::Threshold { threshold, value } => {
                let bound = emit.scalar("threshold", DType::F32, threshold)?;
                let value = emit.scalar("value", DType::F32, value)?;
                NodeSpec::new("Where", [emit.call("Greater", [x, bound]), x, value])
            }
            Unary::Sqrt => node("Sqrt"),
        };
        Ok(emit.node(last))
    }
}

/// The attribute, unless ONNX assumes it anyway.
pub(super) fn with_float(node: NodeSpec, name: &str, value: f64, default: f32) -> NodeSpec {
    if value as f32 == default { node } else { node.float(name, value) }
}

/// `min(max(x, min), max)`; an infinite bound is none.
fn clip(emit: &mut Emit<'_>, x: Arg, min: f64, max: f64) -> Result<NodeSpec> {
    let min = if min == f64::NEG_INFINITY { Arg::Absent } else { emit.scalar("min", DType::F32, min)? };
    let max = if max == f64::INFINITY { Arg::Absent } else { emit.scalar("max", DType::F32, max)? };
    Ok(NodeSpec::new("Clip", [x, min, max]))
}

/// `alpha * elu(x / alpha)`, which is `Celu`; that one tract 0.23.9 computes wrongly. An `alpha` below zero would bend
/// the other half, so that the formula is written.
fn celu(emit: &mut Emit<'_>, x: Arg, alpha: f64) -> Result<NodeSpec> {
    if alpha as f32 == 1.0 {
        return Ok(NodeSpec::new("Elu", [x]));
    }
    let factor = emit.scalar("alpha", DType::F32, alpha)?;
    if alpha > 0.0 {
        let scaled = emit.call("Div", [x, factor]);
        return Ok(NodeSpec::new("Mul", [emit.call("Elu", [scaled]), factor]));
    }
    let (zero, one) = (emit.scalar("zero", DType::F32, 0.0)?, emit.scalar("one", DType::F32, 1.0)?);
    let below = emit.call("Min", [x, zero]);
    let scaled = emit.call("Div", [below, factor]);
    let power = emit.call("Exp", [scaled]);
    let bent = emit.call("Sub", [power, one]);
    let bent = emit.call("Mul", [bent, factor]);
    Ok(NodeSpec::new("Add", [emit.call("Relu", [x]), bent]))
}

/// `x - bias` above `threshold`, `x + bias` below its negative, else 0.
fn shrink(x: Arg, threshold: f64, bias: f64) -> NodeSpec {
    let node = with_float(NodeSpec::new("Shrink", [x]), "bias", bias, 0.0);
    with_float(node, "lambd", threshold, 0.5)
}

/// `(x + sqrt(x² + b)) / 2`
fn squareplus(emit: &mut Emit<'_>, x: Arg, b: f64) -> Result<NodeSpec> {
    let (b, half) = (emit.scalar("b", DType::F32, b)?, emit.scalar("half", DType::F32, 0.5)?);
    let square = emit.call("Mul", [x, x]);
    let sum = emit.call("Add", [square, b]);
    let root = emit.call("Sqrt", [sum]);
    let sum = emit.call("Add", [x, root]);
    Ok(NodeSpec::new("Mul", [sum, half]))
}

/// `x` above the threshold, at most `max_value`, less `slope * max(threshold - x, 0)`.
fn general_relu(
    emit: &mut Emit<'_>,
    x: Arg,
    slope: f64,
    max: Option<f64>,
    threshold: f64,
) -> Result<NodeSpec> {
    if threshold == 0.0 && max.is_none() {
        let node = if slope == 0.0 { "Relu" } else { "LeakyRelu" };
        let node = NodeSpec::new(node, [x]);
        return Ok(if slope == 0.0 { node } else { node.float("alpha", slope) });
    }
    let risen = || NodeSpec::new("ThresholdedRelu", [x]).float("alpha", threshold);
    let above = match max {
        Some(max) if threshold == 0.0 => clip(emit, x, 0.0, max)?,
        Some(max) => {
            let risen = emit.node(risen());
            clip(emit, Arg::Tensor(risen), 0.0, max)?
        }
        None => risen(),
    };
    if slope == 0.0 {
        return Ok(above);
    }
    // The rest as `slope * (min(x, threshold) - threshold)`.
    let above = Arg::Tensor(emit.node(above));
    let bend = emit.scalar("threshold", DType::F32, threshold)?;
    let mut below = emit.call("Min", [x, bend]);
    if threshold != 0.0 {
        below = emit.call("Sub", [below, bend]);
    }
    let slope = emit.scalar("negative_slope", DType::F32, slope)?;
    let below = emit.call("Mul", [below, slope]);
    Ok(NodeSpec::new("Add", [above, below]))
}

/// `x / 2 * (1 + erf(x / √2))`, or with `tanh(√(2/π) * (x + 0.044715 x³))` for the error function, in the form that
/// runtimes know to be one function.
fn gelu(emit: &mut Emit<'_>, x: Arg, approximate: bool) -> Result<NodeSpec> {
    let mut scalar = |role, value| emit.scalar(role, DType::F32, value);
    let (one, half) = (scalar("one", 1.0)?, scalar("half", 0.5)?);
    let bent = if approximate {
        let (cubic, scale) = (scalar("cubic", 0.044715)?, scalar("scale", (2.0 / PI).sqrt())?);
        let square = emit.call("Mul", [x, x]);
        let cube = emit.call("Mul", [square, x]);
        let cube = emit.call("Mul", [cube, cubic]);
        let inner = emit.call("Add", [x, cube]);
        let inner = emit.call("Mul", [inner, scale]);
        emit.call("Tanh", [inner])
    } else {
        let root = scalar("sqrt2", SQRT_2)?;
        let inner = emit.call("Div", [x, root]);
        emit.call("Erf", [inner])
    };
    let doubled = emit.call("Add", [bent, one]);
    let product = emit.call("Mul", [x, doubled]);
    Ok(NodeSpec::new("Mul", [product, half]))
}
