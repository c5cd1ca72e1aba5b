//! `Softmax(axis)`. <https://keras.io/api/layers/activation_layers/softmax/>. The axis may be a list in both versions.

use crate::fields::{as_int, expected};
use crate::layers::axis_from_front;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops;
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct Softmax {
    axes: Vec<i64>,
}

impl Layer for Softmax {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let axes = match fields.take(&["axis"]) {
            None => Some(vec![-1]),
            Some(Value::Array(items)) => items.iter().map(as_int).collect(),
            Some(other) => {
                Some(vec![as_int(other).ok_or_else(|| expected("axis", "an axis or a list", other))?])
            }
        };
        let axes = axes.ok_or_else(|| crate::Error::malformed("`axis` is not a list of numbers"))?;
        Ok(Softmax { axes })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let input = call.input()?;
        let rank = cx.shape(input)?.rank();
        let mut axes =
            self.axes.iter().map(|&axis| axis_from_front(axis, rank)).collect::<Result<Vec<_>>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(vec![cx.apply(ops::Softmax { axes }, input)?])
    }
}
