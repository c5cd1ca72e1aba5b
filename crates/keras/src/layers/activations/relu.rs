//! `ReLU(max_value, negative_slope, threshold)`. <https://keras.io/api/layers/activation_layers/relu/>

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::Unary;

#[derive(Debug)]
pub(in crate::layers) struct ReLU {
    function: Unary,
}

impl Layer for ReLU {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let max_value = fields.float(&["max_value"])?;
        let negative_slope = fields.float(&["negative_slope"])?.unwrap_or(0.0);
        let threshold = fields.float(&["threshold", "theta"])?.unwrap_or(0.0);
        let function = match (max_value, negative_slope, threshold) {
            (None, 0.0, 0.0) => Unary::Relu,
            (None, slope, 0.0) => Unary::LeakyRelu { slope },
            (Some(max), 0.0, 0.0) => Unary::Clip { min: 0.0, max },
            _ => Unary::GeneralRelu { negative_slope, max_value, threshold },
        };
        Ok(ReLU { function })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.apply(self.function, call.input()?)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
