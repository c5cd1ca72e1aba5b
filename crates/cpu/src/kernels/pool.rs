//! Maximum or average over windows, each channel alone.

use super::products::Row;
use super::split::{Columns, in_groups, load_column, store_column};
use super::windows::{Cell, Sliding};
use super::{Kernel, Operands};
use crate::simd::{Simd, Task};
use crate::{Error, Result};
use k2o_core::ops::{self, PoolKind};

/// Pooling of operand 0.
pub(crate) struct Pool(pub ops::Pool);

pub(crate) struct PoolBound {
    channels: usize,
    /// Elements of a sample, in the input and in the output.
    sample: [usize; 2],
    lines: Vec<Line>,
    /// The windows whose taps are not in one line, if there are any.
    others: Option<Sliding>,
}

/// Windows of the first sample whose taps are in one line, all in the same way.
struct Line {
    rows: Vec<Row>,
    taps: Taps,
}

/// Taps at even distances.
#[derive(Clone, Copy)]
struct Taps {
    /// The offset of the first, how many there are, and how far apart.
    first: usize,
    count: usize,
    step: usize,
}

/// The taps of a cell, if they are in one line.
fn single_run(cell: &Cell<'_>) -> Option<Taps> {
    let (mut runs, mut last) = (0, None);
    cell.tap_runs(&mut |first, _, count, step| {
        runs += 1;
        last = Some(Taps { first, count, step });
    });
    last.filter(|taps| runs == 1 && taps.count > 0)
}

impl Kernel for Pool {
    type Out = f32;
    type Bound = PoolBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<PoolBound> {
        let x = operands[0];
        let channels = x.last().copied().ok_or_else(|| Error::shape("pooling of a single number"))?;
        let sample = [x, output].map(|sizes| sizes.iter().skip(1).product());
        let mut one = x.to_vec();
        one[0] = 1;
        let mut bound = PoolBound { channels, sample, lines: vec![], others: None };
        let mut others = false;
        Sliding::new(&self.0.windows, &one, channels)?.cells(|cell| match single_run(&cell) {
            Some(taps) => {
                let mut rows = vec![];
                cell.rows(&mut |row| rows.push(row));
                bound.lines.push(Line { rows, taps });
            }
            None => others = true,
        });
        if others {
            bound.others = Some(Sliding::new(&self.0.windows, x, channels)?);
        }
        Ok(bound)
    }

    fn run(&self, bound: &PoolBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let (x, channels, isa) = (operands.get::<f32>(0), bound.channels, operands.isa());
        let samples =
            x.chunks_exact(bound.sample[0].max(1)).zip(out.chunks_exact_mut(bound.sample[1].max(1)));
        for (x, out) in samples {
            for Line { rows, taps } in &bound.lines {
                let taps = *taps;
                match self.0.kind {
                    PoolKind::Max => isa.run(Windows { pooling: Largest, x, channels, rows, taps, out }),
                    PoolKind::Average if taps.count <= 2 => {
                        isa.run(Windows { pooling: Middle, x, channels, rows, taps, out });
                    }
                    PoolKind::Average => isa.run(Windows { pooling: Mean, x, channels, rows, taps, out }),
                }
            }
        }
        if let Some(sliding) = &bound.others {
            sliding.cells(|cell| {
                if single_run(&cell).is_none() {
                    cell.rows(&mut |row| {
                        one_window(self.0.kind, (x, row.x), &cell, &mut out[row.y..][..channels])
                    });
                }
            });
        }
    }
}

/// How neighbouring channels of a window become one number each.
trait Pooling: Copy {
    /// `G` vectors of pooled channels, of which the first tap's are at `x`.
    ///
    /// # Safety
    /// The channels of all taps must be readable.
    unsafe fn pool<S: Simd, const G: usize>(self, s: S, x: *const f32, last: usize, taps: Taps) -> [S::F; G];
}

/// The largest.
#[derive(Clone, Copy)]
struct Largest;

impl Pooling for Largest {
    #[inline(always)]
    unsafe fn pool<S: Simd, const G: usize>(self, s: S, x: *const f32, last: usize, taps: Taps) -> [S::F; G] {
        let mut max = [s.splat(0.0); G];
        for (g, max) in max.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *max = unsafe { load_column::<S, G>(s, x, g, last) };
        }
        for tap in 1..taps.count {
            for (g, max) in max.iter_mut().enumerate() {
                // SAFETY: the caller's.
                *max = s.larger(unsafe { load_column::<S, G>(s, x.add(tap * taps.step), g, last) }, *max);
            }
        }
        max
    }
}

/// The mean of one or two, rounded once.
#[derive(Clone, Copy)]
struct Middle;

impl Pooling for Middle {
    #[inline(always)]
    unsafe fn pool<S: Simd, const G: usize>(self, s: S, x: *const f32, last: usize, taps: Taps) -> [S::F; G] {
        let mut mean = [s.splat(0.0); G];
        for (g, mean) in mean.iter_mut().enumerate() {
            // SAFETY: the caller's; the last tap is the first where there is one.
            let (a, b) = unsafe {
                let last_tap = x.add((taps.count - 1) * taps.step);
                (load_column::<S, G>(s, x, g, last), load_column::<S, G>(s, last_tap, g, last))
            };
            // A sum could be too large.
            *mean = s.mul_add(a, s.splat(0.5), s.mul(b, s.splat(0.5)));
        }
        mean
    }
}

/// The mean.
#[derive(Clone, Copy)]
struct Mean;

impl Pooling for Mean {
    #[inline(always)]
    unsafe fn pool<S: Simd, const G: usize>(self, s: S, x: *const f32, last: usize, taps: Taps) -> [S::F; G] {
        let mut sums = [s.splat_wide(0.0); G];
        for tap in 0..taps.count {
            for (g, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's.
                let x = unsafe { load_column::<S, G>(s, x.add(tap * taps.step), g, last) };
                *sum = s.add_wide(*sum, s.widen(x));
            }
        }
        let factor = s.splat_wide(1.0 / taps.count as f64);
        let mut mean = [s.splat(0.0); G];
        for (mean, sum) in mean.iter_mut().zip(sums) {
            *mean = s.narrow(s.mul_wide(sum, factor));
        }
        mean
    }
}

/// Windows that start at `rows`.
struct Windows<'a, P> {
    pooling: P,
    x: &'a [f32],
    channels: usize,
    rows: &'a [Row],
    taps: Taps,
    out: &'a mut [f32],
}

impl<P: Pooling> Task for Windows<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        in_groups(s, self.channels, &mut self);
    }
}

impl<P: Pooling> Columns for Windows<'_, P> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, first: usize, last: usize) {
        let (taps, channels) = (self.taps, (G - 1) * S::LANES + last);
        for row in self.rows {
            let x = &self.x[row.x + taps.first + first..][..(taps.count - 1) * taps.step + channels];
            let out = self.out[row.y + first..][..channels].as_mut_ptr();
            // SAFETY: the slices have the group's channels, of all taps.
            unsafe {
                let pooled = self.pooling.pool::<S, G>(s, x.as_ptr(), last, taps);
                for (g, pooled) in pooled.into_iter().enumerate() {
                    store_column::<S, G>(s, out, pooled, g, last);
                }
            }
        }
    }
}

/// Pools one window of any taps, which start at `start`.
fn one_window(kind: PoolKind, (x, start): (&[f32], usize), cell: &Cell<'_>, out: &mut [f32]) {
    const CHANNELS: usize = 64;
    for (i, out) in out.chunks_mut(CHANNELS).enumerate() {
        let start = start + i * CHANNELS;
        let (mut max, mut sums) = ([f32::NEG_INFINITY; CHANNELS], [0.0; CHANNELS]);
        cell.tap_runs(&mut |offset, _, count, step| {
            for tap in 0..count {
                let x = &x[start + offset + tap * step..][..out.len()];
                for (channel, &x) in x.iter().enumerate() {
                    max[channel] = if x > max[channel] || x.is_nan() { x } else { max[channel] };
                    sums[channel] += f64::from(x);
                }
            }
        });
        match kind {
            PoolKind::Max => out.copy_from_slice(&max[..out.len()]),
            PoolKind::Average => {
                let count = cell.taps as f64;
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / count) as f32);
            }
        }
    }
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
