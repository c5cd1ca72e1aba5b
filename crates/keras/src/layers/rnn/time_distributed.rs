//! `TimeDistributed(layer)`: a layer called on every step alone.
//! <https://keras.io/api/layers/recurrent_layers/time_distributed/>
//!
//! Batch and steps are made one axis for the call; a layer that computes every vector alone is called as it is. A mask of
//! three axes or more is one for each call. The mask passed on is the input's in Keras 3; in Keras 2 it is the inner layer's,
//! and where that has none, whether anything of a step counts.

use crate::fields::missing;
use crate::layer::LayerObject;
use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Reduce, ReduceKind};

#[derive(Debug)]
pub(in crate::layers) struct TimeDistributed {
    layer: LayerObject,
}

impl TimeDistributed {
    /// The mask of what the layer made `y` of, `x` being its input.
    fn mask_in_keras2(
        &self,
        cx: &mut Lowering,
        y: Tensor,
        x: Tensor,
        mask: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        if let Some(inner) = y.mask() {
            return Ok(Some(cx.split_leading(2, inner, x)?));
        }
        let Some(mask) = mask else { return Ok(None) };
        let rank = cx.shape(mask)?.rank();
        if rank <= 2 {
            return Ok(Some(mask));
        }
        let counted = cx.to_float(mask)?;
        let any = Reduce { kind: ReduceKind::Max, axes: (2..rank).collect(), keep_dims: false };
        let any = cx.apply(any, counted)?;
        Ok(Some(cx.truth_of(any)?))
    }
}

impl Layer for TimeDistributed {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let layer = fields.take(&["layer"]).ok_or_else(|| missing("layer"))?;
        Ok(TimeDistributed { layer: fields.layer(layer, "layer")? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let (x, mask) = cx.masked_input(call)?;
        let shape = cx.shape(x)?;
        if shape.rank() < 3 {
            let message = format!("an input of rank 3 or more was expected; {shape} was given");
            return Err(k2o_core::Error::shape(message).into());
        }
        if self.layer.is_per_vector() {
            let outputs = cx.call_child(&self.layer, &Call::of(x.with_mask(mask)))?;
            let outputs = outputs.into_iter().map(|y| match cx.version() >= KerasVersion::V3 {
                true => y.with_mask(x.mask()),
                false => y,
            });
            return Ok(outputs.collect());
        }
        let ranks = |mask: Tensor| Ok::<_, Error>(cx.shape(mask)?.rank());
        let inner = match mask {
            Some(mask) if ranks(mask)? > 2 => Some(cx.merge_leading(2, mask)?),
            _ => None,
        };
        let steps = cx.merge_leading(2, x)?.with_mask(inner);
        let outputs = cx.call_child(&self.layer, &Call::of(steps))?;
        let split = |y: Tensor| match y.is_unknown() {
            true => Ok(y),
            false => {
                let passed = match cx.version() >= KerasVersion::V3 {
                    true => x.mask(),
                    false => self.mask_in_keras2(cx, y, x, mask)?,
                };
                Ok(cx.split_leading(2, y, x)?.with_mask(passed))
            }
        };
        let outputs = outputs.into_iter().map(split).collect::<Result<Vec<_>>>()?;
        match outputs.len() {
            0 | 1 => Ok(outputs),
            n => Err(Error::unsupported(format!("a layer of {n} outputs"))),
        }
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}
