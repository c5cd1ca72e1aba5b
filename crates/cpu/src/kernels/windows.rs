//! How windows slide over an array `[batch, steps.., channels]`: which positions read which taps.
//!
//! Positions near the ends read fewer taps, the others being padding. [`Sliding`] splits the positions along each
//! axis into runs that read the same taps; a [`Cell`] is one run along every axis, and knows the offsets of its
//! windows in the array and of its taps in a window.

use super::grid::{Grid, strides};
use super::products::{Rows, Terms};
use crate::{Error, Result};
use k2o_core::{Extent, Window};
use std::ops::Range;

/// Where a window starts on the left and where its result goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub x: usize,
    pub y: usize,
}

/// Windows over an array of known sizes.
#[derive(Clone, Debug)]
pub(crate) struct Sliding {
    axes: Vec<Axis>,
    batch: usize,
    /// Elements between samples, in the input and in the output.
    sample: [usize; 2],
}

#[derive(Clone, Debug)]
struct Axis {
    runs: Vec<Run>,
    /// Taps of the window, padding or not.
    window: usize,
    /// Input steps between positions, and between taps.
    stride: usize,
    dilation: usize,
    /// Elements between steps, in the input and in the output.
    step: [usize; 2],
}

/// Neighbouring positions along one axis that read the same taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first position and how many.
    first: usize,
    positions: usize,
    /// The first tap that is read and how many.
    first_tap: usize,
    taps: usize,
    /// The input step that the first position reads at the first tap.
    start: usize,
}

fn size(n: i64) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::limit(format!("a window with the number {n} does not fit memory")))
}

impl Sliding {
    /// The windows over `x` with `filters` channels in the output, which must not be empty.
    pub fn new(windows: &[Window], x: &[usize], filters: usize) -> Result<Sliding> {
        let extents = windows.iter().zip(&x[1..]).map(|(window, &n)| window.extent(n));
        let extents: Vec<Extent> = extents.collect::<k2o_core::Result<_>>()?;
        let mut output = vec![x[0]];
        output.extend(extents.iter().map(|extent| extent.output));
        output.push(filters);
        super::grid::elements(&output)?;
        let (sx, sy) = (strides(x), strides(&output));
        let axes = windows.iter().zip(&extents).enumerate().map(|(i, (window, extent))| {
            Ok(Axis {
                runs: runs(window, extent)?,
                window: size(window.size())?,
                stride: size(window.stride())?,
                dilation: size(window.dilation())?,
                step: [sx[i + 1], sy[i + 1]],
            })
        });
        let axes = axes.collect::<Result<Vec<Axis>>>()?;
        Ok(Sliding { axes, batch: x[0], sample: [sx[0], sy[0]] })
    }

    /// Calls `visit` with every cell.
    pub fn cells(&self, mut visit: impl FnMut(Cell<'_>)) {
        let count: usize = self.axes.iter().map(|axis| axis.runs.len()).product();
        for index in 0..count {
            let mut cell = Cell { sliding: self, index, taps: 1, last: None };
            for axis in 0..self.axes.len() {
                let run = *cell.run(axis);
                cell.taps *= run.taps;
                cell.last = Some(run);
            }
            visit(cell);
        }
    }
}

/// The positions in order, joined where they read the same taps.
fn runs(window: &Window, extent: &Extent) -> Result<Vec<Run>> {
    let (taps, stride, dilation) = (size(window.size())?, size(window.stride())?, size(window.dilation())?);
    let mut runs: Vec<Run> = Vec::new();
    for position in 0..extent.output {
        // Both fit, as the padded input does.
        let start = position * stride;
        let missing = extent.before.saturating_sub(start);
        let first_tap = missing.div_ceil(dilation).min(taps);
        let end = extent.before + extent.input;
        let last_tap = end.saturating_sub(start).div_ceil(dilation).min(taps);
        let run = match last_tap.saturating_sub(first_tap) {
            0 => Run { first: position, positions: 1, first_tap: 0, taps: 0, start: 0 },
            taps => {
                let start = start + first_tap * dilation - extent.before;
                Run { first: position, positions: 1, first_tap, taps, start }
            }
        };
        match runs.last_mut() {
            Some(last) if (last.first_tap, last.taps) == (run.first_tap, run.taps) => last.positions += 1,
            _ => runs.push(run),
        }
    }
    Ok(runs)
}

/// Positions that read the same taps, along every axis.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'a> {
    sliding: &'a Sliding,
    index: usize,
    /// The number of taps that each position reads.
    pub taps: usize,
    /// The run along the last axis, if there is one.
    last: Option<Run>,
}

impl Cell<'_> {
    fn run(&self, axis: usize) -> &Run {
        let axes = &self.sliding.axes;
        let inner: usize = axes[axis + 1..].iter().map(|axis| axis.runs.len()).product();
        &axes[axis].runs[self.index / inner % axes[axis].runs.len()]
    }

    /// The offsets of every window's first tap and of its result.
    pub fn row_runs(&self) -> Rows {
        let (sliding, mut first) = (self.sliding, [0; 2]);
        let mut axes = vec![(sliding.batch, sliding.sample)];
        // Where nothing is read, offsets on the left have no meaning and might lie outside.
        let reads = usize::from(self.taps > 0);
        axes[0].1[0] *= reads;
        for (axis, Axis { stride, step: [sx, sy], .. }) in sliding.axes.iter().enumerate() {
            let run = self.run(axis);
            first[0] += reads * run.start * sx;
            first[1] += run.first * sy;
            axes.push((run.positions, [reads * stride.saturating_mul(*sx), *sy]));
        }
        Rows::new(first, Grid::new(axes))
    }

    /// As [`row_runs`](Cell::row_runs), of windows along one axis of which `pool` neighbours become one result: those
    /// results that come of windows of this cell only, whose numbers are in the range. Results have `filters` channels.
    pub fn pooled_runs(&self, pool: usize, [results, filters]: [usize; 2]) -> Option<(Range<usize>, Rows)> {
        let (axis, run) = (self.sliding.axes.first()?, self.last?);
        let own = run.first.div_ceil(pool)..((run.first + run.positions) / pool).min(results);
        let step = axis.stride.saturating_mul(axis.step[0]);
        let x = self.window(own.start * pool)?.x;
        let samples = (self.sliding.batch, [self.sliding.sample[0], results * filters]);
        let each = (own.len(), [step.saturating_mul(pool), filters]);
        let rows = Rows::pooled([x, own.start * filters], Grid::new([samples, each]), pool, step);
        (!own.is_empty() && self.taps > 0).then_some((own, rows))
    }

    /// The positions along the only axis.
    pub fn positions(&self) -> Range<usize> {
        self.last.map_or(0..0, |run| run.first..run.first + run.positions)
    }

    /// Where the window at a position along the only axis starts and its result is, if it is one of these.
    pub fn window(&self, position: usize) -> Option<Row> {
        let (axis, run) = (self.sliding.axes.first()?, self.last?);
        let at = position.checked_sub(run.first).filter(|&at| at < run.positions)?;
        let x = if self.taps > 0 { (run.start + at * axis.stride) * axis.step[0] } else { 0 };
        Some(Row { x, y: position * axis.step[1] })
    }

    /// The terms of every window, each tap having `depth` of them.
    pub fn terms(&self, depth: usize) -> Terms {
        let mut terms = Terms::default();
        self.tap_runs(&mut |offset, tap, count, step| {
            (0..count).for_each(|i| terms.push(offset + i * step, (tap + i) * depth, depth));
        });
        terms
    }

    /// Calls `visit` with the offsets of every window's first tap and of its result, in the order of the output.
    pub fn rows(&self, visit: &mut impl FnMut(Row)) {
        let reads = self.taps > 0;
        for b in 0..self.sliding.batch {
            let [x, y] = self.sliding.sample.map(|step| b * step);
            // Where nothing is read, offsets on the left have no meaning and might lie outside.
            self.rows_from(0, Row { x, y }, reads, visit);
        }
    }

    fn rows_from(&self, axis: usize, at: Row, reads: bool, visit: &mut impl FnMut(Row)) {
        let Some(Axis { stride, step: [sx, sy], .. }) = self.sliding.axes.get(axis) else { return visit(at) };
        let run = self.run(axis);
        for i in 0..run.positions {
            let x = if reads { at.x + (run.start + i * stride) * sx } else { 0 };
            self.rows_from(axis + 1, Row { x, y: at.y + (run.first + i) * sy }, reads, visit);
        }
    }

    /// Calls `visit` with taps next to each other along the last axis: the offset of the first from the window's
    /// first, its number among all taps of the window, how many there are, and the offset between them.
    #[inline(always)]
    pub fn tap_runs(&self, visit: &mut impl FnMut(usize, usize, usize, usize)) {
        match (self.taps, self.sliding.axes.len()) {
            (0, _) => {}
            (_, 0..=1) => self.last_axis(0, 0, visit),
            _ => self.tap_runs_from(0, 0, 0, visit),
        }
    }

    fn tap_runs_from(
        &self,
        axis: usize,
        offset: usize,
        tap: usize,
        visit: &mut impl FnMut(usize, usize, usize, usize),
    ) {
        if axis + 1 == self.sliding.axes.len() {
            return self.last_axis(offset, tap, visit);
        }
        let (axis_of, run) = (&self.sliding.axes[axis], self.run(axis));
        for i in 0..run.taps {
            let offset = offset + i * axis_of.dilation * axis_of.step[0];
            self.tap_runs_from(axis + 1, offset, (tap + run.first_tap + i) * self.inner_window(axis), visit);
        }
    }

    #[inline(always)]
    fn last_axis(&self, offset: usize, tap: usize, visit: &mut impl FnMut(usize, usize, usize, usize)) {
        let (Some(axis), Some(run)) = (self.sliding.axes.last(), self.last) else { return visit(0, 0, 1, 0) };
        // With a single tap the step is of no use and might not fit.
        let step = axis.dilation.saturating_mul(axis.step[0]);
        visit(offset, tap + run.first_tap, run.taps, step);
    }

    /// The taps of a window along the axis after `axis`.
    fn inner_window(&self, axis: usize) -> usize {
        self.sliding.axes[axis + 1].window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k2o_core::Padding;
    use proptest::prelude::*;

    #[test]
    fn positions_near_the_ends_read_fewer_taps() {
        let window = Window::new(3, 2, 1, Padding::Explicit(1, 1)).unwrap();
        let runs = runs(&window, &window.extent(6).unwrap()).unwrap();
        let run = |first, positions, first_tap, taps, start| Run { first, positions, first_tap, taps, start };
        assert_eq!(runs, [run(0, 1, 1, 2, 0), run(1, 2, 0, 3, 1)]);
    }

    #[test]
    fn windows_of_padding_only_read_nothing() {
        let window = Window::new(2, 1, 1, Padding::Explicit(3, 0)).unwrap();
        let runs = runs(&window, &window.extent(2).unwrap()).unwrap();
        assert_eq!(
            runs.iter().map(|run| (run.positions, run.taps)).collect::<Vec<_>>(),
            [(2, 0), (1, 1), (1, 2)]
        );
    }

    proptest! {
        #[test]
        fn runs_are_the_windows_taps(
            (taps, stride, dilation) in (1i64..6, 1i64..5, 1i64..5),
            padding in prop_oneof![
                Just(Padding::Same),
                (0i64..9, 0i64..9).prop_map(|(before, after)| Padding::Explicit(before, after)),
            ],
            input in 0usize..20,
        ) {
            let window = Window::new(taps, stride, dilation, padding).unwrap();
            let Ok(extent) = window.extent(input) else { return Ok(()) };
            let mut position = 0;
            for run in runs(&window, &extent).unwrap() {
                prop_assert_eq!(run.first, position);
                for i in 0..run.positions {
                    let expected: Vec<(usize, usize)> =
                        window.taps(&extent, position).enumerate().filter_map(|(t, at)| Some((t, at?))).collect();
                    let step = |t| run.start + i * stride as usize + t * dilation as usize;
                    let given: Vec<(usize, usize)> = (0..run.taps).map(|t| (run.first_tap + t, step(t))).collect();
                    prop_assert_eq!(given, expected);
                    position += 1;
                }
            }
            prop_assert_eq!(position, extent.output);
        }
    }
}
