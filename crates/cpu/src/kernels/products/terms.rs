//! The terms of a sum of products, and the rows that have such sums.

use crate::kernels::grid::Grid;
use std::ops::Range;

/// The largest number of terms that are added into one accumulator.
pub const BLOCK: usize = 128;

/// Terms whose elements stand next to each other on the left and on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first element on the left, from where the row starts.
    pub offset: usize,
    /// The first row on the right.
    pub row: usize,
    pub len: usize,
    /// Whether the next run, if there is one, starts a new accumulator.
    pub ends_block: bool,
}

impl Run {
    /// The row on the right after the last.
    pub fn end(&self) -> usize {
        self.row + self.len
    }
}

/// All terms of a sum, in their order. None of the runs crosses a multiple of [`BLOCK`] rows on the right, where
/// accumulators change, whatever terms are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    runs: Vec<Run>,
    /// How many runs there are up to the end of each accumulator but the last.
    ends: Vec<usize>,
    /// Elements on the left that the terms reach, from where the row starts.
    pub reach: usize,
}

impl Terms {
    /// No terms.
    pub const NOTHING: Terms = Terms { runs: Vec::new(), ends: Vec::new(), reach: 0 };

    /// The terms of a row without gaps.
    pub fn contiguous(len: usize) -> Terms {
        let mut terms = Terms::default();
        terms.push(0, 0, len);
        terms
    }

    /// Adds `len` terms from `offset` on the left and `row` on the right on; rows must increase.
    pub fn push(&mut self, mut offset: usize, mut row: usize, mut len: usize) {
        self.reach = self.reach.max(offset.saturating_add(len));
        while len > 0 {
            let run = len.min(BLOCK - row % BLOCK);
            if let Some(last) = self.runs.last_mut() {
                let (end, left) = (last.end(), last.offset + last.len);
                if end == row && left == offset && !row.is_multiple_of(BLOCK) {
                    last.len += run;
                    (offset, row, len) = (offset + run, row + run, len - run);
                    continue;
                }
                if last.row / BLOCK != row / BLOCK {
                    last.ends_block = true;
                    self.ends.push(self.runs.len());
                }
            }
            self.runs.push(Run { offset, row, len: run, ends_block: false });
            (offset, row, len) = (offset + run, row + run, len - run);
        }
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The number of accumulators.
    pub(super) fn blocks(&self) -> usize {
        self.ends.len() + 1
    }

    /// The runs of some accumulators, of which there is at least one.
    pub(super) fn some(&self, blocks: Range<usize>) -> &[Run] {
        let start = blocks.start.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.runs[start..self.ends.get(blocks.end - 1).copied().unwrap_or(self.runs.len())]
    }
}

/// Rows at even distances: where they start on the left and where their results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowRun {
    pub x: usize,
    pub y: usize,
    /// How many results there are.
    pub count: usize,
    pub x_step: usize,
    pub y_step: usize,
    /// How many neighbouring rows become one result, the largest of theirs.
    pub pool: usize,
}

impl RowRun {
    /// The rows of `count` of the results, after the first `skip`.
    pub fn part(self, skip: usize, count: usize) -> RowRun {
        let (x, y) = (self.x + skip * self.pool * self.x_step, self.y + skip * self.y_step);
        RowRun { x, y, count, ..self }
    }
}

/// Runs of rows at even distances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    runs: Grid<2>,
    first: RowRun,
}

impl Rows {
    /// The rows whose offsets on the left and of the results are those of `grid`, plus `x` and `y`.
    pub fn new([x, y]: [usize; 2], mut grid: Grid<2>) -> Rows {
        let (count, [x_step, y_step]) = grid.split_innermost();
        Rows { runs: grid, first: RowRun { x, y, count, x_step, y_step, pool: 1 } }
    }

    /// As [`new`](Rows::new), for results of `pool` rows each, which are `x_step` apart.
    pub fn pooled(first: [usize; 2], grid: Grid<2>, pool: usize, x_step: usize) -> Rows {
        let rows = Rows::new(first, grid.clone());
        // Other results than neighbours, as those of different samples, are runs of their own.
        let are_neighbours = rows.first.count == 1 || rows.first.x_step == pool * x_step;
        let rows = match are_neighbours {
            true => rows,
            false => Rows { runs: grid, first: RowRun { count: 1, ..rows.first } },
        };
        Rows { first: RowRun { x_step, pool, ..rows.first }, ..rows }
    }

    /// Calls `visit` with every run.
    #[inline]
    pub fn visit(&self, mut visit: impl FnMut(RowRun)) {
        self.runs.visit(|[x, y]| visit(RowRun { x: self.first.x + x, y: self.first.y + y, ..self.first }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_accumulators_change() {
        let mut terms = Terms::default();
        terms.push(7, 100, 40);
        terms.push(0, 300, 10);
        let run = |offset, row, len, ends_block| Run { offset, row, len, ends_block };
        assert_eq!(terms.runs(), [run(7, 100, 28, true), run(35, 128, 12, true), run(0, 300, 10, false)]);
        assert_eq!(terms.reach, 47);
        let blocks: Vec<usize> = (0..terms.blocks()).map(|at| terms.some(at..at + 1).len()).collect();
        assert_eq!(blocks, [1, 1, 1]);
        assert_eq!((terms.some(0..2), terms.some(1..3)), (&terms.runs()[..2], &terms.runs()[1..]));
    }

    #[test]
    fn neighbouring_runs_are_joined() {
        let mut terms = Terms::default();
        (0..40).for_each(|tap| terms.push(tap * 5, tap * 5, 5));
        assert_eq!(terms.runs().iter().map(|run| run.len).collect::<Vec<_>>(), [128, 72]);
        assert_eq!(terms, Terms::contiguous(200));
    }

    #[test]
    fn nothing_is_one_empty_block() {
        assert_eq!((Terms::default().blocks(), Terms::default().some(0..1)), (1, &[] as &[Run]));
    }
}
