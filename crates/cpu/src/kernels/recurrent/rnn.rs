//! The simple recurrent network.

use super::{Cell, Function, Recurrent, add, apply};
use crate::simd::Isa;

/// `h' = f(x kernel + h recurrent_kernel + bias)`
pub(crate) struct Rnn {
    pub activation: Option<Function>,
}

impl Cell for Rnn {
    const GATES: usize = 1;
    const STATES: usize = 1;

    fn gates(&self, recurrent: &Recurrent<'_>, states: &[f32], sums: &mut [f32], products: &mut [f32]) {
        recurrent.multiply(0, states, [recurrent.units; 2], products);
        add(sums, products);
        apply(self.activation, recurrent.isa(), sums);
    }

    fn update(&self, _: Isa, gates: &[f32], states: &mut [f32]) {
        states.copy_from_slice(gates);
    }
}
