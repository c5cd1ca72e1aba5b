//! The simple recurrent network.

use super::Activation;
use super::cell::{Cell, Sums};
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
    fn update<S: Simd>(&self, s: S, _: usize, Sums { x, h, states, .. }: Sums<S>) -> [S::F; 2] {
        [self.activation.apply(s, s.add(x[0], h[0])), states[1]]
    }
}
