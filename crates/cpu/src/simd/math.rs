//! Elementary functions of vectors.
//!
//! Each is a fixed sequence of operations without branches and tables, so that an element's result does not depend on
//! its neighbours. The errors that are stated, in units in the last place (ULP) of the exact result's neighbours, are
//! the largest of all 2³² arguments, compared with double precision: for the sets that round `a * b + c` once, and
//! for [portable](super::Portable) x86-64, which rounds twice. Subnormal results are computed as such. NaN gives NaN.
//!
//! The coefficients of polynomials are `minimax.py`'s, beside this file.

mod exponential;
mod logistic;
mod normal;
mod softplus;
#[cfg(test)]
mod tests;

pub(crate) use exponential::{exp, exp_m1, exp_of_negative};
pub(crate) use logistic::{sigmoid, silu, tanh, tanh_shrink};
pub(crate) use normal::{gelu, gelu_tanh};
pub(crate) use softplus::{log_sigmoid, mish, softplus};

use super::Simd;

/// The polynomial `c[0] + c[1] x + ..`, where `square` is `x²`: by Horner's rule on pairs, which takes half as many
/// steps one after the other as on single coefficients.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, square: S::F, c: [f32; N]) -> S::F {
    let last = (N - 1) / 2 * 2;
    let mut sum = pair(s, x, &c[last..]);
    for i in (0..last).step_by(2).rev() {
        sum = s.mul_add(sum, square, pair(s, x, &c[i..]));
    }
    sum
}

/// `c[0] + c[1] x`, or the only coefficient.
#[inline(always)]
fn pair<S: Simd>(s: S, x: S::F, c: &[f32]) -> S::F {
    match c {
        [c0] => s.splat(*c0),
        [c0, c1, ..] => s.mul_add(s.splat(*c1), x, s.splat(*c0)),
        [] => s.splat(0.0),
    }
}

/// `a * b`, rounded, and what is too much of that, unless it underflows.
#[inline(always)]
fn product<S: Simd>(s: S, a: S::F, b: S::F) -> (S::F, S::F) {
    let rounded = s.mul(a, b);
    if S::FUSED {
        return (rounded, s.neg_mul_add(a, b, rounded));
    }
    let ((a, a_low), (b, b_low)) = (halves(s, a), halves(s, b));
    let rest = s.sub(rounded, s.mul(a, b));
    let rest = s.sub(s.sub(rest, s.mul(a_low, b)), s.mul(a, b_low));
    (rounded, s.sub(rest, s.mul(a_low, b_low)))
}

/// A number as a sum of two of at most 12 bits, whose products are exact.
#[inline(always)]
fn halves<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let high = s.from_bits(s.and(s.bits(x), s.splat_int(!0xfff)));
    (high, s.sub(x, high))
}

/// `|x|`
#[inline(always)]
pub(crate) fn abs<S: Simd>(s: S, x: S::F) -> S::F {
    s.from_bits(s.and(s.bits(x), s.splat_int(i32::MAX)))
}

/// `-|x|`
#[inline(always)]
fn minus_abs<S: Simd>(s: S, x: S::F) -> S::F {
    s.from_bits(s.or(s.bits(x), s.splat_int(i32::MIN)))
}

/// `|x|` with the sign of `sign`.
#[inline(always)]
fn with_sign<S: Simd>(s: S, x: S::F, sign: S::F) -> S::F {
    let bit = s.and(s.bits(sign), s.splat_int(i32::MIN));
    s.from_bits(s.or(s.bits(abs(s, x)), bit))
}
