//! `ZeroPadding1D(padding)`: zeros before and after the steps.
//! <https://keras.io/api/layers/reshaping_layers/zero_padding1d/>

use crate::fields::expected;
use crate::layers::{DataFormat, expect_rank};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::Pad;
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct ZeroPadding {
    before: i64,
    after: i64,
    data_format: DataFormat,
}

impl Layer for ZeroPadding {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let amounts = match fields.ints(&["padding"], 2)?.as_deref() {
            None => (1, 1),
            Some(&[before, after]) if before >= 0 && after >= 0 => (before, after),
            Some(other) => {
                return Err(expected("padding", "two numbers, none negative", &Value::from(other)));
            }
        };
        Ok(ZeroPadding { before: amounts.0, after: amounts.1, data_format: DataFormat::take(fields)? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        expect_rank(cx, x, 3)?;
        let steps = (self.before, self.after);
        let amounts = match self.data_format {
            DataFormat::ChannelsLast => vec![(0, 0), steps, (0, 0)],
            DataFormat::ChannelsFirst => vec![(0, 0), (0, 0), steps],
        };
        Ok(vec![cx.apply(Pad { amounts, value: 0.0 }, x)?])
    }
}
