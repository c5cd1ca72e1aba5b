//! Recurrent layers: products of all steps' inputs, and one product of the state per step.
//!
//! The batch is cut into blocks of [`ROW_CHUNK`] rows, each of which goes through all steps. The products of the inputs
//! are computed for as many steps at once as make so many rows, so that scratch memory grows neither with the batch nor
//! with the steps. No number depends on either cut: each row of a product is summed alone.

mod gru;
mod lstm;
mod rnn;
#[cfg(test)]
mod tests;

pub(crate) use gru::Gru;
pub(crate) use lstm::Lstm;
pub(crate) use rnn::Rnn;

use super::chain::Chain;
use super::products::{Finish, Layout, Packed, Product, RowRun, Terms};
use super::unary::Function;
use super::weights::Weights;
use super::{Kernel, Operands};
use crate::simd::Isa;
use crate::threads::Team;
use crate::{Error, Result};

/// Rows of the batch, or of the batch and the steps, that are computed at once.
const ROW_CHUNK: usize = 60;

/// What a recurrent operator does in one step.
pub(crate) trait Cell: Send + Sync + 'static {
    /// Sums per unit.
    const GATES: usize;
    /// States per unit, of which the first is the output.
    const STATES: usize;

    /// How many products the recurrent weights are split into, each of an equal share of the columns.
    fn products(&self) -> usize {
        1
    }

    /// Whether the bias has a second row, which is added to the recurrent product.
    fn has_inner_bias(&self) -> bool {
        false
    }

    /// Makes rows of `sums`, the products of the inputs with the bias, what [`update`](Cell::update) reads. Each row of
    /// `states` has all states of a row of the batch. `products` is as large as `sums`, of any values.
    fn gates(&self, recurrent: &Recurrent<'_>, states: &[f32], sums: &mut [f32], products: &mut [f32]);

    /// Replaces one row's states.
    fn update(&self, isa: Isa, gates: &[f32], states: &mut [f32]);
}

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
    kernel: Layout,
    recurrent_kernel: Layout,
    terms: Terms,
    recurrent_terms: Terms,
}

/// The recurrent weights at work on one block of rows.
pub(crate) struct Recurrent<'a> {
    layout: &'a Layout,
    packed: Packed<'a>,
    finish: Finish<'a>,
    isa: Isa,
    terms: &'a Terms,
    rows: usize,
    /// Units of a state.
    pub units: usize,
}

impl Recurrent<'_> {
    /// The instruction set that the plan was made for.
    fn isa(&self) -> Isa {
        self.finish.operands.isa()
    }

    /// Product number `index` of rows that start every `steps[0]` elements of `x`, in rows that start every `steps[1]`
    /// elements of `y`.
    fn multiply(&self, index: usize, x: &[f32], steps: [usize; 2], y: &mut [f32]) {
        let rows = RowRun { x: 0, y: 0, count: self.rows, x_step: steps[0], y_step: steps[1] };
        let Recurrent { isa, layout, packed, finish, .. } = *self;
        Product { isa, team: Team::ONE, x, layout, packed, finish }.multiply(index, self.terms, rows, y);
    }
}

/// Replaces each element by the function's value, if there is one.
fn apply(function: Option<Function>, isa: Isa, values: &mut [f32]) {
    if let Some(function) = function {
        function.apply(isa, values);
    }
}

/// Adds to each element of `sums` its counterpart.
fn add(sums: &mut [f32], terms: &[f32]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

impl RecurrenceBound {
    /// The most rows and the most steps that are computed at once.
    fn block(&self) -> (usize, usize) {
        let rows = self.batch.clamp(1, ROW_CHUNK);
        (rows, (ROW_CHUNK / rows).clamp(1, self.steps.max(1)))
    }
}

/// Scratch memory: weights that are packed at each run, the sums of a block of rows and steps, and the recurrent
/// products and states of a block of rows.
struct Scratch<'a> {
    kernel: &'a mut [f32],
    recurrent_kernel: &'a mut [f32],
    sums: &'a mut [f32],
    products: &'a mut [f32],
    states: &'a mut [f32],
}

impl<C: Cell> Recurrence<C> {
    fn scratch_lens(&self, bound: &RecurrenceBound) -> [usize; 5] {
        let (rows, steps) = bound.block();
        let columns = C::GATES * bound.units;
        [
            self.kernel.scratch(&bound.kernel),
            self.recurrent_kernel.scratch(&bound.recurrent_kernel),
            rows * steps * columns,
            rows * columns,
            rows * C::STATES * bound.units,
        ]
    }

    fn split<'a>(&self, bound: &RecurrenceBound, scratch: &'a mut [f32]) -> Scratch<'a> {
        let [kernel, recurrent_kernel, sums, products, states] = self.scratch_lens(bound);
        let (kernel, scratch) = scratch.split_at_mut(kernel);
        let (recurrent_kernel, scratch) = scratch.split_at_mut(recurrent_kernel);
        let (sums, scratch) = scratch.split_at_mut(sums);
        let (products, scratch) = scratch.split_at_mut(products);
        Scratch { kernel, recurrent_kernel, sums, products, states: &mut scratch[..states] }
    }

    /// Sets the states of the rows of the batch from `first` on.
    fn set_first_states(&self, operands: &Operands<'_>, (first, units): (usize, usize), states: &mut [f32]) {
        let Some(operand) = self.states else { return states.fill(0.0) };
        for (row, own) in states.chunks_exact_mut(C::STATES * units).enumerate() {
            for (state, own) in own.chunks_exact_mut(units).enumerate() {
                let all = operands.get::<f32>(operand + state);
                own.copy_from_slice(&all[(first + row) * units..][..units]);
            }
        }
    }
}

impl<C: Cell> Kernel for Recurrence<C> {
    type Out = f32;
    type Bound = RecurrenceBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<RecurrenceBound> {
        let &[batch, steps, channels] = operands[0] else {
            return Err(Error::shape("a recurrence over an array that is no sequence"));
        };
        let kernel = self.kernel.layout(operands, |kernel| Layout::new(self.isa, kernel, 1))?;
        let products = self.cell.products();
        let recurrent_kernel =
            self.recurrent_kernel.layout(operands, |kernel| Layout::new(self.isa, kernel, products))?;
        let units = recurrent_kernel.depth;
        let (terms, recurrent_terms) = (Terms::contiguous(kernel.depth), Terms::contiguous(units));
        Ok(RecurrenceBound {
            batch,
            steps,
            channels,
            units,
            kernel,
            recurrent_kernel,
            terms,
            recurrent_terms,
        })
    }

    fn scratch(&self, bound: &RecurrenceBound) -> usize {
        self.scratch_lens(bound).iter().sum()
    }

    fn run(&self, bound: &RecurrenceBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let &RecurrenceBound { batch, steps, channels, units, .. } = bound;
        let Scratch { kernel, recurrent_kernel, sums, products, states } = self.split(bound, scratch);
        let kernel = self.kernel.get(&bound.kernel, operands, kernel);
        let packed = self.recurrent_kernel.get(&bound.recurrent_kernel, operands, recurrent_kernel);
        let (columns, width) = (C::GATES * units, C::STATES * units);
        let x = operands.get::<f32>(0);
        let mask = self.mask.map(|mask| operands.get::<i64>(mask));
        let chain = Chain::default();
        let bias = self.bias.map(|bias| operands.get::<f32>(bias).split_at(columns));
        let outer = Finish { bias: bias.map(|(outer, _)| outer), chain: &chain, operands };
        let inner = bias.map(|(_, inner)| inner).filter(|_| self.cell.has_inner_bias());
        let (y, last) = out.split_at_mut(if self.wanted[0] { batch * steps * units } else { 0 });

        let (block, steps_at_once) = bound.block();
        for first in (0..batch).step_by(block) {
            let rows = block.min(batch - first);
            let states = &mut states[..rows * width];
            self.set_first_states(operands, (first, units), states);
            let finish = Finish { bias: inner, chain: &chain, operands };
            let recurrent = Recurrent {
                layout: &bound.recurrent_kernel,
                packed,
                finish,
                isa: self.isa,
                terms: &bound.recurrent_terms,
                rows,
                units,
            };
            let at = |i: usize, row: usize| {
                let step = if self.reverse { steps - 1 - i } else { i };
                (first + row) * steps + step
            };
            for begin in (0..steps).step_by(steps_at_once) {
                let end = steps.min(begin + steps_at_once);
                let product = Product {
                    isa: self.isa,
                    team: operands.team(),
                    x,
                    layout: &bound.kernel,
                    packed: kernel,
                    finish: outer,
                };
                for (to, i) in (begin..end).enumerate() {
                    let (x, y) = (at(i, 0) * channels, to * rows * columns);
                    let rows = RowRun { x, y, count: rows, x_step: steps * channels, y_step: columns };
                    product.multiply(0, &bound.terms, rows, sums);
                }
                for (i, sums) in (begin..end).zip(sums.chunks_exact_mut(rows * columns)) {
                    self.cell.gates(&recurrent, states, sums, &mut products[..rows * columns]);
                    let gates = sums.chunks_exact(columns);
                    for ((row, states), gates) in states.chunks_exact_mut(width).enumerate().zip(gates) {
                        let at = at(i, row);
                        if mask.is_none_or(|mask| mask[at] != 0) {
                            self.cell.update(operands.isa(), gates, states);
                        }
                        if self.wanted[0] {
                            y[at * units..][..units].copy_from_slice(&states[..units]);
                        }
                    }
                }
            }
            let wanted = self.wanted[1..].iter().enumerate().filter(|(_, wanted)| **wanted);
            for ((state, _), last) in wanted.zip(last.chunks_exact_mut(batch * units)) {
                for (row, own) in states.chunks_exact(width).enumerate() {
                    last[(first + row) * units..][..units].copy_from_slice(&own[state * units..][..units]);
                }
            }
        }
    }
}
