//! The gated recurrent unit: with the gates `[z, r, g]`, `h' = z h + (1 - z) g`.

use super::Activation;
use super::cell::{Cell, Sums, add};
use crate::simd::Simd;

/// The unit whose reset gate `r` scales the product of `g`.
pub(crate) struct Gru {
    pub activation: Activation,
    pub recurrent_activation: Activation,
}

/// The unit whose reset gate `r` scales the state before the product of `g`.
pub(crate) struct GruResetBefore {
    pub activation: Activation,
    pub recurrent_activation: Activation,
}

/// `z h + (1 - z) g`
#[inline(always)]
fn mix<S: Simd>(s: S, z: S::F, h: S::F, g: S::F) -> S::F {
    s.mul_add(z, h, s.mul(s.sub(s.splat(1.0), z), g))
}

impl Cell for Gru {
    const GATES: usize = 3;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 3)];
    const HAS_INNER_BIAS: bool = true;

    #[inline(always)]
    fn update<S: Simd>(&self, s: S, _: usize, Sums { x, h, inner, states }: Sums<S>) -> [S::F; 2] {
        let inner = add(s, h, inner);
        let [z, r, ..] = add(s, x, inner);
        let z = self.recurrent_activation.apply(s, z);
        let r = self.recurrent_activation.apply(s, r);
        let g = self.activation.apply(s, s.mul_add(r, inner[2], x[2]));
        [mix(s, z, states[0], g), states[1]]
    }
}

impl Cell for GruResetBefore {
    const GATES: usize = 3;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 2), (2, 1)];

    #[inline(always)]
    fn update<S: Simd>(&self, s: S, pass: usize, Sums { x, h, states, .. }: Sums<S>) -> [S::F; 2] {
        if pass == 0 {
            let [z, r, ..] = add(s, x, h);
            let r = self.recurrent_activation.apply(s, r);
            return [self.recurrent_activation.apply(s, z), s.mul(r, states[0])];
        }
        let g = self.activation.apply(s, s.add(x[2], h[0]));
        [mix(s, x[0], states[0], g), states[1]]
    }
}
