//! The gated recurrent unit (arXiv:1406.1078), with its reset gate before or after the recurrent product.

use super::recurrence::{Recurrence, product};
use super::rnn::recurrent_cost;
use super::{Infer, Operator, Unary};
use crate::{Cost, Result, Tensor, TensorType};

/// With three gates `z`, `r` and `g` in this order, `s` the recurrent activation and `a` the activation:
///
/// - `z = s(x kernel + h recurrent_kernel + bias)`, and `r` likewise
/// - reset before the product: `g = a(x kernel + (r h) recurrent_kernel + bias)`, the bias being `[3 units]`
/// - reset after it: `g = a(x kernel + bias[0] + r (h recurrent_kernel + bias[1]))`, the bias being `[2, 3 units]`, of
///   which `z` and `r` add both rows
/// - `h' = z h + (1 - z) g`
///
/// Operands and outputs as [`Recurrence`] says, with the state `h`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gru {
    /// `a`; nothing where there is none.
    pub activation: Option<Unary>,
    /// `s`; nothing where there is none.
    pub recurrent_activation: Option<Unary>,
    /// Whether the reset gate comes after the product.
    pub reset_after: bool,
    /// Direction and optional operands.
    pub recurrence: Recurrence,
}

impl Operator for Gru {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let bias: &[i64] = if self.reset_after { &[2] } else { &[] };
        self.recurrence.infer(("gru", 3, 1), bias, inputs, infer)
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        // Bias and addition of the products of three gates, three functions, a product and the mean.
        recurrent_cost(inputs, outputs, 14)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let given = self.recurrence.operands("gru", 1, inputs)?;
        let weights = given.recurrent_kernel.as_f64()?;
        let bias = given.bias.map(|bias| bias.as_f64()).transpose()?;
        let activation = |x: f64| self.activation.map_or(x, |f| f.apply(x));
        let recurrent = |x: f64| self.recurrent_activation.map_or(x, |f| f.apply(x));
        self.recurrence.reference(("gru", 1), inputs, |sums, states| {
            let h = std::mem::take(&mut states[0]);
            let (units, columns) = (h.len(), 3 * h.len());
            let outer = |o: usize| sums[o] + bias.map_or(0.0, |bias| bias[o]);
            let inner = |h: &[f64], o: usize| {
                let bias = bias.filter(|_| self.reset_after).map_or(0.0, |bias| bias[columns + o]);
                product(h, weights, columns, o) + bias
            };
            let reset: Vec<f64> = (units..2 * units).map(|o| recurrent(outer(o) + inner(&h, o))).collect();
            let forgotten: Vec<f64> = h.iter().zip(&reset).map(|(h, r)| h * r).collect();
            let next = |u: usize| {
                let z = recurrent(outer(u) + inner(&h, u));
                let o = 2 * units + u;
                let g = activation(match self.reset_after {
                    true => outer(o) + reset[u] * inner(&h, o),
                    false => outer(o) + inner(&forgotten, o),
                });
                z * h[u] + (1.0 - z) * g
            };
            states[0] = (0..units).map(next).collect();
            Ok(())
        })
    }
}
