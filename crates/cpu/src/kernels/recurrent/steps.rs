//! Steps of a block of rows.

use super::cell::{Cell, Sums};
use super::tile::{self, MOST_SUMS, Shape, Tile};
use crate::kernels::products::Stored;
use crate::simd::{Simd, Task};

/// Elements of a row's states, `width` units each: of the first state, before and after a step; of the other states; and
/// of what passes of a step give to the next. Each is an array `[row][unit]`.
pub(super) fn states_per_row<C: Cell>(width: usize) -> usize {
    (C::STATES + C::PASSES.len()) * width
}

/// Which of the arrays has a state after so many steps.
pub(super) fn array_of(state: usize, steps: usize) -> usize {
    if state == 0 { steps % 2 } else { state + 1 }
}

/// Some of the steps of a block of rows.
pub(super) struct Steps<'a> {
    /// The products of the inputs with the bias, `[row][step][unit / lanes][gate][lane]`, in the order of time.
    pub sums: &'a mut [f32],
    /// What is added to the recurrent products, `[unit / lanes][gate][lane]`.
    pub inner: Option<&'a [f32]>,
    pub states: &'a mut [f32],
    pub rows: usize,
    /// Units up to a whole vector.
    pub width: usize,
    /// The first state after every step, `[row][step][unit]`, or nothing if it is not wanted.
    pub y: &'a mut [f32],
    /// Which steps count, `[row][step]`.
    pub mask: Option<&'a [i64]>,
    pub units: usize,
    /// The steps of the sequence.
    pub all: usize,
    /// Steps that were run before.
    pub begin: usize,
    pub count: usize,
    pub reverse: bool,
}

/// The work of [`Steps`] by a cell with its packed recurrent weights.
pub(super) struct Run<'a, C, W: Stored> {
    pub cell: &'a C,
    pub weights: &'a [W::Element],
    pub steps: Steps<'a>,
}

/// The sums of a tile.
#[repr(align(64))]
struct Products([f32; MOST_SUMS * MOST_LANES]);

const MOST_LANES: usize = 16;

impl<C: Cell, W: Stored> Task for Run<'_, C, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Run { cell, weights, steps } = self;
        let Steps { rows, width, units, .. } = steps;
        let panels = width / S::LANES;
        let columns = C::GATES * width;
        assert!(width.is_multiple_of(S::LANES) && width - units < S::LANES && S::LANES <= MOST_LANES);
        assert_eq!(weights.len(), units * columns);
        assert_eq!(steps.states.len(), rows * states_per_row::<C>(width));
        assert_eq!(steps.sums.len(), rows * steps.count * columns);
        assert!(steps.y.is_empty() || steps.y.len() == rows * steps.all * units);
        assert!(steps.mask.is_none_or(|mask| mask.len() == rows * steps.all));
        assert!(steps.inner.is_none_or(|inner| inner.len() == columns));
        assert!(steps.begin + steps.count <= steps.all);

        let mut products = Products([0.0; MOST_SUMS * MOST_LANES]);
        let states = steps.states.as_mut_ptr();
        let state = |index: usize| states.wrapping_add(index * rows * width);
        for i in 0..steps.count {
            let done = steps.begin + i;
            let (local, time) = match steps.reverse {
                true => (steps.count - 1 - i, steps.all - 1 - done),
                false => (i, done),
            };
            let at = At {
                steps: &steps,
                sums: steps.sums.as_ptr().wrapping_add(local * columns).cast_mut(),
                time,
                before: state(array_of(0, done)),
                after: state(array_of(0, done + 1)),
                other: state(2),
                between: state(C::STATES + 1),
            };
            for (pass, &(gate, gates)) in C::PASSES.iter().enumerate() {
                let (at_once, most_rows) = Shape::best::<S>(rows, gates);
                let groups = panels.div_ceil(at_once);
                for group in 0..groups {
                    // Forth and back, so that what was read last in one step is still near in the next.
                    let group = if done % 2 == 0 { group } else { groups - 1 - group };
                    let own = group * at_once..panels.min((group + 1) * at_once);
                    let at_once = if own.len() == at_once { at_once } else { 1 };
                    for panel in own.step_by(at_once) {
                        let tiles = rows.div_ceil(most_rows);
                        let (each, taller) = (rows / tiles, rows % tiles);
                        let mut row = 0;
                        for tile in 0..tiles {
                            let shape =
                                Shape { rows: each + usize::from(tile < taller), gates, panels: at_once };
                            let x = if pass == 0 { at.before } else { at.between };
                            let tile = Tile {
                                x: x.wrapping_add(row * width),
                                x_step: width,
                                depth: units,
                                weights: weights
                                    .as_ptr()
                                    .wrapping_add((panel * units * C::GATES + gate) * S::LANES),
                                row: C::GATES * S::LANES,
                                panel: C::GATES * S::LANES * units,
                                sums: products.0.as_mut_ptr(),
                            };
                            // SAFETY: the rows are states, the weights those of all units; the shape's vectors are at most
                            // as many as there is room for.
                            unsafe {
                                tile::run::<S, W>(s, shape, tile);
                                for m in 0..shape.rows {
                                    for p in 0..at_once {
                                        let h = products.0.as_ptr().add((m * at_once + p) * gates * S::LANES);
                                        at.update(s, cell, pass, [row + m, panel + p], h);
                                    }
                                }
                            }
                            row += shape.rows;
                        }
                    }
                }
            }
        }
    }
}

/// Where a step reads and writes.
struct At<'a, 'b> {
    steps: &'a Steps<'b>,
    /// The first row's.
    sums: *mut f32,
    time: usize,
    /// The first state before and after the step.
    before: *mut f32,
    after: *mut f32,
    /// The second state.
    other: *mut f32,
    /// What a pass gives to the next.
    between: *mut f32,
}

impl At<'_, '_> {
    /// Computes what a pass makes of a row's vector of units whose products are at `h`.
    ///
    /// # Safety
    /// The row and the vector of units must be there, and `h` must have the pass's gates.
    #[inline(always)]
    unsafe fn update<S: Simd, C: Cell>(
        &self,
        s: S,
        cell: &C,
        pass: usize,
        [row, panel]: [usize; 2],
        h: *const f32,
    ) {
        let Steps { units, all, count, width, .. } = *self.steps;
        let (_, gates) = C::PASSES[pass];
        // SAFETY: the caller's, with the lengths that were checked before the first step.
        unsafe {
            let own = panel * C::GATES * S::LANES;
            let sums = self.sums.add(row * count * C::GATES * width + own);
            let unit = row * width + panel * S::LANES;
            let states = [
                s.load(self.before.add(unit)),
                if C::STATES > 1 { s.load(self.other.add(unit)) } else { s.splat(0.0) },
            ];
            let inner = match self.steps.inner {
                Some(inner) => load(s, inner.as_ptr().add(own), C::GATES),
                None => [s.splat(0.0); 4],
            };
            let given = Sums { x: load(s, sums, C::GATES), h: load(s, h, gates), inner, states };
            let mut new = cell.update(s, pass, given);
            if pass + 1 < C::PASSES.len() {
                s.store(sums, new[0]);
                s.store(self.between.add(unit), new[1]);
                return;
            }
            let at = row * all + self.time;
            if self.steps.mask.is_some_and(|mask| *mask.get_unchecked(at) == 0) {
                new = states;
            }
            s.store(self.after.add(unit), new[0]);
            if C::STATES > 1 {
                s.store(self.other.add(unit), new[1]);
            }
            if !self.steps.y.is_empty() {
                let to = self.steps.y.as_ptr().cast_mut().add(at * units + panel * S::LANES);
                match units - panel * S::LANES {
                    rest if rest >= S::LANES => s.store(to, new[0]),
                    rest => s.store_first(to, new[0], rest),
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
