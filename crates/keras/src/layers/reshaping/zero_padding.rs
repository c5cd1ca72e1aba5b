//! `ZeroPadding1D(padding)`: zeros before and after the steps.
//! <https://keras.io/api/layers/reshaping_layers/zero_padding1d/>

use crate::fields::expected;
use crate::layers::DataFormat;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, Layer, Result};
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
        let rank = cx.shape(x)?.rank();
        if rank != 3 {
            return Err(Error::from(k2o_core::Error::shape(format!(
                "an input of rank 3 was expected; {} was given",
                cx.shape(x)?
            ))));
        }
        let steps = (self.before, self.after);
        let amounts = match self.data_format {
            DataFormat::ChannelsLast => vec![(0, 0), steps, (0, 0)],
            DataFormat::ChannelsFirst => vec![(0, 0), (0, 0), steps],
        };
        Ok(vec![cx.apply(Pad { amounts, value: 0.0 }, x)?])
    }
}
