//! Maximum or average over windows of the middle axes, each channel alone.
//!
//! Padding takes no part: the maximum ignores it, the average divides by the number of steps that are really
//! there, as Keras does.

use super::conv::{extents, positions, split_input};
use super::{Infer, Operator, exactly};
use crate::tensor::{dot, for_each_index, strides};
use crate::{Cost, Dim, Error, Padding, Relation, Result, Tensor, TensorType, Window};
use std::iter;

/// Pooling of `[batch, steps.., channels]` to `[batch, positions.., channels]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What is taken of each window.
    pub kind: PoolKind,
    /// How the window slides along each of the middle axes.
    pub windows: Vec<Window>,
}

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The largest element; NaN if any is.
    Max,
    /// The mean of the elements that are not padding.
    Average,
}

impl Operator for Pool {
    fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "max_pool",
            PoolKind::Average => "average_pool",
        }
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly(self.name(), inputs)?;
        for window in &self.windows {
            if let Padding::Explicit(before, after) = window.padding()
                && before.max(after) >= window.span()
            {
                return Err(Error::shape(format!("a pooling window that reads only padding: {window}")));
            }
        }
        let (batch, steps, channels) = split_input(self.windows.len(), &x.shape)?;
        let positions = positions(&self.windows, steps, infer)?;
        for (window, n) in self.windows.iter().zip(steps) {
            // Taps further apart than the input is long could step over it and read only padding.
            let apart = if window.size() > 1 { window.dilation() } else { 1 };
            if !window.is_unpadded() && window.fewest_steps() < apart {
                infer.require(n, Relation::AtLeast(apart), || {
                    format!("a pooling window ({window}) could read only padding of an input of {n}")
                })?;
            }
        }
        let shape = iter::once(batch.clone()).chain(positions).chain([channels.clone()]).collect();
        Ok(vec![TensorType::new(shape, x.dtype)])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly(self.name(), outputs)?;
        let taps = self.windows.iter().try_fold(Dim::ONE, |n, window| n.mul_const(window.size()))?;
        Ok(Cost::element_ops(y.shape.elements()?.mul(&taps)?))
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly(self.name(), inputs)?;
        let rank = self.windows.len();
        let extents = extents(&self.windows, x.shape())?;
        let step = strides(x.shape());
        let data = x.as_f64()?;
        let mut shape = x.shape().to_vec();
        extents.iter().enumerate().for_each(|(axis, extent)| shape[axis + 1] = extent.output);
        let taps: Vec<usize> = self.windows.iter().map(|window| window.size() as usize).collect();
        let mut y = Vec::new();
        for_each_index(&shape, |index| {
            let (mut sum, mut max, mut count) = (0.0, f64::NEG_INFINITY, 0.0);
            for_each_index(&taps, |tap| {
                let mut source = index.to_vec();
                for axis in 0..rank {
                    let window = &self.windows[axis];
                    match window.taps(&extents[axis], index[axis + 1]).nth(tap[axis]).flatten() {
                        Some(at) => source[axis + 1] = at,
                        None => return,
                    }
                }
                let value = data[dot(&source, &step)];
                sum += value;
                count += 1.0;
                if value > max || value.is_nan() {
                    max = value;
                }
            });
            y.push(match self.kind {
                PoolKind::Max => max,
                PoolKind::Average => sum / count,
            });
        });
        Ok(vec![Tensor::f64(shape, y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_divide_by_what_is_there() {
        let x = Tensor::f64([1, 5, 1], vec![1., 2., 3., 4., 5.]).unwrap();
        let pool = |kind| Pool { kind, windows: vec![Window::new(2, 2, 1, Padding::Same).unwrap()] };
        let y = pool(PoolKind::Average).reference(&[&x]).unwrap();
        assert_eq!(y[0].as_f64().unwrap(), [1.5, 3.5, 5.0]);
        let y = pool(PoolKind::Max).reference(&[&x]).unwrap();
        assert_eq!(y[0].as_f64().unwrap(), [2., 4., 5.]);
    }
}
