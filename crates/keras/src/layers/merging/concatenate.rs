//! `Concatenate(axis)`. <https://keras.io/api/layers/merging_layers/concatenate/>

use crate::layers::axis_from_front;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, Layer, Result};
use k2o_core::ops::Concat;

#[derive(Debug)]
pub(in crate::layers) struct Concatenate {
    axis: i64,
}

impl Layer for Concatenate {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Concatenate { axis: fields.int(&["axis"])?.unwrap_or(-1) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let inputs = call.inputs()?;
        let first = inputs.first().ok_or_else(|| Error::malformed("no inputs were given"))?;
        let axis = axis_from_front(self.axis, cx.shape(*first)?.rank())?;
        let operands = inputs.iter().map(|&tensor| cx.operand(tensor)).collect::<Result<Vec<_>>>()?;
        Ok(vec![cx.add(Concat { axis }, &operands)?])
    }
}
