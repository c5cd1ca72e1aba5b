//! Which operators compute each sample of a batch alone, so that a batch may be computed in parts.
//!
//! The samples are along axis 0. An operand either has samples there, or is the same for all of them: a weight.

use crate::ops::{FullDim, Operator, Recurrence, ReshapeDim};
use crate::{Dim, Op, PerValue, TensorType};

/// Whether each sample of every output of `op` is computed of the same sample of the operands, of which `batched` says
/// that they have some, and does not depend on how many there are.
pub fn computes_samples_alone(op: &Op, operands: &[TensorType], batched: &[bool]) -> bool {
    let others_are_weights = || batched.first() == Some(&true) && batched.iter().skip(1).all(|&has| !has);
    let off = |axes: &[usize]| others_are_weights() && !axes.contains(&0);
    match op {
        Op::Cast(_) | Op::Identity(_) | Op::Unary(_) => others_are_weights(),
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Pool(_) => others_are_weights(),
        Op::Dense(_) => others_are_weights() && operands.first().is_some_and(|x| x.shape.rank() > 1),
        Op::Affine(op) => off(&[op.axis]),
        Op::Normalize(op) => off(&op.axes),
        Op::Reduce(op) => off(&op.axes),
        Op::Repeat(op) => off(&[op.axis]),
        Op::Reverse(op) => off(&[op.axis]),
        Op::Slice(op) => off(&[op.axis]),
        Op::Softmax(op) => off(&op.axes),
        Op::Sparsemax(op) => off(&[op.axis]),
        Op::Transpose(op) => others_are_weights() && op.permutation.starts_with(&[0]),
        Op::Pad(op) => others_are_weights() && op.amounts.first().is_none_or(|&amounts| amounts == (0, 0)),
        Op::Binary(_) | Op::Compare(_) | Op::Select(_) => elementwise(operands, batched, 0),
        Op::MatMul(_) => elementwise(operands, batched, 2),
        Op::Concat(op) => op.axis != 0 && batched.iter().all(|&has| has),
        Op::Full(op) => {
            let leads = op.dims.first() == Some(&FullDim::Of(0));
            leads && batched == [true] && !op.dims.iter().skip(1).any(|dim| *dim == FullDim::Of(0))
        }
        // Rows of a table, by number.
        Op::Gather(op) => op.axis == 0 && batched == [false, true],
        Op::Gru(gru) => recurrent(gru.recurrence, op, 1, batched),
        Op::Lstm(lstm) => recurrent(lstm.recurrence, op, 2, batched),
        Op::Rnn(rnn) => recurrent(rnn.recurrence, op, 1, batched),
        Op::Scan(op) => {
            let recurrent = op.recurrent().min(batched.len());
            let (own, given) = batched.split_at(recurrent);
            own.iter().all(|&has| has) && scan_body(op, given)
        }
        Op::Reshape(op) => {
            let leads =
                matches!(op.target.first(), Some(ReshapeDim::Keep | ReshapeDim::Of(0) | ReshapeDim::Like(0)));
            let once = !op.target.iter().skip(1).any(|dim| *dim == ReshapeDim::Of(0));
            leads && once && batched.iter().all(|&has| has)
        }
    }
}

/// Sequence, states and mask have samples; weights have none.
fn recurrent(recurrence: Recurrence, op: &Op, states: usize, batched: &[bool]) -> bool {
    recurrence.operands(op.name(), states, batched).is_ok_and(|has| {
        let weights = [has.kernel, has.recurrent_kernel].into_iter().chain(has.bias);
        *has.x && has.states.iter().chain(has.mask).all(|has| *has) && weights.into_iter().all(|has| !*has)
    })
}

/// Whether a scan's body computes each sample alone, `batched` being about its operands that are no states or sequences.
fn scan_body(op: &crate::ops::Scan, batched: &[bool]) -> bool {
    let body = &op.body;
    let recurrent = op.recurrent();
    let mut has = PerValue::new(body, false);
    for (at, port) in body.inputs().iter().enumerate() {
        has[port.value] = match at.checked_sub(recurrent) {
            None => true,
            Some(other) => batched.get(other) == Some(&true),
        };
    }
    for node in body.nodes() {
        let of = |operand: &crate::Operand| operand.value().is_some_and(|id| has[id]);
        let own: Vec<bool> = node.inputs.iter().map(of).collect();
        let types: Vec<TensorType> =
            node.inputs.iter().map(|&operand| body.type_of(operand).clone()).collect();
        if own.contains(&true) {
            if !computes_samples_alone(&node.op, &types, &own) {
                return false;
            }
            node.outputs.iter().for_each(|&id| has[id] = true);
        }
    }
    body.outputs().iter().all(|port| has[port.value])
}

/// Tensors whose axes but the last `own` broadcast: those with samples have them at axis 0 of the output, and the others
/// nothing there.
fn elementwise(operands: &[TensorType], batched: &[bool], own: usize) -> bool {
    let rank = operands.iter().map(|operand| operand.shape.rank()).max().unwrap_or(0);
    rank > own
        && batched.contains(&true)
        && operands.iter().zip(batched).all(|(operand, &has)| {
            let leads = operand.shape.rank() == rank;
            if has { leads } else { !leads || operand.shape.first() == Some(&Dim::ONE) }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        Affine, Binary, BinaryKind, Concat, Dense, Full, Gather, MatMul, Pad, Reduce, ReduceKind, Reshape,
        Reverse, Slice, Softmax, Transpose, Unary,
    };
    use crate::{DType, Shape};

    #[track_caller]
    fn check(op: impl Into<Op>, operands: &[(&[i64], bool)], expected: bool) {
        let op = op.into();
        let types: Vec<TensorType> = operands
            .iter()
            .map(|(shape, _)| {
                let dims = shape.iter().map(|&n| if n == 0 { Dim::symbol("batch") } else { Dim::fixed(n) });
                TensorType::new(Shape::new(dims.collect::<Vec<_>>()), DType::F32)
            })
            .collect();
        let batched: Vec<bool> = operands.iter().map(|operand| operand.1).collect();
        assert_eq!(computes_samples_alone(&op, &types, &batched), expected, "{op:?} of {operands:?}");
    }

    #[test]
    fn what_mixes_samples_does_not_compute_them_alone() {
        let x: (&[i64], bool) = (&[0, 5, 3], true);
        check(Unary::Relu, &[x], true);
        check(Dense, &[x, (&[3, 4], false)], true);
        check(Dense, &[x, (&[3, 4], true)], false);
        check(Dense, &[(&[0], true), (&[3, 4], false)], false);
        for (axis, expected) in [(0, false), (1, true), (2, true)] {
            check(Affine { axis }, &[x, (&[5], false), (&[5], false)], expected);
            check(Reverse { axis }, &[x], expected);
            check(Slice { axis, before: 1, after: 0 }, &[x], expected);
            check(Softmax::over([axis]), &[x], expected);
            check(Concat { axis }, &[x, x], expected);
            let reduce = Reduce { kind: ReduceKind::Sum, axes: vec![axis], keep_dims: false };
            check(reduce, &[x], expected);
        }
        check(Concat { axis: 1 }, &[x, (&[1, 5, 3], false)], false);
        check(Transpose { permutation: vec![0, 2, 1] }, &[x], true);
        check(Transpose { permutation: vec![1, 0, 2] }, &[x], false);
        check(Pad { amounts: vec![(0, 0), (1, 1), (0, 0)], value: 0.0 }, &[x], true);
        check(Pad { amounts: vec![(1, 0), (0, 0), (0, 0)], value: 0.0 }, &[x], false);
        check(Gather { axis: 0 }, &[(&[9, 4], false), (&[0, 5], true)], true);
        check(Gather { axis: 0 }, &[(&[0, 4], true), (&[5], false)], false);
        check(Full::zeros_per_row(4, DType::F32), &[x], true);
    }

    #[test]
    fn what_broadcasts_has_samples_at_the_first_axis_of_the_output() {
        let add = Binary { kind: BinaryKind::Add };
        let x: (&[i64], bool) = (&[0, 5, 3], true);
        check(add, &[x, x], true);
        check(add, &[x, (&[3], false)], true);
        check(add, &[x, (&[1, 5, 3], false)], true);
        check(add, &[x, (&[7, 5, 3], false)], false);
        check(add, &[x, (&[0, 3], true)], false);
        check(MatMul, &[x, (&[0, 3, 4], true)], true);
        check(MatMul, &[x, (&[3, 4], false)], true);
        check(MatMul, &[(&[0, 3], true), (&[3, 4], false)], false);
    }

    #[test]
    fn a_reshape_keeps_samples_apart_if_it_keeps_the_first_axis() {
        let x: (&[i64], bool) = (&[0, 5, 3], true);
        let reshape = |target: &[ReshapeDim]| Reshape { target: target.to_vec() };
        check(reshape(&[ReshapeDim::Keep, ReshapeDim::Infer]), &[x], true);
        check(reshape(&[ReshapeDim::Infer, ReshapeDim::Fixed(3)]), &[x], false);
        check(reshape(&[ReshapeDim::Fixed(5), ReshapeDim::Of(0), ReshapeDim::Infer]), &[x], false);
    }
}
