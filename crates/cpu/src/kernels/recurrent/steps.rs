//! Steps of a block of rows.

use super::cell::Cell;
use super::tile::{self, Apart, Factors, MOST_SUMS, Shape, Tile};
use super::update::{self, MOST_AT_ONCE, Step};
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
    /// The products of the inputs with the bias, `[row][step][unit / lanes][gate][lane]`, in the order of time; or room for
    /// those of one step, if there are inputs.
    pub sums: &'a mut [f32],
    /// What is multiplied here and not beforehand.
    pub inputs: Option<Inputs<'a>>,
    /// What recurrent products are added to that are kept [apart](Cell::APART), `[unit / lanes][gate][lane]`.
    pub inner: &'a [f32],
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

impl Steps<'_> {
    /// Of how many steps there are sums.
    fn steps_of_sums(&self) -> usize {
        if self.inputs.is_some() { 1 } else { self.count }
    }
}

/// Inputs whose products are computed together with those of the states.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// `[row][step][channel]`, of all steps.
    pub x: &'a [f32],
    pub channels: usize,
    /// Packed in panels as the recurrent weights are.
    pub weights: &'a [f32],
    /// `[unit / lanes][gate][lane]`
    pub bias: &'a [f32],
}

/// The work of [`Steps`] by a cell with its packed recurrent weights.
pub(super) struct Run<'a, C> {
    pub cell: &'a C,
    pub weights: &'a [f32],
    pub steps: Steps<'a>,
}

/// The most lanes of a vector.
const MOST_LANES: usize = 16;

/// The sums of a tile, or of some tiles of few rows.
#[repr(align(64))]
struct Products([f32; MOST_SUMS * MOST_LANES]);

impl<C: Cell> Task for Run<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Steps { rows, width, units, all, begin, count, .. } = self.steps;
        let columns = C::GATES * width;
        const { assert!(S::LANES <= MOST_LANES && C::GATES <= 4 && C::STATES <= 2) };
        assert!(width.is_multiple_of(S::LANES) && width - units < S::LANES && rows > 0);
        assert_eq!(self.weights.len(), units * columns);
        assert_eq!(self.steps.inner.len(), columns);
        if let Some(inputs) = self.steps.inputs {
            assert_eq!(inputs.x.len(), rows * all * inputs.channels);
            assert_eq!((inputs.weights.len(), inputs.bias.len()), (inputs.channels * columns, columns));
            assert!(takes_inputs::<S, C>(rows));
        }
        assert_eq!(self.steps.sums.len(), rows * self.steps.steps_of_sums() * columns);
        assert_eq!(self.steps.states.len(), rows * states_per_row::<C>(width));
        assert!(self.steps.y.is_empty() || self.steps.y.len() == rows * all * units);
        assert!(self.steps.mask.is_none_or(|mask| mask.len() == rows * all) && begin + count <= all);
        let mut products = Products([0.0; MOST_SUMS * MOST_LANES]);
        for done in begin..begin + count {
            let step = self.step::<S>(done);
            for pass in 0..C::PASSES.len() {
                // SAFETY: the lengths of all arrays are as they must be.
                unsafe { self.pass(s, &step, pass, done % 2 == 1, &mut products) };
            }
        }
    }
}

impl<C: Cell> Run<'_, C> {
    /// Where the step after so many others reads and writes.
    #[inline(always)]
    fn step<S: Simd>(&mut self, done: usize) -> Step {
        let Steps { rows, width, units, all, begin, count, reverse, .. } = self.steps;
        let (local, time) = match reverse {
            true => (begin + count - 1 - done, all - 1 - done),
            false => (done - begin, done),
        };
        let columns = C::GATES * width;
        let steps_of_sums = self.steps.steps_of_sums();
        let local = if self.steps.inputs.is_some() { 0 } else { local };
        let states = self.steps.states.as_mut_ptr();
        let array = |index: usize| states.wrapping_add(index * rows * width);
        let y = self.steps.y.as_mut_ptr().wrapping_add(time * units);
        let inputs = self.steps.inputs.map(|inputs| Factors {
            x: inputs.x.as_ptr().wrapping_add(time * inputs.channels),
            x_step: all * inputs.channels,
            depth: inputs.channels,
            weights: inputs.weights.as_ptr(),
            weights_step: C::GATES * S::LANES,
            weights_panel: C::GATES * S::LANES * inputs.channels,
        });
        Step {
            inputs,
            sums: self.steps.sums.as_mut_ptr().wrapping_add(local * columns),
            sums_step: steps_of_sums * columns,
            before: array(array_of(0, done)),
            after: array(array_of(0, done + 1)),
            other: array(array_of(1, done)),
            between: array(C::STATES + 1),
            width,
            y: (!self.steps.y.is_empty()).then_some(y),
            y_step: all * units,
            mask: self.steps.mask.map(|mask| mask.as_ptr().wrapping_add(time)),
            mask_step: all,
            units,
        }
    }

    /// Multiplies what a pass multiplies with the weights of its gates, and makes of the products what the cell does.
    ///
    /// # Safety
    /// The lengths of all arrays must be as their documentation says.
    #[inline(always)]
    unsafe fn pass<S: Simd>(&self, s: S, step: &Step, pass: usize, backward: bool, products: &mut Products) {
        let Steps { rows, width, .. } = self.steps;
        let (_, gates) = C::PASSES[pass];
        let largest = Shape::largest::<S>(rows, gates);
        let tiles = rows.div_ceil(largest.rows);
        let (each, taller) = (rows / tiles, rows % tiles);
        // Of few rows, several tiles are updated together, so that there is enough to do at once.
        let together = match tiles {
            1 => largest.panels * MOST_AT_ONCE.div_ceil(rows * largest.panels),
            _ => largest.panels,
        };
        // Forth and back from step to step, so that the weights that were read last are still near.
        let turned = |at: usize, count: usize| if backward { count - 1 - at } else { at };
        let panels = width / S::LANES;
        let groups = panels.div_ceil(together);
        for group in 0..groups {
            let group = turned(group, groups) * together;
            let group = group..panels.min(group + together);
            let mut row = 0;
            for tile in 0..tiles {
                let rows = each + usize::from(tile < taller);
                let parts = group.len().div_ceil(largest.panels);
                for part in 0..parts {
                    let part = group.start + turned(part, parts) * largest.panels;
                    let part = part..group.end.min(part + largest.panels);
                    let panels = if part.len() < largest.panels { 1 } else { largest.panels };
                    for panel in part.step_by(panels) {
                        let tile = self.tile::<S>(step, pass, row, panel);
                        let sums = (panel - group.start) * rows * gates * S::LANES;
                        debug_assert!(sums + rows * panels * gates * S::LANES <= products.0.len());
                        let tile = Tile { sums: products.0.as_mut_ptr().wrapping_add(sums), ..tile };
                        // SAFETY: rows, gates, and vectors of units are there, and there is room for so many sums.
                        unsafe { tile::run(s, Shape { rows, gates, panels }, tile) };
                    }
                }
                let places = [row..row + rows, group.clone()];
                // SAFETY: rows and vectors of units are there, and the products were computed.
                unsafe { update::all(s, self.cell, step, pass, places, products.0.as_mut_ptr()) };
                row += rows;
            }
        }
    }

    /// The tile whose first row and vector of units are these, without a place for its sums.
    #[inline(always)]
    fn tile<S: Simd>(&self, step: &Step, pass: usize, row: usize, panel: usize) -> Tile {
        let Steps { width, units, .. } = self.steps;
        let (gate, gates) = C::PASSES[pass];
        let columns = C::GATES * S::LANES;
        let bias = self.steps.inputs.map(|inputs| inputs.bias.as_ptr());
        let mut first = [(self.steps.inner.as_ptr(), 0); 4];
        let mut apart = None;
        for v in 0..gates {
            let column = panel * columns + (gate + v) * S::LANES;
            let to = step.sums.wrapping_add(row * step.sums_step + column);
            let is_apart = C::APART == Some(gate + v);
            first[v] = match bias {
                _ if is_apart => (self.steps.inner.as_ptr().wrapping_add(column), 0),
                Some(bias) => (bias.wrapping_add(column), 0),
                None => (to, step.sums_step),
            };
            if let (true, Some(bias)) = (is_apart, bias) {
                let bias = bias.wrapping_add(column);
                apart = Some(Apart { gate: v, bias, to, to_step: step.sums_step });
            }
        }
        let x = if pass == 0 { step.before } else { step.between };
        let inputs = step.inputs.map(|inputs| Factors {
            x: inputs.x.wrapping_add(row * inputs.x_step),
            weights: inputs.weights.wrapping_add(panel * inputs.weights_panel),
            ..inputs
        });
        let states = Factors {
            x: x.wrapping_add(row * width),
            x_step: width,
            depth: units,
            weights: self.weights.as_ptr().wrapping_add(panel * units * columns + gate * S::LANES),
            weights_step: columns,
            weights_panel: columns * units,
        };
        Tile { inputs, states, first, first_panel: columns, apart, sums: std::ptr::null_mut() }
    }
}

/// Whether steps of so many rows can multiply their inputs, if the weights are packed for that.
pub(super) fn takes_inputs<S: Simd, C: Cell>(rows: usize) -> bool {
    let [(_, gates)] = *C::PASSES else { return false };
    let largest = Shape::largest::<S>(rows, gates);
    // The fewest rows of a tile
    let rows = rows / rows.div_ceil(largest.rows).max(1);
    Shape { rows, ..largest }.takes_inputs()
}
