//! `LeakyReLU`: `x` where positive, else `negative_slope * x`.
//! <https://keras.io/api/layers/activation_layers/leaky_relu/>. The key is `alpha` in Keras 2; 0.3 if there is none.

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::Unary;

#[derive(Debug)]
pub(in crate::layers) struct LeakyReLU {
    negative_slope: f64,
}

impl Layer for LeakyReLU {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(LeakyReLU { negative_slope: fields.float(&["negative_slope", "alpha"])?.unwrap_or(0.3) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.apply(Unary::LeakyRelu { slope: self.negative_slope }, call.input()?)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
