//! A tile of the product of states and recurrent weights: a few rows by the gates of a few vectors of units.
//!
//! As in other products, the terms of a sum are summed in blocks of [`BLOCK`], whose sums are added in their order, so
//! that no bit depends on the tile's shape.

use crate::kernels::products::{BLOCK, Stored};
use crate::simd::{Simd, Task};

/// The most vectors of sums in a tile.
pub(super) const MOST_SUMS: usize = 24;

/// How many vectors of sums the registers hold, beside the weights and a number of the left side.
const fn most_sums<S: Simd>() -> usize {
    let (mut most, mut vectors) = (0, 1);
    while vectors <= S::PANEL_VECTORS {
        if vectors * S::TILE_ROWS[vectors] > most {
            most = vectors * S::TILE_ROWS[vectors];
        }
        vectors += 1;
    }
    if most < MOST_SUMS { most } else { MOST_SUMS }
}

/// The rows of a tile, the gates, and the vectors of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub rows: usize,
    pub gates: usize,
    pub panels: usize,
}

impl Shape {
    /// How many vectors of units, of as many as there are, to multiply with so many rows at once, and the most rows of a
    /// tile: as many sums as the processor needs to keep busy.
    pub fn best<S: Simd>(rows: usize, gates: usize) -> (usize, usize) {
        let panels = match (gates, rows) {
            (4, 1) | (3, 1 | 2) => 2,
            (3 | 4, _) => 1,
            (2, 1) => 4,
            (2, _) => 2,
            _ => 4,
        };
        let panels = panels.min(most_sums::<S>() / gates).max(1);
        (panels, Shape::most_rows::<S>(gates, panels))
    }

    pub fn most_rows<S: Simd>(gates: usize, panels: usize) -> usize {
        (most_sums::<S>() / (gates * panels)).clamp(1, 6)
    }
}

/// What a tile multiplies.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    pub x: *const f32,
    pub x_step: usize,
    pub depth: usize,
    /// Those of the first gate of the first vector of units.
    pub weights: *const T,
    /// Elements from a row of weights to the next, and from a vector of units to the next.
    pub row: usize,
    pub panel: usize,
    /// `[row][vector of units][gate][lane]`
    pub sums: *mut f32,
}

/// Computes a tile.
///
/// # Safety
/// What the fields say must be there.
#[inline(always)]
pub(super) unsafe fn run<S: Simd, W: Stored>(s: S, shape: Shape, tile: Tile<W::Element>) {
    macro_rules! run {
        ($($m:literal $v:literal $p:literal,)*) => {
            match (shape.rows, shape.gates, shape.panels) {
                $(($m, $v, $p) => s.run(Shaped::<W, $m, $v, $p>(tile)),)*
                _ => debug_assert!(false, "no tile of such a shape"),
            }
        };
    }
    run! {
        1 4 1, 2 4 1, 3 4 1, 4 4 1, 5 4 1, 6 4 1, 1 4 2,
        1 3 1, 2 3 1, 3 3 1, 4 3 1, 5 3 1, 6 3 1, 1 3 2, 2 3 2,
        1 2 1, 2 2 1, 3 2 1, 4 2 1, 5 2 1, 6 2 1, 1 2 2, 2 2 2, 3 2 2, 4 2 2, 5 2 2, 6 2 2, 1 2 4,
        1 1 1, 2 1 1, 3 1 1, 4 1 1, 5 1 1, 6 1 1, 1 1 4, 2 1 4, 3 1 4, 4 1 4, 5 1 4, 6 1 4,
    }
}

/// A tile of `M` rows by `V` gates of `P` vectors of units, whose caller vouches for what [`run`] asks.
struct Shaped<W: Stored, const M: usize, const V: usize, const P: usize>(Tile<W::Element>);

impl<W: Stored, const M: usize, const V: usize, const P: usize> Task for Shaped<W, M, V, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Decided when this is compiled, so that there is no code for tiles that are never used.
        if M * V * P > const { most_sums::<S>() } {
            return;
        }
        let tile = self.0;
        let mut total = [[[s.splat(0.0); V]; P]; M];
        let (mut at, mut w) = (0, tile.weights);
        while at < tile.depth || at == 0 {
            let mut sums = [[[s.splat(0.0); V]; P]; M];
            let end = tile.depth.min(at + BLOCK);
            for k in at..end {
                // SAFETY: the caller of `run` vouches for all rows and weights.
                unsafe {
                    let mut row = [[s.splat(0.0); V]; P];
                    for p in 0..P {
                        for v in 0..V {
                            row[p][v] = W::load(s, w.add(p * tile.panel + v * S::LANES));
                        }
                    }
                    for m in 0..M {
                        let x = s.splat(*tile.x.add(m * tile.x_step + k));
                        for p in 0..P {
                            for v in 0..V {
                                sums[m][p][v] = s.mul_add(x, row[p][v], sums[m][p][v]);
                            }
                        }
                    }
                    w = w.add(tile.row);
                }
            }
            for m in 0..M {
                for p in 0..P {
                    for v in 0..V {
                        total[m][p][v] = match at {
                            0 => sums[m][p][v],
                            _ => s.add(total[m][p][v], sums[m][p][v]),
                        };
                    }
                }
            }
            at = end.max(at + 1);
        }
        for m in 0..M {
            for p in 0..P {
                for v in 0..V {
                    // SAFETY: as above.
                    unsafe { s.store(tile.sums.add(((m * P + p) * V + v) * S::LANES), total[m][p][v]) };
                }
            }
        }
    }
}
