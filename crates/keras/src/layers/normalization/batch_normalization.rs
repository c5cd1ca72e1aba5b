//! `BatchNormalization` at inference: `gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta` along one
//! axis. <https://keras.io/api/layers/normalization_layers/batch_normalization/>
//!
//! Lowered as Keras computes it: `x * inv + (beta - moving_mean * inv)` with `inv = gamma / sqrt(variance + epsilon)`.
//! Keras 2 writes the axis as a list.

use crate::fields::{as_int, expected};
use crate::layers::axis_from_front;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, Layer, Result};
use k2o_core::ops::Affine;
use k2o_core::{ConstantExpr, Tensor as Array};
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct BatchNormalization {
    axis: i64,
    epsilon: f64,
    center: bool,
    scale: bool,
}

impl Layer for BatchNormalization {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let axis = match fields.take(&["axis"]) {
            None => -1,
            Some(Value::Array(items)) => match items.as_slice() {
                [axis] => as_int(axis).ok_or_else(|| expected("axis", "an axis", axis))?,
                _ => return Err(Error::unsupported("normalization over several axes is not supported")),
            },
            Some(axis) => as_int(axis).ok_or_else(|| expected("axis", "an axis", axis))?,
        };
        fields.refuse("renorm", &[])?;
        fields.refuse("virtual_batch_size", &[])?;
        fields.refuse("adjustment", &[])?;
        fields.ignore(&["momentum", "fused", "synchronized", "renorm_clipping", "renorm_momentum"]);
        Ok(BatchNormalization {
            axis,
            epsilon: fields.float(&["epsilon"])?.unwrap_or(1e-3),
            center: fields.bool(&["center"], true)?,
            scale: fields.bool(&["scale"], true)?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        let axis = axis_from_front(self.axis, cx.shape(x)?.rank())?;
        let size = [cx.size(x, axis)?];
        let mut specs = Vec::new();
        if self.scale {
            specs.push(WeightSpec::trainable("gamma", &size));
        }
        if self.center {
            specs.push(WeightSpec::trainable("beta", &size));
        }
        specs.push(WeightSpec::fixed("moving_mean", &size));
        specs.push(WeightSpec::fixed("moving_variance", &size));
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
        let inputs = [cx.operand(x)?, scale, shift];
        Ok(vec![cx.add(Affine { axis }, &inputs)?])
    }
}
