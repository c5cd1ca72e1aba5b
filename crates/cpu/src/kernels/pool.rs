//! Maximum or average over windows, each channel alone.

use super::products::Row;
use super::sums::add;
use super::windows::{Cell, Sliding};
use super::{Kernel, Operands};
use crate::{Error, Result};
use k2o_core::ops::{self, PoolKind};

/// Channels that are pooled at once.
const LANES: usize = 64;

/// Pooling of operand 0.
pub(crate) struct Pool(pub ops::Pool);

pub(crate) struct PoolBound {
    sliding: Sliding,
    channels: usize,
}

/// The larger; NaN if either is.
#[inline(always)]
pub(crate) fn larger(max: f32, x: f32) -> f32 {
    if x > max || x.is_nan() { x } else { max }
}

impl Kernel for Pool {
    type Out = f32;
    type Bound = PoolBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<PoolBound> {
        let x = operands[0];
        let channels = x.last().copied().ok_or_else(|| Error::shape("pooling of a single number"))?;
        Ok(PoolBound { sliding: Sliding::new(&self.0.windows, x, channels)?, channels })
    }

    fn run(&self, bound: &PoolBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let x = operands.get::<f32>(0);
        bound.sliding.cells(|cell| {
            cell.rows(&mut |row| {
                for first in (0..bound.channels).step_by(LANES) {
                    let lanes = LANES.min(bound.channels - first);
                    let out = &mut out[row.y + first..][..lanes];
                    let row = Row { x: row.x + first, y: row.y + first };
                    match self.0.kind {
                        PoolKind::Max => max(x, row, &cell, out),
                        PoolKind::Average => average(x, row, &cell, out),
                    }
                }
            });
        });
    }
}

fn max(x: &[f32], row: Row, cell: &Cell<'_>, out: &mut [f32]) {
    out.fill(f32::NEG_INFINITY);
    cell.tap_runs(&mut |offset, _, count, step| {
        for tap in 0..count {
            let x = &x[row.x + offset + tap * step..][..out.len()];
            out.iter_mut().zip(x).for_each(|(max, &x)| *max = larger(*max, x));
        }
    });
}

fn average(x: &[f32], row: Row, cell: &Cell<'_>, out: &mut [f32]) {
    let mut sums = [0.0; LANES];
    let sums = &mut sums[..out.len()];
    cell.tap_runs(&mut |offset, _, count, step| {
        for tap in 0..count {
            add(sums, &x[row.x + offset + tap * step..][..out.len()]);
        }
    });
    let count = cell.taps as f64;
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (*sum / count) as f32);
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, padding, values};
    use k2o_core::ops::Operator;
    use k2o_core::{DType, Padding, Shape, TensorType, Window, ops};
    use ops::PoolKind;
    use proptest::prelude::*;

    fn pool(kind: PoolKind, windows: Vec<Window>) -> ops::Pool {
        ops::Pool { kind, windows }
    }

    proptest! {
        #[test]
        fn pools_are_the_reference(
            batch in 0usize..3,
            axes in prop::collection::vec((1usize..9, 1i64..5, 1i64..4, 1i64..3, padding()), 0..4),
            channels in 1usize..80,
            average in any::<bool>(),
            seed in 0u64..1 << 40,
        ) {
            let windows = axes.iter().map(|&(_, size, stride, dilation, padding)| {
                Window::new(size, stride, dilation, padding).unwrap()
            });
            let mut x = vec![batch];
            x.extend(axes.iter().map(|axis| axis.0));
            x.push(channels);
            let kind = if average { PoolKind::Average } else { PoolKind::Max };
            let op = pool(kind, windows.collect());
            // Windows that do not fit and windows that read only padding are refused.
            let given = TensorType::new(Shape::of(&x).unwrap(), DType::F32);
            if op.infer(&[given], &mut ops::Infer::default()).is_err() {
                return Ok(());
            }
            check_close(&Problem::new(op, [values(&x, seed)]), 1.0, 0.0);
        }
    }

    #[test]
    fn nan_is_the_largest_and_padding_the_least() {
        let window = Window::new(2, 1, 1, Padding::Same).unwrap();
        let x = (vec![1, 4, 1], vec![-3.0, f32::NAN, -5.0, f32::NEG_INFINITY]);
        let y = Problem::new(pool(PoolKind::Max, vec![window]), [x]).run();
        assert!(y[0].is_nan() && y[1].is_nan());
        assert_eq!(y[2..], [-5.0, f32::NEG_INFINITY]);
    }

    #[test]
    fn large_averages_lose_little() {
        let window = Window::new(10_000, 1, 1, Padding::Explicit(0, 0)).unwrap();
        let x = (vec![1, 10_000, 1], (0..10_000).map(|i| 0.1 + (i % 7) as f32).collect());
        check_close(&Problem::new(pool(PoolKind::Average, vec![window]), [x]), 1.0, 0.0);
    }

    #[test]
    fn a_window_far_larger_than_its_input_is_cheap() {
        let window = Window::new(1 << 40, 1 << 20, 1, Padding::Same).unwrap();
        let x = (vec![1, 3, 1], vec![1.0, 2.0, 6.0]);
        assert_eq!(Problem::new(pool(PoolKind::Average, vec![window]), [x]).run(), [3.0]);
    }
}
