//! One function on every element.
//!
//! NaN stays NaN and infinities have the function's limits, as in the operator's reference. Those that are not a few
//! operations are [`math`]'s.

use super::{Kernel, Operands};
use crate::Result;
use crate::simd::math::{self, abs};
use crate::simd::{Isa, Simd, Task};
use k2o_core::ops::{SELU_ALPHA, SELU_SCALE, Unary};

/// A [`Unary`] with its arguments in single precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Relu,
    LeakyRelu { slope: f32 },
    Clip { min: f32, max: f32 },
    GeneralRelu { negative_slope: f32, max_value: Option<f32>, threshold: f32 },
    Elu { alpha: f32 },
    Selu,
    Sigmoid,
    HardSigmoid { slope: f32, offset: f32 },
    Tanh,
    Softplus,
    Softsign,
    Exp,
    Silu,
    HardSilu,
    Gelu,
    GeluTanh,
    Mish,
    Celu { alpha: f64 },
    LogSigmoid,
    TanhShrink,
    HardShrink { threshold: f32 },
    SoftShrink { threshold: f32 },
    Squareplus { b: f64 },
    SparsePlus,
    Threshold { threshold: f32, value: f32 },
    Sqrt,
}

/// `x` where positive, else `alpha (exp(x / alpha) - 1)`.
#[inline(always)]
fn celu<S: Simd>(s: S, x: S::F, alpha: f64) -> S::F {
    // Below zero, the exponential of a positive quotient would magnify its rounding.
    if alpha < f64::from(f32::MIN_POSITIVE) {
        return each(s, x, |x| match f64::from(x) {
            x if x > 0.0 => x as f32,
            x => (alpha * (x / alpha).exp_m1()) as f32,
        });
    }
    let power = math::exp_m1(s, s.mul(x, s.splat((1.0 / alpha) as f32)));
    s.select(s.less(s.splat(0.0), x), x, s.mul(s.splat(alpha as f32), power))
}

/// In double precision, which holds the square of any `x`. Below zero the sum would cancel.
#[inline(always)]
fn squareplus(x: f32, b: f64) -> f32 {
    let x = f64::from(x);
    let sum = x.abs() + (x * x + b).sqrt();
    if x < 0.0 { (b / (2.0 * sum)) as f32 } else { (sum / 2.0) as f32 }
}

/// A function of single numbers on each lane.
#[inline(always)]
fn each<S: Simd>(s: S, x: S::F, f: impl Fn(f32) -> f32) -> S::F {
    let mut lanes = [0.0; 16];
    const { assert!(S::LANES <= 16) };
    // SAFETY: there is room for all lanes.
    unsafe { s.store(lanes.as_mut_ptr(), x) };
    lanes[..S::LANES].iter_mut().for_each(|x| *x = f(*x));
    // SAFETY: all lanes are there.
    unsafe { s.load(lanes.as_ptr()) }
}

/// What is done with a function of vectors.
pub(crate) trait Visitor<S: Simd> {
    type Output;

    fn visit(self, f: impl Fn(S::F) -> S::F) -> Self::Output;
}

/// The function's value.
struct At<S: Simd>(S::F);

impl<S: Simd> Visitor<S> for At<S> {
    type Output = S::F;

    #[inline(always)]
    fn visit(self, f: impl Fn(S::F) -> S::F) -> S::F {
        f(self.0)
    }
}

/// Replaces each element by the function's value.
struct InPlace<'a, S>(S, &'a mut [f32]);

impl<S: Simd> Visitor<S> for InPlace<'_, S> {
    type Output = ();

    #[inline(always)]
    fn visit(self, f: impl Fn(S::F) -> S::F) {
        self.0.map(self.1, f);
    }
}

/// Makes each element of the second slice the function's value of that of the first.
struct Between<'a, S>(S, &'a [f32], &'a mut [f32]);

impl<S: Simd> Visitor<S> for Between<'_, S> {
    type Output = ();

    #[inline(always)]
    fn visit(self, f: impl Fn(S::F) -> S::F) {
        self.0.map_to(self.1, self.2, f);
    }
}

/// A function of all elements of a slice.
struct Apply<'a>(Function, &'a mut [f32]);

impl Task for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.0.with(s, InPlace(s, self.1));
    }
}

/// The values of a function at the elements of a slice.
struct Map<'a>(Function, &'a [f32], &'a mut [f32]);

impl Task for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.0.with(s, Between(s, self.1, self.2));
    }
}

impl Function {
    /// The function that the operator applies.
    pub fn new(op: Unary) -> Function {
        match op {
            Unary::Relu => Function::Relu,
            Unary::LeakyRelu { slope } => Function::LeakyRelu { slope: slope as f32 },
            Unary::Clip { min, max } => Function::Clip { min: min as f32, max: max as f32 },
            Unary::GeneralRelu { negative_slope, max_value, threshold } => Function::GeneralRelu {
                negative_slope: negative_slope as f32,
                max_value: max_value.map(|max| max as f32),
                threshold: threshold as f32,
            },
            Unary::Elu { alpha } => Function::Elu { alpha: alpha as f32 },
            Unary::Selu => Function::Selu,
            Unary::Sigmoid => Function::Sigmoid,
            Unary::HardSigmoid { slope, offset } => {
                Function::HardSigmoid { slope: slope as f32, offset: offset as f32 }
            }
            Unary::Tanh => Function::Tanh,
            Unary::Softplus => Function::Softplus,
            Unary::Softsign => Function::Softsign,
            Unary::Exp => Function::Exp,
            Unary::Silu => Function::Silu,
            Unary::HardSilu => Function::HardSilu,
            Unary::Gelu { approximate: false } => Function::Gelu,
            Unary::Gelu { approximate: true } => Function::GeluTanh,
            Unary::Mish => Function::Mish,
            Unary::Celu { alpha } => Function::Celu { alpha },
            Unary::LogSigmoid => Function::LogSigmoid,
            Unary::TanhShrink => Function::TanhShrink,
            Unary::HardShrink { threshold } => Function::HardShrink { threshold: threshold as f32 },
            Unary::SoftShrink { threshold } => Function::SoftShrink { threshold: threshold as f32 },
            Unary::Squareplus { b } => Function::Squareplus { b },
            Unary::SparsePlus => Function::SparsePlus,
            Unary::Threshold { threshold, value } => {
                Function::Threshold { threshold: threshold as f32, value: value as f32 }
            }
            Unary::Sqrt => Function::Sqrt,
        }
    }

    /// Replaces each element by the function's value.
    pub fn apply(self, isa: Isa, values: &mut [f32]) {
        isa.run(Apply(self, values));
    }

    /// The function's value.
    #[inline(always)]
    #[allow(dead_code, reason = "for kernels that have sums in registers")]
    pub fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        self.with(s, At::<S>(x))
    }

    /// What the visitor does with the function.
    #[inline(always)]
    pub fn with<S: Simd, V: Visitor<S>>(self, s: S, visitor: V) -> V::Output {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        let clamp = |x: S::F, min: f32, max: f32| s.min(s.splat(max), s.max(s.splat(min), x));
        match self {
            Function::Relu => visitor.visit(|x| s.max(zero, x)),
            Function::LeakyRelu { slope } => {
                visitor.visit(|x| s.select(s.less(zero, x), x, s.mul(s.splat(slope), x)))
            }
            Function::Clip { min, max } => visitor.visit(|x| clamp(x, min, max)),
            Function::GeneralRelu { negative_slope, max_value, threshold } => {
                let threshold_everywhere = s.splat(threshold);
                visitor.visit(|x| {
                    let above = match threshold {
                        0.0 => s.max(zero, x),
                        _ => s.select(s.less_equal(x, threshold_everywhere), zero, x),
                    };
                    let above = max_value.map_or(above, |max| clamp(above, 0.0, max));
                    // Infinity times 0 would be NaN.
                    if negative_slope == 0.0 {
                        return above;
                    }
                    let below = s.max(zero, s.sub(threshold_everywhere, x));
                    s.neg_mul_add(s.splat(negative_slope), below, above)
                })
            }
            Function::Elu { alpha } => {
                visitor.visit(|x| s.select(s.less(zero, x), x, s.mul(s.splat(alpha), math::exp_m1(s, x))))
            }
            Function::Selu => visitor.visit(|x| {
                let below = s.mul(s.splat((SELU_SCALE * SELU_ALPHA) as f32), math::exp_m1(s, x));
                s.select(s.less(zero, x), s.mul(s.splat(SELU_SCALE as f32), x), below)
            }),
            Function::Sigmoid => visitor.visit(|x| math::sigmoid(s, x)),
            Function::HardSigmoid { slope, offset } => {
                visitor.visit(|x| clamp(s.mul_add(s.splat(slope), x, s.splat(offset)), 0.0, 1.0))
            }
            Function::Tanh => visitor.visit(|x| math::tanh(s, x)),
            Function::Softplus => visitor.visit(|x| math::softplus(s, x)),
            Function::Softsign => visitor.visit(|x| {
                let finite = clamp(x, f32::MIN, f32::MAX);
                s.div(finite, s.add(one, abs(s, finite)))
            }),
            Function::Exp => visitor.visit(|x| math::exp(s, x)),
            Function::Silu => visitor.visit(|x| math::silu(s, x)),
            Function::HardSilu => visitor.visit(|x| {
                let share = s.mul(clamp(s.add(x, s.splat(3.0)), 0.0, 6.0), s.splat(1.0 / 6.0));
                // Minus infinity has a share of 0.
                s.mul(s.max(s.splat(f32::MIN), x), share)
            }),
            Function::Gelu => visitor.visit(|x| math::gelu(s, x)),
            Function::GeluTanh => visitor.visit(|x| math::gelu_tanh(s, x)),
            Function::Mish => visitor.visit(|x| math::mish(s, x)),
            Function::Celu { alpha } => visitor.visit(|x| celu(s, x, alpha)),
            Function::LogSigmoid => visitor.visit(|x| math::log_sigmoid(s, x)),
            Function::TanhShrink => visitor.visit(|x| math::tanh_shrink(s, x)),
            Function::HardShrink { threshold } => {
                visitor.visit(|x| s.select(s.less_equal(abs(s, x), s.splat(threshold)), zero, x))
            }
            Function::SoftShrink { threshold } => {
                let (threshold, below) = (s.splat(threshold), s.splat(-threshold));
                visitor.visit(|x| {
                    let rest = s.select(s.less(x, below), s.add(x, threshold), zero);
                    s.select(s.less_equal(x, threshold), rest, s.sub(x, threshold))
                })
            }
            Function::Squareplus { b } => visitor.visit(|x| each(s, x, |x| squareplus(x, b))),
            Function::SparsePlus => visitor.visit(|x| {
                let root = s.add(s.max(s.splat(-1.0), x), one);
                s.select(s.less_equal(one, x), x, s.mul(s.mul(root, root), s.splat(0.25)))
            }),
            Function::Threshold { threshold, value } => {
                visitor.visit(|x| s.select(s.less_equal(x, s.splat(threshold)), s.splat(value), x))
            }
            Function::Sqrt => visitor.visit(|x| s.sqrt(x)),
        }
    }
}

/// The function of operand 0.
impl Kernel for Function {
    type Out = f32;
    type Bound = ();

    fn bind(&self, _: &[&[usize]], _: &[usize]) -> Result<()> {
        Ok(())
    }

    fn run(&self, (): &(), operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        operands.isa().run(Map(*self, operands.get::<f32>(0), out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstructionSet;
    use proptest::prelude::*;

    fn functions() -> Vec<Unary> {
        vec![
            Unary::Relu,
            Unary::LeakyRelu { slope: 0.3 },
            Unary::LeakyRelu { slope: -0.5 },
            Unary::Clip { min: 0.0, max: 6.0 },
            Unary::Clip { min: -1.5, max: f64::INFINITY },
            Unary::GeneralRelu { negative_slope: 0.0, max_value: Some(6.0), threshold: 0.0 },
            Unary::GeneralRelu { negative_slope: 0.25, max_value: Some(4.0), threshold: 1.0 },
            Unary::GeneralRelu { negative_slope: 0.5, max_value: None, threshold: -1.0 },
            Unary::Elu { alpha: 1.0 },
            Unary::Elu { alpha: 0.75 },
            Unary::Selu,
            Unary::Sigmoid,
            Unary::HardSigmoid { slope: 0.2, offset: 0.5 },
            Unary::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
            Unary::Tanh,
            Unary::Softplus,
            Unary::Softsign,
            Unary::Exp,
            Unary::Silu,
            Unary::HardSilu,
            Unary::Gelu { approximate: false },
            Unary::Gelu { approximate: true },
            Unary::Mish,
            Unary::Celu { alpha: 1.0 },
            Unary::Celu { alpha: 0.1 },
            Unary::Celu { alpha: -8.0 },
            Unary::LogSigmoid,
            Unary::TanhShrink,
            Unary::HardShrink { threshold: 0.5 },
            Unary::HardShrink { threshold: -1.0 },
            Unary::SoftShrink { threshold: 0.5 },
            Unary::SoftShrink { threshold: -0.5 },
            Unary::Squareplus { b: 4.0 },
            Unary::Squareplus { b: 0.0 },
            Unary::SparsePlus,
            Unary::Threshold { threshold: 0.5, value: -2.0 },
            Unary::Sqrt,
        ]
    }

    #[track_caller]
    fn check(op: Unary, x: f32) {
        for isa in InstructionSet::ALL.into_iter().filter_map(Isa::new) {
            check_on(isa, op, x);
        }
    }

    #[track_caller]
    fn check_on(isa: Isa, op: Unary, x: f32) {
        let mut y = [x];
        Function::new(op).apply(isa, &mut y);
        let (y, expected) = (y[0], op.apply(f64::from(x)));
        if expected.is_nan() {
            return assert!(y.is_nan(), "{isa:?}: {op:?}({x}) = {y}, expected NaN");
        }
        // Terms may cancel where the reference adds an offset, and there only.
        let offset = match op {
            Unary::HardSigmoid { .. } | Unary::GeneralRelu { .. } => 1.0 + f64::from(x).abs().min(10.0),
            // The reference's own `1 + tanh` rounds to multiples of the double-precision unit.
            Unary::Gelu { approximate: true } => 1e-9 * f64::from(x).abs().min(40.0),
            Unary::TanhShrink => 1e-9 * f64::from(x).abs().min(1.0),
            _ => 0.0,
        };
        let unit = f64::from(f32::EPSILON) / 2.0;
        let bound = 8.0 * unit * (expected.abs() + offset) + 1e-42;
        let clamped = expected.clamp(-f64::from(f32::MAX), f64::from(f32::MAX));
        let error = if y.is_infinite() && expected.abs() >= f64::from(f32::MAX) * (1.0 - unit) {
            if f64::from(y).signum() == expected.signum() { 0.0 } else { f64::INFINITY }
        } else {
            (f64::from(y) - clamped).abs()
        };
        assert!(error <= bound, "{isa:?}: {op:?}({x:e}) = {y:e}, expected {expected:e}");
    }

    #[test]
    fn the_ends_of_the_number_line() {
        let xs = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            -f32::MIN_POSITIVE,
            1e-45,
            0.0,
            -0.0,
            88.7,
            -88.7,
            -103.0,
            -1e-8,
            1e-8,
            -3.0,
            3.0,
            1.0,
            -1.0,
        ];
        for op in functions() {
            for x in xs {
                check(op, x);
            }
        }
    }

    proptest! {
        #[test]
        fn functions_are_the_references(
            near in -10.0f32..10.0,
            far in -110.0f32..110.0,
            any in any::<f32>(),
        ) {
            for op in functions() {
                for x in [near, far, any, near * 1e-3] {
                    check(op, x);
                }
            }
        }
    }
}
