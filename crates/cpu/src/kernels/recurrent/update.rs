//! What a cell makes of the products of a step, a few vectors of units at a time.

use super::cell::{Cell, Sums};
use super::tile::Factors;
use crate::simd::{Simd, Task};
use std::ops::Range;

/// How many vectors of units of few rows are updated one right after the other.
pub(super) const MOST_AT_ONCE: usize = 4;

/// Where a step reads and writes.
pub(super) struct Step {
    /// The first row's inputs and the first vector of units' weights, if their products are not in `sums`.
    pub inputs: Option<Factors>,
    /// The first row's sums of inputs, and how far it is to the next row's.
    pub sums: *mut f32,
    pub sums_step: usize,
    /// The first state before and after the step.
    pub before: *mut f32,
    pub after: *mut f32,
    /// The second state.
    pub other: *mut f32,
    /// What a pass gives to the next.
    pub between: *mut f32,
    /// How far it is from a row's states to the next row's.
    pub width: usize,
    /// Where the first row's new first state goes besides, and how far it is to the next row's.
    pub y: Option<*mut f32>,
    pub y_step: usize,
    /// Whether the step counts for the first row, and how far it is to the next row's.
    pub mask: Option<*const i64>,
    pub mask_step: usize,
    pub units: usize,
}

/// Updates rows and vectors of units whose products are at `products`, `[vector of units][row][gate][lane]`, and then
/// overwritten.
///
/// # Safety
/// They must be there, in all arrays of the step.
#[inline(always)]
pub(super) unsafe fn all<S: Simd, C: Cell>(
    s: S,
    cell: &C,
    step: &Step,
    pass: usize,
    [rows, panels]: [Range<usize>; 2],
    products: *mut f32,
) {
    s.run(Update { cell, step, pass, rows, panels, products });
}

/// Rows and vectors of units, whose caller vouches for what [`all`] asks.
struct Update<'a, C> {
    cell: &'a C,
    step: &'a Step,
    pass: usize,
    rows: Range<usize>,
    panels: Range<usize>,
    products: *mut f32,
}

impl<C: Cell> Task for Update<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match *self.cell == C::USUAL {
            true => self.with(s, &C::USUAL),
            false => self.with(s, self.cell),
        }
    }
}

impl<C: Cell> Update<'_, C> {
    #[inline(always)]
    fn with<S: Simd>(&self, s: S, cell: &C) {
        let (_, gates) = C::PASSES[self.pass];
        if let Some(gate) = C::PREPARED {
            let mut products = self.products;
            for panel in self.panels.clone() {
                for row in self.rows.clone() {
                    // SAFETY: the caller of `all` vouches for all places.
                    unsafe {
                        let sums = self.sums(s, row, panel, products);
                        s.store(products.add(gate * S::LANES), cell.prepare(s, &sums));
                    }
                    products = products.wrapping_add(gates * S::LANES);
                }
            }
        }
        let mut products = self.products;
        for panel in self.panels.clone() {
            for row in self.rows.clone() {
                // SAFETY: as above.
                unsafe {
                    let sums = self.sums(s, row, panel, products);
                    self.write(s, row, panel, &sums, cell.update(s, self.pass, &sums));
                }
                products = products.wrapping_add(gates * S::LANES);
            }
        }
    }

    /// What the cell reads.
    ///
    /// # Safety
    /// The row and the vector of units must be there.
    #[inline(always)]
    unsafe fn sums<S: Simd>(&self, s: S, row: usize, panel: usize, products: *const f32) -> Sums<S> {
        let step = self.step;
        let (_, gates) = C::PASSES[self.pass];
        let state = row * step.width + panel * S::LANES;
        // SAFETY: the caller's.
        unsafe {
            let x = step.sums.add(row * step.sums_step + panel * C::GATES * S::LANES);
            let before = s.load(step.before.add(state));
            let other = if C::STATES > 1 { s.load(step.other.add(state)) } else { s.splat(0.0) };
            Sums { x: load(s, x, C::GATES), h: load(s, products, gates), states: [before, other] }
        }
    }

    /// Writes what the cell makes of the sums.
    ///
    /// # Safety
    /// The row and the vector of units must be there.
    #[inline(always)]
    unsafe fn write<S: Simd>(&self, s: S, row: usize, panel: usize, sums: &Sums<S>, new: [S::F; 2]) {
        let step = self.step;
        let state = row * step.width + panel * S::LANES;
        // SAFETY: the caller's.
        unsafe {
            if self.pass + 1 < C::PASSES.len() {
                let x = step.sums.add(row * step.sums_step + panel * C::GATES * S::LANES);
                s.store(x, new[0]);
                s.store(step.between.add(state), new[1]);
                return;
            }
            let counts = step.mask.is_none_or(|mask| *mask.add(row * step.mask_step) != 0);
            let [h, c] = if counts { new } else { sums.states };
            s.store(step.after.add(state), h);
            if C::STATES > 1 {
                s.store(step.other.add(state), c);
            }
            if let Some(y) = step.y {
                let y = y.add(row * step.y_step + panel * S::LANES);
                match step.units - panel * S::LANES {
                    rest if rest >= S::LANES => s.store(y, h),
                    rest => s.store_first(y, h, rest),
                }
            }
        }
    }
}

/// Up to four vectors at `from`; zeros past the last.
///
/// # Safety
/// `count` vectors must be readable there.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, from: *const f32, count: usize) -> [S::F; 4] {
    let mut vectors = [s.splat(0.0); 4];
    for v in 0..4 {
        if v < count {
            // SAFETY: the caller's.
            vectors[v] = unsafe { s.load(from.add(v * S::LANES)) };
        }
    }
    vectors
}
