//! A tile of the product of states and recurrent weights: a few rows by the gates of a few vectors of units.
//!
//! As in other products, terms are summed in their order in blocks of [`BLOCK`], whose sums are added in their order, so
//! that no bit depends on the tile's shape.

use crate::kernels::products::BLOCK;
use crate::simd::{Simd, Task};

/// The most rows of a tile.
const MOST_ROWS: usize = 6;

/// The most vectors of sums of a tile.
pub(super) const MOST_SUMS: usize = 24;

/// The rows of a tile, its gates, and its vectors of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub rows: usize,
    pub gates: usize,
    pub panels: usize,
}

impl Shape {
    /// The largest tile for so many rows.
    pub fn largest<S: Simd>(rows: usize, gates: usize) -> Shape {
        let panels = (S::PANEL_VECTORS / gates).max(1);
        // One row alone has too few sums to keep the processor busy.
        let panels = if rows == 1 { (2 * panels).min(4) } else { panels };
        Shape { rows: rows.min(Shape::most_rows::<S>(gates * panels)), gates, panels }
    }

    /// The most rows of a tile of so many vectors: their sums and a row of weights are in registers.
    const fn most_rows<S: Simd>(vectors: usize) -> usize {
        match (S::TILE_ROWS[S::PANEL_VECTORS] + 1) * S::PANEL_VECTORS / vectors {
            0..3 => 1,
            rows if rows > MOST_ROWS => MOST_ROWS,
            rows => rows - 1,
        }
    }
}

/// What a tile multiplies.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// The first row's states, and how far it is to the next row's.
    pub x: *const f32,
    pub x_step: usize,
    /// Terms of a sum.
    pub depth: usize,
    /// The first row of the first vector of units, and how far it is to the next row and vector of units.
    pub weights: *const f32,
    pub weights_step: usize,
    pub weights_panel: usize,
    /// What the sums of each gate begin with: where that is for the first row and the first vector of units, and how far
    /// it is to the next row's.
    pub first: [(*const f32, usize); 4],
    /// How far it is from what the sums begin with to that of the next vector of units.
    pub first_panel: usize,
    /// `[vector of units][row][gate][lane]`
    pub sums: *mut f32,
}

/// Computes a tile.
///
/// # Safety
/// What the tile names must be there: `depth` terms of each row and of each vector of weights, and the sums.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(s: S, shape: Shape, tile: Tile) {
    macro_rules! run {
        ($($m:literal $v:literal $p:literal,)*) => {
            match (shape.rows, shape.gates, shape.panels) {
                $(($m, $v, $p) => s.run(Shaped::<$m, $v, $p>(tile)),)*
                _ => debug_assert!(false, "no tile of such a shape"),
            }
        };
    }
    run! {
        1 1 1, 2 1 1, 3 1 1, 4 1 1, 5 1 1, 6 1 1,
        1 1 2, 2 1 2, 3 1 2, 4 1 2, 5 1 2, 6 1 2,
        1 1 4, 2 1 4, 3 1 4, 4 1 4, 5 1 4, 6 1 4,
        1 2 1, 2 2 1, 3 2 1, 4 2 1, 5 2 1, 6 2 1,
        1 2 2, 2 2 2, 3 2 2, 4 2 2, 5 2 2, 6 2 2, 1 2 4,
        1 3 1, 2 3 1, 3 3 1, 4 3 1, 5 3 1, 6 3 1, 1 3 2,
        1 4 1, 2 4 1, 3 4 1, 4 4 1, 5 4 1, 6 4 1, 1 4 2,
    }
}

/// A tile of `M` rows by `V` gates of `P` vectors of units, whose caller vouches for what [`run`] asks.
struct Shaped<const M: usize, const V: usize, const P: usize>(Tile);

impl<const M: usize, const V: usize, const P: usize> Task for Shaped<M, V, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Decided when this is compiled, so that there is no code for tiles that are never used.
        if M > const { Shape::most_rows::<S>(V * P) } {
            return;
        }
        let tile = self.0;
        let (mut at, mut w) = (0, tile.weights);
        loop {
            let mut sums = [[[s.splat(0.0); V]; M]; P];
            if at == 0 {
                for p in 0..P {
                    for m in 0..M {
                        for v in 0..V {
                            let (first, step) = tile.first[v];
                            // SAFETY: the caller of `run` vouches for what sums begin with.
                            sums[p][m][v] = unsafe { s.load(first.add(m * step + p * tile.first_panel)) };
                        }
                    }
                }
            }
            let end = tile.depth.min(at + BLOCK);
            for k in at..end {
                // SAFETY: the caller of `run` vouches for all terms and weights.
                unsafe {
                    let mut row = [[s.splat(0.0); V]; P];
                    for p in 0..P {
                        for v in 0..V {
                            row[p][v] = s.load(w.add(p * tile.weights_panel + v * S::LANES));
                        }
                    }
                    for m in 0..M {
                        let x = s.splat(*tile.x.add(m * tile.x_step + k));
                        for p in 0..P {
                            for v in 0..V {
                                sums[p][m][v] = s.mul_add(x, row[p][v], sums[p][m][v]);
                            }
                        }
                    }
                    w = w.add(tile.weights_step);
                }
            }
            for p in 0..P {
                for m in 0..M {
                    for v in 0..V {
                        // SAFETY: the caller of `run` vouches for the sums.
                        unsafe {
                            let to = tile.sums.add(((p * M + m) * V + v) * S::LANES);
                            let sum = sums[p][m][v];
                            s.store(to, if at == 0 { sum } else { s.add(s.load(to), sum) });
                        }
                    }
                }
            }
            if end == tile.depth {
                return;
            }
            at = end;
        }
    }
}
