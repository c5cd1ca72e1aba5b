//! The hyperbolic tangent and the logistic function.

use super::exponential::{LEAST, SCALE, half_sums, scaled_exp};
use super::{abs, exp_of_negative, minus_abs, polynomial, with_sign};
use crate::simd::Simd;

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    // Beyond 10 it is rounded to 1.
    let (numerator, denominator) = half_sums(s, s.min(s.splat(10.0), abs(s, x)));
    with_sign(s, s.div(numerator, denominator), x)
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let e = exp_of_negative(s, minus_abs(s, x));
    let numerator = s.select(s.less(x, s.splat(0.0)), e, one);
    let quotient = s.div(numerator, s.add(one, e));
    // What is left over by the denominator before its rounding.
    let rest = s.neg_mul_add(quotient, e, s.sub(numerator, quotient));
    s.mul_add(rest, about_reciprocal(s, e), quotient)
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    weighted(s, s.max(s.splat(LEAST), x), scaled_exp(s, minus_abs(s, x), None))
}

/// `x sigmoid(v)` where `down` is `exp(-|v|) *` [`SCALE`] and `v` has the sign of `x`, which is finite if negative.
#[inline(always)]
pub(super) fn weighted<S: Simd>(s: S, x: S::F, down: S::F) -> S::F {
    let (one, small) = (s.splat(1.0), s.splat(1.0 / SCALE));
    let e = s.mul(down, small);
    let negative = s.less(x, s.splat(0.0));
    let weight = s.select(negative, down, one);
    let quotient = s.div(s.mul(x, weight), s.add(one, e));
    // What is too much, by product and denominator before their rounding.
    let excess = s.mul_add(quotient, e, s.neg_mul_add(x, weight, quotient));
    let y = s.neg_mul_add(excess, about_reciprocal(s, e), quotient);
    // Of infinity, the excess is NaN.
    s.select(negative, s.mul(y, small), s.min(y, x))
}

/// `1 / (1 + e)` to 6 %, for `e` from 0 to 1.
#[inline(always)]
fn about_reciprocal<S: Simd>(s: S, e: S::F) -> S::F {
    s.mul_add(e, s.splat(-8.0 / 17.0), s.splat(16.0 / 17.0))
}

/// `x - tanh(x)`.
#[inline(always)]
pub(crate) fn tanh_shrink<S: Simd>(s: S, x: S::F) -> S::F {
    // (x - tanh(x)) / x³ by powers of x² up to 1.5, where the difference would cancel.
    let square = s.mul(x, x);
    let series = [
        0.333_333_34,
        -0.133_333_9,
        0.053_973_95,
        -0.021_890_81,
        0.008_895_768,
        -0.003_591_388_5,
        0.001_377_051_5,
        -0.000_454_493_42,
        0.000_112_778_44,
        -1.773_465e-5,
        1.287_391_5e-6,
    ];
    let near = s.mul(s.mul(square, polynomial(s, square, s.mul(square, square), series)), x);
    s.select(s.less(abs(s, x), s.splat(1.5)), near, s.sub(x, tanh(s, x)))
}
