//! Powers of e.

use super::{abs, polynomial};
use crate::simd::Simd;
use std::f32::consts::LOG2_E;

/// Added to a number below 2²² in magnitude, its nearest integer is in the lowest bits.
const MAGIC: f32 = 1.5 * (1 << 23) as f32;
/// The bias of exponents.
const BIAS: f32 = 127.0;
/// The logarithm of 2 in two parts, of which the first has few enough bits to be multiplied exactly.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
/// `(exp(r) - 1 - r) / r²` for `|r| <= ln(2) / 2`, to 2^-26 of `exp(r) - 1`.
const SERIES: [f32; 5] = [0.499_999_97, 0.166_665_46, 0.041_667_435, 0.008_366_262, 0.001_387_065_7];

/// What small powers are multiplied by until the end, so that nothing before is subnormal, which would take long. At
/// [`LEAST`], the sum with [`BIAS`] and the binary logarithm is 0.
pub(super) const SCALE: f32 = (1u64 << 36) as f32;
const SCALE_BITS: f32 = 36.0;

/// An argument as `n ln(2) + r`, `|r| <= ln(2) / 2`: the sum of `n` and `magic`, and `r`.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F, magic: S::F) -> (S::F, S::F) {
    let sum = s.mul_add(x, s.splat(LOG2_E), magic);
    let n = s.sub(sum, magic);
    let r = s.neg_mul_add(n, s.splat(LN_2[0]), x);
    (sum, s.neg_mul_add(n, s.splat(LN_2[1]), r))
}

/// 2 to the power of an integer, given as its sum with [`MAGIC`] and [`BIAS`].
#[inline(always)]
fn power_of_2<S: Simd>(s: S, sum: S::F) -> S::F {
    s.from_bits(s.shift_left::<23>(s.bits(sum)))
}

/// `exp(r) - 1` for `|r| <= ln(2) / 2`.
#[inline(always)]
fn exp_m1_near_0<S: Simd>(s: S, r: S::F) -> S::F {
    let square = s.mul(r, r);
    s.mul_add(square, polynomial(s, r, square, SERIES), r)
}

/// From here down, [`scaled_exp`] is 0: its power of 2 is, whose exponent's bits are all zeros.
pub(super) const LEAST: f32 = -113.0;

/// `exp(x + low) *` [`SCALE`], for `x` that is not positive and tiny `low`.
#[inline(always)]
pub(super) fn scaled_exp<S: Simd>(s: S, x: S::F, low: Option<S::F>) -> S::F {
    let (sum, r) = reduce(s, s.max(s.splat(LEAST), x), s.splat(MAGIC + BIAS + SCALE_BITS));
    let r = match low {
        Some(low) => s.add(r, low),
        None => r,
    };
    let power = power_of_2(s, sum);
    s.mul_add(power, exp_m1_near_0(s, r), power)
}

/// `exp(x)` for `x` that is not positive: a little faster than [`exp`].
#[inline(always)]
pub(crate) fn exp_of_negative<S: Simd>(s: S, x: S::F) -> S::F {
    s.mul(scaled_exp(s, x, None), s.splat(1.0 / SCALE))
}

/// `exp(x)`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(89.0), s.max(s.splat(LEAST), x));
    // Two factors, as one could be too large or subnormal.
    let negative = s.less(x, s.splat(0.0));
    let magic = s.select(negative, s.splat(MAGIC + BIAS + SCALE_BITS), s.splat(MAGIC + BIAS - 1.0));
    let rest = s.select(negative, s.splat(1.0 / SCALE), s.splat(2.0));
    let (sum, r) = reduce(s, x, magic);
    let power = power_of_2(s, sum);
    s.mul(s.mul_add(power, exp_m1_near_0(s, r), power), rest)
}

/// `exp(x) - 1`.
#[inline(always)]
pub(crate) fn exp_m1<S: Simd>(s: S, x: S::F) -> S::F {
    let clamped = s.min(s.splat(89.0), s.max(s.splat(-18.0), x));
    // Half of it, as the power of 2 could be too large.
    let (sum, r) = reduce(s, clamped, s.splat(MAGIC + BIAS - 1.0));
    let power = power_of_2(s, sum);
    let half = s.mul_add(power, exp_m1_near_0(s, r), s.sub(power, s.splat(0.5)));
    s.select(s.less(abs(s, x), s.splat(1e-8)), x, s.add(half, half))
}

/// `(1 - exp(-2x)) / 2` and `(1 + exp(-2x)) / 2` for `x` from 0 to 10 or NaN.
#[inline(always)]
pub(super) fn half_sums<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    // exp(-2x) = 2^n exp(-2r). One part of the logarithm is enough where the power of 2 is small.
    let magic = s.splat(MAGIC + BIAS);
    let sum = s.mul_add(x, s.splat(-2.0 * LOG2_E), magic);
    let r = s.mul_add(s.sub(sum, magic), s.splat(std::f32::consts::LN_2 / 2.0), x);
    let power = power_of_2(s, sum);
    // (1 - exp(-2r)) / 2
    let [c2, c3, c4, c5, c6] = SERIES;
    let series = [-2.0 * c2, 4.0 * c3, -8.0 * c4, 16.0 * c5, -32.0 * c6];
    let square = s.mul(r, r);
    let near = s.mul_add(square, polynomial(s, r, square, series), r);
    let half = s.splat(0.5);
    let down = s.mul_add(power, near, s.neg_mul_add(power, half, half));
    (down, s.neg_mul_add(power, near, s.mul_add(power, half, half)))
}
