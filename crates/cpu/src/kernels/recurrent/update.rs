//! What a cell makes of the products of a step, a few vectors of units at a time.

use super::cell::{Cell, Sums};
use crate::simd::{Simd, Task};
use std::ops::Range;

/// Vectors of units that are updated one right after the other.
pub(super) const MOST_AT_ONCE: usize = 4;

/// Where a step reads and writes.
pub(super) struct Step {
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

/// Updates rows and vectors of units whose products are at `products`, `[vector of units][row][gate][lane]`.
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
    products: *const f32,
) {
    let (_, gates) = C::PASSES[pass];
    let mut rest = rows.len() * panels.len();
    let (mut next, mut products) = ([rows.start, panels.start], products);
    let mut take = || {
        let place = next;
        next[0] += 1;
        if next[0] == rows.end {
            next = [rows.start, next[1] + 1];
        }
        place
    };
    while rest > 0 {
        let done = if rest == 1 {
            s.run(Update { cell, step, pass, places: [take()], products });
            1
        } else {
            s.run(Update { cell, step, pass, places: [take(), take()], products });
            2
        };
        rest -= done;
        products = products.wrapping_add(done * gates * S::LANES);
    }
}

/// `K` rows and vectors of units, whose caller vouches for what [`all`] asks.
struct Update<'a, C, const K: usize> {
    cell: &'a C,
    step: &'a Step,
    pass: usize,
    places: [[usize; 2]; K],
    products: *const f32,
}

impl<C: Cell, const K: usize> Task for Update<'_, C, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Update { cell, step, pass, places, products } = self;
        let (_, gates) = C::PASSES[pass];
        let zero = s.splat(0.0);
        let mut sums = [Sums { x: [zero; 4], h: [zero; 4], states: [zero; 2] }; K];
        for k in 0..K {
            let [row, panel] = places[k];
            let state = row * step.width + panel * S::LANES;
            // SAFETY: the caller of `all` vouches for the places.
            unsafe {
                let x = step.sums.add(row * step.sums_step + panel * C::GATES * S::LANES);
                sums[k].x = load(s, x, C::GATES);
                sums[k].h = load(s, products.add(k * gates * S::LANES), gates);
                sums[k].states[0] = s.load(step.before.add(state));
                if C::STATES > 1 {
                    sums[k].states[1] = s.load(step.other.add(state));
                }
            }
        }
        let new = cell.update(s, pass, &sums);
        for k in 0..K {
            let [row, panel] = places[k];
            let state = row * step.width + panel * S::LANES;
            // SAFETY: as above.
            unsafe {
                if pass + 1 < C::PASSES.len() {
                    let x = step.sums.add(row * step.sums_step + panel * C::GATES * S::LANES);
                    s.store(x, new[k][0]);
                    s.store(step.between.add(state), new[k][1]);
                    continue;
                }
                let counts = step.mask.is_none_or(|mask| *mask.add(row * step.mask_step) != 0);
                let [h, c] = if counts { new[k] } else { sums[k].states };
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
