//! Convolution where every input channel is a group of its own: no sums over channels, only over taps.

use super::matmul::{Finish, LANES, Layout, Row, Terms, blocked, multiply_add};

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
        for row in rows {
            let mut sums = match multiplier {
                1 if lanes == LANES => sum(terms, w, |offset| {
                    let x = &x[row.x + offset + first..];
                    x.first_chunk::<LANES>().copied().unwrap_or_default()
                }),
                _ => sum(terms, w, |offset| {
                    let x = &x[row.x + offset..];
                    std::array::from_fn(|lane| x[(first + lane.min(lanes - 1)) / multiplier])
                }),
            };
            finish.apply(&mut sums, first);
            y[row.y + first..][..lanes].copy_from_slice(&sums[0][..lanes]);
        }
    }
}

/// The sums over taps of a vector of inputs times a vector of weights.
#[inline(always)]
fn sum(terms: &impl Terms, w: &[f32], inputs: impl Fn(usize) -> [f32; LANES]) -> [[f32; LANES]; 1] {
    blocked(terms, |[sums], offset, tap, _| {
        let w = &w[tap * LANES..][..LANES];
        let x = inputs(offset);
        for lane in 0..LANES {
            sums[lane] = multiply_add(sums[lane], x[lane], w[lane]);
        }
    })
}
