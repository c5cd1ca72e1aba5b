//! How operators move along the steps of sequences: what a stream and the receptive field need to know.
//!
//! The steps are axis 1. An operand either has steps there, or is the same whatever the steps are: a weight, a first state.

use crate::ops::{FullDim, PoolKind, Recurrence, ReshapeDim};
use crate::tensor::broadcast_axis;
use crate::{Dim, Error, ErrorKind, Op, Padding, Result, Shape, TensorType, Window};

/// How the steps of an operator's outputs come from those of its operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// Each step of the output is computed of the same step of the operands.
    PerStep,
    /// Each step of the output is computed of the steps in a window of the first operand.
    Window {
        /// How the window slides.
        window: Window,
        /// What stands in the padding.
        fill: Fill,
    },
    /// Steps of one value before and after those of the operand.
    Pad {
        /// How many before.
        before: usize,
        /// How many after.
        after: usize,
        /// Each of their elements.
        value: f64,
    },
    /// The steps of the operand without the first and the last.
    Crop {
        /// How many at the start.
        before: usize,
        /// How many at the end.
        after: usize,
    },
    /// Every step several times in a row.
    Repeat(usize),
    /// As `PerStep`, and states are carried from each step to the next; the last of them are outputs too.
    Recurrent,
    /// The output has no steps.
    Fixed,
}

/// What a window reads where it reads padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeros.
    Zeros,
    /// Nothing: less than any number.
    Least,
    /// Nothing: it is not counted.
    Uncounted,
}

/// How `op` moves along the steps of its operands, of which `steps` says that they have some.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where a step of the output needs all steps, or some that are not at a fixed
/// distance.
pub fn motion(op: &Op, operands: &[TensorType], steps: &[bool]) -> Result<Motion> {
    let first = || operands.first().ok_or_else(|| Error::shape("an operator without operands"));
    let only_first = || match steps.iter().skip(1).any(|&has| has) {
        true => Err(all_steps("it computes with weights that have steps")),
        false => Ok(()),
    };
    let along = |axes: &[usize], what: &str| match axes.contains(&1) || axes.contains(&0) {
        true => Err(all_steps(what)),
        false => Ok(Motion::PerStep),
    };
    match op {
        Op::Cast(_) | Op::Identity(_) | Op::Unary(_) => Ok(Motion::PerStep),
        Op::Affine(op) => only_first().and_then(|()| along(&[op.axis], "it scales each step otherwise")),
        Op::Binary(_) | Op::Compare(_) | Op::Select(_) => elementwise(operands, steps),
        Op::Concat(op) => {
            let joined = along(&[op.axis], "it joins sequences one after the other")?;
            match steps.iter().all(|&has| has) {
                true => Ok(joined),
                false => Err(all_steps("it joins a sequence with something that has no steps")),
            }
        }
        Op::Conv(op) => only_first().and_then(|()| window(op.windows.first(), Fill::Zeros)),
        Op::Pool(op) => {
            let fill = if op.kind == PoolKind::Max { Fill::Least } else { Fill::Uncounted };
            window(op.windows.first(), fill)
        }
        Op::ConvTranspose(_) => Err(all_steps("its outputs overlap")),
        Op::Dense(_) => {
            only_first()?;
            match first()?.shape.rank() > 2 {
                true => Ok(Motion::PerStep),
                false => Err(all_steps("it multiplies all steps with a matrix")),
            }
        }
        Op::Full(op) => Ok(match op.dims.get(1) {
            Some(FullDim::Of(1)) => Motion::PerStep,
            _ if op.dims.contains(&FullDim::Of(1)) => {
                return Err(all_steps("it moves the steps to another axis"));
            }
            _ => Motion::Fixed,
        }),
        Op::Gather(op) => match (op.axis, steps) {
            (0, [false, true]) => Ok(Motion::PerStep),
            _ => Err(all_steps("it picks steps by number")),
        },
        Op::Gru(op) => recurrent(op.recurrence, steps),
        Op::Lstm(op) => recurrent(op.recurrence, steps),
        Op::Rnn(op) => recurrent(op.recurrence, steps),
        Op::Scan(op) => {
            if op.reverse {
                return Err(all_steps(BACKWARDS));
            }
            let sequences = op.states..op.recurrent();
            match steps.iter().enumerate().all(|(at, &has)| has == sequences.contains(&at)) {
                true => Ok(Motion::Recurrent),
                false => Err(all_steps("its states have steps")),
            }
        }
        Op::MatMul(_) => Err(all_steps("it multiplies all steps with all steps")),
        Op::Normalize(op) => {
            only_first()?;
            along(&op.axes, "it takes statistics over the steps")
        }
        Op::Pad(op) => {
            let (before, after) = op.amounts.get(1).copied().unwrap_or_default();
            let size = |n: i64| usize::try_from(n).map_err(|_| Error::limit("padding does not fit memory"));
            match (before, after) {
                (0, 0) => Ok(Motion::PerStep),
                _ if op.amounts.iter().enumerate().any(|(axis, &amounts)| axis != 1 && amounts != (0, 0)) => {
                    Err(all_steps("it pads steps and channels at once"))
                }
                _ => Ok(Motion::Pad { before: size(before)?, after: size(after)?, value: op.value }),
            }
        }
        Op::Reduce(op) => along(&op.axes, "it is one number for all steps"),
        Op::Repeat(op) => Ok(if op.axis == 1 { Motion::Repeat(op.times) } else { Motion::PerStep }),
        Op::Reshape(op) => {
            let shape = &first()?.shape;
            match keeps(&op.target, shape, 0) && keeps(&op.target, shape, 1) {
                true => Ok(Motion::PerStep),
                false => Err(all_steps("it makes the steps part of another axis")),
            }
        }
        Op::Reverse(op) => along(&[op.axis], BACKWARDS),
        Op::Slice(op) if op.axis == 1 => {
            let size = |n: i64| usize::try_from(n).map_err(|_| Error::limit("cropping does not fit memory"));
            Ok(Motion::Crop { before: size(op.before)?, after: size(op.after)? })
        }
        Op::Slice(op) => along(&[op.axis], "it drops part of the batch"),
        Op::Softmax(op) => along(&op.axes, "it compares steps with each other"),
        Op::Sparsemax(op) => along(&[op.axis], "it compares steps with each other"),
        Op::Transpose(op) => match op.permutation.starts_with(&[0, 1]) {
            true => Ok(Motion::PerStep),
            false => Err(all_steps("it moves the steps to another axis")),
        },
    }
}

const BACKWARDS: &str = "it goes from the last step to the first";

fn all_steps(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}

fn recurrent(recurrence: Recurrence, steps: &[bool]) -> Result<Motion> {
    if recurrence.reverse {
        return Err(all_steps(BACKWARDS));
    }
    let last = steps.len().saturating_sub(1);
    let wanted = |at: usize| at == 0 || at == last && recurrence.has_mask;
    match steps.iter().enumerate().all(|(at, &has)| has == wanted(at)) {
        true => Ok(Motion::Recurrent),
        false => Err(all_steps("its states have steps")),
    }
}

/// A window along the steps. Padding before the first step must not depend on how many there are.
fn window(window: Option<&Window>, fill: Fill) -> Result<Motion> {
    let window = *window.ok_or_else(|| all_steps("it has no window along the steps"))?;
    if window.padding() == Padding::Same {
        // Spans and strides are at least 1, so that no difference is past the limit.
        let [most, least] = [1, window.stride()].map(|n| window.span().saturating_sub(n).max(0));
        if most / 2 != least / 2 {
            return Err(all_steps("how it is padded at the start depends on how many steps there are"));
        }
    }
    if fill != Fill::Zeros && window.dilation() > 1 && !window.is_unpadded() {
        return Err(all_steps("it pools padding through a window with gaps"));
    }
    match (fill, padding_before(&window)) {
        (Fill::Uncounted, 1..) => Err(all_steps("it averages over padding at the start")),
        _ => Ok(Motion::Window { window, fill }),
    }
}

/// How many padded steps are before the first, where that does not depend on how many there are.
pub fn padding_before(window: &Window) -> i64 {
    match window.padding() {
        Padding::Explicit(before, _) => before,
        // A span is at least 1.
        Padding::Same => window.span().saturating_sub(1) / 2,
    }
}

/// Two or three tensors that broadcast: those with steps have them at axis 1 of the output, and the others nothing there.
fn elementwise(operands: &[TensorType], steps: &[bool]) -> Result<Motion> {
    let rank = operands.iter().map(|operand| operand.shape.rank()).max().unwrap_or(0);
    for (operand, &has) in operands.iter().zip(steps) {
        let shape: &Shape = &operand.shape;
        let at_steps = broadcast_axis(1, shape.rank(), rank).and_then(|axis| shape.get(axis));
        match (has, shape.rank() == rank) {
            (true, true) => {}
            (false, _) if at_steps.is_none_or(|dim| *dim == Dim::ONE) => {}
            _ => return Err(all_steps("it computes each step with something of its own")),
        }
    }
    Ok(Motion::PerStep)
}

/// Whether a reshape leaves `axis` where it is.
fn keeps(target: &[ReshapeDim], shape: &Shape, axis: usize) -> bool {
    match target.get(axis) {
        Some(ReshapeDim::Keep) => true,
        Some(ReshapeDim::Of(from)) => *from == axis,
        Some(ReshapeDim::Fixed(n)) => shape.get(axis) == Some(&Dim::fixed(*n)),
        _ => false,
    }
}
