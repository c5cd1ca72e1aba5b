//! `x Φ(x)`, where Φ is the distribution function of the standard normal distribution.

use super::exponential::{SCALE, scaled_exp};
use super::logistic::weighted;
use super::{abs, pair, product};
use crate::simd::Simd;

/// `x Φ(x)`.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    // t Φ(-t) = exp(-t²/2) P(t) / Q(t), to 2^-26. Rounding of t² would be magnified by its exponential.
    let t = s.min(s.splat(15.1), abs(s, x));
    let (square, excess) = product(s, t, t);
    let down = scaled_exp(s, s.mul(square, s.splat(-0.5)), Some(s.mul(excess, s.splat(0.5))));
    let fourth = s.mul(square, square);
    let p = s.mul_add(pair(s, t, &[0.438_870_46, 0.183_635_44]), square, s.mul(t, s.splat(0.5)));
    let p = s.mul_add(pair(s, t, &[0.040_760_472, 0.004_132_889_7]), fourth, p);
    let q = s.mul_add(pair(s, t, &[1.204_222_6, 0.470_520_38]), square, pair(s, t, &[1.0, 1.675_625_8]));
    let q = s.mul_add(pair(s, t, &[0.102_177_5, 0.010_359_506]), fourth, q);
    let tail = s.mul(down, s.div(p, q));
    // x Φ(x) = max(x, 0) - t Φ(-t)
    s.neg_mul_add(tail, s.splat(1.0 / SCALE), s.max(s.splat(0.0), x))
}

/// `x (1 + tanh(u)) / 2` with `u = sqrt(2 / π) (x + 0.044715 x³)`.
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    /// `2 sqrt(2 / π)` and the factor of the cube, each in two parts.
    const SLOPE: [f32; 2] = [1.595_769_2, -4.534_068e-8];
    const CUBIC: [f32; 2] = [0.044_715, 1.546_144_4e-9];
    let one = s.splat(1.0);
    let t = s.min(s.splat(11.1), abs(s, x));
    // x sigmoid(2u), where 2u is computed in two parts, because its rounding would be magnified by its exponential.
    let (square, excess) = product(s, t, t);
    let (cubic, cubic_excess) = product(s, square, s.splat(CUBIC[0]));
    let low = s.sub(s.mul(square, s.splat(CUBIC[1])), cubic_excess);
    let low = s.neg_mul_add(excess, s.splat(CUBIC[0]), low);
    let sum = s.add(one, cubic);
    let low = s.add(low, s.sub(s.min(one, cubic), s.sub(sum, s.max(one, cubic))));
    let (line, excess) = product(s, t, sum);
    let low = s.sub(s.mul(t, low), excess);
    let (twice_u, excess) = product(s, line, s.splat(SLOPE[0]));
    let low = s.sub(s.mul_add(line, s.splat(SLOPE[1]), s.mul(low, s.splat(SLOPE[0]))), excess);
    let zero = s.splat(0.0);
    weighted(s, s.max(s.splat(-11.1), x), scaled_exp(s, s.sub(zero, twice_u), Some(s.sub(zero, low))))
}
