//! `Reshape(target_shape)`: all axes but the first in another shape, in which one may be -1.
//! <https://keras.io/api/layers/reshaping_layers/reshape/>

use crate::fields::{as_int, expected, missing};
use crate::lowering::{Call, Lowering, MAX_RANK, Tensor, too_many_axes};
use crate::{Fields, Layer, Result};
use k2o_core::ops::{self, ReshapeDim};
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct Reshape {
    target: Vec<ReshapeDim>,
}

impl Layer for Reshape {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let value = fields.take(&["target_shape"]).ok_or_else(|| missing("target_shape"))?;
        let bad = || expected("target_shape", "a list of sizes, at most one of them -1", value);
        let mut target = vec![ReshapeDim::Keep];
        let one = std::slice::from_ref(value);
        for item in value.as_array().map_or(one, Vec::as_slice) {
            target.push(match item {
                Value::Null => ReshapeDim::Infer,
                item => match as_int(item).ok_or_else(bad)? {
                    -1 => ReshapeDim::Infer,
                    n if n >= 0 => ReshapeDim::Fixed(n),
                    _ => return Err(bad()),
                },
            });
        }
        if target.len() > MAX_RANK {
            return Err(too_many_axes(target.len()));
        }
        Ok(Reshape { target })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.rearrange(ops::Reshape { target: self.target.clone() }, call.input()?)?])
    }
}
