//! `Dot(axes, normalize)`: products of two tensors of a batch, summed over an axis of each.
//! <https://keras.io/api/layers/merging_layers/dot/>
//!
//! The result has the other axes of the first input, then those of the second; of two vectors it is one number.

use crate::fields::{as_int, expected, missing};
use crate::layers::axis_from_front;
use crate::layers::normalization::l2_normalize;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{MatMul, ReshapeDim, Transpose};
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct Dot {
    axes: [i64; 2],
    normalize: bool,
}

impl Layer for Dot {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let value = fields.take(&["axes"]).ok_or_else(|| missing("axes"))?;
        let axes = match value {
            Value::Array(pair) => match pair.as_slice() {
                [a, b] => as_int(a).zip(as_int(b)),
                _ => None,
            },
            one => as_int(one).map(|axis| (axis, axis)),
        };
        let (a, b) = axes.ok_or_else(|| expected("axes", "an axis or a pair of axes", value))?;
        Ok(Dot { axes: [a, b], normalize: fields.bool(&["normalize"], false)? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let inputs = call.inputs()?;
        let &[a, b] = inputs.as_slice() else {
            return Err(Error::malformed(format!("two inputs were expected; {} were given", inputs.len())));
        };
        let mut sides = [a, b];
        let mut axes = [0; 2];
        for (side, (axis, given)) in sides.iter_mut().zip(axes.iter_mut().zip(self.axes)) {
            let shape = cx.shape(*side)?;
            *axis = axis_from_front(given, shape.rank())?;
            if *axis == 0 {
                return Err(Error::malformed(format!("a dot product over the batch axis of {shape}")));
            }
            if self.normalize {
                // Keras 2 bounds the sum of squares, Keras 3 the norm by 1e-7.
                let epsilon = if cx.version() < KerasVersion::V3 { 1e-12 } else { 1e-14 };
                *side = l2_normalize(cx, *side, vec![*axis], epsilon)?;
            }
        }
        let [(a, a_others), (b, b_others)] = [
            summed_at_the_end(cx, sides[0], axes[0], true)?,
            summed_at_the_end(cx, sides[1], axes[1], false)?,
        ];
        let product = cx.add(MatMul, &[cx.operand(a)?, cx.operand(b)?])?;
        // [batch, others of a, others of b]
        let (n, m) = (a_others.len(), b_others.len());
        if n == 1 && m == 1 {
            return Ok(vec![product]);
        }
        if n + m == 0 {
            return Ok(vec![cx.reshape(vec![ReshapeDim::Keep, ReshapeDim::Fixed(1)], product, None)?]);
        }
        let mut target = vec![ReshapeDim::Keep];
        target.extend(a_others.into_iter().chain(b_others));
        let open =
            target.iter().filter(|dim| !matches!(dim, ReshapeDim::Fixed(_) | ReshapeDim::Keep)).count();
        if open > 1 {
            return Err(Error::unsupported("a dot product that leaves several axes of unknown size"));
        }
        Ok(vec![cx.reshape(target, product, None)?])
    }
}

/// The tensor as a batch of matrices with the summed axis last (or, where it is `second`, in the middle), and its other
/// axes but the first.
fn summed_at_the_end(
    cx: &mut Lowering,
    x: Tensor,
    axis: usize,
    last: bool,
) -> Result<(Tensor, Vec<ReshapeDim>)> {
    let shape = cx.shape(x)?;
    let others: Vec<usize> = (1..shape.rank()).filter(|&other| other != axis).collect();
    let permutation = match last {
        true => [&[0], others.as_slice(), &[axis]].concat(),
        false => [&[0, axis], others.as_slice()].concat(),
    };
    let mut y = x;
    if !permutation.is_sorted() {
        y = cx.apply(Transpose { permutation }, y)?;
    }
    if others.len() != 1 {
        let rank = shape.rank();
        let target = match last {
            true => vec![ReshapeDim::Keep, ReshapeDim::Infer, ReshapeDim::Of(rank - 1)],
            false => vec![ReshapeDim::Keep, ReshapeDim::Of(1), ReshapeDim::Infer],
        };
        y = cx.reshape(target, y, None)?;
    }
    let dim = |&other: &usize| -> Result<ReshapeDim> {
        Ok(shape.dim(other)?.as_fixed().map_or(ReshapeDim::Infer, ReshapeDim::Fixed))
    };
    Ok((y, others.iter().map(dim).collect::<Result<_>>()?))
}
