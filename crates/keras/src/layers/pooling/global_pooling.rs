//! `GlobalMaxPooling1D` and `GlobalAveragePooling1D`: one number per channel.
//! <https://keras.io/api/layers/pooling_layers/global_average_pooling1d/>

use crate::layers::{DataFormat, expect_rank};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::{Reduce, ReduceKind};

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
        let x = call.input()?;
        let rank = self.rank + 2;
        expect_rank(cx, x, rank)?;
        let axes = match self.data_format {
            DataFormat::ChannelsLast => (1..rank - 1).collect(),
            DataFormat::ChannelsFirst => (2..rank).collect(),
        };
        Ok(vec![cx.apply(Reduce { kind: self.kind, axes, keep_dims: self.keepdims }, x)?])
    }
}
