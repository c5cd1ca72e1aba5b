//! `Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Minimum`: element by element over two or more tensors, with
//! broadcasting. <https://keras.io/api/layers/merging_layers/>
//!
//! Inputs of fewer dimensions are first filled up with axes of size 1 behind the batch axis
//! (`keras/src/layers/merging/base_merge.py`).

use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, Layer, Result};
use k2o_core::Tensor as Array;
use k2o_core::ops::{Binary, BinaryKind, ReshapeDim};

#[derive(Debug)]
pub(in crate::layers) struct Merge {
    kind: BinaryKind,
    /// Whether the result is divided by the number of inputs.
    average: bool,
}

impl Layer for Merge {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let (kind, average) = match fields.class() {
            "Subtract" => (BinaryKind::Sub, false),
            "Multiply" => (BinaryKind::Mul, false),
            "Average" => (BinaryKind::Add, true),
            "Maximum" => (BinaryKind::Max, false),
            "Minimum" => (BinaryKind::Min, false),
            _ => (BinaryKind::Add, false),
        };
        Ok(Merge { kind, average })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let inputs = call.inputs()?;
        let [first, others @ ..] = inputs.as_slice() else {
            return Err(Error::malformed("no inputs were given"));
        };
        if self.kind == BinaryKind::Sub && others.len() != 1 {
            return Err(Error::malformed(format!("two inputs were expected; {} were given", inputs.len())));
        }
        let ranks = inputs.iter().map(|&x| Ok(cx.shape(x)?.rank())).collect::<Result<Vec<_>>>()?;
        let rank = ranks.into_iter().max().unwrap_or(0);
        let mut result = filled_up(cx, *first, rank)?;
        for &other in others {
            let other = filled_up(cx, other, rank)?;
            let operands = [cx.operand(result)?, cx.operand(other)?];
            result = cx.add(Binary { kind: self.kind }, &operands)?;
        }
        if self.average && !others.is_empty() {
            let count = cx.literal("count", Array::scalar(inputs.len() as f64))?;
            result = cx.add(Binary { kind: BinaryKind::Div }, &[cx.operand(result)?, count])?;
        }
        Ok(vec![result])
    }
}

/// The tensor with axes of size 1 behind the first, so that it has `rank` axes.
fn filled_up(cx: &mut Lowering, x: Tensor, rank: usize) -> Result<Tensor> {
    let own = cx.shape(x)?.rank();
    if own == rank || own == 0 {
        return Ok(x);
    }
    let mut target = vec![ReshapeDim::Keep];
    target.extend((own..rank).map(|_| ReshapeDim::Fixed(1)));
    target.extend((1..own).map(ReshapeDim::Of));
    cx.reshape(target, x, None)
}
