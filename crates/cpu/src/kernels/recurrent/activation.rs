//! The functions of gates, computed in registers.

use crate::kernels::unary::Function;
use crate::simd::{Simd, Task};

/// A function of a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    Linear,
    Tanh,
    Sigmoid,
    HardSigmoid {
        slope: f32,
        offset: f32,
    },
    Relu,
    /// Computed in memory.
    Other(Function),
}

/// Numerators and denominators from 1/2 to 1.
///
/// Gates are multiplied with each other: so there is one division for a few of them.
#[derive(Clone, Copy)]
pub(super) struct Quotients<S: Simd, const K: usize> {
    pub n: [S::F; K],
    pub d: [S::F; K],
}

impl Activation {
    /// The function, or none.
    pub fn new(function: Option<Function>) -> Activation {
        match function {
            None => Activation::Linear,
            Some(Function::Tanh { .. }) => Activation::Tanh,
            Some(Function::Sigmoid { .. }) => Activation::Sigmoid,
            Some(Function::HardSigmoid { slope, offset }) => Activation::HardSigmoid { slope, offset },
            Some(Function::Relu { .. }) => Activation::Relu,
            Some(function) => Activation::Other(function),
        }
    }

    /// The function's values.
    #[inline(always)]
    pub(super) fn quotients<S: Simd, const K: usize>(self, s: S, x: [S::F; K]) -> Quotients<S, K> {
        let mut all = Quotients { n: x, d: [s.splat(1.0); K] };
        match self {
            Activation::Tanh => {
                for k in 0..K {
                    (all.n[k], all.d[k]) = tanh(s, x[k]);
                }
            }
            Activation::Sigmoid => {
                for k in 0..K {
                    (all.n[k], all.d[k]) = sigmoid(s, x[k]);
                }
            }
            Activation::Linear => {}
            Activation::HardSigmoid { slope, offset } => {
                for k in 0..K {
                    let line = s.mul_add(s.splat(slope), x[k], s.splat(offset));
                    all.n[k] = s.min(s.splat(1.0), s.max(s.splat(0.0), line));
                }
            }
            Activation::Relu => {
                for k in 0..K {
                    all.n[k] = s.max(s.splat(0.0), x[k]);
                }
            }
            Activation::Other(function) => {
                for k in 0..K {
                    all.n[k] = in_memory(s, function, x[k]);
                }
            }
        };
        all
    }
}

/// Added to a number below 2²² in magnitude, its nearest integer is in the lowest bits.
const MAGIC: f32 = 1.5 * (1 << 23) as f32;
/// The exponent's bits of 1/2.
const HALF: f32 = 126.0;
/// The logarithm of 2 in two parts, of which the first has few enough bits to be multiplied exactly.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
/// `(exp(r) - 1 - r) / r²` for `|r| <= ln(2) / 2`, to 2^-26 of `exp(r) - 1`.
const SERIES: [f32; 5] = [0.499_999_97, 0.166_665_46, 0.041_667_435, 0.008_366_262, 0.001_387_065_7];

/// `2^n / 2` and `exp(r) - 1` where `exp(-|x|) = 2^n exp(r)`; 0 and something where the power would be too small.
#[inline(always)]
fn exp_of_minus_abs<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    use std::f32::consts::{LN_2 as LOG, LOG2_E};
    let y = s.max(s.splat(-87.5), s.from_bits(s.or(s.bits(x), s.splat_int(i32::MIN))));
    let magic = s.splat(MAGIC + HALF);
    let sum = s.mul_add(y, s.splat(LOG2_E), magic);
    let n = s.sub(sum, magic);
    let r = match S::FUSED {
        // Off by a part of the product that is seen only in small powers.
        true => s.neg_mul_add(n, s.splat(LOG), y),
        false => {
            let r = s.neg_mul_add(n, s.splat(LN_2[0]), y);
            s.neg_mul_add(n, s.splat(LN_2[1]), r)
        }
    };
    let half = s.from_bits(s.shift_left::<23>(s.bits(sum)));
    let [c2, c3, c4, c5, c6] = SERIES;
    let p = s.mul_add(s.splat(c6), r, s.splat(c5));
    let p = s.mul_add(p, r, s.splat(c4));
    let p = s.mul_add(p, r, s.splat(c3));
    let p = s.mul_add(p, r, s.splat(c2));
    (half, s.mul_add(s.mul(r, r), p, r))
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
fn sigmoid<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let (half, near) = exp_of_minus_abs(s, x);
    let e = s.mul_add(half, near, half);
    let n = s.select(s.less(x, s.splat(0.0)), e, s.splat(0.5));
    (n, s.add(s.splat(0.5), e))
}

/// The hyperbolic tangent.
#[inline(always)]
fn tanh<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    // (1 - exp(-2|x|)) / (1 + exp(-2|x|)), whose numerator would cancel if computed from the exponential.
    let (half, near) = exp_of_minus_abs(s, s.add(x, x));
    let e = s.mul_add(half, near, half);
    let n = s.neg_mul_add(half, near, s.sub(s.splat(0.5), half));
    let sign = s.and(s.bits(x), s.splat_int(i32::MIN));
    (s.from_bits(s.or(s.bits(n), sign)), s.add(s.splat(0.5), e))
}

/// The most lanes of a vector.
const MOST_LANES: usize = 16;

#[inline(always)]
fn in_memory<S: Simd>(s: S, function: Function, x: S::F) -> S::F {
    const { assert!(S::LANES <= MOST_LANES) };
    let mut lanes = [0.0; MOST_LANES];
    // SAFETY: there are as many elements as lanes, at least.
    unsafe { s.store(lanes.as_mut_ptr(), x) };
    s.run(InMemory(function, &mut lanes));
    // SAFETY: as above.
    unsafe { s.load(lanes.as_ptr()) }
}

/// A function of a vector in memory, so that the code of all functions is there once.
struct InMemory<'a>(Function, &'a mut [f32; MOST_LANES]);

impl Task for InMemory<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: there are as many elements as lanes, at least.
        unsafe { s.store(self.1.as_mut_ptr(), self.0.eval(s, s.load(self.1.as_ptr()))) };
    }
}
