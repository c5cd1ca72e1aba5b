//! The gated recurrent unit: with the gates `[z, r, g]`, `h' = z h + (1 - z) g`.

use super::activation::{Activation, Quotients};
use super::cell::{Cell, Sums, gate};
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
fn mix<S: Simd, const K: usize>(
    s: S,
    z: Quotients<S, K>,
    g: Quotients<S, K>,
    sums: &[Sums<S>; K],
) -> [[S::F; 2]; K] {
    let mut new = [[s.splat(0.0); 2]; K];
    for k in 0..K {
        let old = s.mul(s.mul(z.n[k], sums[k].states[0]), g.d[k]);
        let sum = s.mul_add(s.sub(z.d[k], z.n[k]), g.n[k], old);
        new[k][0] = s.div(sum, s.mul(z.d[k], g.d[k]));
    }
    new
}

impl Cell for Gru {
    const GATES: usize = 3;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 3)];
    const APART: Option<usize> = Some(2);

    #[inline(always)]
    fn update<S: Simd, const K: usize>(&self, s: S, _: usize, sums: &[Sums<S>; K]) -> [[S::F; 2]; K] {
        let r = self.recurrent_activation.quotients(s, gate(s, sums, 1));
        let z = self.recurrent_activation.quotients(s, gate(s, sums, 0));
        let mut g = r.n;
        for k in 0..K {
            g[k] = s.add(s.div(s.mul(r.n[k], sums[k].h[2]), r.d[k]), sums[k].x[2]);
        }
        mix(s, z, self.activation.quotients(s, g), sums)
    }
}

impl Cell for GruResetBefore {
    const GATES: usize = 3;
    const STATES: usize = 1;
    const PASSES: &'static [(usize, usize)] = &[(0, 2), (2, 1)];

    #[inline(always)]
    fn update<S: Simd, const K: usize>(&self, s: S, pass: usize, sums: &[Sums<S>; K]) -> [[S::F; 2]; K] {
        let mut new = [[s.splat(0.0); 2]; K];
        if pass == 0 {
            let r = self.recurrent_activation.quotients(s, gate(s, sums, 1));
            let z = self.recurrent_activation.quotients(s, gate(s, sums, 0));
            for k in 0..K {
                new[k] = [s.div(z.n[k], z.d[k]), s.div(s.mul(r.n[k], sums[k].states[0]), r.d[k])];
            }
            return new;
        }
        let mut z = [s.splat(0.0); K];
        for k in 0..K {
            z[k] = sums[k].x[0];
        }
        let g = self.activation.quotients(s, gate(s, sums, 0));
        mix(s, Activation::Linear.quotients(s, z), g, sums)
    }
}
