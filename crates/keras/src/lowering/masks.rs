//! Masks: which steps of a tensor count, and what layers do with them.

use super::{Call, Lowering, Outputs, Tensor};
use crate::layer::{Layer, Masks};
use crate::{KerasVersion, Result};
use k2o_core::ops::{Binary, BinaryKind, Cast, Full, FullDim, ReshapeDim, Select};
use k2o_core::{DType, Tensor as Array};

/// What layers that merge several tensors make of their masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// A step counts where it counts in all that have masks: Keras 2.
    Intersection,
    /// There is none: Keras 3.0 to 3.3.
    Nothing,
    /// A step counts where it counts in any, and always where one has no mask: Keras 3.4 and later.
    Union,
}

impl Meeting {
    /// As in this version, whose full number is `named` where it is known.
    pub fn of(version: KerasVersion, named: Option<&str>) -> Meeting {
        let is_early =
            |named: &str| ["3.0.", "3.1.", "3.2.", "3.3."].iter().any(|early| named.starts_with(early));
        match version {
            KerasVersion::V1 | KerasVersion::V2 => Meeting::Intersection,
            KerasVersion::V3 if named.is_some_and(is_early) => Meeting::Nothing,
            KerasVersion::V3 => Meeting::Union,
        }
    }
}

impl Lowering {
    /// Calls a layer that is no model, and gives its outputs the masks that its class says.
    pub(super) fn lower_leaf(&mut self, layer: &dyn Layer, call: &Call) -> Result<Outputs> {
        let rule = layer.masks(self.version);
        let lowered = match rule {
            Masks::Handled => layer.lower(self, call),
            Masks::Passed if call.kwargs.contains_key("mask") => {
                let mut call = call.clone();
                call.kwargs.remove("mask");
                layer.lower(self, &call)
            }
            Masks::Passed | Masks::Dropped => layer.lower(self, call),
        };
        let mut tensors = lowered?;
        // One without outputs has called something that failed.
        let complete = !tensors.is_empty();
        let mask = match rule {
            Masks::Handled => return Ok(Outputs { tensors, complete }),
            Masks::Passed => call.tensors().first().and_then(Tensor::mask),
            Masks::Dropped => None,
        };
        tensors.iter_mut().for_each(|tensor| *tensor = tensor.with_mask(mask));
        Ok(Outputs { tensors, complete })
    }

    /// The only tensor of a call, and the mask to heed: the argument `mask`, or that of the tensor.
    pub(crate) fn masked_input(&mut self, call: &Call) -> Result<(Tensor, Option<Tensor>)> {
        let mut call = call.clone();
        let explicit = call.kwargs.remove("mask").map(|mask| Call { args: vec![mask], ..Call::default() });
        let x = call.input()?;
        match explicit.and_then(|mask| mask.tensors().first().copied()) {
            Some(mask) => Ok((x, Some(self.truth_of(mask)?))),
            None => Ok((x, x.mask())),
        }
    }

    /// A tensor of truth values as it is, and one of numbers as whether they are not 0.
    pub(crate) fn truth_of(&mut self, tensor: Tensor) -> Result<Tensor> {
        match self.type_of(tensor)?.dtype {
            DType::Bool => Ok(tensor),
            _ => self.rearrange(Cast { to: DType::Bool }, tensor),
        }
    }

    /// Two masks as one.
    pub(crate) fn join_masks(&mut self, kind: BinaryKind, a: Tensor, b: Tensor) -> Result<Tensor> {
        let operands = [self.any_operand(a)?, self.any_operand(b)?];
        self.add(Binary { kind }, &operands)
    }

    /// The mask by which every step of `like`, `[batch, steps, ..]`, counts.
    pub(crate) fn mask_of_all(&mut self, like: Tensor) -> Result<Tensor> {
        let dims = vec![FullDim::Of(0), FullDim::Of(1)];
        self.rearrange(Full { dims, value: 1.0, dtype: DType::Bool }, like)
    }

    /// A mask with axes of size 1 behind its own, so that it has `rank` axes.
    pub(crate) fn mask_of_rank(&mut self, mask: Tensor, rank: usize) -> Result<Tensor> {
        let own = self.shape(mask)?.rank();
        if own >= rank {
            return Ok(mask);
        }
        let target = (0..own).map(ReshapeDim::Of).chain((own..rank).map(|_| ReshapeDim::Fixed(1)));
        self.reshape(target.collect(), mask, None)
    }

    /// `a` where the mask holds, else `b`; the mask has the first axes of both.
    pub(crate) fn select(&mut self, mask: Tensor, a: Tensor, b: Tensor) -> Result<Tensor> {
        let rank = self.shape(a)?.rank().max(self.shape(b)?.rank());
        let mask = self.mask_of_rank(mask, rank)?;
        let operands = [self.any_operand(mask)?, self.any_operand(a)?, self.any_operand(b)?];
        self.add(Select, &operands)
    }

    /// `x` where the mask holds, else `value`; the mask has the first axes of `x`.
    pub(crate) fn select_or(&mut self, mask: Tensor, x: Tensor, value: f64) -> Result<Tensor> {
        let mask = self.mask_of_rank(mask, self.shape(x)?.rank())?;
        self.select_aligned_or(mask, x, value)
    }

    /// `x` where the mask holds, else `value`; the mask broadcasts to `x`.
    pub(crate) fn select_aligned_or(&mut self, mask: Tensor, x: Tensor, value: f64) -> Result<Tensor> {
        let value = self.literal("masked", Array::scalar(value))?;
        let operands = [self.any_operand(mask)?, self.any_operand(x)?, value];
        self.add(Select, &operands)
    }
}
