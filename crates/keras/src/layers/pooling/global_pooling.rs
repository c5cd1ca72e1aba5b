//! `GlobalMaxPooling1D` and `GlobalAveragePooling1D`: one number per channel.
//! <https://keras.io/api/layers/pooling_layers/global_average_pooling1d/>
//!
//! The average of a sequence with a mask is that of the steps that count, and not a number where none does.

use crate::layer::Masks;
use crate::layers::{DataFormat, expect_rank};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Binary, BinaryKind, Reduce, ReduceKind};

#[derive(Debug)]
pub(in crate::layers) struct GlobalPooling {
    kind: ReduceKind,
    rank: usize,
    data_format: DataFormat,
    keepdims: bool,
}

impl Layer for GlobalPooling {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let kind = match fields.class() {
            "GlobalMaxPooling1D" => ReduceKind::Max,
            _ => ReduceKind::Mean,
        };
        Ok(GlobalPooling {
            kind,
            rank: 1,
            data_format: DataFormat::take(fields)?,
            keepdims: fields.bool(&["keepdims"], false)?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let (x, mask) = cx.masked_input(call)?;
        let rank = self.rank + 2;
        expect_rank(cx, x, rank)?;
        let axes = match self.data_format {
            DataFormat::ChannelsLast => (1..rank - 1).collect(),
            DataFormat::ChannelsFirst => (2..rank).collect(),
        };
        let mask = mask.filter(|_| self.kind == ReduceKind::Mean);
        let Some(mask) = mask else {
            return Ok(vec![cx.apply(Reduce { kind: self.kind, axes, keep_dims: self.keepdims }, x)?]);
        };
        let mut counted = cx.mask_of_rank(mask, rank)?;
        if let DataFormat::ChannelsFirst = self.data_format {
            counted = cx.channels_first(counted)?;
        }
        let sum = Reduce { kind: ReduceKind::Sum, axes, keep_dims: self.keepdims };
        let kept = cx.select_or(counted, x, 0.0)?;
        let counted = cx.to_float(counted)?;
        let operands = [cx.apply(sum.clone(), kept)?, cx.apply(sum, counted)?];
        let operands = [cx.operand(operands[0])?, cx.operand(operands[1])?];
        Ok(vec![cx.add(Binary { kind: BinaryKind::Div }, &operands)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}
