//! Long short-term memory.

use super::{Cell, Function, Recurrent, add, apply};
use crate::simd::Isa;

/// With `[i, f, g, o] = x kernel + h recurrent_kernel + bias`: `c' = r(f) c + r(i) a(g)`, `h' = r(o) a(c')`.
pub(crate) struct Lstm {
    pub activation: Option<Function>,
    pub recurrent_activation: Option<Function>,
}

impl Cell for Lstm {
    const GATES: usize = 4;
    const STATES: usize = 2;

    fn gates(&self, recurrent: &Recurrent<'_>, states: &[f32], sums: &mut [f32], products: &mut [f32]) {
        let units = recurrent.units;
        recurrent.multiply(0, states, [2 * units, 4 * units], products);
        add(sums, products);
        for gates in sums.chunks_exact_mut(4 * units) {
            let (i_f, g_o) = gates.split_at_mut(2 * units);
            let (g, o) = g_o.split_at_mut(units);
            apply(self.recurrent_activation, recurrent.isa(), i_f);
            apply(self.activation, recurrent.isa(), g);
            apply(self.recurrent_activation, recurrent.isa(), o);
        }
    }

    fn update(&self, isa: Isa, gates: &[f32], states: &mut [f32]) {
        let units = states.len() / 2;
        let (h, c) = states.split_at_mut(units);
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| &gates[gate * units..][..units]);
        for (u, c) in c.iter_mut().enumerate() {
            *c = f[u] * *c + i[u] * g[u];
        }
        h.copy_from_slice(c);
        apply(self.activation, isa, h);
        h.iter_mut().zip(o).for_each(|(h, o)| *h *= o);
    }
}
