//! One function on every element.

use super::{Infer, Operator, exactly};
use crate::{Cost, Result, Tensor, TensorType};

/// The functions of one element. NaN in, NaN out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu {
        /// The factor below zero.
        slope: f64,
    },
    /// `min(max(x, min), max)`
    Clip {
        /// The least value.
        min: f64,
        /// The largest value.
        max: f64,
    },
    /// Keras's `relu` with all its arguments: `x` where above `threshold`, else 0; at most `max_value`; less
    /// `negative_slope * max(threshold - x, 0)`.
    GeneralRelu {
        /// The factor below the threshold.
        negative_slope: f64,
        /// The largest value, if there is one; then 0 is the least.
        max_value: Option<f64>,
        /// Where the function starts to rise.
        threshold: f64,
    },
    /// `x` where positive, else `alpha * (exp(x) - 1)`
    Elu {
        /// The limit far below zero, negated.
        alpha: f64,
    },
    /// `scale * elu(x, alpha)` with the two constants of the SELU paper (arXiv:1706.02515).
    Selu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `min(max(slope * x + offset, 0), 1)`
    HardSigmoid {
        /// The slope in the middle; 0.2 in Keras 2, 1/6 in Keras 3.
        slope: f64,
        /// The value at zero.
        offset: f64,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `exp(x)`
    Exp,
    /// `x * sigmoid(x)`, also called swish
    Silu,
    /// `x * min(max(x + 3, 0), 6) / 6`, also called hard swish
    HardSilu,
    /// `x * Φ(x)`, with the error function or with the tangent of arXiv:1606.08415.
    Gelu {
        /// Whether `Φ` is approximated by a hyperbolic tangent.
        approximate: bool,
    },
    /// `x * tanh(softplus(x))`
    Mish,
    /// `x` where positive, else `alpha * (exp(x / alpha) - 1)`
    Celu {
        /// The limit far below zero, negated; not 0.
        alpha: f64,
    },
    /// `-ln(1 + exp(-x))`
    LogSigmoid,
    /// `x - tanh(x)`
    TanhShrink,
    /// `x` where `|x| > threshold`, else 0
    HardShrink {
        /// How far from zero the function starts.
        threshold: f64,
    },
    /// `x - threshold` above `threshold`, `x + threshold` below `-threshold`, else 0
    SoftShrink {
        /// How far from zero the function starts.
        threshold: f64,
    },
    /// `(x + sqrt(x² + b)) / 2`
    Squareplus {
        /// How round the bend is.
        b: f64,
    },
    /// 0 up to -1, `x` from 1 on, `(x + 1)² / 4` between
    SparsePlus,
    /// `x` where above `threshold`, else `value`
    Threshold {
        /// Where the function starts to be `x`.
        threshold: f64,
        /// What it is below.
        value: f64,
    },
    /// The square root.
    Sqrt,
}

/// `alpha` of SELU.
pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// `scale` of SELU.
pub const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

impl Unary {
    /// The function's value.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            _ if x.is_nan() => x,
            Unary::Relu => x.max(0.0),
            Unary::LeakyRelu { slope } => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Unary::Clip { min, max } => x.max(min).min(max),
            Unary::GeneralRelu { negative_slope, max_value, threshold } => {
                let above = match threshold {
                    0.0 => x.max(0.0),
                    _ if x > threshold => x,
                    _ => 0.0,
                };
                let below = if negative_slope == 0.0 { 0.0 } else { (threshold - x).max(0.0) };
                max_value.map_or(above, |max| above.max(0.0).min(max)) - negative_slope * below
            }
            Unary::Elu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    alpha * x.exp_m1()
                }
            }
            Unary::Selu => SELU_SCALE * Unary::Elu { alpha: SELU_ALPHA }.apply(x),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::HardSigmoid { slope, offset } => (slope * x + offset).clamp(0.0, 1.0),
            Unary::Tanh => x.tanh(),
            Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Unary::Softsign => {
                if x.is_infinite() {
                    x.signum()
                } else {
                    x / (1.0 + x.abs())
                }
            }
            Unary::Exp => x.exp(),
            Unary::Silu => {
                if x == f64::NEG_INFINITY {
                    0.0
                } else {
                    x * Unary::Sigmoid.apply(x)
                }
            }
            Unary::HardSilu => {
                if x <= -3.0 {
                    0.0
                } else {
                    x * (x + 3.0).min(6.0) / 6.0
                }
            }
            Unary::Celu { alpha } => x.max(0.0) + alpha * (x.min(0.0) / alpha).exp_m1(),
            Unary::LogSigmoid => -Unary::Softplus.apply(-x),
            Unary::TanhShrink => x - x.tanh(),
            Unary::HardShrink { threshold } => {
                if x.abs() > threshold {
                    x
                } else {
                    0.0
                }
            }
            Unary::SoftShrink { threshold } => {
                if x > threshold {
                    x - threshold
                } else if x < -threshold {
                    x + threshold
                } else {
                    0.0
                }
            }
            // (x + root) / 2 would cancel far below zero.
            Unary::Squareplus { b } if x < 0.0 => b / (2.0 * ((x * x + b).sqrt() - x)),
            Unary::Squareplus { b } => (x + (x * x + b).sqrt()) / 2.0,
            Unary::SparsePlus => {
                if x >= 1.0 {
                    x
                } else {
                    (x.max(-1.0) + 1.0).powi(2) / 4.0
                }
            }
            Unary::Threshold { threshold, value } => {
                if x > threshold {
                    x
                } else {
                    value
                }
            }
            Unary::Sqrt => x.sqrt(),
            _ if x == f64::NEG_INFINITY => 0.0,
            Unary::Gelu { approximate: false } => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Unary::Gelu { approximate: true } => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                // 0.5 * (1 + tanh(inner)), which would cancel far below zero.
                x / (1.0 + (-2.0 * inner).exp())
            }
            Unary::Mish => x * Unary::Softplus.apply(x).tanh(),
        }
    }

    /// Whether `f(x)` is never smaller for a larger `x`, so that it may change places with a maximum.
    pub fn is_monotonic(self) -> bool {
        match self {
            Unary::Silu | Unary::HardSilu | Unary::Gelu { .. } | Unary::Mish | Unary::GeneralRelu { .. } => {
                false
            }
            // NaN below zero, which a maximum would keep.
            Unary::Sqrt => false,
            Unary::HardShrink { threshold } | Unary::SoftShrink { threshold } => threshold >= 0.0,
            Unary::Threshold { threshold, value } => value <= threshold,
            Unary::Celu { alpha } => alpha > 0.0,
            Unary::Squareplus { b } => b >= 0.0,
            Unary::LogSigmoid | Unary::TanhShrink | Unary::SparsePlus => true,
            Unary::LeakyRelu { slope } => slope >= 0.0,
            Unary::Elu { alpha } => alpha >= 0.0,
            Unary::HardSigmoid { slope, .. } => slope >= 0.0,
            Unary::Relu | Unary::Clip { .. } | Unary::Selu | Unary::Sigmoid | Unary::Tanh => true,
            Unary::Softplus | Unary::Softsign | Unary::Exp => true,
        }
    }
}

impl Operator for Unary {
    fn name(&self) -> &'static str {
        match self {
            Unary::Relu => "relu",
            Unary::LeakyRelu { .. } => "leaky_relu",
            Unary::Clip { .. } => "clip",
            Unary::GeneralRelu { .. } => "general_relu",
            Unary::Elu { .. } => "elu",
            Unary::Selu => "selu",
            Unary::Sigmoid => "sigmoid",
            Unary::HardSigmoid { .. } => "hard_sigmoid",
            Unary::Tanh => "tanh",
            Unary::Softplus => "softplus",
            Unary::Softsign => "softsign",
            Unary::Exp => "exp",
            Unary::Silu => "silu",
            Unary::HardSilu => "hard_silu",
            Unary::Gelu { .. } => "gelu",
            Unary::Mish => "mish",
            Unary::Celu { .. } => "celu",
            Unary::LogSigmoid => "log_sigmoid",
            Unary::TanhShrink => "tanh_shrink",
            Unary::HardShrink { .. } => "hard_shrink",
            Unary::SoftShrink { .. } => "soft_shrink",
            Unary::Squareplus { .. } => "squareplus",
            Unary::SparsePlus => "sparse_plus",
            Unary::Threshold { .. } => "threshold",
            Unary::Sqrt => "sqrt",
        }
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly(self.name(), inputs)?;
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly(self.name(), outputs)?;
        Ok(Cost::element_ops(y.shape.elements()?))
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly(self.name(), inputs)?;
        Ok(vec![Tensor::f64(x.shape(), x.as_f64()?.iter().map(|&x| self.apply(x)).collect())?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: Unary, x: f64, expected: f64) {
        let y = function.apply(x);
        assert!((y - expected).abs() < 5e-6, "{function:?}({x}) = {y}, expected {expected}");
    }

    // Values printed by Keras 3.15.1's `keras.activations` on float32 inputs.
    #[test]
    fn functions_have_keras_values() {
        check(Unary::Gelu { approximate: false }, 1.0, 0.841345);
        check(Unary::Gelu { approximate: true }, 1.0, 0.841192);
        check(Unary::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }, 1.0, 0.666667);
        check(Unary::Selu, -1.0, -1.111331);
        check(Unary::Mish, 1.0, 0.865098);
        check(Unary::HardSilu, 1.0, 0.666667);
        check(Unary::Softplus, 1.0, 1.313262);
        check(Unary::Softsign, -3.0, -0.75);
        check(Unary::Elu { alpha: 1.0 }, -1.0, -0.632121);
        check(Unary::Celu { alpha: 0.5 }, -0.7, -0.376702);
        check(Unary::LogSigmoid, -1.5, -1.701413);
        check(Unary::LogSigmoid, -30.0, -30.0);
        check(Unary::TanhShrink, -1.5, -0.594852);
        check(Unary::HardShrink { threshold: 0.5 }, 0.3, 0.0);
        check(Unary::SoftShrink { threshold: 0.5 }, -1.5, -1.0);
        check(Unary::Squareplus { b: 4.0 }, -1.5, 0.5);
        check(Unary::Squareplus { b: 4.0 }, 1.2, 1.766190);
        check(Unary::SparsePlus, 0.3, 0.422500);
        check(Unary::Threshold { threshold: 0.5, value: -2.0 }, 0.3, -2.0);
    }

    #[test]
    fn general_relu_follows_its_three_arguments() {
        let relu = Unary::GeneralRelu { negative_slope: 0.5, max_value: Some(4.0), threshold: 1.0 };
        for (x, y) in [(-1.0, -1.0), (0.5, -0.25), (1.0, 0.0), (2.0, 2.0), (9.0, 4.0)] {
            check(relu, x, y);
        }
    }

    #[test]
    fn nan_stays_and_infinity_has_its_limit() {
        let all = [
            Unary::Relu,
            Unary::LeakyRelu { slope: 0.1 },
            Unary::Clip { min: 0.0, max: 6.0 },
            Unary::Sigmoid,
            Unary::Silu,
            Unary::HardSilu,
            Unary::Gelu { approximate: false },
            Unary::Gelu { approximate: true },
            Unary::Mish,
            Unary::Softsign,
            Unary::Softplus,
            Unary::Celu { alpha: 1.0 },
            Unary::LogSigmoid,
            Unary::TanhShrink,
            Unary::HardShrink { threshold: 0.5 },
            Unary::SoftShrink { threshold: 0.5 },
            Unary::Squareplus { b: 4.0 },
            Unary::SparsePlus,
            Unary::Threshold { threshold: 0.5, value: 0.0 },
        ];
        for function in all {
            assert!(function.apply(f64::NAN).is_nan(), "{function:?}");
            assert!(!function.apply(f64::NEG_INFINITY).is_nan(), "{function:?}");
            assert!(!function.apply(f64::INFINITY).is_nan(), "{function:?}");
        }
    }
}
