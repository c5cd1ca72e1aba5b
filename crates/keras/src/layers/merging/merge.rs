//! `Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Minimum`: element by element over two or more tensors, with
//! broadcasting. <https://keras.io/api/layers/merging_layers/>
//!
//! Where masks are united, `Multiply` leaves out masked factors (and gives 0 where all are), `Maximum` and `Minimum` take
//! the other operand; else masks change no value.
//!
//! Inputs of fewer dimensions are first filled up with axes of size 1 behind the batch axis
//! (`keras/src/layers/merging/base_merge.py`).

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Meeting, Tensor};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Binary, BinaryKind, ReshapeDim};
use k2o_core::{Dim, Tensor as Array};
use std::collections::BTreeSet;

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
        expect_one_batch(cx, &inputs)?;
        let ranks = inputs.iter().map(|&x| Ok(cx.shape(x)?.rank())).collect::<Result<Vec<_>>>()?;
        let rank = ranks.into_iter().max().unwrap_or(0);
        let meeting = cx.meeting;
        let masks: Vec<Option<Tensor>> = inputs.iter().map(Tensor::mask).collect();
        let mut result = filled_up(cx, *first, rank)?;
        if meeting == Meeting::Union && masks.iter().any(Option::is_some) && self.heeds_masks() {
            let filled = others.iter().map(|&x| filled_up(cx, x, rank)).collect::<Result<Vec<_>>>()?;
            result = self.merge_masked(cx, &[&[result], filled.as_slice()].concat(), &masks)?;
        } else {
            for &other in others {
                let other = filled_up(cx, other, rank)?;
                let operands = [cx.operand(result)?, cx.operand(other)?];
                result = cx.add(Binary { kind: self.kind }, &operands)?;
            }
        }
        if self.average && !others.is_empty() {
            let count = cx.literal("count", Array::scalar(inputs.len() as f64))?;
            result = cx.add(Binary { kind: BinaryKind::Div }, &[cx.operand(result)?, count])?;
        }
        let joined = match meeting {
            Meeting::Nothing => None,
            Meeting::Union => {
                let all = masks.iter().copied().collect::<Option<Vec<_>>>();
                join(cx, BinaryKind::Or, &all.unwrap_or_default())?
            }
            Meeting::Intersection => {
                join(cx, BinaryKind::And, &masks.into_iter().flatten().collect::<Vec<_>>())?
            }
        };
        Ok(vec![result.with_mask(joined)])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}

impl Merge {
    /// Whether masks change values in Keras 3.
    fn heeds_masks(&self) -> bool {
        matches!(self.kind, BinaryKind::Mul | BinaryKind::Max | BinaryKind::Min)
    }

    /// Merges as Keras 3 does where there are masks.
    fn merge_masked(&self, cx: &mut Lowering, inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Tensor> {
        let all: Option<Vec<Tensor>> = masks.iter().copied().collect();
        let mut result: Option<(Tensor, Option<Tensor>)> = None;
        for (&input, &mask) in inputs.iter().zip(masks) {
            let mut x = input;
            if let (BinaryKind::Mul, Some(mask)) = (self.kind, mask) {
                x = cx.select_or(mask, x, 1.0)?;
            }
            let Some((mut before, before_mask)) = result else {
                result = Some((x, mask));
                continue;
            };
            let mut joined = None;
            if self.kind != BinaryKind::Mul {
                if let Some(mask) = mask {
                    x = cx.select(mask, x, before)?;
                }
                if let Some(mask) = before_mask {
                    before = cx.select(mask, before, x)?;
                }
                if let (Some(a), Some(b)) = (before_mask, mask) {
                    joined = Some(cx.join_masks(BinaryKind::Or, a, b)?);
                }
            }
            let operands = [cx.operand(before)?, cx.operand(x)?];
            result = Some((cx.add(Binary { kind: self.kind }, &operands)?, joined));
        }
        let (result, _) = result.ok_or_else(|| Error::malformed("no inputs were given"))?;
        match (self.kind, all) {
            (BinaryKind::Mul, Some(masks)) => match join(cx, BinaryKind::Or, &masks)? {
                Some(any) => cx.select_or(any, result, 0.0),
                None => Ok(result),
            },
            _ => Ok(result),
        }
    }
}

/// Demands that all inputs whose batch is known have the same one.
fn expect_one_batch(cx: &Lowering, inputs: &[Tensor]) -> Result<()> {
    let mut batches = BTreeSet::new();
    for &input in inputs {
        batches.extend(cx.shape(input)?.first().and_then(Dim::as_fixed));
    }
    if batches.len() > 1 {
        return Err(k2o_core::Error::shape(format!("the inputs have batches of {batches:?}")).into());
    }
    Ok(())
}

/// Several masks as one; none for none.
pub(super) fn join(cx: &mut Lowering, kind: BinaryKind, masks: &[Tensor]) -> Result<Option<Tensor>> {
    let Some((&first, others)) = masks.split_first() else { return Ok(None) };
    let joined = others.iter().try_fold(first, |joined, &mask| cx.join_masks(kind, joined, mask))?;
    Ok(Some(joined))
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
