//! Sums of elements that are not products: in double precision, so that their length hardly matters.

use super::grid::Grid;
use super::split::{Columns, load_column};
use crate::simd::Simd;

/// What is summed of elements.
pub(crate) trait Term: Copy {
    /// The terms of elements, the first of which is in column `column`.
    fn of<S: Simd>(self, s: S, x: S::D, column: usize) -> S::D;
}

/// The elements themselves.
#[derive(Clone, Copy)]
pub(crate) struct Itself;

impl Term for Itself {
    #[inline(always)]
    fn of<S: Simd>(self, _: S, x: S::D, _: usize) -> S::D {
        x
    }
}

/// The squares of the elements' distances from a number.
#[derive(Clone, Copy)]
pub(crate) struct Square {
    pub from: f64,
}

impl Term for Square {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::D, _: usize) -> S::D {
        let distance = s.sub_wide(x, s.splat_wide(self.from));
        s.mul_wide(distance, distance)
    }
}

/// The sum of neighbouring elements' terms, in an order that depends on their number and the instruction set only.
#[inline(always)]
pub(crate) fn sum<S: Simd>(s: S, elements: &[f32], term: impl Term) -> f64 {
    const SUMS: usize = 4;
    let mut sums = [s.splat_wide(0.0); SUMS];
    let mut blocks = elements.chunks_exact(SUMS * S::LANES);
    for block in &mut blocks {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `i < SUMS`.
            let x = unsafe { s.load_widened(block.as_ptr().add(i * S::LANES)) };
            *sum = s.add_wide(*sum, term.of(s, x, 0));
        }
    }
    for (rest, sum) in blocks.remainder().chunks(S::LANES).zip(&mut sums) {
        // SAFETY: no more than the elements of `rest` are read.
        let x = s.widen(unsafe { s.load_first(rest.as_ptr(), rest.len()) });
        *sum = s.add_wide(*sum, s.first_wide(term.of(s, x, 0), rest.len()));
    }
    let [a, b, c, d] = sums;
    s.sum_wide(s.add_wide(s.add_wide(a, b), s.add_wide(c, d)))
}

/// The sums of columns' terms over rows.
pub(crate) struct ColumnSums<'a, T> {
    pub x: &'a [f32],
    /// The first column's first element, and the rows.
    pub start: usize,
    pub rows: &'a Grid<1>,
    pub term: T,
    /// Room for whole vectors of sums.
    pub sums: &'a mut [f64],
}

impl<T: Term> Columns for ColumnSums<'_, T> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, first: usize, last: usize) {
        let mut sums = [s.splat_wide(0.0); G];
        for [row] in self.rows.offsets() {
            let x = self.x[self.start + row + first..][..(G - 1) * S::LANES + last].as_ptr();
            for (g, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the slice has the columns of the group.
                let x = unsafe {
                    match g + 1 < G || last == S::LANES {
                        true => s.load_widened(x.add(g * S::LANES)),
                        false => s.widen(load_column::<S, G>(s, x, g, last)),
                    }
                };
                *sum = s.add_wide(*sum, self.term.of(s, x, first + g * S::LANES));
            }
        }
        let to = &mut self.sums[first..][..G * S::LANES];
        for (to, sum) in to.chunks_exact_mut(S::LANES).zip(sums) {
            // SAFETY: there is room for all lanes.
            unsafe { s.store_wide(to.as_mut_ptr(), sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstructionSet;
    use crate::simd::{Isa, Task};

    struct Sum<'a>(&'a [f32], f64);

    impl Task for Sum<'_> {
        type Output = [f64; 2];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f64; 2] {
            [sum(s, self.0, Itself), sum(s, self.0, Square { from: self.1 })]
        }
    }

    #[test]
    fn every_element_counts_once() {
        for isa in InstructionSet::ALL.into_iter().filter_map(Isa::new) {
            for n in [0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100, 1000] {
                let terms: Vec<f32> = (0..n).map(|i| i as f32).collect();
                let squares = (0..n).map(|i| (i - 3) * (i - 3)).sum::<i32>();
                let expected = [f64::from((0..n).sum::<i32>()), f64::from(squares)];
                assert_eq!(isa.run(Sum(&terms, 3.0)), expected, "{isa:?}: {n} terms");
            }
        }
    }
}
