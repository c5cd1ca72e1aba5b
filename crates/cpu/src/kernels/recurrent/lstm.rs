//! Long short-term memory.

use super::Activation;
use super::cell::{Cell, Sums, gate};
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
    fn update<S: Simd, const K: usize>(&self, s: S, _: usize, sums: &[Sums<S>; K]) -> [[S::F; 2]; K] {
        let i = self.recurrent_activation.quotients(s, gate(s, sums, 0));
        let g = self.activation.quotients(s, gate(s, sums, 2));
        let f = self.recurrent_activation.quotients(s, gate(s, sums, 1));
        let mut c = f.n;
        for k in 0..K {
            let d = s.mul(i.d[k], g.d[k]);
            let old = s.mul(s.mul(f.n[k], sums[k].states[1]), d);
            let sum = s.mul_add(s.mul(i.n[k], g.n[k]), f.d[k], old);
            c[k] = s.div(sum, s.mul(d, f.d[k]));
        }
        let o = self.recurrent_activation.quotients(s, gate(s, sums, 3));
        let a = self.activation.quotients(s, c);
        let mut new = [[s.splat(0.0); 2]; K];
        for k in 0..K {
            new[k] = [s.div(s.mul(o.n[k], a.n[k]), s.mul(o.d[k], a.d[k])), c[k]];
        }
        new
    }
}
