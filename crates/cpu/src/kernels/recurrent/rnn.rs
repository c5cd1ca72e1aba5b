//! The simple recurrent network.

use super::Activation;
use super::cell::{Cell, Sums};
use crate::simd::Simd;

/// `h' = f(x kernel + h recurrent_kernel + bias)`
#[derive(PartialEq)]
pub(crate) struct Rnn {
    pub activation: Activation,
}

impl Cell for Rnn {
    const USUAL: Rnn = Rnn { activation: Activation::Tanh };
    const GATES: usize = 1;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 1)];

    #[inline(always)]
    fn update<S: Simd>(&self, s: S, _: usize, sums: &Sums<S>) -> [S::F; 2] {
        let h = self.activation.quotient(s, sums.h[0]);
        [s.div(h.n, h.d), s.splat(0.0)]
    }
}
