//! Keras's `sparsemax`: `max(x - tau, 0)` with a threshold `tau` from the largest elements along an axis.
//!
//! With `z` the elements in falling order and `c[k]` the sum of the first `k`, an element is in the support where
//! `z[k] > (c[k] - 1) / k`. Keras's `tau` is `(sum of c[k] over the support - 1) / size of the support`. The paper's
//! (arXiv:1602.02068) has the last `c[k]` of the support in place of their sum; the two agree only for a support of 1.
//! <https://keras.io/api/layers/activations/>

use super::{Infer, Operator, check_axis, exactly};
use crate::tensor::{dot, for_each_index, strides};
use crate::{Cost, Relation, Result, Tensor, TensorType};

/// Keras's sparsemax along `axis`. NaN among the elements makes all of them NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sparsemax {
    /// The axis whose elements are compared.
    pub axis: usize,
}

impl Operator for Sparsemax {
    fn name(&self) -> &'static str {
        "sparsemax"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("sparsemax", inputs)?;
        check_axis("sparsemax", self.axis, x.shape.rank())?;
        infer.require(x.shape.dim(self.axis)?, Relation::AtLeast(1), || "sparsemax of no elements".into())?;
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly("sparsemax", outputs)?;
        // Sorting apart: sum, quotient, comparison, difference and maximum.
        Ok(Cost::element_ops(y.shape.elements()?.mul_const(5)?))
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("sparsemax", inputs)?;
        let (data, step) = (x.as_f64()?, strides(x.shape()));
        let mut outer = x.shape().to_vec();
        let n = std::mem::replace(&mut outer[self.axis], 1);
        let mut y = vec![0.0; data.len()];
        for_each_index(&outer, |index| {
            let start = dot(index, &step);
            let at = |i: usize| start + i * step[self.axis];
            let mut sorted: Vec<f64> = (0..n).map(|i| data[at(i)]).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let (mut sum, mut total, mut support) = (0.0, 0.0, 0.0);
            for (i, value) in sorted.iter().enumerate() {
                sum += value;
                if value - (sum - 1.0) / (i + 1) as f64 > 0.0 {
                    total += sum;
                    support += 1.0;
                }
            }
            let any_nan = sorted.iter().any(|value| value.is_nan());
            let tau = if any_nan { f64::NAN } else { (total - 1.0) / support };
            (0..n).for_each(|i| y[at(i)] = if tau.is_nan() { tau } else { (data[at(i)] - tau).max(0.0) });
        });
        Ok(vec![Tensor::f64(x.shape(), y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by Keras 3.15.1's `keras.activations.sparsemax`.
    #[test]
    fn values_are_keras_not_the_papers() {
        let cases = [
            ([1.0, 0.8, 0.1], [0.1, 0.0, 0.0]),
            ([3.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
            ([-1.0, -1.2, -3.0], [1.1, 0.9, 0.0]),
        ];
        for (x, expected) in cases {
            let x = Tensor::f64([1, 3], x.to_vec()).unwrap();
            let y = Sparsemax { axis: 1 }.reference(&[&x]).unwrap();
            for (y, expected) in y[0].as_f64().unwrap().iter().zip(expected) {
                assert!((y - expected).abs() < 1e-6, "{y} {expected}");
            }
        }
    }
}
