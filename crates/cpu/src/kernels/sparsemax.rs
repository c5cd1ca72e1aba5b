//! Differences from a threshold that follows from the largest elements along an axis.

use super::{Kernel, Operands};
use crate::Result;
use k2o_core::ops;

/// Keras's sparsemax of operand 0.
pub(crate) struct Sparsemax(pub ops::Sparsemax);

pub(crate) struct SparsemaxBound {
    /// Elements along the axis.
    size: usize,
    /// Elements between neighbours along the axis.
    step: usize,
}

impl Kernel for Sparsemax {
    type Out = f32;
    type Bound = SparsemaxBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<SparsemaxBound> {
        let (x, axis) = (operands[0], self.0.axis);
        Ok(SparsemaxBound { size: x[axis], step: x[axis + 1..].iter().product() })
    }

    fn scratch(&self, bound: &SparsemaxBound) -> usize {
        bound.size
    }

    fn run(&self, bound: &SparsemaxBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let SparsemaxBound { size, step } = *bound;
        let sorted = &mut scratch[..size];
        let blocks = operands.get::<f32>(0).chunks_exact(size * step);
        for (out, x) in out.chunks_exact_mut(size * step).zip(blocks) {
            for lane in 0..step {
                let x = x[lane..].iter().step_by(step);
                sorted.iter_mut().zip(x.clone()).for_each(|(to, &x)| *to = x);
                sorted.sort_unstable_by(|a, b| b.total_cmp(a));
                let tau = threshold(sorted);
                let above = x.map(|&x| f64::from(x) - tau);
                out[lane..].iter_mut().step_by(step).zip(above).for_each(|(out, above)| {
                    *out = if above < 0.0 { 0.0 } else { above as f32 };
                });
            }
        }
    }
}

/// Keras's threshold for elements in falling order; NaN if one of them is.
fn threshold(sorted: &[f32]) -> f64 {
    let (mut sum, mut total, mut support) = (0.0, 0.0, 0usize);
    for (i, &x) in sorted.iter().enumerate() {
        let x = f64::from(x);
        if x.is_nan() {
            return x;
        }
        sum += x;
        if x - (sum - 1.0) / (i + 1) as f64 > 0.0 {
            total += sum;
            support += 1;
        }
    }
    (total - 1.0) / support as f64
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::Sparsemax;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sparsemax_is_the_reference(
            mut shape in prop::collection::vec(0usize..7, 1..4),
            size in prop_oneof![1usize..6, 30usize..70],
            axis in 0usize..3,
            seed in 0u64..1 << 40,
        ) {
            let axis = axis % shape.len();
            shape[axis] = size;
            check_close(&Problem::new(Sparsemax { axis }, [values(&shape, seed)]), 1.0, 0.0);
        }
    }

    #[test]
    fn nan_spoils_its_own_row_only() {
        for nan in [f32::NAN, -f32::NAN] {
            let x = (vec![2, 3], vec![3.0, 0.0, 0.0, 1.0, nan, 2.0]);
            let y = Problem::new(Sparsemax { axis: 1 }, [x]).run();
            assert_eq!(y[..3], [1.0, 0.0, 0.0]);
            assert!(y[3..].iter().all(|y| y.is_nan()), "{y:?}");
        }
    }
}
