//! The functions of `keras.activations` (`keras/src/activations/activations.py`), with their arguments and what they
//! assume for those that are left out.

use super::Activation;
use super::expression::{Literal, invalid};
use crate::{KerasVersion, Result};
use k2o_core::ops::Unary;

/// One function.
pub(crate) struct Function {
    /// What it is called.
    pub names: &'static [&'static str],
    /// Its arguments after the tensor, in order.
    pub parameters: &'static [Parameter],
    /// Whether Keras 2 has it too.
    pub is_in_keras2: bool,
    make: fn(&Arguments<'_>) -> Result<Activation>,
}

/// One argument of a function.
pub(crate) struct Parameter {
    pub name: &'static str,
    /// Its name in Keras 2, where that is another.
    pub old_name: Option<&'static str>,
    /// What is assumed where it is not given; `None` if it must be.
    pub default: Option<Literal>,
}

/// A call of a function: one value per parameter.
pub(crate) struct Arguments<'a> {
    pub function: &'static Function,
    pub values: &'a [Literal],
    pub version: KerasVersion,
}

const fn optional(name: &'static str, default: Literal) -> Parameter {
    Parameter { name, old_name: None, default: Some(default) }
}

const fn required(name: &'static str) -> Parameter {
    Parameter { name, old_name: None, default: None }
}

/// The slope below the threshold, which Keras 2 calls `alpha`.
const fn slope(default: f64) -> Parameter {
    Parameter { name: "negative_slope", old_name: Some("alpha"), default: Some(Literal::Number(default)) }
}

const AXIS: Parameter = optional("axis", Literal::Number(-1.0));
const ALPHA: Parameter = optional("alpha", Literal::Number(1.0));
const SHRINK: Parameter = optional("threshold", Literal::Number(0.5));

/// Makes functions of Keras 2 and 3, `both`, and of Keras 3 only, `new`.
type Make = fn(&Arguments<'_>) -> Result<Activation>;

const fn both(names: &'static [&'static str], parameters: &'static [Parameter], make: Make) -> Function {
    Function { names, parameters, is_in_keras2: true, make }
}

const fn new(names: &'static [&'static str], parameters: &'static [Parameter], make: Make) -> Function {
    Function { names, parameters, is_in_keras2: false, make }
}

fn unary(function: Unary) -> Result<Activation> {
    Ok(Activation::Unary(function))
}

/// Every function, in alphabetical order.
pub(crate) const FUNCTIONS: &[Function] = &[
    new(&["celu"], &[ALPHA], |args| unary(Unary::Celu { alpha: args.nonzero("alpha")? })),
    both(&["elu"], &[ALPHA], |args| unary(Unary::Elu { alpha: args.finite("alpha")? })),
    both(&["exponential"], &[], |_| unary(Unary::Exp)),
    both(&["gelu"], &[optional("approximate", Literal::Bool(false))], |args| {
        unary(Unary::Gelu { approximate: args.flag("approximate")? })
    }),
    new(&["glu"], &[AXIS], |args| Ok(Activation::Glu { axis: args.axis()? })),
    new(&["hard_shrink"], &[SHRINK], |args| {
        unary(Unary::HardShrink { threshold: args.not_negative("threshold")? })
    }),
    both(&["hard_sigmoid"], &[], |args| {
        let slope = if args.version < KerasVersion::V3 { 0.2 } else { 1.0 / 6.0 };
        unary(Unary::HardSigmoid { slope, offset: 0.5 })
    }),
    new(&["hard_silu", "hard_swish"], &[], |_| unary(Unary::HardSilu)),
    new(&["hard_tanh"], &[], |_| unary(Unary::Clip { min: -1.0, max: 1.0 })),
    both(&["leaky_relu"], &[slope(0.2)], |args| {
        unary(Unary::LeakyRelu { slope: args.finite("negative_slope")? })
    }),
    both(&["linear"], &[], |_| Ok(Activation::Linear)),
    new(&["log_sigmoid"], &[], |_| unary(Unary::LogSigmoid)),
    both(&["log_softmax"], &[AXIS], |args| Ok(Activation::Softmax { axis: args.axis()?, log: true })),
    both(&["mish"], &[], |_| unary(Unary::Mish)),
    both(
        &["relu"],
        &[slope(0.0), optional("max_value", Literal::None), optional("threshold", Literal::Number(0.0))],
        |args| {
            let negative_slope = args.finite("negative_slope")?;
            let max_value = match args.get("max_value") {
                Literal::None => None,
                _ => Some(args.not_negative("max_value")?),
            };
            let threshold = args.finite("threshold")?;
            unary(match (negative_slope, max_value, threshold) {
                (0.0, None, 0.0) => Unary::Relu,
                (slope, None, 0.0) => Unary::LeakyRelu { slope },
                (0.0, Some(max), 0.0) => Unary::Clip { min: 0.0, max },
                _ => Unary::GeneralRelu { negative_slope, max_value, threshold },
            })
        },
    ),
    both(&["relu6"], &[], |_| unary(Unary::Clip { min: 0.0, max: 6.0 })),
    both(&["selu"], &[], |_| unary(Unary::Selu)),
    both(&["sigmoid"], &[], |_| unary(Unary::Sigmoid)),
    both(&["silu", "swish"], &[], |_| unary(Unary::Silu)),
    new(&["soft_shrink"], &[SHRINK], |args| {
        unary(Unary::SoftShrink { threshold: args.not_negative("threshold")? })
    }),
    both(&["softmax"], &[AXIS], |args| Ok(Activation::Softmax { axis: args.axis()?, log: false })),
    both(&["softplus"], &[], |_| unary(Unary::Softplus)),
    both(&["softsign"], &[], |_| unary(Unary::Softsign)),
    new(&["sparse_plus"], &[], |_| unary(Unary::SparsePlus)),
    new(&["sparse_sigmoid"], &[], |_| unary(Unary::HardSigmoid { slope: 0.5, offset: 0.5 })),
    new(&["sparsemax"], &[AXIS], |args| Ok(Activation::Sparsemax { axis: args.axis()? })),
    new(&["squareplus"], &[optional("b", Literal::Number(4.0))], |args| {
        unary(Unary::Squareplus { b: args.not_negative("b")? })
    }),
    both(&["tanh"], &[], |_| unary(Unary::Tanh)),
    new(&["tanh_shrink"], &[], |_| unary(Unary::TanhShrink)),
    new(&["threshold"], &[required("threshold"), required("default_value")], |args| {
        let (threshold, value) = (args.number("threshold")?, args.number("default_value")?);
        unary(Unary::Threshold { threshold, value })
    }),
];

/// The function with this name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.names.contains(&name))
}

impl Function {
    /// The name it has in Keras's documentation.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// A call that gives every argument that must be given: `threshold(threshold=1, default_value=0)`.
    pub fn text(&self) -> String {
        let required = self.parameters.iter().filter(|parameter| parameter.default.is_none());
        let required: Vec<String> = required.map(|parameter| format!("{}=1", parameter.name)).collect();
        match required.is_empty() {
            true => self.name().to_string(),
            false => format!("{}({})", self.name(), required.join(", ")),
        }
    }
}

impl Arguments<'_> {
    /// The function with these arguments.
    pub fn activation(&self) -> Result<Activation> {
        (self.function.make)(self)
    }

    fn get(&self, name: &str) -> Literal {
        let at = self.function.parameters.iter().position(|parameter| parameter.name == name);
        at.and_then(|at| self.values.get(at)).copied().unwrap_or(Literal::None)
    }

    /// A number that single precision has, or an infinite one.
    fn number(&self, name: &str) -> Result<f64> {
        match self.get(name) {
            Literal::Number(number) if number.is_infinite() || (number as f32).is_finite() => Ok(number),
            other => Err(self.expected(name, "a number", other)),
        }
    }

    fn finite(&self, name: &str) -> Result<f64> {
        self.checked(name, "a finite number", f64::is_finite)
    }

    fn nonzero(&self, name: &str) -> Result<f64> {
        self.checked(name, "a finite number other than 0", |number| number.is_finite() && number != 0.0)
    }

    fn not_negative(&self, name: &str) -> Result<f64> {
        self.checked(name, "a number from 0 on", |number| number >= 0.0)
    }

    fn checked(&self, name: &str, what: &str, fits: impl Fn(f64) -> bool) -> Result<f64> {
        let number = self.number(name)?;
        if fits(number) { Ok(number) } else { Err(self.expected(name, what, Literal::Number(number))) }
    }

    fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            Literal::Bool(flag) => Ok(flag),
            other => Err(self.expected(name, "True or False", other)),
        }
    }

    fn axis(&self) -> Result<i64> {
        match self.get("axis") {
            // No tensor has so many axes that a larger number could be right.
            Literal::Number(number) if number.fract() == 0.0 && number.abs() < 1e6 => Ok(number as i64),
            other => Err(self.expected("axis", "a whole number", other)),
        }
    }

    fn expected(&self, name: &str, what: &str, given: Literal) -> crate::Error {
        invalid(format!("`{name}` of {} is {given}; expected {what}", self.function.name()))
    }
}
