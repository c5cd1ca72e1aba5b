//! `LayerNormalization` and `RMSNormalization`: divided by a measure of all elements along axes, then scaled and
//! shifted. <https://keras.io/api/layers/normalization_layers/layer_normalization/>
//!
//! `LayerNormalization(rms_scaling=True)` divides by the standard deviation without taking off the mean, and has no
//! `beta`. Keras 2 writes the axis as a list.

use crate::layer::Masks;
use crate::layers::{Axes, axes_from_front};
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ConstantExpr;
use k2o_core::ops::{Normalize, NormalizeKind};

#[derive(Debug)]
pub(in crate::layers) struct LayerNormalization {
    kind: NormalizeKind,
    axes: Axes,
    epsilon: f64,
    /// Keras's name for the scale, if there is one.
    scale: Option<&'static str>,
    center: bool,
}

impl Layer for LayerNormalization {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let axes = Axes::take(fields, "axis")?.unwrap_or_else(Axes::last);
        let epsilon = fields.float(&["epsilon"])?;
        if fields.class() == "RMSNormalization" {
            let kind = NormalizeKind::RootMeanSquare;
            let epsilon = epsilon.unwrap_or(1e-6);
            return Ok(LayerNormalization { kind, axes, epsilon, scale: Some("scale"), center: false });
        }
        let deviation = fields.bool(&["rms_scaling"], false)?;
        let (scale, center) = (fields.bool(&["scale"], true)?, fields.bool(&["center"], true)?);
        Ok(LayerNormalization {
            kind: if deviation { NormalizeKind::Deviation } else { NormalizeKind::Standard },
            axes,
            epsilon: epsilon.unwrap_or(1e-3),
            scale: (scale || deviation).then_some("gamma"),
            center: center && !deviation,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        let axes = axes_from_front(&self.axes, cx.shape(x)?.rank())?;
        let sizes = |axes: &[usize]| axes.iter().map(|&axis| cx.size(x, axis)).collect::<Result<Vec<_>>>();
        let sizes = sizes(&axes)?;
        let mut specs = Vec::new();
        specs.extend(self.scale.map(|name| WeightSpec::trainable(name, &sizes)));
        specs.extend(self.center.then(|| WeightSpec::trainable("beta", &sizes)));
        let mut weights = cx.weights(&specs)?;
        if self.scale.is_none()
            && let Some(beta) = weights.first()
        {
            let ones = beta.derived("gamma", ConstantExpr::filled(&sizes, 1.0)?);
            weights.insert(0, ones);
        }
        let mut inputs = vec![cx.operand(x)?];
        for weight in &weights {
            inputs.push(cx.constant(weight)?);
        }
        let normalize = Normalize { kind: self.kind, axes, epsilon: self.epsilon };
        Ok(vec![cx.add(normalize, &inputs)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        if self.kind == NormalizeKind::RootMeanSquare { Masks::Dropped } else { Masks::Passed }
    }
}
