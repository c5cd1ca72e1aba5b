//! `y[.., c, ..] = x[.., c, ..] * scale[c] + shift[c]`: what batch normalization is at inference.

use super::{Infer, Operator, check_axis, exactly};
use crate::tensor::{for_each_index, strides};
use crate::{Cost, Dim, Result, Tensor, TensorType};

/// Scale and shift along one axis. Inputs: `x`, `scale` and `shift`, both of the axis's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    /// The axis that `scale` and `shift` run along.
    pub axis: usize,
}

impl Operator for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x, scale, shift] = exactly("affine", inputs)?;
        check_axis("affine", self.axis, x.shape.rank())?;
        let channels = x.shape.dim(self.axis)?;
        for vector in [scale, shift] {
            let [n] = exactly::<Dim, 1>("the shape of a scale or shift", &vector.shape)?;
            infer.require_equal(channels, n, || {
                format!("{n} scales for axis {} of an input {}", self.axis, x.shape)
            })?;
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly("affine", outputs)?;
        Ok(Cost::multiply_adds(y.shape.elements()?))
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x, scale, shift] = exactly("affine", inputs)?;
        let (data, scale, shift) = (x.as_f64()?, scale.as_f64()?, shift.as_f64()?);
        let step = strides(x.shape());
        let mut y = Vec::with_capacity(data.len());
        for_each_index(x.shape(), |index| {
            let at: usize = index.iter().zip(&step).map(|(i, s)| i * s).sum();
            y.push(data[at] * scale[index[self.axis]] + shift[index[self.axis]]);
        });
        Ok(vec![Tensor::f64(x.shape(), y)?])
    }
}
