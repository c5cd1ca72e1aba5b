//! What each function computes of a vector.

use crate::simd::math::{self, abs};
use crate::simd::{Elementwise, Simd};
use k2o_core::ops::{SELU_ALPHA, SELU_SCALE};

/// What is done with one of the functions.
pub(crate) trait Visitor {
    type Output;

    /// Does it. Implementations are `#[inline(always)]` if they are to be used within a task.
    fn visit(self, f: impl Elementwise) -> Self::Output;
}

/// For each function a variant of [`Function`] and a type, `Name { arguments } = |simd, vector| value`.
macro_rules! functions {
    ($($name:ident { $($argument:ident: $type:ty),* } = |$s:ident, $x:ident| $value:expr;)*) => {
        /// A [`Unary`](k2o_core::ops::Unary) with its arguments in single precision.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) enum Function {
            $($name { $($argument: $type),* },)*
        }

        impl Function {
            /// What the visitor does with the function.
            #[inline(always)]
            pub fn with<V: Visitor>(self, visitor: V) -> V::Output {
                match self {
                    $(Function::$name { $($argument),* } => visitor.visit($name { $($argument),* }),)*
                }
            }
        }

        $(
            #[derive(Clone, Copy)]
            struct $name {
                $($argument: $type,)*
            }

            impl Elementwise for $name {
                #[inline(always)]
                fn eval<S: Simd>(self, $s: S, $x: S::F) -> S::F {
                    let $name { $($argument),* } = self;
                    $value
                }
            }
        )*
    };
}

functions! {
    Relu {} = |s, x| s.max(s.splat(0.0), x);
    LeakyRelu { slope: f32 } = |s, x| s.select(s.less(s.splat(0.0), x), x, s.mul(s.splat(slope), x));
    Clip { min: f32, max: f32 } = |s, x| clamp(s, x, min, max);
    GeneralRelu { negative_slope: f32, max_value: Option<f32>, threshold: f32 } = |s, x| {
        let (zero, threshold_in_all) = (s.splat(0.0), s.splat(threshold));
        let above = match threshold {
            0.0 => s.max(zero, x),
            _ => s.select(s.less_equal(x, threshold_in_all), zero, x),
        };
        let above = match max_value {
            Some(max) => clamp(s, above, 0.0, max),
            None => above,
        };
        // Infinity times 0 would be NaN.
        match negative_slope {
            0.0 => above,
            _ => s.neg_mul_add(s.splat(negative_slope), s.max(zero, s.sub(threshold_in_all, x)), above),
        }
    };
    Elu { alpha: f32 } = |s, x| s.select(s.less(s.splat(0.0), x), x, s.mul(s.splat(alpha), math::exp_m1(s, x)));
    Selu {} = |s, x| {
        let below = s.mul(s.splat((SELU_SCALE * SELU_ALPHA) as f32), math::exp_m1(s, x));
        s.select(s.less(s.splat(0.0), x), s.mul(s.splat(SELU_SCALE as f32), x), below)
    };
    Sigmoid {} = |s, x| math::sigmoid(s, x);
    HardSigmoid { slope: f32, offset: f32 } = |s, x| {
        clamp(s, s.mul_add(s.splat(slope), x, s.splat(offset)), 0.0, 1.0)
    };
    Tanh {} = |s, x| math::tanh(s, x);
    Softplus {} = |s, x| math::softplus(s, x);
    Softsign {} = |s, x| {
        let finite = clamp(s, x, f32::MIN, f32::MAX);
        s.div(finite, s.add(s.splat(1.0), abs(s, finite)))
    };
    Exp {} = |s, x| math::exp(s, x);
    Silu {} = |s, x| math::silu(s, x);
    HardSilu {} = |s, x| {
        let share = s.mul(clamp(s, s.add(x, s.splat(3.0)), 0.0, 6.0), s.splat(1.0 / 6.0));
        // Minus infinity has a share of 0.
        s.mul(s.max(s.splat(f32::MIN), x), share)
    };
    Gelu {} = |s, x| math::gelu(s, x);
    GeluTanh {} = |s, x| math::gelu_tanh(s, x);
    Mish {} = |s, x| math::mish(s, x);
    Celu { alpha: f64 } = |s, x| match alpha >= f64::from(f32::MIN_POSITIVE) {
        true => {
            let below = math::exp_m1(s, s.mul(x, s.splat((1.0 / alpha) as f32)));
            s.select(s.less(s.splat(0.0), x), x, s.mul(s.splat(alpha as f32), below))
        }
        // The exponential of a positive quotient would magnify its rounding.
        false => each_lane(s, x, |x| match f64::from(x) {
            x if x > 0.0 => x as f32,
            x => (alpha * (x / alpha).exp_m1()) as f32,
        }),
    };
    LogSigmoid {} = |s, x| math::log_sigmoid(s, x);
    TanhShrink {} = |s, x| math::tanh_shrink(s, x);
    HardShrink { threshold: f32 } = |s, x| {
        s.select(s.less_equal(abs(s, x), s.splat(threshold)), s.splat(0.0), x)
    };
    SoftShrink { threshold: f32 } = |s, x| {
        let threshold_in_all = s.splat(threshold);
        let below = s.select(s.less(x, s.splat(-threshold)), s.add(x, threshold_in_all), s.splat(0.0));
        s.select(s.less_equal(x, threshold_in_all), below, s.sub(x, threshold_in_all))
    };
    // In double precision, which holds the square of any number. Below zero the sum would cancel.
    Squareplus { b: f64 } = |s, x| each_lane(s, x, |x| {
        let x = f64::from(x);
        let sum = x.abs() + (x * x + b).sqrt();
        if x < 0.0 { (b / (2.0 * sum)) as f32 } else { (sum / 2.0) as f32 }
    });
    SparsePlus {} = |s, x| {
        let root = s.add(s.max(s.splat(-1.0), x), s.splat(1.0));
        s.select(s.less_equal(s.splat(1.0), x), x, s.mul(s.mul(root, root), s.splat(0.25)))
    };
    Threshold { threshold: f32, value: f32 } = |s, x| {
        s.select(s.less_equal(x, s.splat(threshold)), s.splat(value), x)
    };
    Sqrt {} = |s, x| s.sqrt(x);
}

/// `min(max(x, least), most)`; NaN if `x` is.
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F, least: f32, most: f32) -> S::F {
    s.min(s.splat(most), s.max(s.splat(least), x))
}

/// A function of single numbers, on each lane.
#[inline(always)]
fn each_lane<S: Simd>(s: S, x: S::F, f: impl Fn(f32) -> f32) -> S::F {
    const { assert!(S::LANES <= 16) };
    let mut lanes = [0.0; 16];
    // SAFETY: there is room for all lanes.
    unsafe { s.store(lanes.as_mut_ptr(), x) };
    for x in &mut lanes[..S::LANES] {
        *x = f(*x);
    }
    // SAFETY: all lanes are there.
    unsafe { s.load(lanes.as_ptr()) }
}
