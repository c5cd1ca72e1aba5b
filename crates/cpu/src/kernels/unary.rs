//! One function on every element.
//!
//! NaN stays NaN and infinities have the function's limits, as in the operator's reference. The formulas avoid
//! differences of nearly equal numbers, so that results are a few units in the last place from the exact ones.

use super::{Kernel, Operands};
use crate::Result;
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

/// `max(x, floor)`; NaN if `x` is.
#[inline(always)]
fn at_least(x: f32, floor: f32) -> f32 {
    if x < floor { floor } else { x }
}

/// `min(x, ceiling)`; NaN if `x` is.
#[inline(always)]
fn at_most(x: f32, ceiling: f32) -> f32 {
    if x > ceiling { ceiling } else { x }
}

fn sigmoid(x: f32) -> f32 {
    let power = (-x.abs()).exp();
    let numerator = if x < 0.0 { power } else { 1.0 };
    numerator / (1.0 + power)
}

fn elu(x: f32, alpha: f32) -> f32 {
    if x > 0.0 { x } else { alpha * x.exp_m1() }
}

fn softplus(x: f32) -> f32 {
    at_least(x, 0.0) + (-x.abs()).exp().ln_1p()
}

fn log_sigmoid(x: f32) -> f32 {
    at_most(x, 0.0) - (-x.abs()).exp().ln_1p()
}

/// In double precision: a rounding of `x / alpha` is magnified by the quotient.
fn celu(x: f32, alpha: f64) -> f32 {
    if x > 0.0 { x } else { (alpha * (f64::from(x) / alpha).exp_m1()) as f32 }
}

/// In double precision, because the two terms cancel; and near zero by the first term of the series, as there they
/// cancel altogether.
fn tanh_shrink(x: f32) -> f32 {
    let x = f64::from(x);
    if x.abs() < 1e-4 { (x * x * x / 3.0) as f32 } else { (x - x.tanh()) as f32 }
}

/// In double precision, which holds the square of any `x`. Below zero the sum would cancel.
#[inline(always)]
fn squareplus(x: f32, b: f64) -> f32 {
    let x = f64::from(x);
    let sum = x.abs() + (x * x + b).sqrt();
    if x < 0.0 { (b / (2.0 * sum)) as f32 } else { (sum / 2.0) as f32 }
}

/// `x * p(x)` where `p` goes to 0 faster than `x` to minus infinity.
fn weighted(x: f32, p: impl Fn(f32) -> f32) -> f32 {
    if x == f32::NEG_INFINITY { 0.0 } else { x * p(x) }
}

/// `Φ(x)`. The tail is computed in double precision: there a rounding of the argument is magnified by its square.
fn normal_cdf(x: f32) -> f32 {
    if x < 0.0 {
        return (0.5 * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2)) as f32;
    }
    0.5 + 0.5 * libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)
}

/// `(1 + tanh(u)) / 2 = sigmoid(2u)` for GELU's cubic `u`; in double precision for the same reason.
fn cubic_cdf(x: f32) -> f32 {
    let x = f64::from(x);
    let twice = (8.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    (1.0 / (1.0 + (-twice).exp())) as f32
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
    #[inline]
    pub fn apply(self, values: &mut [f32]) {
        #[inline(always)]
        fn map(values: &mut [f32], f: impl Fn(f32) -> f32) {
            for x in values {
                *x = f(*x);
            }
        }
        match self {
            Function::Relu => map(values, |x| at_least(x, 0.0)),
            Function::LeakyRelu { slope } => map(values, |x| if x > 0.0 { x } else { slope * x }),
            Function::Clip { min, max } => map(values, |x| at_most(at_least(x, min), max)),
            Function::GeneralRelu { negative_slope, max_value, threshold } => map(values, |x| {
                let above = match threshold {
                    0.0 => at_least(x, 0.0),
                    _ if x > threshold || x.is_nan() => x,
                    _ => 0.0,
                };
                let below = if negative_slope == 0.0 { 0.0 } else { at_least(threshold - x, 0.0) };
                max_value.map_or(above, |max| at_most(at_least(above, 0.0), max)) - negative_slope * below
            }),
            Function::Elu { alpha } => map(values, |x| elu(x, alpha)),
            Function::Selu => map(values, |x| SELU_SCALE as f32 * elu(x, SELU_ALPHA as f32)),
            Function::Sigmoid => map(values, sigmoid),
            Function::HardSigmoid { slope, offset } => {
                map(values, |x| at_most(at_least(slope * x + offset, 0.0), 1.0));
            }
            Function::Tanh => map(values, f32::tanh),
            Function::Softplus => map(values, softplus),
            Function::Softsign => {
                map(values, |x| if x.is_infinite() { x.signum() } else { x / (1.0 + x.abs()) });
            }
            Function::Exp => map(values, f32::exp),
            Function::Silu => map(values, |x| weighted(x, sigmoid)),
            Function::HardSilu => {
                map(values, |x| weighted(x, |x| at_most(at_least(x + 3.0, 0.0), 6.0) / 6.0))
            }
            Function::Gelu => map(values, |x| weighted(x, normal_cdf)),
            Function::GeluTanh => map(values, |x| weighted(x, cubic_cdf)),
            Function::Mish => map(values, |x| weighted(x, |x| softplus(x).tanh())),
            Function::Celu { alpha } => map(values, |x| celu(x, alpha)),
            Function::LogSigmoid => map(values, log_sigmoid),
            Function::TanhShrink => map(values, tanh_shrink),
            Function::HardShrink { threshold } => {
                map(values, |x| if x.abs() <= threshold { 0.0 } else { x });
            }
            Function::SoftShrink { threshold } => map(values, |x| {
                if x > threshold || x.is_nan() {
                    x - threshold
                } else if x < -threshold {
                    x + threshold
                } else {
                    0.0
                }
            }),
            Function::Squareplus { b } => map(values, |x| squareplus(x, b)),
            Function::SparsePlus => {
                map(values, |x| if x >= 1.0 { x } else { (at_least(x, -1.0) + 1.0).powi(2) / 4.0 });
            }
            Function::Threshold { threshold, value } => {
                map(values, |x| if x <= threshold { value } else { x });
            }
            Function::Sqrt => map(values, f32::sqrt),
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
        /// As many elements as stay in the nearest cache between the copy and the function.
        const CHUNK: usize = 2048;
        for (out, x) in out.chunks_mut(CHUNK).zip(operands.get::<f32>(0).chunks(CHUNK)) {
            out.copy_from_slice(x);
            self.apply(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let mut y = [x];
        Function::new(op).apply(&mut y);
        let (y, expected) = (y[0], op.apply(f64::from(x)));
        if expected.is_nan() {
            return assert!(y.is_nan(), "{op:?}({x}) = {y}, expected NaN");
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
        assert!(error <= bound, "{op:?}({x:e}) = {y:e}, expected {expected:e}");
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
