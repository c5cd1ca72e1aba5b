//! Long short-term memory.

use super::Activation;
use super::cell::{Cell, Sums};
use crate::simd::Simd;

/// With `[i, f, g, o] = x kernel + h recurrent_kernel + bias`: `c' = r(f) c + r(i) a(g)`, `h' = r(o) a(c')`.
#[derive(PartialEq)]
pub(crate) struct Lstm {
    pub activation: Activation,
    pub recurrent_activation: Activation,
}

impl Cell for Lstm {
    const USUAL: Lstm = Lstm { activation: Activation::Tanh, recurrent_activation: Activation::Sigmoid };
    const GATES: usize = 4;
    const STATES: usize = 2;
    const PASSES: &'static [(usize, usize)] = &[(0, 4)];
    const PREPARED: Option<usize> = Some(0);

    /// `c'`
    #[inline(always)]
    fn prepare<S: Simd>(&self, s: S, sums: &Sums<S>) -> S::F {
        let i = self.recurrent_activation.quotient(s, sums.h[0]);
        let f = self.recurrent_activation.quotient(s, sums.h[1]);
        let g = self.activation.quotient(s, sums.h[2]);
        let d = s.mul(i.d, g.d);
        let old = s.mul(s.mul(f.n, sums.states[1]), d);
        s.div(s.mul_add(s.mul(i.n, g.n), f.d, old), s.mul(d, f.d))
    }

    #[inline(always)]
    fn update<S: Simd>(&self, s: S, _: usize, sums: &Sums<S>) -> [S::F; 2] {
        let c = sums.h[0];
        let o = self.recurrent_activation.quotient(s, sums.h[3]);
        let a = self.activation.quotient(s, c);
        [s.div(s.mul(o.n, a.n), s.mul(o.d, a.d)), c]
    }
}
