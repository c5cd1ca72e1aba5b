//! Layers of `keras/src/layers/normalization`.

mod batch_normalization;
mod group_normalization;
mod layer_normalization;
mod spectral_normalization;
mod unit_normalization;

pub(super) use batch_normalization::BatchNormalization;
pub(super) use group_normalization::GroupNormalization;
pub(super) use layer_normalization::LayerNormalization;
pub(super) use spectral_normalization::SpectralNormalization;
pub(super) use unit_normalization::UnitNormalization;

use crate::Result;
use crate::lowering::{Lowering, Tensor};
use k2o_core::ops::{Binary, BinaryKind, Reduce, ReduceKind, Unary};

/// `x / sqrt(max(sum of x² over the axes, epsilon))`, as `tf.math.l2_normalize`.
pub(super) fn l2_normalize(cx: &mut Lowering, x: Tensor, axes: Vec<usize>, epsilon: f64) -> Result<Tensor> {
    let operand = cx.operand(x)?;
    let squares = cx.add(Binary { kind: BinaryKind::Mul }, &[operand, operand])?;
    let sum = cx.apply(Reduce { kind: ReduceKind::Sum, axes, keep_dims: true }, squares)?;
    let sum = cx.apply(Unary::Clip { min: epsilon, max: f64::INFINITY }, sum)?;
    let norm = cx.apply(Unary::Sqrt, sum)?;
    cx.add(Binary { kind: BinaryKind::Div }, &[operand, cx.operand(norm)?])
}
