//! The simple recurrent network: `h' = f(x kernel + h recurrent_kernel + bias)`.

use super::recurrence::{Recurrence, product};
use super::{Infer, Operator, Unary};
use crate::{Cost, Dim, Result, Tensor, TensorType};

/// `h' = f(x kernel + h recurrent_kernel + bias)` for every step. Operands and outputs as [`Recurrence`] says, with one
/// gate, the state `h`, and a bias `[units]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rnn {
    /// `f`; nothing where there is none.
    pub activation: Option<Unary>,
    /// Direction and optional operands.
    pub recurrence: Recurrence,
}

impl Operator for Rnn {
    fn name(&self) -> &'static str {
        "rnn"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        self.recurrence.infer(("rnn", 1, 1), &[], inputs, infer)
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        // Bias, addition of the two products, function.
        recurrent_cost(inputs, outputs, 3)
    }

    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let given = self.recurrence.operands("rnn", 1, inputs)?;
        let weights = given.recurrent_kernel.as_f64()?;
        let bias = given.bias.map(|bias| bias.as_f64()).transpose()?;
        self.recurrence.reference(("rnn", 1), inputs, |sums, states| {
            let h = std::mem::take(&mut states[0]);
            let next = |o: usize| {
                let sum = sums[o] + product(&h, weights, h.len(), o) + bias.map_or(0.0, |bias| bias[o]);
                self.activation.map_or(sum, |f| f.apply(sum))
            };
            states[0] = (0..h.len()).map(next).collect();
            Ok(())
        })
    }
}

/// The cost of a recurrent operator with so many other operations per unit and step.
pub(super) fn recurrent_cost(inputs: &[TensorType], outputs: &[TensorType], per_unit: i64) -> Result<Cost> {
    let ([_, kernel, recurrent_kernel, ..], [y, ..]) = (inputs, outputs) else { return Ok(Cost::NONE) };
    let ([rows, columns], [units, _], [batch, steps, _]) =
        (&kernel.shape[..], &recurrent_kernel.shape[..], &y.shape[..])
    else {
        return Ok(Cost::NONE);
    };
    let runs: Dim = batch.mul(steps)?;
    let products = Cost::multiply_adds(rows.add(units)?.mul(columns)?.mul(&runs)?);
    products.add(&Cost::element_ops(runs.mul(units)?.mul_const(per_unit)?))
}
