//! The simple recurrent network.

use super::Activation;
use super::cell::{Cell, Sums, gate};
use crate::simd::Simd;

/// `h' = f(x kernel + h recurrent_kernel + bias)`
pub(crate) struct Rnn {
    pub activation: Activation,
}

impl Cell for Rnn {
    const GATES: usize = 1;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 1)];

    #[inline(always)]
    fn update<S: Simd, const K: usize>(&self, s: S, _: usize, sums: &[Sums<S>; K]) -> [[S::F; 2]; K] {
        let h = self.activation.quotients(s, gate(s, sums, 0));
        let mut new = [[s.splat(0.0); 2]; K];
        for k in 0..K {
            new[k][0] = s.div(h.n[k], h.d[k]);
        }
        new
    }
}
