//! Division by a measure of the elements along some axes: in double precision from the first sum to the rounded
//! result, because a mean may be far larger than what is left of the elements without it.

use super::grid::Grid;
use super::split::{Columns, Split, in_groups, load_column, store_column};
use super::sums::{ColumnSums, Itself, Square, Term, sum};
use super::{Kernel, Operands};
use crate::Result;
use crate::simd::{Simd, Task};
use k2o_core::ops::{self, NormalizeKind};

/// Normalization of operand 0, with the scale and the bias in operands 1 and 2.
pub(crate) struct Normalize {
    pub op: ops::Normalize,
    /// Scale and bias, as far as there are any.
    pub parameters: usize,
}

impl Kernel for Normalize {
    type Out = f32;
    type Bound = Split;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<Split> {
        Ok(Split::new(operands[0], &self.op.axes))
    }

    fn run(&self, split: &Split, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let parameter = |index: usize| (self.parameters >= index).then(|| operands.get::<f32>(index));
        let [scale, bias] = [1, 2].map(parameter);
        let x = operands.get::<f32>(0);
        operands.isa().run(Normalized { op: &self.op, x, split, scale, bias, y: out });
    }
}

struct Normalized<'a> {
    op: &'a ops::Normalize,
    x: &'a [f32],
    split: &'a Split,
    scale: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    y: &'a mut [f32],
}

/// Columns that are normalized at once; a multiple of all groups'.
const COLUMNS: usize = 64;

impl Task for Normalized<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if self.split.run > 1 && self.split.run <= 4 * S::LANES && self.split.reduced.len() == 1 {
            return in_groups(s, self.split.run, &mut ShortRows(self));
        }
        for [start] in self.split.kept.offsets() {
            match self.split.run {
                1 => {
                    for first in (0..self.split.lanes).step_by(COLUMNS) {
                        self.columns(s, start + first, COLUMNS.min(self.split.lanes - first));
                    }
                }
                _ => self.runs(s, start),
            }
        }
    }
}

/// Rows that registers hold.
struct ShortRows<'a>(Normalized<'a>);

impl Columns for ShortRows<'_> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, _: usize, last: usize) {
        let Normalized { op, x, split, scale, bias, ref mut y } = self.0;
        let scale = parameter::<S, G>(s, scale, 1.0, split.run);
        let bias = parameter::<S, G>(s, bias, 0.0, split.run);
        let count = split.run as f64;
        for [start] in split.kept.offsets() {
            let (x, y) = (x[start..][..split.run].as_ptr(), y[start..][..split.run].as_mut_ptr());
            let (mut row, mut sum) = ([s.splat_wide(0.0); G], s.splat_wide(0.0));
            for (g, x_g) in row.iter_mut().enumerate() {
                // SAFETY: the slice has the elements of the row.
                *x_g = s.widen(unsafe { load_column::<S, G>(s, x, g, last) });
                sum = s.add_wide(sum, *x_g);
            }
            let mean = match op.kind {
                NormalizeKind::RootMeanSquare => 0.0,
                _ => s.sum_wide(sum) / count,
            };
            let (wide_mean, mut squares) = (s.splat_wide(mean), s.splat_wide(0.0));
            for (g, x) in row.iter_mut().enumerate() {
                let mut distance = s.sub_wide(*x, wide_mean);
                if g + 1 == G {
                    distance = s.first_wide(distance, last);
                }
                squares = s.mul_add_wide(distance, distance, squares);
                if op.kind != NormalizeKind::Deviation {
                    *x = distance;
                }
            }
            let factor = s.splat_wide(factor(s.sum_wide(squares), count, op.epsilon));
            for (g, x) in row.into_iter().enumerate() {
                let normalized = s.mul_add_wide(s.mul_wide(x, factor), scale[g], bias[g]);
                // SAFETY: the slice has the elements of the row.
                unsafe { store_column::<S, G>(s, y, s.narrow(normalized), g, last) };
            }
        }
    }
}

/// `G` vectors of `count` parameters, which are `none` if there are none.
#[inline(always)]
fn parameter<S: Simd, const G: usize>(s: S, values: Option<&[f32]>, none: f64, count: usize) -> [S::D; G] {
    let mut parameter = [s.splat_wide(none); G];
    if let Some(values) = values {
        for (vector, values) in parameter.iter_mut().zip(values[..count].chunks(S::LANES)) {
            // SAFETY: no more than the elements of `values` are read.
            *vector = s.widen(unsafe { s.load_first(values.as_ptr(), values.len()) });
        }
    }
    parameter
}

/// What elements are multiplied by, from the sum of their squares.
#[inline(always)]
fn factor(squares: f64, count: f64, epsilon: f64) -> f64 {
    1.0 / (squares / count + epsilon).sqrt()
}

impl Normalized<'_> {
    /// Normalizes the elements of one kept row.
    #[inline(always)]
    fn runs<S: Simd>(&mut self, s: S, start: usize) {
        let (kind, run) = (self.op.kind, self.split.run);
        let (mut mean, mut squares) = (0.0, 0.0);
        if kind != NormalizeKind::RootMeanSquare {
            for [offset] in self.split.reduced.offsets() {
                mean += sum(s, &self.x[start + offset..][..run], Itself);
            }
            mean /= self.split.count() as f64;
        }
        for [offset] in self.split.reduced.offsets() {
            squares += sum(s, &self.x[start + offset..][..run], Square { from: mean });
        }
        let subtracted = if kind == NormalizeKind::Deviation { 0.0 } else { mean };
        let (subtracted, factor) = (
            s.splat_wide(subtracted),
            s.splat_wide(factor(squares, self.split.count() as f64, self.op.epsilon)),
        );
        for (i, [offset]) in self.split.reduced.offsets().enumerate() {
            let (x, y) = (&self.x[start + offset..][..run], &mut self.y[start + offset..][..run]);
            let [scale, bias] = [self.scale, self.bias].map(|all| all.map(|all| &all[i * run..][..run]));
            match (scale, bias) {
                (Some(scale), Some(bias)) => normalize(s, x, y, subtracted, factor, [scale, bias]),
                (Some(scale), None) => normalize(s, x, y, subtracted, factor, [scale]),
                _ => normalize(s, x, y, subtracted, factor, []),
            }
        }
    }

    /// Normalizes `count` neighbouring columns from `start`.
    #[inline(always)]
    fn columns<S: Simd>(&mut self, s: S, start: usize, count: usize) {
        let (kind, rows) = (self.op.kind, &self.split.reduced);
        let x = self.x;
        let (mut means, mut factors) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        if kind != NormalizeKind::RootMeanSquare {
            in_groups(s, count, &mut ColumnSums { x, start, rows, term: Itself, sums: &mut means });
            means.iter_mut().for_each(|mean| *mean /= self.split.count() as f64);
        }
        in_groups(
            s,
            count,
            &mut ColumnSums { x, start, rows, term: Squares { from: &means }, sums: &mut factors },
        );
        factors
            .iter_mut()
            .for_each(|squares| *squares = factor(*squares, self.split.count() as f64, self.op.epsilon));
        if kind == NormalizeKind::Deviation {
            means.fill(0.0);
        }
        let y = &mut self.y[start..];
        let (means, factors) = (&means, &factors);
        let parameters = (self.scale, self.bias);
        let x = &x[start..];
        in_groups(s, count, &mut NormalizedColumns { x, rows, means, factors, parameters, y });
    }
}

/// Makes `y` what is left of `x`, times the factor, times the first parameter, plus the second.
#[inline(always)]
fn normalize<S: Simd, const N: usize>(
    s: S,
    x: &[f32],
    y: &mut [f32],
    subtracted: S::D,
    factor: S::D,
    parameters: [&[f32]; N],
) {
    for first in (0..x.len()).step_by(S::LANES) {
        let count = x.len() - first;
        // SAFETY: no more than `count` elements are read and written, of which there are as many everywhere.
        unsafe {
            let x = load_wide_first(s, x.as_ptr().add(first), count);
            let mut normalized = s.mul_wide(s.sub_wide(x, subtracted), factor);
            let mut others = [s.splat_wide(0.0); N];
            for (other, parameter) in others.iter_mut().zip(parameters) {
                *other = load_wide_first(s, parameter.as_ptr().add(first), count);
            }
            normalized = match others[..] {
                [scale, bias] => s.mul_add_wide(normalized, scale, bias),
                [scale] => s.mul_wide(normalized, scale),
                _ => normalized,
            };
            let (y, normalized) = (y.as_mut_ptr().add(first), s.narrow(normalized));
            match count < S::LANES {
                true => s.store_first(y, normalized, count),
                false => s.store(y, normalized),
            }
        }
    }
}

/// The first `count` numbers at `from`, then zeros.
///
/// # Safety
/// `min(count, LANES)` elements must be readable there.
#[inline(always)]
unsafe fn load_wide_first<S: Simd>(s: S, from: *const f32, count: usize) -> S::D {
    // SAFETY: the caller's.
    unsafe {
        match count < S::LANES {
            true => s.widen(s.load_first(from, count)),
            false => s.load_widened(from),
        }
    }
}

/// The squares of the elements' distances from numbers, one for each column.
#[derive(Clone, Copy)]
struct Squares<'a> {
    from: &'a [f64; COLUMNS],
}

impl Term for Squares<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::D, column: usize) -> S::D {
        let from = &self.from[column..][..S::LANES];
        // SAFETY: there are numbers for all lanes.
        let distance = s.sub_wide(x, unsafe { s.load_wide(from.as_ptr()) });
        s.mul_wide(distance, distance)
    }
}

/// Columns, each with a number that is subtracted and one that is multiplied by.
struct NormalizedColumns<'a> {
    x: &'a [f32],
    rows: &'a Grid<1>,
    means: &'a [f64; COLUMNS],
    factors: &'a [f64; COLUMNS],
    /// The scale and the bias of each row.
    parameters: (Option<&'a [f32]>, Option<&'a [f32]>),
    y: &'a mut [f32],
}

impl Columns for NormalizedColumns<'_> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, first: usize, last: usize) {
        let columns = (G - 1) * S::LANES + last;
        let (means, factors) = (&self.means[first..][..G * S::LANES], &self.factors[first..][..G * S::LANES]);
        for (i, [row]) in self.rows.offsets().enumerate() {
            let x = self.x[row + first..][..columns].as_ptr();
            let y = self.y[row + first..][..columns].as_mut_ptr();
            let scale = s.splat_wide(self.parameters.0.map_or(1.0, |scale| scale[i].into()));
            let bias = s.splat_wide(self.parameters.1.map_or(0.0, |bias| bias[i].into()));
            for g in 0..G {
                // SAFETY: the slices have the columns of the group, and there are numbers for whole vectors.
                unsafe {
                    let x = s.widen(load_column::<S, G>(s, x, g, last));
                    let mean = s.load_wide(means.as_ptr().add(g * S::LANES));
                    let factor = s.load_wide(factors.as_ptr().add(g * S::LANES));
                    let normalized = s.mul_wide(s.mul_wide(s.sub_wide(x, mean), factor), scale);
                    store_column::<S, G>(s, y, s.narrow(s.add_wide(normalized, bias)), g, last);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::{Normalize, NormalizeKind};
    use proptest::prelude::*;

    const KINDS: [NormalizeKind; 3] =
        [NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation];

    proptest! {
        #[test]
        fn normalizations_are_the_reference(
            kind in 0usize..3,
            shape in prop::collection::vec(prop_oneof![Just(1), 1usize..6, 60usize..70], 1..5),
            batch in 0usize..3,
            mask in 1usize..32,
            parameters in 0usize..3,
            seed in 0u64..1 << 40,
        ) {
            let mut shape = shape;
            shape.insert(0, batch);
            let axes: Vec<usize> = (1..shape.len()).filter(|axis| mask >> (axis - 1) & 1 == 1).collect();
            if axes.is_empty() || shape.iter().product::<usize>() > 1 << 14 {
                return Ok(());
            }
            let sizes: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
            let mut operands = vec![values(&shape, seed)];
            operands.extend((0..parameters).map(|i| values(&sizes, seed + 1 + i as u64)));
            let op = Normalize { kind: KINDS[kind], axes, epsilon: 1e-3 };
            check_close(&Problem::new(op, operands), 1.0, 1e-6);
        }
    }

    #[test]
    fn a_large_mean_costs_no_digits() {
        for n in [3, 100] {
            let x: Vec<f32> = (0..2 * n).map(|i| 1e6 + (i * i % 17) as f32).collect();
            for (shape, axis) in [(vec![2, n], 1), (vec![n, 2], 0)] {
                for kind in KINDS {
                    let op = Normalize { kind, axes: vec![axis], epsilon: 1e-6 };
                    check_close(&Problem::new(op, [(shape.clone(), x.clone())]), 1.0, 1e-12);
                }
            }
        }
    }

    #[test]
    fn nan_and_infinity_spoil_what_they_are_measured_with_only() {
        for bad in [f32::NAN, f32::INFINITY] {
            let x = (vec![2, 2], vec![1.0, bad, 3.0, -3.0]);
            let op = Normalize { kind: NormalizeKind::Standard, axes: vec![1], epsilon: 0.0 };
            let y = Problem::new(op, [x]).run();
            assert!(y[0].is_nan() && y[1].is_nan());
            assert_eq!(y[2..], [1.0, -1.0]);
        }
    }
}
