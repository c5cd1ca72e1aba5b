//! `Concatenate(axis)`. <https://keras.io/api/layers/merging_layers/concatenate/>
//!
//! Along the channels, masks meet as in other layers that merge. Along the steps, they are concatenated too, and every step
//! of an input without one counts.

use super::merge::join;
use crate::layer::Masks;
use crate::layers::axis_from_front;
use crate::lowering::{Call, Lowering, Meeting, Tensor};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{BinaryKind, Concat};

#[derive(Debug)]
pub(in crate::layers) struct Concatenate {
    axis: i64,
}

impl Concatenate {
    fn mask(
        &self,
        cx: &mut Lowering,
        inputs: &[Tensor],
        first: Tensor,
        axis: usize,
    ) -> Result<Option<Tensor>> {
        let masks: Vec<Tensor> = inputs.iter().filter_map(Tensor::mask).collect();
        if masks.is_empty() || cx.meeting == Meeting::Nothing {
            return Ok(None);
        }
        let rank = cx.shape(first)?.rank();
        for &mask in &masks {
            let own = cx.shape(mask)?.rank();
            if own + 1 != rank {
                let message = format!("tensors of rank {rank} with a mask of rank {own}");
                return Err(Error::unsupported(message));
            }
        }
        if axis + 1 < rank {
            let mut all = Vec::new();
            for &input in inputs {
                all.push(match input.mask() {
                    Some(mask) => cx.any_operand(mask)?,
                    None => {
                        let every = cx.mask_of_all(input)?;
                        cx.any_operand(every)?
                    }
                });
            }
            return Ok(Some(cx.add(Concat { axis }, &all)?));
        }
        match cx.meeting {
            Meeting::Union if masks.len() < inputs.len() => Ok(Some(cx.mask_of_all(first)?)),
            Meeting::Union => join(cx, BinaryKind::Or, &masks),
            _ => join(cx, BinaryKind::And, &masks),
        }
    }
}

impl Layer for Concatenate {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Concatenate { axis: fields.int(&["axis"])?.unwrap_or(-1) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let inputs = call.inputs()?;
        let &first = inputs.first().ok_or_else(|| Error::malformed("no inputs were given"))?;
        let axis = axis_from_front(self.axis, cx.shape(first)?.rank())?;
        let operands = inputs.iter().map(|&tensor| cx.operand(tensor)).collect::<Result<Vec<_>>>()?;
        let y = cx.add(Concat { axis }, &operands)?;
        let mask = self.mask(cx, &inputs, first, axis)?;
        Ok(vec![y.with_mask(mask)])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}
