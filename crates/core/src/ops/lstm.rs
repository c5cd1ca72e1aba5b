//! Long short-term memory: a state and a memory cell behind three gates.
//!
//! <https://www.bioinf.jku.at/publications/older/2604.pdf>, with the forget gate of
//! <https://doi.org/10.1162/089976600300015015>.

use super::recurrence::{Recurrence, product};
use super::rnn::recurrent_cost;
use super::{Infer, Operator, Unary};
use crate::{Cost, Result, Tensor, TensorType};

/// With `[i, f, g, o] = x kernel + h recurrent_kernel + bias`, `r` the recurrent activation and `a` the activation:
/// `c' = r(f) c + r(i) a(g)` and `h' = r(o) a(c')`. Operands and outputs as [`Recurrence`] says, with four gates in
/// this order, the states `h` and `c`, and a bias `[4 units]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lstm {
    /// `a`; nothing where there is none.
    pub activation: Option<Unary>,
    /// `r`; nothing where there is none.
    pub recurrent_activation: Option<Unary>,
    /// Direction and optional operands.
    pub recurrence: Recurrence,
}

impl Operator for Lstm {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        self.recurrence.infer(("lstm", 4, 2), &[], inputs, infer)
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        // Bias and addition of the products of four gates, five functions, three products, one sum.
        recurrent_cost(inputs, outputs, 17)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let given = self.recurrence.operands("lstm", 2, inputs)?;
        let weights = given.recurrent_kernel.as_f64()?;
        let bias = given.bias.map(|bias| bias.as_f64()).transpose()?;
        let activation = |x: f64| self.activation.map_or(x, |f| f.apply(x));
        let recurrent = |x: f64| self.recurrent_activation.map_or(x, |f| f.apply(x));
        self.recurrence.reference(("lstm", 2), inputs, |sums, states| {
            let [h, c] = states else { return Ok(()) };
            let units = h.len();
            let before = h.clone();
            for u in 0..units {
                let gate = |gate: usize| {
                    let o = gate * units + u;
                    sums[o] + product(&before, weights, 4 * units, o) + bias.map_or(0.0, |bias| bias[o])
                };
                c[u] = recurrent(gate(1)) * c[u] + recurrent(gate(0)) * activation(gate(2));
                h[u] = recurrent(gate(3)) * activation(c[u]);
            }
            Ok(())
        })
    }
}
