//! Every element along an axis several times in a row, as NumPy's `repeat`.

use super::{Infer, Operator, check_axis, exactly};
use crate::tensor::{dot, element_count, for_each_index, strides};
use crate::{Cost, Error, Result, Tensor, TensorType};

/// `y[.., i, ..] = x[.., i / times, ..]` along `axis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The axis that becomes longer.
    pub axis: usize,
    /// How often each element comes; at least once.
    pub times: usize,
}

impl Operator for Repeat {
    fn name(&self) -> &'static str {
        "repeat"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("repeat", inputs)?;
        check_axis("repeat", self.axis, x.shape.rank())?;
        let times = i64::try_from(self.times).ok().filter(|&times| times > 0);
        let times = times.ok_or_else(|| Error::shape(format!("a repetition of {} times", self.times)))?;
        let longer = x.shape.dim(self.axis)?.mul_const(times)?;
        Ok(vec![TensorType::new(x.shape.with(self.axis, longer), x.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("repeat", inputs)?;
        let mut shape = x.shape().to_vec();
        shape[self.axis] = shape[self.axis].saturating_mul(self.times);
        let mut positions = Vec::with_capacity(element_count(&shape)?);
        let step = strides(x.shape());
        for_each_index(&shape, |index| {
            let within = index[self.axis] - index[self.axis] / self.times;
            positions.push(dot(index, &step) - within * step[self.axis]);
        });
        Ok(vec![x.select(shape, &positions)?])
    }
}
