//! Keras 2's `ThresholdedReLU(theta)`: `x` where above `theta`, else 0.

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::Unary;

#[derive(Debug)]
pub(in crate::layers) struct ThresholdedReLU {
    theta: f64,
}

impl Layer for ThresholdedReLU {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(ThresholdedReLU { theta: fields.float(&["theta"])?.unwrap_or(1.0) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.apply(Unary::Threshold { threshold: self.theta, value: 0.0 }, call.input()?)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
