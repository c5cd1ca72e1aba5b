//! `Flatten`: `[batch, everything else]`. <https://keras.io/api/layers/reshaping_layers/flatten/>
//!
//! With `data_format="channels_first"` the channels, at axis 1, are moved last before flattening.

use crate::layers::DataFormat;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops;

#[derive(Debug)]
pub(in crate::layers) struct Flatten {
    data_format: DataFormat,
}

impl Layer for Flatten {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Flatten { data_format: DataFormat::take(fields)? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let mut x = call.input()?;
        if self.data_format == DataFormat::ChannelsFirst && cx.shape(x)?.rank() > 2 {
            x = cx.channels_last(x)?;
        }
        Ok(vec![cx.rearrange(ops::Reshape::flatten(), x)?])
    }
}
