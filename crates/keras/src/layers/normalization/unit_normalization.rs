//! `UnitNormalization(axis)`: divided by the Euclidean norm over axes.
//! <https://keras.io/api/layers/normalization_layers/unit_normalization/>

use super::l2_normalize;
use crate::layer::Masks;
use crate::layers::{Axes, axes_from_front};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};

#[derive(Debug)]
pub(in crate::layers) struct UnitNormalization {
    axes: Axes,
}

impl Layer for UnitNormalization {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.ignore(&["order"]);
        Ok(UnitNormalization { axes: Axes::take(fields, "axis")?.unwrap_or_else(Axes::last) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        let axes = axes_from_front(&self.axes, cx.shape(x)?.rank())?;
        Ok(vec![l2_normalize(cx, x, axes, 1e-12)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
