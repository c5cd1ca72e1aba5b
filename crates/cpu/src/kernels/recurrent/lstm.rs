//! Long short-term memory.

use super::Activation;
use super::cell::{Cell, Sums, add};
use crate::simd::Simd;

/// With `[i, f, g, o] = x kernel + h recurrent_kernel + bias`: `c' = r(f) c + r(i) a(g)`, `h' = r(o) a(c')`.
pub(crate) struct Lstm {
    pub activation: Activation,
    pub recurrent_activation: Activation,
}

impl Cell for Lstm {
    const GATES: usize = 4;
    const STATES: usize = 2;
    const PASSES: &'static [(usize, usize)] = &[(0, 4)];

    #[inline(always)]
    fn update<S: Simd>(&self, s: S, _: usize, Sums { x, h, states: [_, c], .. }: Sums<S>) -> [S::F; 2] {
        let [i, f, g, o] = add(s, x, h);
        let i = self.recurrent_activation.apply(s, i);
        let f = self.recurrent_activation.apply(s, f);
        let g = self.activation.apply(s, g);
        let o = self.recurrent_activation.apply(s, o);
        let c = s.mul_add(f, c, s.mul(i, g));
        [s.mul(o, self.activation.apply(s, c)), c]
    }
}
