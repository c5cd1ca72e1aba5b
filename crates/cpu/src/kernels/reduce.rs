//! Maximum, minimum, sum or mean over whole axes.

use super::split::{Columns, Split, in_groups, load_column, store_column};
use super::sums::{ColumnSums, Itself, sum};
use super::{Kernel, Operands};
use crate::Result;
use crate::simd::{Simd, Task};
use k2o_core::ops::{self, ReduceKind};

/// Reduction of operand 0.
pub(crate) struct Reduce(pub ops::Reduce);

impl Kernel for Reduce {
    type Out = f32;
    type Bound = Split;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<Split> {
        Ok(Split::new(operands[0], &self.0.axes))
    }

    fn run(&self, split: &Split, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let (x, isa) = (operands.get::<f32>(0), operands.isa());
        if x.is_empty() {
            // Of nothing there are sums only.
            return out.fill(0.0);
        }
        match self.0.kind {
            ReduceKind::Max => isa.run(Choose { choice: Larger, x, split, out }),
            ReduceKind::Min => isa.run(Choose { choice: Smaller, x, split, out }),
            ReduceKind::Sum => isa.run(Sums { factor: 1.0, x, split, out }),
            ReduceKind::Mean => isa.run(Sums { factor: 1.0 / split.count() as f64, x, split, out }),
        }
    }
}

/// Which of two elements is preferred; NaN to all others.
pub(crate) trait Choice: Copy {
    /// What any element is preferred to.
    const NONE: f32;

    /// The preferred elements. Takes least time from `best` to the result.
    fn choose<S: Simd>(self, s: S, x: S::F, best: S::F) -> S::F;
}

#[derive(Clone, Copy)]
pub(crate) struct Larger;

impl Choice for Larger {
    const NONE: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn choose<S: Simd>(self, s: S, x: S::F, best: S::F) -> S::F {
        s.larger(x, best)
    }
}

#[derive(Clone, Copy)]
struct Smaller;

impl Choice for Smaller {
    const NONE: f32 = f32::INFINITY;

    #[inline(always)]
    fn choose<S: Simd>(self, s: S, x: S::F, best: S::F) -> S::F {
        s.smaller(x, best)
    }
}

/// The preferred elements of all that become one.
struct Choose<'a, C> {
    choice: C,
    x: &'a [f32],
    split: &'a Split,
    out: &'a mut [f32],
}

impl<C: Choice> Task for Choose<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Choose { choice, x, split, out } = self;
        for ([start], out) in split.kept.offsets().zip(out.chunks_exact_mut(split.lanes)) {
            let x = &x[start..];
            match split.run {
                1 => in_groups(s, split.lanes, &mut ColumnChoice { choice, x, split, out }),
                _ => {
                    let runs = split.reduced.offsets().map(|[offset]| &x[offset..][..split.run]);
                    out[0] = choose(s, choice, runs);
                }
            }
        }
    }
}

/// The preferred of the elements in runs.
#[inline(always)]
pub(crate) fn choose<'a, S: Simd, C: Choice>(s: S, choice: C, runs: impl Iterator<Item = &'a [f32]>) -> f32 {
    let none = s.splat(C::NONE);
    let mut best = [none; 4];
    for run in runs {
        let mut blocks = run.chunks_exact(4 * S::LANES);
        for block in &mut blocks {
            for (i, best) in best.iter_mut().enumerate() {
                // SAFETY: `i < 4`.
                let x = unsafe { s.load(block.as_ptr().add(i * S::LANES)) };
                *best = choice.choose(s, x, *best);
            }
        }
        for (rest, best) in blocks.remainder().chunks(S::LANES).zip(&mut best) {
            // SAFETY: no more than the elements of `rest` are read.
            let x = unsafe { s.load_first_or(rest.as_ptr(), rest.len(), none) };
            *best = choice.choose(s, x, *best);
        }
    }
    let [a, b, c, d] = best;
    choose_lane(s, choice, choice.choose(s, choice.choose(s, a, b), choice.choose(s, c, d)))
}

/// The preferred of all lanes.
#[inline(always)]
pub(crate) fn choose_lane<S: Simd, C: Choice>(s: S, choice: C, lanes: S::F) -> f32 {
    const { assert!(S::LANES == 4 || S::LANES == 8 || S::LANES == 16) };
    let mut best = lanes;
    if S::LANES > 8 {
        best = choice.choose(s, s.swap::<8>(best), best);
    }
    if S::LANES > 4 {
        best = choice.choose(s, s.swap::<4>(best), best);
    }
    best = choice.choose(s, s.swap::<2>(best), best);
    s.first_lane(choice.choose(s, s.swap::<1>(best), best))
}

/// The preferred elements of columns.
struct ColumnChoice<'a, C> {
    choice: C,
    x: &'a [f32],
    split: &'a Split,
    out: &'a mut [f32],
}

impl<C: Choice> Columns for ColumnChoice<'_, C> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, first: usize, last: usize) {
        let columns = (G - 1) * S::LANES + last;
        let mut best = [s.splat(C::NONE); G];
        for [row] in self.split.reduced.offsets() {
            let x = self.x[row + first..][..columns].as_ptr();
            for (g, best) in best.iter_mut().enumerate() {
                // SAFETY: the slice has the columns of the group.
                *best = self.choice.choose(s, unsafe { load_column::<S, G>(s, x, g, last) }, *best);
            }
        }
        let out = self.out[first..][..columns].as_mut_ptr();
        for (g, best) in best.into_iter().enumerate() {
            // SAFETY: the slice has the columns of the group.
            unsafe { store_column::<S, G>(s, out, best, g, last) };
        }
    }
}

/// The sums of all that become one, times a factor.
struct Sums<'a> {
    factor: f64,
    x: &'a [f32],
    split: &'a Split,
    out: &'a mut [f32],
}

impl Task for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        /// Columns whose sums are computed before they are rounded; a multiple of all groups'.
        const COLUMNS: usize = 64;
        let Sums { factor, x, split, out } = self;
        for ([start], out) in split.kept.offsets().zip(out.chunks_exact_mut(split.lanes)) {
            let x = &x[start..];
            if split.run != 1 {
                let mut total = 0.0;
                for [offset] in split.reduced.offsets() {
                    total += sum(s, &x[offset..][..split.run], Itself);
                }
                out[0] = (total * factor) as f32;
                continue;
            }
            for (i, out) in out.chunks_mut(COLUMNS).enumerate() {
                let mut sums = [0.0; COLUMNS];
                let (start, rows) = (i * COLUMNS, &split.reduced);
                in_groups(s, out.len(), &mut ColumnSums { x, start, rows, term: Itself, sums: &mut sums });
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum * factor) as f32);
            }
        }
    }
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
