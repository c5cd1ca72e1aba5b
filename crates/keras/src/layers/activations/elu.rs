//! `ELU(alpha)`: `x` where positive, else `alpha * (exp(x) - 1)`.
//! <https://keras.io/api/layers/activation_layers/elu/>

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::Unary;

#[derive(Debug)]
pub(in crate::layers) struct Elu {
    alpha: f64,
}

impl Layer for Elu {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Elu { alpha: fields.float(&["alpha"])?.unwrap_or(1.0) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.apply(Unary::Elu { alpha: self.alpha }, call.input()?)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
