//! The gated recurrent unit: with the gates `[z, r, g]`, `h' = z h + (1 - z) g`.

use super::activation::{Activation, Quotient};
use super::cell::{Cell, Sums};
use crate::simd::Simd;

/// The unit whose reset gate `r` scales the product of `g`.
#[derive(PartialEq)]
pub(crate) struct Gru {
    pub activation: Activation,
    pub recurrent_activation: Activation,
}

/// The unit whose reset gate `r` scales the state before the product of `g`.
#[derive(PartialEq)]
pub(crate) struct GruResetBefore {
    pub activation: Activation,
    pub recurrent_activation: Activation,
}

/// `z h + (1 - z) g`
#[inline(always)]
fn mix<S: Simd>(s: S, z: Quotient<S>, g: Quotient<S>, h: S::F) -> [S::F; 2] {
    let old = s.mul(s.mul(z.n, h), g.d);
    let sum = s.mul_add(s.sub(z.d, z.n), g.n, old);
    [s.div(sum, s.mul(z.d, g.d)), s.splat(0.0)]
}

impl Cell for Gru {
    const USUAL: Gru = Gru { activation: Activation::Tanh, recurrent_activation: Activation::Sigmoid };
    const GATES: usize = 3;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 3)];
    const APART: Option<usize> = Some(2);
    const PREPARED: Option<usize> = Some(2);

    /// What `g` is a function of.
    #[inline(always)]
    fn prepare<S: Simd>(&self, s: S, sums: &Sums<S>) -> S::F {
        let r = self.recurrent_activation.quotient(s, sums.h[1]);
        s.add(s.div(s.mul(r.n, sums.h[2]), r.d), sums.x[2])
    }

    #[inline(always)]
    fn update<S: Simd>(&self, s: S, _: usize, sums: &Sums<S>) -> [S::F; 2] {
        let z = self.recurrent_activation.quotient(s, sums.h[0]);
        let g = self.activation.quotient(s, sums.h[2]);
        mix(s, z, g, sums.states[0])
    }
}

impl Cell for GruResetBefore {
    const USUAL: GruResetBefore =
        GruResetBefore { activation: Activation::Tanh, recurrent_activation: Activation::Sigmoid };
    const GATES: usize = 3;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 2), (2, 1)];

    #[inline(always)]
    fn update<S: Simd>(&self, s: S, pass: usize, sums: &Sums<S>) -> [S::F; 2] {
        let h = sums.states[0];
        if pass == 0 {
            let z = self.recurrent_activation.quotient(s, sums.h[0]);
            let r = self.recurrent_activation.quotient(s, sums.h[1]);
            return [s.div(z.n, z.d), s.div(s.mul(r.n, h), r.d)];
        }
        let z = Quotient { n: sums.x[0], d: s.splat(1.0) };
        mix(s, z, self.activation.quotient(s, sums.h[0]), h)
    }
}
