//! `UpSampling1D(size)`: every step `size` times in a row.
//! <https://keras.io/api/layers/reshaping_layers/up_sampling1d/>

use crate::layers::{expect_rank, size};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::Repeat;

#[derive(Debug)]
pub(in crate::layers) struct UpSampling {
    size: usize,
}

impl Layer for UpSampling {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(UpSampling { size: size(fields.int(&["size"])?.unwrap_or(2))? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        expect_rank(cx, x, 3)?;
        Ok(vec![cx.rearrange(Repeat { axis: 1, times: self.size }, x)?])
    }
}
