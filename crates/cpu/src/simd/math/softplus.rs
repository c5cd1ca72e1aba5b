//! The logarithm of `1 + exp(x)`, and what is made of it.

use super::exponential::{LEAST, SCALE, scaled_exp};
use super::{exp_of_negative, minus_abs, polynomial};
use crate::simd::Simd;

/// `ln(1 + x)` for `x` from 0 to 1 or NaN.
#[inline(always)]
fn ln_1p_of_unit<S: Simd>(s: S, x: S::F) -> S::F {
    // (ln(1 + x) - x) / x², to 2^-27 of the whole.
    let series = [
        -0.499_999_3,
        0.333_304_64,
        -0.249_580_19,
        0.196_921_02,
        -0.153_448_82,
        0.106_611_37,
        -0.057_457_425,
        0.020_086_423,
        -0.003_290_530_3,
    ];
    let square = s.mul(x, x);
    s.mul_add(square, polynomial(s, x, square, series), x)
}

/// `ln(1 + exp(-|x|))`.
#[inline(always)]
fn rounding<S: Simd>(s: S, x: S::F) -> S::F {
    ln_1p_of_unit(s, exp_of_negative(s, minus_abs(s, x)))
}

/// `ln(1 + exp(x))`.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    s.add(s.max(s.splat(0.0), x), rounding(s, x))
}

/// `-ln(1 + exp(-x))`.
#[inline(always)]
pub(crate) fn log_sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    s.sub(s.min(s.splat(0.0), x), rounding(s, x))
}

/// `x tanh(softplus(x))`.
#[inline(always)]
pub(crate) fn mish<S: Simd>(s: S, x: S::F) -> S::F {
    let (one, small) = (s.splat(1.0), s.splat(1.0 / SCALE));
    let down = scaled_exp(s, minus_abs(s, x), None);
    // Minus infinity would become NaN.
    let x = s.max(s.splat(LEAST), x);
    let e = s.mul(down, small);
    let half = s.mul(e, s.splat(0.5));
    let twice = s.add(e, e);
    // With p = exp(x) and q = exp(-x), tanh(softplus(x)) is (p + p²/2) / (1 + p + p²/2) and (1 + 2q) / (1 + 2q + 2q²).
    let negative = s.less(x, s.splat(0.0));
    let first = s.select(negative, one, s.add(one, twice));
    let second = s.select(negative, s.mul_add(e, half, e), s.mul(twice, e));
    let weight = s.select(negative, s.mul_add(down, half, down), first);
    let reciprocal = s.div(one, s.add(first, second));
    let quotient = s.mul(s.mul(x, weight), reciprocal);
    // What is too much, by product and denominator before their rounding.
    let excess = s.mul_add(quotient, second, s.neg_mul_add(x, weight, s.mul(quotient, first)));
    let y = s.neg_mul_add(excess, reciprocal, quotient);
    // Of infinity, the excess is NaN; of numbers near it, infinite.
    s.select(negative, s.mul(y, small), s.select(s.less(x, s.splat(30.0)), y, x))
}
