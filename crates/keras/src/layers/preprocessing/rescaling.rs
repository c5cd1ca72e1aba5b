//! `Rescaling(scale, offset)`: `x * scale + offset`; both may be arrays that broadcast.
//! <https://keras.io/api/layers/preprocessing_layers/image_preprocessing/rescaling/>

use super::numbers;
use crate::fields::missing;
use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Affine, Binary, BinaryKind};
use k2o_core::{Dim, Tensor as Array};

#[derive(Debug)]
pub(in crate::layers) struct Rescaling {
    scale: Array,
    offset: Array,
}

/// The numbers for each of so many channels, if they are the same for everything else.
fn per_channel(numbers: &Array, channels: usize) -> Option<Array> {
    let data = numbers.as_f64().ok()?;
    match data {
        &[number] => Array::f64([channels], vec![number; channels]).ok(),
        _ if numbers.shape() == [channels] => Some(numbers.clone()),
        _ => None,
    }
}

impl Layer for Rescaling {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let scale = fields.take(&["scale"]).ok_or_else(|| missing("scale"))?;
        let offset = fields.take(&["offset"]).map(|offset| numbers("offset", offset)).transpose()?;
        Ok(Rescaling {
            scale: numbers("scale", scale)?,
            offset: offset.unwrap_or_else(|| Array::scalar(0.0)),
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = cx.to_float(call.input()?)?;
        let shape = cx.shape(x)?;
        let channels = shape.last().and_then(Dim::as_usize).filter(|_| shape.rank() > 1);
        let vectors =
            channels.and_then(|n| Some((per_channel(&self.scale, n)?, per_channel(&self.offset, n)?)));
        if let Some((scale, offset)) = vectors {
            let inputs = [cx.operand(x)?, cx.literal("scale", scale)?, cx.literal("offset", offset)?];
            return Ok(vec![cx.add(Affine { axis: shape.rank() - 1 }, &inputs)?]);
        }
        let scale = cx.literal("scale", self.scale.clone())?;
        let scaled = cx.add(Binary { kind: BinaryKind::Mul }, &[cx.operand(x)?, scale])?;
        let offset = cx.literal("offset", self.offset.clone())?;
        Ok(vec![cx.add(Binary { kind: BinaryKind::Add }, &[cx.operand(scaled)?, offset])?])
    }

    fn masks(&self, version: KerasVersion) -> Masks {
        if version >= KerasVersion::V3 { Masks::Passed } else { Masks::Dropped }
    }
}
