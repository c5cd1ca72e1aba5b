//! `relu(negative_slope=0.1, max_value=20)`: a function of Keras with its arguments, as one would write it in Python.

use super::Activation;
use super::functions::{Arguments, FUNCTIONS, Function, find};
use crate::{Error, ErrorKind, KerasVersion, Result};
use std::fmt;

/// A function and its arguments.
#[derive(Clone)]
pub(crate) struct Expression {
    function: &'static Function,
    /// One per parameter.
    values: Vec<Literal>,
}

/// A value as Python writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Literal {
    None,
    Bool(bool),
    Number(f64),
}

/// An expression that the caller has to mend.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Input, message)
}

impl Expression {
    /// The function with what it assumes for every argument; `None` if some must be given.
    pub fn of(function: &'static Function) -> Option<Expression> {
        let values = function.parameters.iter().map(|parameter| parameter.default).collect::<Option<_>>()?;
        Some(Expression { function, values })
    }

    /// Reads `name`, or `name(..)` with arguments by position, then by keyword.
    ///
    /// # Errors
    /// Where it is no such call, or where Keras has no such function or argument; then the ones that it has are listed.
    pub fn parse(text: &str) -> Result<Expression> {
        let mut reader = Reader { rest: text };
        let function = function(reader.word())?;
        let mut given: Vec<Option<Literal>> = vec![None; function.parameters.len()];
        if reader.take('(') {
            let mut position = Some(0);
            while !reader.take(')') {
                let word = reader.word();
                let (at, word) = if reader.take('=') {
                    position = None;
                    (parameter(function, word)?, reader.word())
                } else {
                    let at = position.ok_or_else(|| {
                        invalid(format!("{word:?} follows an argument with a name; give it its own"))
                    })?;
                    position = Some(at + 1);
                    (at, word)
                };
                let slot = given.get_mut(at).ok_or_else(|| too_many(function))?;
                if slot.replace(Literal::parse(word)?).is_some() {
                    let name = function.parameters.get(at).map_or("", |parameter| parameter.name);
                    return Err(invalid(format!("`{name}` of {} is given twice", function.name())));
                }
                if !reader.take(',') && !reader.at(')') {
                    return Err(reader.expected("a comma or a closing parenthesis"));
                }
            }
        }
        if !reader.at_end() {
            return Err(reader.expected("the end"));
        }
        let value = |(parameter, given): (&super::functions::Parameter, Option<Literal>)| {
            let missing = || invalid(format!("{} needs the argument `{}`", function.name(), parameter.name));
            given.or(parameter.default).ok_or_else(missing)
        };
        let values = function.parameters.iter().zip(given).map(value).collect::<Result<_>>()?;
        let expression = Expression { function, values };
        // Which version it is for is not known yet; whether the arguments fit depends on none.
        expression.activation(KerasVersion::V3)?;
        Ok(expression)
    }

    /// The function as the Keras of this version computes it.
    pub fn activation(&self, version: KerasVersion) -> Result<Activation> {
        Arguments { function: self.function, values: &self.values, version }.activation()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.function.name()).field(&self.values).finish()
    }
}

fn function(name: &str) -> Result<&'static Function> {
    find(name).ok_or_else(|| {
        let names: Vec<&str> = FUNCTIONS.iter().flat_map(|function| function.names).copied().collect();
        invalid(format!("Keras has no activation {name:?}; it has: {}", names.join(", ")))
    })
}

fn parameter(function: &Function, name: &str) -> Result<usize> {
    let mut parameters = function.parameters.iter();
    let found = parameters.position(|parameter| parameter.name == name || parameter.old_name == Some(name));
    found.ok_or_else(|| match function.parameters {
        [] => too_many(function),
        _ => invalid(format!(
            "{} has no argument {name:?}; it has: {}",
            function.name(),
            parameters_of(function)
        )),
    })
}

fn too_many(function: &Function) -> Error {
    match function.parameters {
        [] => invalid(format!("{} takes no arguments", function.name())),
        _ => {
            invalid(format!("{} takes no more arguments than: {}", function.name(), parameters_of(function)))
        }
    }
}

fn parameters_of(function: &Function) -> String {
    let names: Vec<&str> = function.parameters.iter().map(|parameter| parameter.name).collect();
    names.join(", ")
}

impl Literal {
    fn parse(word: &str) -> Result<Literal> {
        let infinity = Literal::Number(f64::INFINITY);
        // Rust reads more words as numbers than Python does.
        let is_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
        Ok(match word {
            "None" => Literal::None,
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            "inf" | "+inf" => infinity,
            "-inf" => Literal::Number(f64::NEG_INFINITY),
            _ => match Some(word).filter(is_number).and_then(|word| word.parse::<f64>().ok()) {
                Some(number) if number.is_finite() => Literal::Number(number),
                _ => return Err(invalid(format!("{word:?} is no number, True, False, None or inf"))),
            },
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::None => f.write_str("None"),
            Literal::Bool(true) => f.write_str("True"),
            Literal::Bool(false) => f.write_str("False"),
            Literal::Number(number) if number.abs() < 1e15 => write!(f, "{number}"),
            Literal::Number(number) => write!(f, "{number:e}"),
        }
    }
}

/// What is left of the text.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Everything up to white space or a mark; may be empty.
    fn word(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| c.is_whitespace() || "(),=".contains(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        word
    }

    /// Whether the mark comes next; if so it is read.
    fn take(&mut self, mark: char) -> bool {
        match self.rest.trim_start().strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn at(&self, mark: char) -> bool {
        self.rest.trim_start().starts_with(mark)
    }

    fn at_end(&self) -> bool {
        self.rest.trim_start().is_empty()
    }

    fn expected(&self, what: &str) -> Error {
        match self.rest.trim() {
            "" => invalid(format!("the text ends where {what} was expected")),
            rest => invalid(format!("{rest:?} stands where {what} was expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k2o_core::ops::Unary;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = Expression::parse(text).and_then(|expression| expression.activation(KerasVersion::V3));
        let found = match found {
            Ok(activation) => format!("{activation:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn arguments_are_given_by_position_and_by_name() {
        let general = "Unary(GeneralRelu { negative_slope: 0.1, max_value: Some(20.0), threshold: 0.0 })";
        for (text, expected) in [
            ("relu", "Unary(Relu)"),
            ("relu()", "Unary(Relu)"),
            ("relu(0.1, 20)", general),
            ("relu(max_value=20., negative_slope=1e-1)", general),
            (" relu ( 0.1 , max_value = +20 , ) ", general),
            ("relu(alpha=0.1)", "Unary(LeakyRelu { slope: 0.1 })"),
            ("leaky_relu(alpha=-.5)", "Unary(LeakyRelu { slope: -0.5 })"),
            ("relu(max_value=None)", "Unary(Relu)"),
            ("relu(max_value=6)", "Unary(Clip { min: 0.0, max: 6.0 })"),
            (
                "relu(threshold=-1)",
                "Unary(GeneralRelu { negative_slope: 0.0, max_value: None, threshold: -1.0 })",
            ),
            ("gelu(True)", "Unary(Gelu { approximate: true })"),
            ("gelu(approximate=False)", "Unary(Gelu { approximate: false })"),
            ("softmax(axis=1)", "Softmax { axis: 1, log: false }"),
            ("log_softmax", "Softmax { axis: -1, log: true }"),
            ("sparsemax(-2)", "Sparsemax { axis: -2 }"),
            ("glu", "Glu { axis: -1 }"),
            ("hard_swish", "Unary(HardSilu)"),
            ("threshold(0, -inf)", "Unary(Threshold { threshold: 0.0, value: -inf })"),
            ("squareplus(b=0)", "Unary(Squareplus { b: 0.0 })"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_there_is() {
        for (text, expected) in [
            ("relu(slope=1)", "relu has no argument \"slope\"; it has: negative_slope, max_value, threshold"),
            ("relu(1, 2, 3, 4)", "relu takes no more arguments than: negative_slope, max_value, threshold"),
            ("tanh(1)", "tanh takes no arguments"),
            ("tanh(x=1)", "tanh takes no arguments"),
            ("relu(0.1, alpha=0.2)", "`negative_slope` of relu is given twice"),
            ("relu(max_value=1, 0.2)", "\"0.2\" follows an argument with a name; give it its own"),
            ("threshold(1)", "threshold needs the argument `default_value`"),
            ("relu(0.1", "the text ends where a comma or a closing parenthesis was expected"),
            ("relu(0.1))", "\")\" stands where the end was expected"),
            ("relu 1", "\"1\" stands where the end was expected"),
            ("relu(,)", "\"\" is no number, True, False, None or inf"),
            ("relu(x)", "\"x\" is no number, True, False, None or inf"),
            ("relu(nan)", "\"nan\" is no number, True, False, None or inf"),
            ("relu(infinity)", "\"infinity\" is no number, True, False, None or inf"),
            ("relu(1e999)", "\"1e999\" is no number, True, False, None or inf"),
            ("relu(1e99)", "`negative_slope` of relu is 1e99; expected a number"),
            ("relu(inf)", "`negative_slope` of relu is inf; expected a finite number"),
            ("relu(max_value=-1)", "`max_value` of relu is -1; expected a number from 0 on"),
            ("relu(None)", "`negative_slope` of relu is None; expected a number"),
            ("celu(0)", "`alpha` of celu is 0; expected a finite number other than 0"),
            ("soft_shrink(-0.5)", "`threshold` of soft_shrink is -0.5; expected a number from 0 on"),
            ("gelu(1)", "`approximate` of gelu is 1; expected True or False"),
            ("softmax(0.5)", "`axis` of softmax is 0.5; expected a whole number"),
        ] {
            check(text, expected);
        }
        for text in ["", "(1)", "rel", "tf.nn.relu(1)", "lambda x: x"] {
            let error = Expression::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("Keras has no activation \""), "{error}");
            assert!(error.contains("; it has: celu, elu, ") && error.ends_with(", threshold"), "{error}");
        }
    }

    #[test]
    fn the_list_is_alphabetical_and_names_are_unique() {
        let names: Vec<&str> = FUNCTIONS.iter().map(Function::name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        let mut all: Vec<&str> = FUNCTIONS.iter().flat_map(|function| function.names).copied().collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn every_function_but_one_needs_no_argument() {
        for function in FUNCTIONS {
            let text = function.text();
            assert!(Expression::parse(&text).is_ok(), "{text}");
            assert_eq!(Expression::of(function).is_none(), function.name() == "threshold", "{text}");
        }
    }

    #[test]
    fn a_function_whose_meaning_changed_is_that_of_the_model() {
        let expression = Expression::parse("hard_sigmoid").unwrap();
        for (version, expected) in
            [(KerasVersion::V1, 0.2), (KerasVersion::V2, 0.2), (KerasVersion::V3, 1.0 / 6.0)]
        {
            let found = expression.activation(version).unwrap();
            let Activation::Unary(Unary::HardSigmoid { slope, .. }) = found else { panic!("{found:?}") };
            assert_eq!(slope, expected);
        }
    }
}
