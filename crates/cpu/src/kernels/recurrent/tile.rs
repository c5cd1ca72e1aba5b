//! A tile of the product of states and recurrent weights: a few rows by the gates of a few vectors of units.
//!
//! As in other products, terms are summed in their order in blocks of [`BLOCK`], whose sums are added in their order, so
//! that no bit depends on the tile's shape.

use crate::kernels::products::BLOCK;
use crate::simd::{Simd, Task};
use std::ops::Range;

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
    pub const fn largest<S: Simd>(rows: usize, gates: usize) -> Shape {
        let mut panels = match S::PANEL_VECTORS / gates {
            0 => 1,
            panels => panels,
        };
        // One row alone has too few sums to keep the processor busy.
        if rows == 1 && panels <= 2 {
            panels *= 2;
        }
        let most = Shape::most_rows::<S>(gates * panels);
        Shape { rows: if rows < most { rows } else { most }, gates, panels }
    }

    /// Whether tiles of such a shape can multiply inputs too.
    pub const fn takes_inputs(self) -> bool {
        self.panels == 1 && self.gates > 2 && self.rows > 2
    }

    /// Whether there are tiles of such a shape.
    const fn is_used<S: Simd>(self) -> bool {
        let Shape { rows, gates, panels } = self;
        let some_rows = Shape::largest::<S>(2, gates);
        rows <= Shape::most_rows::<S>(gates * panels)
            && (panels == 1
                || panels == some_rows.panels
                || panels == Shape::largest::<S>(rows, gates).panels)
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

/// Rows and the weights that they are multiplied with.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    /// The first row, and how far it is to the next.
    pub x: *const f32,
    pub x_step: usize,
    /// Terms of a sum.
    pub depth: usize,
    /// The first row of the first vector of units, and how far it is to the next row and vector of units.
    pub weights: *const f32,
    pub weights_step: usize,
    pub weights_panel: usize,
}

/// What a tile multiplies.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// The inputs, where their sums are not computed beforehand. [`Shape::takes_inputs`] has the shapes for that.
    pub inputs: Option<Factors>,
    pub states: Factors,
    /// What the sums of each gate begin with, or what is added to those of the inputs: where that is for the first row and
    /// the first vector of units, and how far it is to the next row's.
    pub first: [(*const f32, usize); 4],
    /// How far it is from what the sums begin with to that of the next vector of units.
    pub first_panel: usize,
    /// The gate, its bias, and where the sums of the inputs go, if these are not added to those of the states.
    pub apart: Option<Apart>,
    /// `[vector of units][row][gate][lane]`
    pub sums: *mut f32,
}

/// Sums of inputs that are kept.
#[derive(Clone, Copy)]
pub(super) struct Apart {
    pub gate: usize,
    pub bias: *const f32,
    /// Where the first row's go, and how far it is to the next row's.
    pub to: *mut f32,
    pub to_step: usize,
}

/// Computes a tile.
///
/// # Safety
/// What the tile names must be there: `depth` terms of each row and of each vector of weights, the sums, and what they
/// begin with.
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
        if !const { Shape { rows: M, gates: V, panels: P }.is_used::<S>() } {
            return debug_assert!(false, "no tile of such a shape");
        }
        let tile = &self.0;
        let mut sums = [[[s.splat(0.0); V]; M]; P];
        // SAFETY: the caller of `run` vouches for all factors and for what the sums begin with.
        unsafe {
            match tile.inputs {
                Some(inputs) if const { (Shape { rows: M, gates: V, panels: P }).takes_inputs() } => {
                    terms(s, &inputs, 0..inputs.depth, &mut sums);
                    add_first(s, tile, &mut sums);
                }
                _ => load_first(s, tile, &mut sums),
            }
        }
        let mut at = 0;
        loop {
            let end = tile.states.depth.min(at + BLOCK);
            // SAFETY: the caller of `run` vouches for all factors.
            unsafe { terms(s, &tile.states, at..end, &mut sums) };
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
            if end == tile.states.depth {
                return;
            }
            at = end;
            sums = [[[s.splat(0.0); V]; M]; P];
        }
    }
}

/// The sums of the rows of a tile.
type Sums<S, const M: usize, const V: usize, const P: usize> = [[[<S as Simd>::F; V]; M]; P];

/// Makes the sums what they begin with.
///
/// # Safety
/// It must be there.
#[inline(always)]
unsafe fn load_first<S: Simd, const M: usize, const V: usize, const P: usize>(
    s: S,
    tile: &Tile,
    sums: &mut Sums<S, M, V, P>,
) {
    for p in 0..P {
        for m in 0..M {
            for v in 0..V {
                let (first, step) = tile.first[v];
                // SAFETY: the caller's.
                sums[p][m][v] = unsafe { s.load(first.add(m * step + p * tile.first_panel)) };
            }
        }
    }
}

/// Makes of sums of inputs what sums of states begin with.
///
/// # Safety
/// What is added must be there, and where sums go that are kept apart.
#[inline(always)]
unsafe fn add_first<S: Simd, const M: usize, const V: usize, const P: usize>(
    s: S,
    tile: &Tile,
    sums: &mut Sums<S, M, V, P>,
) {
    for p in 0..P {
        for m in 0..M {
            for v in 0..V {
                let (first, step) = tile.first[v];
                // SAFETY: the caller's.
                unsafe {
                    let first = s.load(first.add(m * step + p * tile.first_panel));
                    sums[p][m][v] = match tile.apart {
                        Some(apart) if apart.gate == v => {
                            let to = apart.to.add(m * apart.to_step + p * tile.first_panel);
                            let bias = s.load(apart.bias.add(p * tile.first_panel));
                            s.store(to, s.add(sums[p][m][v], bias));
                            first
                        }
                        _ => s.add(sums[p][m][v], first),
                    };
                }
            }
        }
    }
}

/// Adds some terms to each sum.
///
/// # Safety
/// The rows and the weights must have them.
#[inline(always)]
unsafe fn terms<S: Simd, const M: usize, const V: usize, const P: usize>(
    s: S,
    factors: &Factors,
    terms: Range<usize>,
    sums: &mut Sums<S, M, V, P>,
) {
    let mut w = factors.weights.wrapping_add(terms.start * factors.weights_step);
    for k in terms {
        // SAFETY: the caller's.
        unsafe {
            let mut row = [[s.splat(0.0); V]; P];
            for p in 0..P {
                for v in 0..V {
                    row[p][v] = s.load(w.add(p * factors.weights_panel + v * S::LANES));
                }
            }
            for m in 0..M {
                let x = s.splat(*factors.x.add(m * factors.x_step + k));
                for p in 0..P {
                    for v in 0..V {
                        sums[p][m][v] = s.mul_add(x, row[p][v], sums[p][m][v]);
                    }
                }
            }
            w = w.add(factors.weights_step);
        }
    }
}
