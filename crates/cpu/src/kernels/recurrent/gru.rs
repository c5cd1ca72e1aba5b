//! The gated recurrent unit.

use super::{Cell, Function, Recurrent, add, apply};
use crate::simd::Isa;

/// With the gates `[z, r, g]`: `h' = z h + (1 - z) g`. The reset gate `r` scales the state before the product of `g`, or
/// that product.
pub(crate) struct Gru {
    pub activation: Option<Function>,
    pub recurrent_activation: Option<Function>,
    pub reset_after: bool,
}

impl Cell for Gru {
    const GATES: usize = 3;
    const STATES: usize = 1;

    fn products(&self) -> usize {
        if self.reset_after { 1 } else { 3 }
    }

    fn has_inner_bias(&self) -> bool {
        self.reset_after
    }

    fn gates(&self, recurrent: &Recurrent<'_>, states: &[f32], sums: &mut [f32], products: &mut [f32]) {
        let units = recurrent.units;
        let columns = 3 * units;
        if self.reset_after {
            recurrent.multiply(0, states, [units, columns], products);
        } else {
            recurrent.multiply(0, states, [units, columns], products);
            recurrent.multiply(1, states, [units, columns], &mut products[units..]);
        }
        for (sums, products) in sums.chunks_exact_mut(columns).zip(products.chunks_exact(columns)) {
            add(&mut sums[..2 * units], products);
            apply(self.recurrent_activation, recurrent.isa(), &mut sums[..2 * units]);
        }
        if !self.reset_after {
            // In the place of `r`, which nothing else reads.
            for (sums, h) in sums.chunks_exact_mut(columns).zip(states.chunks_exact(units)) {
                sums[units..].iter_mut().zip(h).for_each(|(r, h)| *r *= h);
            }
            recurrent.multiply(2, &sums[units..], [columns; 2], &mut products[2 * units..]);
        }
        for (sums, products) in sums.chunks_exact_mut(columns).zip(products.chunks_exact(columns)) {
            let (r, g) = sums[units..].split_at_mut(units);
            let inner = &products[2 * units..];
            match self.reset_after {
                true => g.iter_mut().zip(inner).zip(r).for_each(|((g, inner), r)| *g += *r * inner),
                false => add(g, inner),
            }
            apply(self.activation, recurrent.isa(), g);
        }
    }

    fn update(&self, _: Isa, gates: &[f32], states: &mut [f32]) {
        let units = states.len();
        for (u, h) in states.iter_mut().enumerate() {
            let (z, g) = (gates[u], gates[2 * units + u]);
            *h = z * *h + (1.0 - z) * g;
        }
    }
}
