//! `Softmax(axis)`. <https://keras.io/api/layers/activation_layers/softmax/>. The axis may be a list in both versions.

use crate::layers::{Axes, axes_from_front};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops;

#[derive(Debug)]
pub(in crate::layers) struct Softmax {
    axes: Axes,
}

impl Layer for Softmax {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Softmax { axes: Axes::take(fields, "axis")?.unwrap_or_else(Axes::last) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let input = call.input()?;
        let axes = axes_from_front(&self.axes, cx.shape(input)?.rank())?;
        Ok(vec![cx.apply(ops::Softmax::over(axes), input)?])
    }
}
