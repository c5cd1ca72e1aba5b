//! One function on every element.
//!
//! NaN stays NaN and infinities have the function's limits, as in the operator's reference.

mod formulas;

pub(crate) use formulas::{Function, Visitor};

use super::{Kernel, Operands};
use crate::Result;
use crate::simd::{Elementwise, Isa, Simd, Task};
use k2o_core::ops::Unary;

/// The value at a vector.
struct At<S: Simd>(S, S::F);

impl<S: Simd> Visitor for At<S> {
    type Output = S::F;

    #[inline(always)]
    fn visit(self, f: impl Elementwise) -> S::F {
        f.eval(self.0, self.1)
    }
}

/// Replaces each element of a slice by the value.
struct InPlace<'a, F>(F, &'a mut [f32]);

impl<F: Elementwise> Task for InPlace<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.map(self.1, self.0);
    }
}

impl Visitor for InPlace<'_, Isa> {
    type Output = ();

    fn visit(self, f: impl Elementwise) {
        self.0.run(InPlace(f, self.1));
    }
}

/// Makes each element of the second slice the value at that of the first.
struct Between<'a, F>(F, &'a [f32], &'a mut [f32]);

impl<F: Elementwise> Task for Between<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.map_to(self.1, self.2, self.0);
    }
}

impl Visitor for Between<'_, Isa> {
    type Output = ();

    fn visit(self, f: impl Elementwise) {
        self.0.run(Between(f, self.1, self.2));
    }
}

impl Function {
    /// The function that the operator applies.
    pub fn new(op: Unary) -> Function {
        match op {
            Unary::Relu => Function::Relu {},
            Unary::LeakyRelu { slope } => Function::LeakyRelu { slope: slope as f32 },
            Unary::Clip { min, max } => Function::Clip { min: min as f32, max: max as f32 },
            Unary::GeneralRelu { negative_slope, max_value, threshold } => Function::GeneralRelu {
                negative_slope: negative_slope as f32,
                max_value: max_value.map(|max| max as f32),
                threshold: threshold as f32,
            },
            Unary::Elu { alpha } => Function::Elu { alpha: alpha as f32 },
            Unary::Selu => Function::Selu {},
            Unary::Sigmoid => Function::Sigmoid {},
            Unary::HardSigmoid { slope, offset } => {
                Function::HardSigmoid { slope: slope as f32, offset: offset as f32 }
            }
            Unary::Tanh => Function::Tanh {},
            Unary::Softplus => Function::Softplus {},
            Unary::Softsign => Function::Softsign {},
            Unary::Exp => Function::Exp {},
            Unary::Silu => Function::Silu {},
            Unary::HardSilu => Function::HardSilu {},
            Unary::Gelu { approximate: false } => Function::Gelu {},
            Unary::Gelu { approximate: true } => Function::GeluTanh {},
            Unary::Mish => Function::Mish {},
            Unary::Celu { alpha } => Function::Celu { alpha },
            Unary::LogSigmoid => Function::LogSigmoid {},
            Unary::TanhShrink => Function::TanhShrink {},
            Unary::HardShrink { threshold } => Function::HardShrink { threshold: threshold as f32 },
            Unary::SoftShrink { threshold } => Function::SoftShrink { threshold: threshold as f32 },
            Unary::Squareplus { b } => Function::Squareplus { b },
            Unary::SparsePlus => Function::SparsePlus {},
            Unary::Threshold { threshold, value } => {
                Function::Threshold { threshold: threshold as f32, value: value as f32 }
            }
            Unary::Sqrt => Function::Sqrt {},
        }
    }

    /// Replaces each element by the function's value.
    pub fn apply(self, isa: Isa, values: &mut [f32]) {
        self.with(InPlace(isa, values));
    }

    /// The function's value.
    #[inline(always)]
    #[allow(dead_code, reason = "for kernels that have sums in registers")]
    pub fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        self.with(At(s, x))
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
        self.with(Between(operands.isa(), operands.get::<f32>(0), out));
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
