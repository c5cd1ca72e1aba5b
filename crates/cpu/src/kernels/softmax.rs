//! Exponentials that sum to 1, or their logarithms: the largest element is subtracted first, so that none overflows.

use super::reduce::{Larger, choose, choose_lane};
use super::split::{Columns, Split, in_groups, load_column, store_column};
use super::{Kernel, Operands};
use crate::Result;
use crate::simd::math::exp_of_negative;
use crate::simd::{Elementwise, Simd, Task};
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
        match self.0.log {
            true => logarithms(x, split, out),
            false => operands.isa().run(Exponentials { x, split, y: out }),
        }
    }
}

/// The most powers that are summed in single precision.
const BLOCK_ROWS: usize = 8;

struct Exponentials<'a> {
    x: &'a [f32],
    split: &'a Split,
    y: &'a mut [f32],
}

impl Task for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Exponentials { x, split, y } = self;
        if split.run > 1 && split.run <= 4 * S::LANES && split.reduced.len() == 1 {
            return in_groups(s, split.run, &mut ShortRows { x, split, y });
        }
        for [start] in split.kept.offsets() {
            let (x, y) = (&x[start..], &mut y[start..]);
            match split.run {
                1 => in_groups(s, split.lanes, &mut ColumnExponentials { x, split, y }),
                _ => exponentials(s, x, split, y),
            }
        }
    }
}

/// The softmax of rows that registers hold.
struct ShortRows<'a> {
    x: &'a [f32],
    split: &'a Split,
    y: &'a mut [f32],
}

impl Columns for ShortRows<'_> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, _: usize, last: usize) {
        let run = self.split.run;
        for [start] in self.split.kept.offsets() {
            let (x, y) = (self.x[start..][..run].as_ptr(), self.y[start..][..run].as_mut_ptr());
            let mut row = [s.splat(f32::NEG_INFINITY); G];
            for (g, x_g) in row.iter_mut().enumerate() {
                // SAFETY: the slice has the elements of the row.
                *x_g = unsafe {
                    match g + 1 < G || last == S::LANES {
                        true => s.load(x.add(g * S::LANES)),
                        false => s.load_first_or(x.add(g * S::LANES), last, *x_g),
                    }
                };
            }
            let mut max = row[0];
            for x in &row[1..] {
                max = s.larger(*x, max);
            }
            let max = s.splat(choose_lane(s, Larger, max));
            let mut sum = s.splat(0.0);
            for x in &mut row {
                *x = exp_of_negative(s, s.sub(*x, max));
                sum = s.add(sum, *x);
            }
            let factor = s.splat((1.0 / s.sum_wide(s.widen(sum))) as f32);
            for (g, power) in row.into_iter().enumerate() {
                // SAFETY: the slice has the elements of the row.
                unsafe { store_column::<S, G>(s, y, s.mul(power, factor), g, last) };
            }
        }
    }
}

/// The softmax of all elements of one kept row.
#[inline(always)]
fn exponentials<S: Simd>(s: S, x: &[f32], split: &Split, y: &mut [f32]) {
    let max = s.splat(choose(s, Larger, split.reduced.offsets().map(|[offset]| &x[offset..][..split.run])));
    let mut total = s.splat_wide(0.0);
    for [offset] in split.reduced.offsets() {
        let (x, y) = (&x[offset..][..split.run], &mut y[offset..][..split.run]);
        for (x, y) in x.chunks(4 * BLOCK_ROWS * S::LANES).zip(y.chunks_mut(4 * BLOCK_ROWS * S::LANES)) {
            total = s.add_wide(total, s.widen(powers(s, x, max, y)));
        }
    }
    let factor = Scaled((1.0 / s.sum_wide(total)) as f32);
    for [offset] in split.reduced.offsets() {
        s.map(&mut y[offset..][..split.run], factor);
    }
}

/// Makes `y` the powers of e of `x - max`, and returns sums of them.
#[inline(always)]
fn powers<S: Simd>(s: S, x: &[f32], max: S::F, y: &mut [f32]) -> S::F {
    let mut sums = [s.splat(0.0); 4];
    let (mut x_blocks, mut y_blocks) = (x.chunks_exact(4 * S::LANES), y.chunks_exact_mut(4 * S::LANES));
    for (x, y) in (&mut x_blocks).zip(&mut y_blocks) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `i < 4`.
            unsafe {
                let x = s.load(x.as_ptr().add(i * S::LANES));
                let power = exp_of_negative(s, s.sub(x, max));
                s.store(y.as_mut_ptr().add(i * S::LANES), power);
                *sum = s.add(*sum, power);
            }
        }
    }
    let rest = x_blocks.remainder().chunks(S::LANES).zip(y_blocks.into_remainder().chunks_mut(S::LANES));
    for ((x, y), sum) in rest.zip(&mut sums) {
        // SAFETY: no more than the elements of `x` are read, and as many written.
        unsafe {
            let x = s.load_first_or(x.as_ptr(), x.len(), s.splat(f32::NEG_INFINITY));
            let power = exp_of_negative(s, s.sub(x, max));
            s.store_first(y.as_mut_ptr(), power, y.len());
            *sum = s.add(*sum, power);
        }
    }
    let [a, b, c, d] = sums;
    s.add(s.add(a, b), s.add(c, d))
}

/// Each element times a number.
#[derive(Clone, Copy)]
struct Scaled(f32);

impl Elementwise for Scaled {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(x, s.splat(self.0))
    }
}

/// The softmax of columns.
struct ColumnExponentials<'a> {
    x: &'a [f32],
    split: &'a Split,
    y: &'a mut [f32],
}

impl Columns for ColumnExponentials<'_> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, first: usize, last: usize) {
        let columns = (G - 1) * S::LANES + last;
        let mut max = [s.splat(f32::NEG_INFINITY); G];
        for [row] in self.split.reduced.offsets() {
            let x = self.x[row + first..][..columns].as_ptr();
            for (g, max) in max.iter_mut().enumerate() {
                // SAFETY: the slice has the columns of the group.
                *max = s.larger(unsafe { load_column::<S, G>(s, x, g, last) }, *max);
            }
        }
        let (mut totals, mut sums) = ([s.splat_wide(0.0); G], [s.splat(0.0); G]);
        for (i, [row]) in self.split.reduced.offsets().enumerate() {
            let x = self.x[row + first..][..columns].as_ptr();
            let y = self.y[row + first..][..columns].as_mut_ptr();
            for (g, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the slices have the columns of the group.
                unsafe {
                    let x = load_column::<S, G>(s, x, g, last);
                    let power = exp_of_negative(s, s.sub(x, max[g]));
                    store_column::<S, G>(s, y, power, g, last);
                    *sum = s.add(*sum, power);
                }
            }
            if i % BLOCK_ROWS == BLOCK_ROWS - 1 {
                for (total, sum) in totals.iter_mut().zip(&mut sums) {
                    *total = s.add_wide(*total, s.widen(*sum));
                    *sum = s.splat(0.0);
                }
            }
        }
        for (total, sum) in totals.iter().zip(&mut sums) {
            *sum = s.div(s.splat(1.0), s.narrow(s.add_wide(*total, s.widen(*sum))));
        }
        for [row] in self.split.reduced.offsets() {
            let y = self.y[row + first..][..columns].as_mut_ptr();
            for (g, factor) in sums.iter().enumerate() {
                // SAFETY: the slice has the columns of the group.
                unsafe {
                    let scaled = s.mul(load_column::<S, G>(s, y, g, last), *factor);
                    store_column::<S, G>(s, y, scaled, g, last);
                }
            }
        }
    }
}

/// The logarithms of the softmax: in double precision, because that of the largest element may be almost 0.
fn logarithms(x: &[f32], split: &Split, y: &mut [f32]) {
    for [start] in split.kept.offsets() {
        for first in start..start + split.lanes {
            let (mut max, mut sum) = (f64::NEG_INFINITY, 0.0);
            for [offset] in split.reduced.offsets() {
                for x in x[first + offset..][..split.run].iter().map(|&x| f64::from(x)) {
                    max = if x > max || x.is_nan() { x } else { max };
                }
            }
            for [offset] in split.reduced.offsets() {
                for &x in &x[first + offset..][..split.run] {
                    sum += (f64::from(x) - max).exp();
                }
            }
            let log = sum.ln();
            for [offset] in split.reduced.offsets() {
                let (x, y) = (&x[first + offset..][..split.run], &mut y[first + offset..][..split.run]);
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = (f64::from(x) - max - log) as f32);
            }
        }
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
