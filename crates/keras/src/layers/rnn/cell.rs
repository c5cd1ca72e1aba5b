//! What a recurrent layer does in one step.

use super::cudnn::{self, WeightLayout};
use crate::activation::Activation;
use crate::layer::LayerObject;
use crate::layers::size;
use crate::lowering::{Arg, Call, Lowering, Tensor};
use crate::weights::{Weight, WeightSpec};
use crate::{Error, Fields, Layer, Result};
use k2o_core::Operand;
use k2o_core::ops::{Binary, BinaryKind, Recurrence, Slice, Unary};
use serde_json::Value;

/// A layer that is called for one step: with the step's input and the list of states. It returns the output and the next
/// states. <https://keras.io/api/layers/recurrent_layers/rnn/>
pub trait Cell: Layer {
    /// The number of elements of each state; nested states one after the other.
    fn state_sizes(&self) -> Vec<usize>;

    /// The number of elements of the output.
    fn output_size(&self) -> usize;

    /// Which of the states the output is, if it is one.
    fn output_state(&self) -> Option<usize> {
        None
    }

    /// Whether [`over_steps`](Cell::over_steps) can add all steps at once.
    fn has_operator(&self) -> bool {
        false
    }

    /// Adds all steps at once.
    fn over_steps(&self, _cx: &mut Lowering, _steps: &Steps<'_>) -> Result<OverSteps> {
        Err(Error::unsupported("this cell is no operator"))
    }
}

/// What a cell is run on.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a> {
    /// `[batch, steps, channels]`.
    pub x: Tensor,
    /// The first states; empty where they are zeros.
    pub states: &'a [Tensor],
    /// Which steps count, `[batch, steps]`; the states stay as they are at others.
    pub mask: Option<Tensor>,
    /// Whether the steps are run from the last to the first.
    pub reverse: bool,
}

/// What running a cell gave.
#[derive(Clone, Debug)]
pub struct OverSteps {
    /// The output of every step at the step's place, `[batch, steps, units]`.
    pub outputs: Tensor,
    /// The output of the step that was run last, `[batch, units]`.
    pub last: Tensor,
    /// The states after that step.
    pub states: Vec<Tensor>,
}

/// What the cells of Keras have in common.
#[derive(Debug)]
pub(super) struct CellConfig {
    pub units: usize,
    pub activation: Activation,
    pub recurrent_activation: Activation,
    pub use_bias: bool,
    pub layout: WeightLayout,
}

impl CellConfig {
    /// Reads it; `gated` says whether there is a recurrent activation.
    pub fn take(fields: &mut Fields<'_, '_>, gated: bool) -> Result<CellConfig> {
        // `implementation` is a matter of speed.
        fields.ignore(&["dropout", "recurrent_dropout", "unit_forget_bias", "implementation"]);
        Ok(CellConfig {
            units: size(fields.positive(&["units"])?)?,
            activation: Activation::take(fields, "activation")?,
            recurrent_activation: match gated {
                true => Activation::take(fields, "recurrent_activation")?,
                false => Activation::Linear,
            },
            use_bias: fields.bool(&["use_bias"], true)?,
            layout: WeightLayout::Keras,
        })
    }

    /// Both activations as functions of single elements, if they are.
    pub fn functions(&self) -> Option<(Option<Unary>, Option<Unary>)> {
        Some((self.activation.as_function()?, self.recurrent_activation.as_function()?))
    }

    /// The weights: for the input, for the state, and the bias, whose columns are behind the sizes `bias`, if there is one.
    pub fn declare(&self, cx: &mut Lowering, x: Tensor, gates: usize, bias: &[usize]) -> Result<Vec<Weight>> {
        let columns =
            self.units.checked_mul(gates).ok_or_else(|| Error::limit("the units do not fit memory"))?;
        let mut specs = vec![
            WeightSpec::trainable("kernel", &[cx.channels(x)?, columns]),
            WeightSpec::trainable("recurrent_kernel", &[self.units, columns]),
        ];
        let bias = [bias, &[columns]].concat();
        if self.layout == WeightLayout::Cudnn {
            let columns =
                columns.checked_mul(2).ok_or_else(|| Error::limit("the units do not fit memory"))?;
            specs.push(WeightSpec::trainable("bias", &[columns]));
            return cudnn::in_layout_of_keras(&cx.weights(&specs)?, self.units, &bias);
        }
        if self.use_bias {
            specs.push(WeightSpec::trainable("bias", &bias));
        }
        cx.weights(&specs)
    }

    /// The weights as operands.
    pub fn weights(
        &self,
        cx: &mut Lowering,
        x: Tensor,
        gates: usize,
        bias: &[usize],
    ) -> Result<Vec<Operand>> {
        self.declare(cx, x, gates, bias)?.iter().map(|weight| cx.constant(weight)).collect()
    }

    /// Adds `op`, of so many states, for all steps.
    pub fn operator<T: Into<k2o_core::Op>>(
        &self,
        cx: &mut Lowering,
        steps: &Steps<'_>,
        weights: Vec<Operand>,
        op: impl FnOnce(Recurrence) -> T,
    ) -> Result<OverSteps> {
        let recurrence = Recurrence {
            reverse: steps.reverse,
            has_bias: self.use_bias,
            has_states: !steps.states.is_empty(),
            has_mask: steps.mask.is_some(),
        };
        let mut operands = vec![cx.operand(steps.x)?];
        operands.extend(weights);
        for &tensor in steps.states.iter().chain(&steps.mask) {
            operands.push(cx.any_operand(tensor)?);
        }
        match cx.add_all(op(recurrence), &operands)?.as_slice() {
            &[outputs, last, ref more @ ..] => {
                Ok(OverSteps { outputs, last, states: [&[last], more].concat() })
            }
            _ => Err(Error::malformed("a recurrent operator without states")),
        }
    }
}

/// The cell that `value` describes, whose weights are saved under `segment`.
pub(super) fn cell_object(fields: &mut Fields<'_, '_>, value: &Value, segment: &str) -> Result<LayerObject> {
    let object = fields.layer(value, segment)?;
    match object.is_broken() || object.as_cell().is_some() {
        true => Ok(object),
        false => Err(Error::unsupported(format!("{} is not a cell of one step", object.place()))),
    }
}

/// The kernel, the recurrent kernel and, if there is one, the bias.
pub(super) fn parts<T>(weights: &[T]) -> Result<(&T, &T, Option<&T>)> {
    match weights {
        [kernel, recurrent_kernel, bias @ ..] => Ok((kernel, recurrent_kernel, bias.first())),
        _ => Err(Error::malformed("a cell without kernels")),
    }
}

/// The step's input and the states that a cell is called with.
pub(super) fn arguments<const N: usize>(call: &Call) -> Result<(Tensor, [Tensor; N])> {
    let given = call.tensors();
    match (given.split_first(), call.args.len()) {
        (Some((x, states)), 1 | 2) => match states.try_into() {
            Ok(states) => Ok((*x, states)),
            Err(_) => Err(Error::malformed(format!("a cell of {N} states was given {}", states.len()))),
        },
        _ => Err(Error::malformed("a cell is called with an input and states")),
    }
}

/// The call of a cell.
pub(super) fn call_of(x: Tensor, states: &[Tensor]) -> Call {
    let states = states.iter().copied().map(Arg::Tensor).collect();
    Call { args: vec![Arg::Tensor(x), Arg::List(states)], ..Call::default() }
}

/// Two tensors, element by element.
pub(super) fn binary(cx: &mut Lowering, kind: BinaryKind, a: Tensor, b: Tensor) -> Result<Tensor> {
    let operands = [cx.operand(a)?, cx.operand(b)?];
    cx.add(Binary { kind }, &operands)
}

/// Equal parts of the last axis.
pub(super) fn gates<const N: usize>(cx: &mut Lowering, x: Tensor, units: usize) -> Result<[Tensor; N]> {
    let axis = cx.shape(x)?.rank().saturating_sub(1);
    let (units, count) = (units as i64, N as i64);
    let mut gates = [x; N];
    for (gate, at) in gates.iter_mut().zip(0..) {
        *gate = cx.apply(Slice { axis, before: at * units, after: (count - 1 - at) * units }, x)?;
    }
    Ok(gates)
}
