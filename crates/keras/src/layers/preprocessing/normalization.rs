//! `Normalization(axis, mean, variance, invert)`: `(x - mean) / max(sqrt(variance), 1e-7)`, or that undone; the
//! statistics were adapted to data, or are in the config.
//! <https://keras.io/api/layers/preprocessing_layers/numerical/normalization/>
//!
//! Computed in two steps, not as scale and shift: data that need normalizing may lie far from zero, where the difference
//! is exact and a shifted product is not.

use super::numbers;
use crate::layer::Masks;
use crate::layers::{Axes, axes_from_front};
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::{Weight, WeightSpec};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Arithmetic, Binary, BinaryKind};
use k2o_core::{ConstantExpr, Tensor as Array};

#[derive(Debug)]
pub(in crate::layers) struct Normalization {
    axes: Axes,
    /// Mean and variance, if they are in the config.
    given: Option<(Array, Array)>,
    invert: bool,
}

impl Layer for Normalization {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let mut take = |key: &'static str| fields.take(&[key]).map(|value| numbers(key, value)).transpose();
        let given = match (take("mean")?, take("variance")?) {
            (Some(mean), Some(variance)) => Some((mean, variance)),
            (None, None) => None,
            _ => return Err(Error::malformed("only one of `mean` and `variance` is given")),
        };
        // No axis at all is one mean for everything.
        let axes = Axes::take(fields, "axis")?.unwrap_or(Axes(Vec::new()));
        Ok(Normalization { axes, given, invert: fields.bool(&["invert"], false)? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = cx.to_float(call.input()?)?;
        let rank = cx.shape(x)?.rank();
        let axes = match self.axes.0.as_slice() {
            [] => Vec::new(),
            _ => axes_from_front(&self.axes, rank)?,
        };
        let sizes = axes.iter().map(|&axis| cx.size(x, axis)).collect::<Result<Vec<_>>>()?;
        let weights = match self.given {
            Some(_) => Vec::new(),
            None => {
                let counted = ["mean", "variance"].map(|name| WeightSpec::fixed(name, &sizes));
                cx.weights(&[counted.as_slice(), &[WeightSpec::fixed("count", &[])]].concat())?
            }
        };
        // From the first of the axes on, with 1 for those that are not among them.
        let from = axes.first().copied().unwrap_or(rank);
        let place = |expr: &ConstantExpr| {
            let mut given = expr.shape().iter().rev();
            let behind = (from..rank).rev().map(|axis| match axes.contains(&axis) {
                true => given.next().copied().unwrap_or(1),
                false => 1,
            });
            let mut shape: Vec<usize> = behind.collect();
            shape.reverse();
            expr.reshape(&shape)
        };
        let (mean, variance) = match (&self.given, weights.as_slice()) {
            (Some((mean, variance)), _) => {
                let place = |numbers: &Array| place(&ConstantExpr::literal(numbers.clone()));
                (cx.named("mean", place(mean)?), cx.named("variance", place(variance)?))
            }
            (None, [mean, variance, ..]) => {
                let place = |weight: &Weight| {
                    Ok::<_, Error>(weight.derived(last(&weight.name), place(&weight.expr)?))
                };
                (place(mean)?, place(variance)?)
            }
            _ => return Err(Error::malformed("a weight is missing")),
        };
        let least = ConstantExpr::literal(Array::scalar(f64::from(1e-7f32)));
        let deviation = variance.expr.sqrt().arithmetic(Arithmetic::Max, &least)?;
        let deviation = cx.constant(&variance.derived("deviation", deviation))?;
        let mean = cx.constant(&mean)?;
        let steps = match self.invert {
            false => [(BinaryKind::Sub, mean), (BinaryKind::Div, deviation)],
            true => [(BinaryKind::Mul, deviation), (BinaryKind::Add, mean)],
        };
        let mut y = x;
        for (kind, constant) in steps {
            y = cx.add(Binary { kind }, &[cx.operand(y)?, constant])?;
        }
        Ok(vec![y])
    }

    fn masks(&self, version: KerasVersion) -> Masks {
        if version >= KerasVersion::V3 { Masks::Passed } else { Masks::Dropped }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
