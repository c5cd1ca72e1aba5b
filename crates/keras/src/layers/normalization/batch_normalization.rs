//! `BatchNormalization` at inference: `gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta` along one
//! axis. <https://keras.io/api/layers/normalization_layers/batch_normalization/>
//!
//! Lowered as Keras computes it: `x * inv + (beta - moving_mean * inv)` with `inv = gamma / sqrt(variance + epsilon)`.
//! Keras 2 writes the axis as a list; over several axes, its weights have the input's rank, with 1 for the other axes.
//! `renorm` only changes training; its weights are in the file.

use crate::layer::Masks;
use crate::layers::{Axes, axes_from_front};
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Affine, Binary, BinaryKind};
use k2o_core::{ConstantExpr, Tensor as Array};

#[derive(Debug)]
pub(in crate::layers) struct BatchNormalization {
    axes: Axes,
    epsilon: f64,
    center: bool,
    scale: bool,
    renorm: bool,
}

impl Layer for BatchNormalization {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("virtual_batch_size", &[])?;
        fields.refuse("adjustment", &[])?;
        fields.ignore(&["momentum", "fused", "synchronized", "renorm_clipping", "renorm_momentum"]);
        Ok(BatchNormalization {
            axes: Axes::take(fields, "axis")?.unwrap_or_else(Axes::last),
            epsilon: fields.float(&["epsilon"])?.unwrap_or(1e-3),
            center: fields.bool(&["center"], true)?,
            scale: fields.bool(&["scale"], true)?,
            renorm: fields.bool(&["renorm"], false)?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        let rank = cx.shape(x)?.rank();
        let axes = axes_from_front(&self.axes, rank)?;
        let size = |axis: usize| if axes.contains(&axis) { cx.size(x, axis) } else { Ok(1) };
        let size = match axes.as_slice() {
            [axis] => vec![size(*axis)?],
            _ => (0..rank).map(size).collect::<Result<Vec<_>>>()?,
        };
        let mut specs = Vec::new();
        if self.scale {
            specs.push(WeightSpec::trainable("gamma", &size));
        }
        if self.center {
            specs.push(WeightSpec::trainable("beta", &size));
        }
        specs.push(WeightSpec::fixed("moving_mean", &size));
        specs.push(WeightSpec::fixed("moving_variance", &size));
        if self.renorm {
            let names = ["moving_stddev", "renorm_mean", "renorm_stddev"];
            specs.extend(names.map(|name| WeightSpec::fixed(name, &size)));
        }
        let mut weights = cx.weights(&specs)?.into_iter();
        let mut next = || weights.next().ok_or_else(|| Error::malformed("a weight is missing"));
        let number = |value| ConstantExpr::literal(Array::scalar(value));
        let gamma = if self.scale { next()?.expr } else { number(1.0) };
        let beta = if self.center { next()?.expr } else { number(0.0) };
        let (mean, variance) = (next()?, next()?);
        let epsilon = number(self.epsilon);
        let scale = gamma.div(&variance.expr.add(&epsilon)?.sqrt())?;
        let shift = beta.sub(&mean.expr.mul(&scale)?)?;
        let scale = cx.constant(&mean.derived("scale", scale))?;
        let shift = cx.constant(&mean.derived("shift", shift))?;
        if let &[axis] = axes.as_slice() {
            let inputs = [cx.operand(x)?, scale, shift];
            return Ok(vec![cx.add(Affine { axis }, &inputs)?]);
        }
        let scaled = cx.add(Binary { kind: BinaryKind::Mul }, &[cx.operand(x)?, scale])?;
        Ok(vec![cx.add(Binary { kind: BinaryKind::Add }, &[cx.operand(scaled)?, shift])?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
