//! A tensor without its first and last elements along an axis.

use super::{Infer, Operator, check_axis, exactly};
use crate::tensor::{dot, for_each_index, strides};
use crate::{Cost, Dim, Error, Relation, Result, Tensor, TensorType};

/// What is left along `axis` when `before` elements are dropped at its start and `after` at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The axis that becomes shorter.
    pub axis: usize,
    /// How many elements are dropped at the start; not negative.
    pub before: i64,
    /// How many elements are dropped at the end; not negative.
    pub after: i64,
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("slice", inputs)?;
        check_axis("slice", self.axis, x.shape.rank())?;
        let Slice { axis, before, after } = *self;
        let total = before.checked_add(after).filter(|_| before.min(after) >= 0);
        let total =
            total.ok_or_else(|| Error::shape(format!("a slice without {before} and {after} elements")))?;
        let dim = x.shape.dim(axis)?;
        infer
            .require(dim, Relation::AtLeast(total), || {
                format!(
                    "{before} and {after} elements cannot be dropped from axis {axis} of an input {}",
                    x.shape
                )
            })
            .map_err(|error| error.with_help(format!("at most {dim} in all can be dropped")))?;
        Ok(vec![TensorType::new(x.shape.with(axis, dim.sub(&Dim::fixed(total))?), x.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("slice", inputs)?;
        let mut shape = x.shape().to_vec();
        let dropped = usize::try_from(self.before.saturating_add(self.after)).ok();
        let left = dropped.and_then(|dropped| shape[self.axis].checked_sub(dropped));
        shape[self.axis] = left.ok_or_else(|| Error::shape("a slice of fewer elements than none"))?;
        let step = strides(x.shape());
        let start = self.before as usize * step[self.axis];
        let mut positions = Vec::new();
        for_each_index(&shape, |index| positions.push(start + dot(index, &step)));
        Ok(vec![x.select(shape, &positions)?])
    }
}
