//! `y = exp(x - max) / sum of exp(x - max)` over axes, or its logarithm.

use super::{Infer, Operator, Reduce, ReduceKind, Unary, check_axes, exactly};
use crate::ops::{Binary, BinaryKind};
use crate::{Cost, Error, Result, Tensor, TensorType};

/// Exponentials divided by their sum over `axes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axes that sum to 1, in increasing order.
    pub axes: Vec<usize>,
    /// Whether the result is the logarithm: `x - max - ln(sum of exp(x - max))`.
    pub log: bool,
}

impl Softmax {
    /// Softmax over `axes`.
    pub fn over(axes: impl Into<Vec<usize>>) -> Softmax {
        Softmax { axes: axes.into(), log: false }
    }
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly(self.name(), inputs)?;
        check_axes(self.name(), &self.axes, x.shape.rank())?;
        if self.axes.is_empty() {
            return Err(Error::shape("softmax over no axis"));
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly(self.name(), outputs)?;
        // Maximum, difference, exponential, sum and quotient.
        Ok(Cost::element_ops(y.shape.elements()?.mul_const(5)?))
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly(self.name(), inputs)?;
        let over = |kind, x: &Tensor| {
            Reduce { kind, axes: self.axes.clone(), keep_dims: true }.reference(&[x]).map(|mut y| y.remove(0))
        };
        let with = |kind, a: &Tensor, b: &Tensor| Binary { kind }.reference(&[a, b]).map(|mut y| y.remove(0));
        let shifted = with(BinaryKind::Sub, x, &over(ReduceKind::Max, x)?)?;
        let powers = Unary::Exp.reference(&[&shifted])?.remove(0);
        let sum = over(ReduceKind::Sum, &powers)?;
        if self.log {
            let logarithm = Tensor::f64(sum.shape(), sum.as_f64()?.iter().map(|sum| sum.ln()).collect())?;
            return Ok(vec![with(BinaryKind::Sub, &shifted, &logarithm)?]);
        }
        Ok(vec![with(BinaryKind::Div, &powers, &sum)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_inputs_do_not_overflow() {
        let x = Tensor::f64([1, 2], vec![1000., 1000.]).unwrap();
        let y = Softmax::over([1]).reference(&[&x]).unwrap();
        assert_eq!(y[0].as_f64().unwrap(), [0.5, 0.5]);
        let y = Softmax { axes: vec![1], log: true }.reference(&[&x]).unwrap();
        assert_eq!(y[0].as_f64().unwrap(), [0.5f64.ln(); 2]);
    }
}
