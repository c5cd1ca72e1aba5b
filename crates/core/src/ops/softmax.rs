//! `y = exp(x - max) / sum of exp(x - max)` over axes.

use super::{Infer, Operator, Reduce, ReduceKind, Unary, check_axes, exactly};
use crate::ops::{Binary, BinaryKind};
use crate::{Cost, Error, Result, Tensor, TensorType};

/// Exponentials divided by their sum over `axes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axes that sum to 1, in increasing order.
    pub axes: Vec<usize>,
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("softmax", inputs)?;
        check_axes("softmax", &self.axes, x.shape.rank())?;
        if self.axes.is_empty() {
            return Err(Error::shape("softmax over no axis"));
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly("softmax", outputs)?;
        // Maximum, difference, exponential, sum and quotient.
        Ok(Cost::element_ops(y.shape.elements()?.mul_const(5)?))
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("softmax", inputs)?;
        let over = |kind, x: &Tensor| {
            Reduce { kind, axes: self.axes.clone(), keep_dims: true }.reference(&[x]).map(|mut y| y.remove(0))
        };
        let with = |kind, a: &Tensor, b: &Tensor| Binary { kind }.reference(&[a, b]).map(|mut y| y.remove(0));
        let shifted = with(BinaryKind::Sub, x, &over(ReduceKind::Max, x)?)?;
        let powers = Unary::Exp.reference(&[&shifted])?.remove(0);
        Ok(vec![with(BinaryKind::Div, &powers, &over(ReduceKind::Sum, &powers)?)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_inputs_do_not_overflow() {
        let x = Tensor::f64([1, 2], vec![1000., 1000.]).unwrap();
        let y = Softmax { axes: vec![1] }.reference(&[&x]).unwrap();
        assert_eq!(y[0].as_f64().unwrap(), [0.5, 0.5]);
    }
}
