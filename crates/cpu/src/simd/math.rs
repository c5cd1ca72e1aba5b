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

/// The polynomial `c[0] + c[1] x + ..` by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let mut sum = s.splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        sum = s.mul_add(sum, x, s.splat(c[i]));
    }
    sum
}

/// `a * b`, rounded, and what is too much of that, unless it underflows.
#[inline(always)]
fn product<S: Simd>(s: S, a: S::F, b: S::F) -> (S::F, S::F) {
    let rounded = s.mul(a, b);
    if S::FUSED {
        return (rounded, s.neg_mul_add(a, b, rounded));
    }
    // Halves of at most 12 bits have exact products.
    let halves = |x: S::F| {
        let high = s.from_bits(s.and(s.bits(x), s.splat_int(!0xfff)));
        (high, s.sub(x, high))
    };
    let ((a, a_low), (b, b_low)) = (halves(a), halves(b));
    let rest = s.sub(rounded, s.mul(a, b));
    let rest = s.sub(s.sub(rest, s.mul(a_low, b)), s.mul(a, b_low));
    (rounded, s.sub(rest, s.mul(a_low, b_low)))
}

/// `1 / x` to 2^-13 or better, for `x` from `least`, a power of two, to twice as much.
#[inline(always)]
fn reciprocal<S: Simd>(s: S, x: S::F, least: f32) -> S::F {
    if !S::DIVIDES_SLOWLY {
        return s.div(s.splat(1.0), x);
    }
    // A parabola to 2^-6, and a step of Newton's method.
    let scale = 1.0 / least;
    let parabola = [2.121_212_7 * scale, -1.454_546_1 * scale * scale, 0.323_232_47 * scale * scale * scale];
    let near = polynomial(s, x, parabola);
    s.mul_add(near, s.neg_mul_add(x, near, s.splat(1.0)), near)
}

/// `|x|`
#[inline(always)]
pub(crate) fn abs<S: Simd>(s: S, x: S::F) -> S::F {
    s.from_bits(s.and(s.bits(x), s.splat_int(i32::MAX)))
}

/// `|x|` with the sign of `sign`.
#[inline(always)]
fn with_sign<S: Simd>(s: S, x: S::F, sign: S::F) -> S::F {
    let bit = s.and(s.bits(sign), s.splat_int(i32::MIN));
    s.from_bits(s.or(s.bits(abs(s, x)), bit))
}
