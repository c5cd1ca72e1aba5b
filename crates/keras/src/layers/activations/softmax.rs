//! `Softmax(axis)`. <https://keras.io/api/layers/activation_layers/softmax/>. The axis may be a list in both versions.
//!
//! What a mask leaves out gets a share of 0. Where it leaves out everything, the shares are 0 in Keras 3 and equal in
//! Keras 2.

use crate::layer::Masks;
use crate::layers::{Axes, axes_from_front};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
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
        let (input, mask) = cx.masked_input(call)?;
        let axes = axes_from_front(&self.axes, cx.shape(input)?.rank())?;
        let softmax = ops::Softmax::over(axes);
        let Some(mask) = mask else {
            return Ok(vec![cx.apply(softmax, input)?.with_mask(input.mask())]);
        };
        let masked = cx.select_aligned_or(mask, input, -1e9)?;
        let mut y = cx.apply(softmax, masked)?;
        if cx.version() >= KerasVersion::V3 {
            y = cx.select_aligned_or(mask, y, 0.0)?;
        }
        let passed = if cx.version() >= KerasVersion::V3 { input.mask() } else { Some(mask) };
        Ok(vec![y.with_mask(passed)])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}
