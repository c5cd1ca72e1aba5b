//! Maximum, minimum, sum or mean over whole axes.

use super::{Infer, Operator, check_axes, exactly};
use crate::tensor::{dot, for_each_index, strides};
use crate::{Cost, Dim, Relation, Result, Shape, Tensor, TensorType};

/// One number for all elements along `axes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// What is taken of them.
    pub kind: ReduceKind,
    /// The axes, in increasing order.
    pub axes: Vec<usize>,
    /// Whether the axes stay, with size 1.
    pub keep_dims: bool,
}

/// What is taken of the elements along the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// The largest; NaN if any is.
    Max,
    /// The smallest; NaN if any is.
    Min,
    /// The sum.
    Sum,
    /// The mean.
    Mean,
}

impl Reduce {
    /// The axis of the output that an axis of the input becomes, unless it is reduced.
    pub(crate) fn axis_after(&self, axis: usize) -> Option<usize> {
        match self.keep_dims {
            _ if self.axes.contains(&axis) => None,
            true => Some(axis),
            false => Some((0..axis).filter(|before| !self.axes.contains(before)).count()),
        }
    }
}

impl Operator for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            ReduceKind::Max => "reduce_max",
            ReduceKind::Min => "reduce_min",
            ReduceKind::Sum => "reduce_sum",
            ReduceKind::Mean => "reduce_mean",
        }
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly(self.name(), inputs)?;
        check_axes(self.name(), &self.axes, x.shape.rank())?;
        let mut dims = Vec::new();
        for (axis, dim) in x.shape.iter().enumerate() {
            if !self.axes.contains(&axis) {
                dims.push(dim.clone());
                continue;
            }
            if self.kind != ReduceKind::Sum {
                infer.require(dim, Relation::AtLeast(1), || format!("{} of no elements", self.name()))?;
            }
            if self.keep_dims {
                dims.push(Dim::ONE);
            }
        }
        Ok(vec![TensorType::new(Shape::new(dims), x.dtype)])
    }

    fn cost(&self, inputs: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        let [x] = exactly(self.name(), inputs)?;
        Ok(Cost::element_ops(x.shape.elements()?))
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly(self.name(), inputs)?;
        let (data, sx) = (x.as_f64()?, strides(x.shape()));
        let part = |keep: bool| -> (Vec<usize>, Vec<usize>) {
            let axes = (0..x.shape().len()).filter(|axis| self.axes.contains(axis) != keep);
            axes.map(|axis| (x.shape()[axis], sx[axis])).unzip()
        };
        let ((kept, kept_strides), (reduced, reduced_strides)) = (part(true), part(false));
        let count: usize = reduced.iter().product();
        let mut y = Vec::new();
        for_each_index(&kept, |outer| {
            let start = dot(outer, &kept_strides);
            let mut result = match self.kind {
                ReduceKind::Max => f64::NEG_INFINITY,
                ReduceKind::Min => f64::INFINITY,
                ReduceKind::Sum | ReduceKind::Mean => 0.0,
            };
            for_each_index(&reduced, |inner| {
                let value = data[start + dot(inner, &reduced_strides)];
                match self.kind {
                    ReduceKind::Max if value > result || value.is_nan() => result = value,
                    ReduceKind::Min if value < result || value.is_nan() => result = value,
                    ReduceKind::Max | ReduceKind::Min => {}
                    ReduceKind::Sum | ReduceKind::Mean => result += value,
                }
            });
            y.push(if self.kind == ReduceKind::Mean { result / count as f64 } else { result });
        });
        let mut shape = x.shape().to_vec();
        for &axis in self.axes.iter().rev() {
            if self.keep_dims {
                shape[axis] = 1;
            } else {
                shape.remove(axis);
            }
        }
        Ok(vec![Tensor::f64(shape, y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_dropped_or_kept() {
        let x = Tensor::f64([1, 2, 2], vec![1., 5., 3., 4.]).unwrap();
        let reduce = |kind, keep_dims| Reduce { kind, axes: vec![1], keep_dims }.reference(&[&x]).unwrap();
        assert_eq!(reduce(ReduceKind::Max, false), [Tensor::f64([1, 2], vec![3., 5.]).unwrap()]);
        assert_eq!(reduce(ReduceKind::Mean, true), [Tensor::f64([1, 1, 2], vec![2., 4.5]).unwrap()]);
    }
}
