//! Recurrent layers: step by step the products of inputs and states, and what the cell makes of both while they are near.
//!
//! Columns of weights and sums are interleaved: a vector of units of every gate, then the next vector of units. So the
//! sums of a panel are all that those units' states need.
//!
//! The batch is cut into blocks of at most [`MOST_ROWS`] rows, each of which goes through all steps. Where a block has rows
//! enough, a tile multiplies the inputs of a step and then its states. Otherwise the products of the inputs are computed
//! for as many steps at once as make about [`SUMS_AT_ONCE`] sums, so that scratch memory grows neither with the batch nor
//! with the steps. No number depends on any of that: each row of a product is summed alone, inputs first, then the bias,
//! then the states.

mod activation;
mod cell;
mod gru;
mod lstm;
mod rnn;
mod steps;
#[cfg(test)]
mod tests;
mod tile;
mod update;

pub(crate) use activation::Activation;
pub(crate) use cell::Cell;
pub(crate) use gru::{Gru, GruResetBefore};
pub(crate) use lstm::Lstm;
pub(crate) use rnn::Rnn;

use super::chain::Chain;
use super::products::{Ahead, BLOCK, Finish, Layout, Packed, Product, RowRun, Terms};
use super::weights::Weights;
use super::{Kernel, Operands};
use crate::simd::{Isa, Simd, Task};
use crate::threads::Team;
use crate::{Error, Result};
use std::marker::PhantomData;
use steps::{Inputs, Steps, array_of, states_per_row};

/// The most rows of the batch that go through the steps together.
const MOST_ROWS: usize = 48;

/// About how many sums of inputs are computed at once, of some steps of some rows of the batch: as many as stay in the
/// second nearest cache.
const SUMS_AT_ONCE: usize = 48 << 10;

/// Elements of the inputs' weights up to which they are read at each step, with those of the states.
const NEARBY_WEIGHTS: usize = 32 << 10;

/// A recurrent operator. Operand 0 is the sequence; the others are where the fields say.
pub(crate) struct Recurrence<C> {
    pub cell: C,
    pub isa: Isa,
    pub reverse: bool,
    pub kernel: Weights,
    pub recurrent_kernel: Weights,
    pub bias: Option<usize>,
    /// The first of the first states.
    pub states: Option<usize>,
    pub mask: Option<usize>,
    /// Whether the states after every step are wanted, then which of the last states are.
    pub wanted: Vec<bool>,
}

pub(crate) struct RecurrenceBound {
    batch: usize,
    steps: usize,
    channels: usize,
    units: usize,
    /// Units, up to a whole vector.
    width: usize,
    /// Rows and steps that are computed at once.
    block: (usize, usize),
    /// Whether the inputs are multiplied step by step, as the states are.
    by_steps: bool,
    kernel: Layout,
    recurrent_kernel: Layout,
    terms: Terms,
}

/// Scratch memory: weights that are packed at each run, the interleaved bias, the sums of a block of rows and steps, and
/// the states of a block of rows.
struct Scratch<'a> {
    kernel: &'a mut [f32],
    recurrent_kernel: &'a mut [f32],
    bias: &'a mut [f32],
    sums: &'a mut [f32],
    states: &'a mut [f32],
}

impl<C: Cell> Recurrence<C> {
    /// The layouts of the weights of a cell: of the inputs and of the states.
    pub fn layouts(isa: Isa) -> [impl Fn(&[usize]) -> Result<Layout>; 2] {
        [Self::is_by_units(isa), true].map(|by_units| {
            move |kernel: &[usize]| Layout::with_gates_interleaved(isa, kernel, C::GATES, by_units)
        })
    }

    /// Whether the inputs' weights are packed as those of the states are, with which they then can be multiplied: where a
    /// panel has vectors enough.
    fn is_by_units(isa: Isa) -> bool {
        let most = isa.panel_vectors();
        C::GATES <= most && 2 * C::GATES > most
    }

    fn scratch_lens(&self, bound: &RecurrenceBound) -> [usize; 5] {
        let (rows, steps) = if bound.by_steps { (bound.block.0, 1) } else { bound.block };
        let columns = C::GATES * bound.width;
        [
            self.kernel.scratch(&bound.kernel),
            self.recurrent_kernel.scratch(&bound.recurrent_kernel),
            2 * columns,
            rows * steps * columns,
            rows * states_per_row::<C>(bound.width),
        ]
    }

    fn split<'a>(&self, bound: &RecurrenceBound, scratch: &'a mut [f32]) -> Scratch<'a> {
        let [kernel, recurrent_kernel, bias, sums, states] = self.scratch_lens(bound);
        let (kernel, scratch) = scratch.split_at_mut(kernel);
        let (recurrent_kernel, scratch) = scratch.split_at_mut(recurrent_kernel);
        let (bias, scratch) = scratch.split_at_mut(bias);
        let (sums, scratch) = scratch.split_at_mut(sums);
        Scratch { kernel, recurrent_kernel, bias, sums, states: &mut scratch[..states] }
    }

    /// Sets the states of the rows of the batch from `first` on.
    fn set_first_states(
        &self,
        bound: &RecurrenceBound,
        operands: &Operands<'_>,
        first: usize,
        states: &mut [f32],
    ) {
        let &RecurrenceBound { units, width, .. } = bound;
        let len = states.len() / states_per_row::<C>(1);
        for state in 0..C::STATES {
            let given = self.states.map(|operand| operands.get::<f32>(operand + state));
            let own = &mut states[array_of(state, 0) * len..][..len];
            for (row, own) in own.chunks_exact_mut(width).enumerate() {
                match given {
                    Some(given) => own[..units].copy_from_slice(&given[(first + row) * units..][..units]),
                    None => own.fill(0.0),
                }
            }
        }
    }
}

/// Whether steps of so many rows can multiply their inputs.
struct TakesInputs<C>(usize, PhantomData<C>);

impl<C: Cell> Task for TakesInputs<C> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        steps::takes_inputs::<S, C>(self.0)
    }
}

/// How many rows of a batch and how many steps are computed at once, with so many sums per row and step.
fn block(batch: usize, steps: usize, columns: usize) -> (usize, usize) {
    let rows = batch.div_ceil(batch.div_ceil(MOST_ROWS).max(1)).max(1);
    let most = (SUMS_AT_ONCE / columns.max(1) / rows).max(MOST_ROWS.div_ceil(rows));
    (rows, steps.max(1).div_ceil(steps.div_ceil(most).max(1)))
}

impl<C: Cell> Kernel for Recurrence<C> {
    type Out = f32;
    type Bound = RecurrenceBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<RecurrenceBound> {
        let &[batch, steps, channels] = operands[0] else {
            return Err(Error::shape("a recurrence over an array that is no sequence"));
        };
        let [of_kernel, of_recurrent_kernel] = Recurrence::<C>::layouts(self.isa);
        let kernel = self.kernel.layout(operands, of_kernel)?;
        let recurrent_kernel = self.recurrent_kernel.layout(operands, of_recurrent_kernel)?;
        let (rows, steps_at_once) = block(batch, steps, kernel.columns);
        let last = batch % rows;
        let by_steps = Self::is_by_units(self.isa)
            && kernel.depth <= BLOCK
            && kernel.depth * kernel.columns <= NEARBY_WEIGHTS
            && self.isa.run(TakesInputs::<C>(rows, PhantomData))
            && (last == 0 || self.isa.run(TakesInputs::<C>(last, PhantomData)));
        Ok(RecurrenceBound {
            batch,
            steps,
            channels,
            units: recurrent_kernel.depth,
            width: kernel.columns / C::GATES,
            block: (rows, if by_steps { steps.max(1) } else { steps_at_once }),
            by_steps,
            terms: Terms::contiguous(kernel.depth),
            kernel,
            recurrent_kernel,
        })
    }

    fn scratch(&self, bound: &RecurrenceBound) -> usize {
        self.scratch_lens(bound).iter().sum()
    }

    fn run(&self, bound: &RecurrenceBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let &RecurrenceBound { batch, steps, channels, units, width, .. } = bound;
        let Scratch { kernel, recurrent_kernel, bias, sums, states } = self.split(bound, scratch);
        let kernel = self.kernel.get(&bound.kernel, operands, kernel);
        let packed = self.recurrent_kernel.get(&bound.recurrent_kernel, operands, recurrent_kernel);
        let Packed::F32(weights) = packed else {
            return debug_assert!(false, "the weights of recurrences are kept in single precision");
        };
        let columns = C::GATES * width;
        let x = operands.get::<f32>(0);
        let mask = self.mask.map(|mask| operands.get::<i64>(mask));
        let (outer, inner) = bias.split_at_mut(columns);
        let given = self.bias.map(|bias| operands.get::<f32>(bias).split_at(C::GATES * units));
        outer.fill(0.0);
        inner.fill(0.0);
        if let Some((given, recurrent)) = given {
            bound.kernel.interleave(given, outer);
            if let Some(apart) = C::APART {
                bound.kernel.interleave(recurrent, inner);
                let lanes = bound.kernel.lanes;
                let vectors = outer.chunks_exact_mut(lanes).zip(inner.chunks_exact(lanes)).enumerate();
                for (_, (outer, inner)) in vectors.filter(|(at, _)| at % C::GATES != apart) {
                    outer.iter_mut().zip(inner).for_each(|(outer, inner)| *outer += inner);
                }
            }
        }
        let inputs = match kernel {
            Packed::F32(weights) if bound.by_steps => Some(weights),
            _ => None,
        };
        let chain = Chain::default();
        let finish = Finish { bias: Some(&*outer), chain: &chain, operands };
        let (isa, team) = (self.isa, Team::ONE);
        let product =
            Product { isa, team, x, layout: &bound.kernel, packed: kernel, finish, ahead: Ahead::NOTHING };
        let (y, last) = out.split_at_mut(if self.wanted[0] { batch * steps * units } else { 0 });

        let (rows_at_once, steps_at_once) = bound.block;
        for first in (0..batch).step_by(rows_at_once) {
            let rows = rows_at_once.min(batch - first);
            let states = &mut states[..rows * states_per_row::<C>(width)];
            self.set_first_states(bound, operands, first, states);
            for begin in (0..steps).step_by(steps_at_once) {
                let count = steps_at_once.min(steps - begin);
                // The first in time of these steps.
                let at = if self.reverse { steps - begin - count } else { begin };
                let (x_step, y_step) = (steps * channels, count * columns);
                // Few and long runs of rows: the steps of each row, or the rows of each step.
                if bound.by_steps {
                    // Later, with the states.
                } else if count > rows {
                    for row in 0..rows {
                        let (x, y) = ((first + row) * x_step + at * channels, row * y_step);
                        let run = RowRun { x, y, count, x_step: channels, y_step: columns, pool: 1 };
                        product.multiply(0, &bound.terms, run, sums);
                    }
                } else {
                    for step in 0..count {
                        let (x, y) = (first * x_step + (at + step) * channels, step * columns);
                        let run = RowRun { x, y, count: rows, x_step, y_step, pool: 1 };
                        product.multiply(0, &bound.terms, run, sums);
                    }
                }
                let run = first * steps..(first + rows) * steps;
                let inputs = inputs.map(|inputs| Inputs {
                    x: &x[run.start * channels..run.end * channels],
                    channels,
                    weights: inputs,
                    bias: outer,
                });
                let steps = Steps {
                    sums: &mut sums[..rows * if bound.by_steps { columns } else { y_step }],
                    inputs,
                    inner,
                    states,
                    rows,
                    width,
                    y: if self.wanted[0] { &mut y[run.start * units..run.end * units] } else { &mut [] },
                    mask: mask.map(|mask| &mask[run]),
                    units,
                    all: steps,
                    begin,
                    count,
                    reverse: self.reverse,
                };
                self.isa.run(steps::Run { cell: &self.cell, weights, steps });
            }
            let wanted = (0..C::STATES).filter(|state| self.wanted[1 + state]);
            for (state, last) in wanted.zip(last.chunks_exact_mut(batch * units)) {
                let own = &states[array_of(state, steps) * rows * width..][..rows * width];
                for (row, own) in own.chunks_exact(width).enumerate() {
                    last[(first + row) * units..][..units].copy_from_slice(&own[..units]);
                }
            }
        }
    }
}
