//! A tensor from the last element of an axis to the first.

use super::{Infer, Operator, check_axis, exactly};
use crate::tensor::{dot, element_count, for_each_index, strides};
use crate::{Cost, Result, Tensor, TensorType};

/// `y[.., i, ..] = x[.., n - 1 - i, ..]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverse {
    /// The axis whose elements change their order.
    pub axis: usize,
}

impl Operator for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("reverse", inputs)?;
        check_axis("reverse", self.axis, x.shape.rank())?;
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("reverse", inputs)?;
        let (shape, strides) = (x.shape(), strides(x.shape()));
        let mut positions = Vec::with_capacity(element_count(shape)?);
        for_each_index(shape, |index| {
            let (n, i, step) = (shape[self.axis], index[self.axis], strides[self.axis]);
            positions.push(dot(index, &strides) - i * step + (n - 1 - i) * step);
        });
        Ok(vec![x.select(shape.to_vec(), &positions)?])
    }
}
