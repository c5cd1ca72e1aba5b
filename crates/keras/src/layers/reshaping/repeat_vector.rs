//! `RepeatVector(n)`: `[batch, features]` becomes `[batch, n, features]`.
//! <https://keras.io/api/layers/reshaping_layers/repeat_vector/>

use crate::layers::{expect_rank, size};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::{Repeat, ReshapeDim};

#[derive(Debug)]
pub(in crate::layers) struct RepeatVector {
    n: usize,
}

impl Layer for RepeatVector {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(RepeatVector { n: size(fields.positive(&["n"])?)? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        expect_rank(cx, x, 2)?;
        let vector = cx.reshape(vec![ReshapeDim::Keep, ReshapeDim::Fixed(1), ReshapeDim::Of(1)], x, None)?;
        Ok(vec![cx.rearrange(Repeat { axis: 1, times: self.n }, vector)?])
    }
}
