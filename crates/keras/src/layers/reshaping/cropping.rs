//! `Cropping1D(cropping)`: the steps without the first and the last ones.
//! <https://keras.io/api/layers/reshaping_layers/cropping1d/>

use crate::fields::expected;
use crate::layers::expect_rank;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::Dim;
use k2o_core::ops::Slice;
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct Cropping {
    before: i64,
    after: i64,
}

impl Layer for Cropping {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let (before, after) = match fields.ints(&["cropping"], 2)?.as_deref() {
            None => (1, 1),
            Some(&[before, after]) if before >= 0 && after >= 0 => (before, after),
            Some(other) => {
                return Err(expected("cropping", "two numbers, none negative", &Value::from(other)));
            }
        };
        Ok(Cropping { before, after })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        expect_rank(cx, x, 3)?;
        let steps = cx.shape(x)?.get(1).and_then(Dim::as_fixed);
        if cx.version() >= KerasVersion::V3
            && let Some(steps) = steps.filter(|&steps| self.before.saturating_add(self.after) >= steps)
        {
            let message =
                format!("cropping ({}, {}) leaves nothing of {steps} steps", self.before, self.after);
            let help = format!("at most {} in all can be dropped", steps.saturating_sub(1).max(0));
            return Err(k2o_core::Error::shape(message).with_help(help).into());
        }
        Ok(vec![cx.rearrange(Slice { axis: 1, before: self.before, after: self.after }, x)?])
    }
}
