//! Constant values around a tensor.

use super::{Infer, Operator, exactly};
use crate::tensor::{dot, element_count, for_each_index, strides};
use crate::{Cost, Error, Result, Shape, Tensor, TensorType};

/// `value` repeated `before` and `after` the input along each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// For each axis, how many elements before and after; none negative.
    pub amounts: Vec<(i64, i64)>,
    /// What is put there.
    pub value: f64,
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("pad", inputs)?;
        if self.amounts.len() != x.shape.rank() || self.amounts.iter().any(|&(a, b)| a < 0 || b < 0) {
            return Err(Error::shape(format!("padding {:?} of an input {}", self.amounts, x.shape)));
        }
        let padded = x.shape.iter().zip(&self.amounts);
        let shape = padded.map(|(dim, &(before, after))| dim.add_const(before)?.add_const(after));
        Ok(vec![TensorType::new(shape.collect::<Result<Shape>>()?, x.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("pad", inputs)?;
        let padded = x.shape().iter().zip(&self.amounts);
        let size = |(n, &(before, after)): (&usize, &(i64, i64))| {
            n.saturating_add(before as usize).saturating_add(after as usize)
        };
        let shape: Vec<usize> = padded.map(size).collect();
        let mut y = vec![self.value; element_count(&shape)?];
        let (sx, sy) = (strides(x.shape()), strides(&shape));
        let data = x.as_f64()?;
        let offset: Vec<usize> = self.amounts.iter().map(|&(before, _)| before as usize).collect();
        for_each_index(x.shape(), |index| y[dot(index, &sy) + dot(&offset, &sy)] = data[dot(index, &sx)]);
        Ok(vec![Tensor::f64(shape, y)?])
    }
}
