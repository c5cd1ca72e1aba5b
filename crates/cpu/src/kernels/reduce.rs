//! Maximum, minimum, sum or mean over whole axes.

use super::grid::{Grid, strides};
use super::pool::larger;
use super::sums::{add, sum, sum_of};
use super::{Kernel, Operands};
use crate::Result;
use k2o_core::ops::{self, ReduceKind};

/// Elements that are reduced side by side.
pub(crate) const LANES: usize = 64;

/// Reduction of operand 0.
pub(crate) struct Reduce(pub ops::Reduce);

/// An array's axes, split into those that stay and those that are reduced.
///
/// Either the innermost axes stay, and `lanes` is their size: then `run` is 1. Or they are reduced, and `run` is
/// their size: then `lanes` is 1.
pub(crate) struct Split {
    pub kept: Grid<1>,
    pub reduced: Grid<1>,
    pub lanes: usize,
    pub run: usize,
}

impl Split {
    /// The split of an array of these sizes.
    pub fn new(shape: &[usize], axes: &[usize]) -> Split {
        let steps = strides(shape);
        let part = |reduced: bool| {
            let axes = (0..shape.len()).filter(move |axis| axes.contains(axis) == reduced);
            Grid::new(axes.map(|axis| (shape[axis], [steps[axis]])))
        };
        let (mut kept, mut reduced) = (part(false), part(true));
        let lanes = kept.split_run();
        let run = reduced.split_run();
        Split { kept, reduced, lanes, run }
    }

    /// The number of elements that become one.
    pub fn count(&self) -> usize {
        self.reduced.len() * self.run
    }
}

/// The smaller; NaN if either is.
#[inline(always)]
fn smaller(min: f32, x: f32) -> f32 {
    if x < min || x.is_nan() { x } else { min }
}

impl Kernel for Reduce {
    type Out = f32;
    type Bound = Split;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<Split> {
        Ok(Split::new(operands[0], &self.0.axes))
    }

    fn run(&self, split: &Split, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let x = operands.get::<f32>(0);
        let mut rows = out.chunks_exact_mut(split.lanes);
        split.kept.visit(|[start]| {
            let Some(out) = rows.next() else { return };
            match self.0.kind {
                ReduceKind::Max => select(x, start, split, out, f32::NEG_INFINITY, larger),
                ReduceKind::Min => select(x, start, split, out, f32::INFINITY, smaller),
                ReduceKind::Sum => sums(x, start, split, out, |sum| sum),
                ReduceKind::Mean => {
                    let count = split.count() as f64;
                    sums(x, start, split, out, |sum| sum / count);
                }
            }
        });
    }
}

/// `out` of one kept row: the elements that `choose` prefers.
#[inline(always)]
pub(crate) fn select(
    x: &[f32],
    start: usize,
    split: &Split,
    out: &mut [f32],
    none: f32,
    choose: impl Fn(f32, f32) -> f32,
) {
    out.fill(none);
    split.reduced.visit(|[offset]| {
        if split.run == 1 {
            let x = &x[start + offset..][..out.len()];
            out.iter_mut().zip(x).for_each(|(best, &x)| *best = choose(*best, x));
            return;
        }
        let (chunks, rest) = x[start + offset..][..split.run].as_chunks::<16>();
        let mut best = [none; 16];
        for chunk in chunks {
            for lane in 0..16 {
                best[lane] = choose(best[lane], chunk[lane]);
            }
        }
        out[0] = best.iter().chain(rest).fold(out[0], |best, &x| choose(best, x));
    });
}

/// `out` of one kept row: what `finish` makes of the sums.
#[inline(always)]
pub(crate) fn sums(x: &[f32], start: usize, split: &Split, out: &mut [f32], finish: impl Fn(f64) -> f64) {
    if split.run != 1 {
        let mut total = 0.0;
        split.reduced.visit(|[offset]| total += sum(&x[start + offset..][..split.run]));
        out[0] = finish(total) as f32;
        return;
    }
    for (i, out) in out.chunks_mut(LANES).enumerate() {
        let first = start + i * LANES;
        let mut totals = [0.0; LANES];
        split.reduced.visit(|[offset]| add(&mut totals, &x[first + offset..][..out.len()]));
        out.iter_mut().zip(totals).for_each(|(out, total)| *out = finish(total) as f32);
    }
}

/// The sums over one kept row of what `f` makes of the elements and the numbers of their lanes, of which there are as
/// many as `totals`.
#[inline(always)]
pub(crate) fn totals(
    x: &[f32],
    start: usize,
    split: &Split,
    totals: &mut [f64],
    f: impl Fn(f64, usize) -> f64,
) {
    totals.fill(0.0);
    split.reduced.visit(|[offset]| {
        let x = &x[start + offset..];
        if split.run != 1 {
            totals[0] += sum_of(&x[..split.run], |x| f(x, 0));
            return;
        }
        for (lane, (total, &x)) in totals.iter_mut().zip(x).enumerate() {
            *total += f(f64::from(x), lane);
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::{Reduce, ReduceKind};
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = ReduceKind> {
        prop_oneof![
            Just(ReduceKind::Max),
            Just(ReduceKind::Min),
            Just(ReduceKind::Sum),
            Just(ReduceKind::Mean),
        ]
    }

    proptest! {
        #[test]
        fn reductions_are_the_reference(
            kind in kinds(),
            shape in prop::collection::vec(prop_oneof![Just(1), 0usize..6, 30usize..70], 1..5),
            mask in 0usize..32,
            keep_dims in any::<bool>(),
            seed in 0u64..1 << 40,
        ) {
            let axes: Vec<usize> = (0..shape.len()).filter(|axis| mask >> axis & 1 == 1).collect();
            if shape.iter().product::<usize>() > 1 << 16
                || kind != ReduceKind::Sum && axes.iter().any(|&axis| shape[axis] == 0)
            {
                return Ok(());
            }
            check_close(&Problem::new(Reduce { kind, axes, keep_dims }, [values(&shape, seed)]), 1.0, 0.0);
        }
    }

    #[test]
    fn nan_is_the_largest_and_the_smallest() {
        for kind in [ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean] {
            for n in [2, 40] {
                for at in [0, n - 1] {
                    let mut x = vec![1.0; 2 * n];
                    x[at] = f32::NAN;
                    let reduce = |axis| {
                        let op = Reduce { kind, axes: vec![axis], keep_dims: false };
                        let shape = if axis == 1 { vec![2, n] } else { vec![n, 2] };
                        Problem::new(op, [(shape, x.clone())])
                            .run()
                            .iter()
                            .map(|y| y.is_nan())
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(reduce(1), [true, false], "{kind:?}");
                    assert_eq!(reduce(0), [at % 2 == 0, at % 2 == 1], "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn long_axes_lose_little() {
        let data: Vec<f32> = (0..300_000).map(|i| 0.1 + (i % 7) as f32).collect();
        for (shape, axis) in [(vec![1, 300_000], 1), (vec![300_000, 1], 0), (vec![100_000, 3], 0)] {
            let op = Reduce { kind: ReduceKind::Mean, axes: vec![axis], keep_dims: true };
            check_close(&Problem::new(op, [(shape, data.clone())]), 1.0, 0.0);
        }
    }
}
