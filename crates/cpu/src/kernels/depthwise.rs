//! Convolution where every input channel is a group of its own: no sums over channels, only over taps.

use super::products::{Finish, LANES, Layout, ROWS, Row, Terms, blocked, multiply_add};

/// Computes the windows at `rows` for all channels, each of which gives `multiplier` filters next to each other.
///
/// The weights are packed as those of one group that has all filters.
pub(crate) fn multiply(
    x: &[f32],
    rows: &[Row],
    terms: &impl Terms,
    multiplier: usize,
    (layout, weights): (&Layout, &[f32]),
    finish: &Finish<'_>,
    y: &mut [f32],
) {
    let filters = layout.columns;
    let panel = layout.depth * LANES;
    for first in (0..filters).step_by(LANES) {
        let lanes = LANES.min(filters - first);
        let w = &weights[first / LANES * panel..][..panel];
        for rows in rows.chunks(ROWS) {
            let mut sums = match multiplier {
                1 if lanes == LANES => tile(rows, terms, w, |at| {
                    x[at + first..].first_chunk::<LANES>().copied().unwrap_or_default()
                }),
                _ => tile(rows, terms, w, |at| {
                    let x = &x[at..];
                    std::array::from_fn(|lane| x[(first + lane.min(lanes - 1)) / multiplier])
                }),
            };
            finish.apply(&mut sums, first);
            for (row, sums) in rows.iter().zip(&sums) {
                y[row.y + first..][..lanes].copy_from_slice(&sums[..lanes]);
            }
        }
    }
}

/// The sums over taps of a vector of inputs times a vector of weights, for each of a few rows; where there are
/// fewer, the last is repeated.
#[inline(always)]
fn tile(
    rows: &[Row],
    terms: &impl Terms,
    w: &[f32],
    inputs: impl Fn(usize) -> [f32; LANES],
) -> [[f32; LANES]; ROWS] {
    let starts: [usize; ROWS] = std::array::from_fn(|m| rows[m.min(rows.len() - 1)].x);
    blocked(terms, |sums: &mut [[f32; LANES]; ROWS], offset, tap, _| {
        let Some(w) = w[tap * LANES..].first_chunk::<LANES>() else { return };
        for (sums, start) in sums.iter_mut().zip(starts) {
            let x = inputs(start + offset);
            for lane in 0..LANES {
                sums[lane] = multiply_add(sums[lane], x[lane], w[lane]);
            }
        }
    })
}
