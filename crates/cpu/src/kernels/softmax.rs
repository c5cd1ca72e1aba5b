//! Exponentials that sum to 1, or their logarithms: the largest element is subtracted first, so that none overflows.

use super::pool::larger;
use super::reduce::{LANES, Split, select, sums, totals};
use super::{Kernel, Operands};
use crate::Result;
use k2o_core::ops;

/// Softmax of operand 0.
pub(crate) struct Softmax(pub ops::Softmax);

impl Kernel for Softmax {
    type Out = f32;
    type Bound = Split;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<Split> {
        Ok(Split::new(operands[0], &self.0.axes))
    }

    fn run(&self, split: &Split, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let x = operands.get::<f32>(0);
        split.kept.visit(|[start]| {
            for first in (0..split.lanes).step_by(LANES) {
                let (start, count) = (start + first, LANES.min(split.lanes - first));
                match self.0.log {
                    true => logarithms(x, start, count, split, out),
                    false => lanes(x, start, count, split, out),
                }
            }
        });
    }
}

/// The softmax of `lanes` neighbours from `start`. One of `lanes` and the split's run is 1.
fn lanes(x: &[f32], start: usize, lanes: usize, split: &Split, y: &mut [f32]) {
    let width = lanes.max(split.run);
    let (mut max, mut total) = ([0.0; LANES], [0.0; LANES]);
    let (max, total) = (&mut max[..lanes], &mut total[..lanes]);
    select(x, start, split, max, f32::NEG_INFINITY, larger);
    split.reduced.visit(|[offset]| {
        let y = &mut y[start + offset..][..width];
        y.copy_from_slice(&x[start + offset..][..width]);
        with(y, max, |x, max| (x - max).exp());
    });
    sums(y, start, split, total, |sum| sum);
    split.reduced.visit(|[offset]| with(&mut y[start + offset..][..width], total, |x, total| x / total));
}

/// The logarithms of the softmax of `lanes` neighbours from `start`: in double precision, because that of the largest
/// element may be almost 0.
fn logarithms(x: &[f32], start: usize, lanes: usize, split: &Split, y: &mut [f32]) {
    let width = lanes.max(split.run);
    let (mut max, mut sum) = ([0.0; LANES], [0.0; LANES]);
    let (max, sum) = (&mut max[..lanes], &mut sum[..lanes]);
    select(x, start, split, max, f32::NEG_INFINITY, larger);
    totals(x, start, split, sum, |x, lane| (x - f64::from(max[lane])).exp());
    sum.iter_mut().for_each(|sum| *sum = sum.ln());
    split.reduced.visit(|[offset]| {
        let (x, y) = (&x[start + offset..][..width], &mut y[start + offset..][..width]);
        let last = lanes - 1;
        for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
            let lane = i.min(last);
            *y = (f64::from(x) - f64::from(max[lane]) - sum[lane]) as f32;
        }
    });
}

/// Replaces each element by `f` of it and its lane's number, or the one number that there is.
fn with(row: &mut [f32], numbers: &[f32], f: impl Fn(f32, f32) -> f32) {
    match numbers {
        [number] => row.iter_mut().for_each(|x| *x = f(*x, *number)),
        _ => row.iter_mut().zip(numbers).for_each(|(x, number)| *x = f(*x, *number)),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::Softmax;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn softmax_is_the_reference(
            shape in prop::collection::vec(prop_oneof![Just(1), 0usize..6, 60usize..70], 1..5),
            mask in 1usize..32,
            log in any::<bool>(),
            seed in 0u64..1 << 40,
        ) {
            let axes: Vec<usize> = (0..shape.len()).filter(|axis| mask >> axis & 1 == 1).collect();
            if axes.is_empty() || shape.iter().product::<usize>() > 1 << 14 {
                return Ok(());
            }
            check_close(&Problem::new(Softmax { axes, log }, [values(&shape, seed)]), 16.0, 0.0);
        }
    }

    #[test]
    fn logarithms_near_zero_and_far_from_it_are_exact() {
        let log = |x: Vec<f32>| {
            let problem = Problem::new(Softmax { axes: vec![1], log: true }, [(vec![1, x.len()], x)]);
            check_close(&problem, 1.0, 0.0);
            problem.run()
        };
        assert_eq!(log(vec![1000.0, 1000.0])[0], -std::f32::consts::LN_2);
        assert_eq!(log(vec![1e38, -1e38]), [0.0, -2e38]);
        assert_eq!(log(vec![1.0, f32::NEG_INFINITY]), [0.0, f32::NEG_INFINITY]);
        assert!(log(vec![0.25, 19.0])[1] < 0.0);
        assert!(log(vec![f32::NAN, 1.0]).iter().all(|y| y.is_nan()));
        assert!(log(vec![f32::INFINITY, 1.0])[0].is_nan());
    }

    #[test]
    fn large_inputs_do_not_overflow_and_nan_stays() {
        let softmax = |x: [f32; 4]| Problem::new(Softmax::over([1]), [(vec![2, 2], x.to_vec())]).run();
        assert_eq!(softmax([1000.0, 1000.0, 3e38, -3e38]), [0.5, 0.5, 1.0, 0.0]);
        let y = softmax([f32::NAN, 1.0, f32::NEG_INFINITY, 1.0]);
        assert!(y[0].is_nan() && y[1].is_nan());
        assert_eq!(y[2..], [0.0, 1.0]);
        assert!(softmax([f32::INFINITY, 1.0, f32::NEG_INFINITY, f32::NEG_INFINITY])[2].is_nan());
    }
}
