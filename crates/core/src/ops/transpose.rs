//! The same elements with axes in another order.

use super::{Infer, Operator, exactly};
use crate::{Cost, Error, Result, Shape, Tensor, TensorType};

/// Axis `i` of the output is axis `permutation[i]` of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// Where each output axis comes from.
    pub permutation: Vec<usize>,
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("transpose", inputs)?;
        let mut sorted = self.permutation.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.shape.rank()) {
            let (permutation, shape) = (&self.permutation, &x.shape);
            return Err(Error::shape(format!("{permutation:?} is no permutation of the axes of {shape}")));
        }
        let shape = self.permutation.iter().map(|&axis| x.shape.dim(axis).cloned());
        let shape = shape.collect::<Result<Shape>>()?;
        Ok(vec![TensorType::new(shape, x.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("transpose", inputs)?;
        Ok(vec![x.permute(&self.permutation)?])
    }
}
