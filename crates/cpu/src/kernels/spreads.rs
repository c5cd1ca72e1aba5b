//! How kernels spread over an array `[batch, steps.., channels]`, seen from the output: which positions read which
//! taps of which steps.
//!
//! Along one axis, positions a stride apart read the same taps of neighbouring steps, but for those near the ends,
//! which read fewer. [`cells`] splits the positions along each axis into such runs; a [`Cell`] is one run along every
//! axis. Taps are numbered from the last to the first, so that steps increase with them.

use super::grid::{Grid, elements, strides};
use super::products::{Row, Rows, Terms};
use crate::{Error, Result};
use k2o_core::ops::Spread;
use std::collections::BTreeMap;

/// Positions that read the same taps, along every axis.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// The first step that the first position reads, and the position.
    first: Row,
    /// The positions' steps and the positions.
    rows: Grid<2>,
    /// Runs of elements next to each other in the steps that a position reads and in the kernel.
    taps: Grid<2>,
    run: usize,
    /// Where the first of the taps is in the kernel.
    first_tap: usize,
}

impl Cell {
    /// The offsets of the elements that every position reads and of its result.
    pub fn rows(&self) -> Rows {
        Rows::new([self.first.x, self.first.y], self.rows.clone())
    }

    /// The terms of every position.
    pub fn terms(&self) -> Terms {
        let mut terms = Terms::default();
        self.taps.visit(|[x, tap]| terms.push(x, self.first_tap + tap, self.run));
        terms
    }
}

/// One axis: its runs and what they have in common.
struct Axis {
    runs: Vec<Run>,
    /// Positions between those that read the same taps.
    stride: usize,
    /// Steps and taps between those that a position reads.
    between: [usize; 2],
    /// Taps of the kernel.
    taps: usize,
}

/// Positions along one axis that read the same taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The first position, how many, and how far apart.
    first: usize,
    positions: usize,
    apart: usize,
    /// The first tap that is read, and how many.
    first_tap: usize,
    taps: usize,
    /// The step that the first position reads at the first tap.
    start: usize,
}

fn size(n: i64) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::limit(format!("a kernel with the number {n} does not fit memory")))
}

impl Axis {
    /// The axis on which `input` steps spread over `output` positions, through `taps` taps.
    fn new(spread: &Spread, taps: usize, input: usize, output: usize) -> Result<Axis> {
        let (stride, dilation) = (size(spread.stride())?, size(spread.dilation())?);
        let common = common_divisor(stride, dilation);
        let between = [dilation / common, stride / common];
        let mut axis = Axis { runs: Vec::new(), stride, between, taps };
        // The first of the taps that reach positions which are this far past a multiple of the stride.
        let first_taps: BTreeMap<i128, usize> = (0..axis.taps.min(between[1]))
            .map(|tap| (tap as i128 * dilation as i128 % stride as i128, tap))
            .collect();
        // The latest run of positions that are this far past a multiple of the stride; the latest that reads nothing.
        let mut reading: BTreeMap<usize, usize> = BTreeMap::new();
        let mut idle: Option<usize> = None;
        for position in 0..output {
            let place = position as i128 + i128::from(spread.crop().0);
            let first_tap = first_taps.get(&(place % stride as i128)).copied();
            let run = axis.run(position, place, input, first_tap, dilation);
            let latest = match run.taps {
                0 => idle,
                _ => reading.get(&(position % stride)).copied(),
            };
            match latest.map(|at| &mut axis.runs[at]) {
                Some(latest)
                    if (latest.first_tap, latest.taps) == (run.first_tap, run.taps)
                        && latest.first + latest.positions * latest.apart == position =>
                {
                    latest.positions += 1;
                }
                _ => {
                    let at = axis.runs.len();
                    match run.taps {
                        0 => idle = Some(at),
                        _ => drop(reading.insert(position % stride, at)),
                    }
                    axis.runs.push(run);
                }
            }
        }
        Ok(axis)
    }

    /// What is read at `place`, the number of a position before the output is cropped, if the tap nearest to the
    /// kernel's start is `first_tap`.
    fn run(
        &self,
        position: usize,
        place: i128,
        input: usize,
        first_tap: Option<usize>,
        dilation: usize,
    ) -> Run {
        let nothing = Run { first: position, positions: 1, apart: 1, first_tap: 0, taps: 0, start: 0 };
        let Some(first_tap) = first_tap else { return nothing };
        let [steps, taps] = self.between;
        // That tap reads this step, if there is such a step, and each one after it an earlier step.
        let step = (place - first_tap as i128 * dilation as i128) / self.stride as i128;
        let past = step - (input as i128 - 1);
        let nearest = if past > 0 { (past + steps as i128 - 1) / steps as i128 } else { 0 };
        let farthest = (step.max(-1) + steps as i128) / steps as i128 - 1;
        let farthest = farthest.min(((self.taps - 1 - first_tap) / taps) as i128);
        if step < 0 || farthest < nearest {
            return nothing;
        }
        // All of them are numbers of taps or steps, which fit.
        let (nearest, farthest) = (nearest as usize, farthest as usize);
        Run {
            first: position,
            positions: 1,
            apart: self.stride,
            first_tap: self.taps - 1 - (first_tap + farthest * taps),
            taps: farthest - nearest + 1,
            start: step as usize - farthest * steps,
        }
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The cells of an array of sizes `x` that is spread over one of sizes `output`, which is not empty.
pub(crate) fn cells(spreads: &[Spread], x: &[usize], output: &[usize]) -> Result<Vec<Cell>> {
    elements(x)?;
    elements(output)?;
    let (sx, sy) = (strides(x), strides(output));
    let channels = x[spreads.len() + 1];
    let axes = spreads.iter().zip(x[1..].iter().zip(&output[1..])).map(|(spread, (&steps, &positions))| {
        // A kernel without elements may have any number of taps.
        let taps = if channels == 0 { 0 } else { size(spread.size())? };
        Axis::new(spread, taps, steps, positions)
    });
    let axes = axes.collect::<Result<Vec<Axis>>>()?;
    // The kernel's rows between taps.
    let mut depth = channels;
    let mut sk = vec![0; axes.len()];
    for (step, axis) in sk.iter_mut().zip(&axes).rev() {
        *step = depth;
        depth = depth.saturating_mul(axis.taps);
    }
    let count: usize = axes.iter().map(|axis| axis.runs.len()).product();
    let cell = |index: usize| {
        let mut rest = index;
        let mut runs = vec![];
        for axis in axes.iter().rev() {
            runs.push(axis.runs[rest % axis.runs.len()]);
            rest /= axis.runs.len();
        }
        runs.reverse();
        let (mut first, mut first_tap) = (Row::default(), 0);
        let (mut rows, mut taps) = (vec![(x[0], [sx[0], sy[0]])], vec![]);
        // With a single position or tap the step is of no use and might not fit.
        for (i, (run, axis)) in runs.iter().zip(&axes).enumerate() {
            let [steps, between] = axis.between;
            first.x += run.start * sx[i + 1];
            first.y += run.first * sy[i + 1];
            first_tap += run.first_tap * sk[i];
            // Where nothing is read, nor is a step of use.
            let step = if run.taps == 0 { 0 } else { sx[i + 1] };
            rows.push((run.positions, [step, run.apart.saturating_mul(sy[i + 1])]));
            taps.push((run.taps, [steps.saturating_mul(sx[i + 1]), between.saturating_mul(sk[i])]));
        }
        taps.push((channels, [1, 1]));
        let mut taps = Grid::new(taps);
        let run = taps.split_run();
        Cell { first, rows: Grid::new(rows), taps, run, first_tap }
    };
    Ok((0..count).map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k2o_core::Dim;
    use k2o_core::ops::Infer;
    use proptest::prelude::*;

    #[test]
    fn positions_a_stride_apart_read_the_same_taps() {
        // Steps 0 and 1 reach positions 0, 1, 2 and 2, 3, 4; taps are numbered from the last.
        let axis = Axis::new(&Spread::new(3, 2, 1, (0, 0), 2).unwrap(), 3, 2, 7).unwrap();
        let runs = axis.runs.iter().map(|run| (run.first, run.positions, run.apart, run.first_tap, run.taps));
        assert_eq!(
            runs.collect::<Vec<_>>(),
            [(0, 1, 2, 2, 1), (1, 2, 2, 1, 1), (2, 1, 2, 0, 2), (4, 1, 2, 0, 1), (5, 2, 1, 0, 0)]
        );
    }

    #[test]
    fn positions_that_read_nothing_are_few_runs() {
        let spread = Spread::new(1, 1000, 1, (0, 0), 0).unwrap();
        let axis = Axis::new(&spread, 1, 3, 2001).unwrap();
        let runs: Vec<_> = axis.runs.iter().map(|run| (run.first, run.positions, run.taps)).collect();
        assert_eq!(runs, [(0, 3, 1), (1, 999, 0), (1001, 999, 0)]);
    }

    #[test]
    fn taps_next_to_each_other_are_one_run() {
        let runs = |stride, dilation| -> Vec<usize> {
            let spread = Spread::new(3, stride, dilation, (0, 0), 0).unwrap();
            let positions = spread.positions(&Dim::fixed(9), &mut Infer::default()).unwrap();
            let output = [2, positions.as_usize().unwrap(), 7];
            let cells = cells(&[spread], &[2, 9, 5], &output).unwrap();
            cells.iter().map(|cell| cell.run).collect()
        };
        assert_eq!(runs(1, 1), [5, 10, 15, 10, 5]);
        assert!(runs(2, 1).iter().all(|&run| run == 5));
    }

    proptest! {
        #[test]
        fn runs_are_what_reaches_a_position(
            (taps, stride, dilation) in (1i64..7, 1i64..6, 1i64..6),
            crop in (0i64..9, 0i64..9),
            output_padding in 0i64..4,
            input in 1usize..12,
        ) {
            let spread = Spread::new(taps, stride, dilation, crop, output_padding).unwrap();
            let Ok(output) = spread.positions(&Dim::from_usize(input).unwrap(), &mut Infer::default()) else {
                return Ok(());
            };
            let output = output.as_usize().unwrap();
            let mut expected = vec![Vec::new(); output];
            for step in 0..input {
                for tap in (0..taps).rev() {
                    let position = step as i64 * stride + tap * dilation - crop.0;
                    if let Some(reached) = usize::try_from(position).ok().and_then(|at| expected.get_mut(at)) {
                        reached.push(((taps - 1 - tap) as usize, step));
                    }
                }
            }
            let axis = Axis::new(&spread, taps as usize, input, output).unwrap();
            let mut given = vec![None; output];
            for run in &axis.runs {
                for i in 0..run.positions {
                    let [steps, taps] = axis.between;
                    let reads = (0..run.taps).map(|t| (run.first_tap + t * taps, run.start + i + t * steps));
                    let before = given[run.first + i * run.apart].replace(reads.collect::<Vec<_>>());
                    prop_assert_eq!(before, None);
                }
            }
            prop_assert_eq!(given, expected.into_iter().map(Some).collect::<Vec<_>>());
        }
    }
}
