//! What can be wrong with a model file, and where.

use k2o_core::ErrorKind as CoreKind;
use std::fmt;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file is a Keras model that uses something this crate does not know, or no Keras model at all.
    Unsupported,
    /// The file is damaged or contradicts itself.
    Malformed,
    /// Shapes of layers or weights do not fit each other.
    ShapeMismatch,
    /// A size is past what was allowed.
    Limit,
    /// The bytes could not be read.
    Io,
    /// The caller's options are wrong, or do not fit the file.
    Input,
}

/// How many problems the text of an error has.
const MOST_SHOWN: usize = 20;

/// One or more problems with a model file.
///
/// The text has one paragraph for each: the place, what was expected and what was given, lines `shapes: ..` with what
/// led there where shapes do not fit, and a line `help: ..` where the mend is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    // Never empty.
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Who is at fault.
    pub kind: ErrorKind,
    /// Where: `layer "dense_1" (Dense)`, `config.json`, `model.weights.h5`; may be empty.
    pub place: String,
    /// What was expected and given, in lower case without a final stop.
    pub message: String,
    /// The shapes that led there, where it is shapes that do not fit: one line for each input of the layer.
    pub shapes: Vec<String>,
    /// How to mend it, if that is known.
    pub help: Option<String>,
}

impl Error {
    /// An error of one problem without a place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Problem { kind, place: String::new(), message: message.into(), shapes: Vec::new(), help: None }.into()
    }

    /// Something that exists in Keras but not here.
    pub fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unsupported, message)
    }

    /// A damaged file.
    pub fn malformed(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Malformed, message)
    }

    /// A size past what was allowed.
    pub fn limit(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit, message)
    }

    /// All problems as one error; `None` if there are none.
    pub fn all(errors: impl IntoIterator<Item = Error>) -> Option<Error> {
        let mut problems: Vec<Problem> = errors.into_iter().flat_map(|error| error.problems).collect();
        problems.dedup();
        (!problems.is_empty()).then_some(Error { problems })
    }

    /// The same error with `place` before the place that each problem names.
    pub fn within(mut self, place: impl fmt::Display) -> Error {
        for problem in &mut self.problems {
            problem.place = match problem.place.as_str() {
                "" => place.to_string(),
                inner => format!("{place}: {inner}"),
            };
        }
        self
    }

    /// The same error with `place` as that of each problem that has none.
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Error {
        for problem in self.problems.iter_mut().filter(|problem| problem.place.is_empty()) {
            problem.place = place.to_string();
        }
        self
    }

    /// The same error with a hint for each problem that has none.
    pub fn help(mut self, help: impl Into<String>) -> Error {
        let help = help.into();
        for problem in &mut self.problems {
            problem.help.get_or_insert_with(|| help.clone());
        }
        self
    }

    /// The same error with the shapes that led to each problem, unless they are there.
    pub(crate) fn shapes(mut self, shapes: &[String]) -> Error {
        for problem in self.problems.iter_mut().filter(|problem| problem.shapes.is_empty()) {
            problem.shapes = shapes.to_vec();
        }
        self
    }

    /// Who is at fault, for the first problem: unsupported before malformed where both occur.
    pub fn kind(&self) -> ErrorKind {
        self.problems.iter().map(|problem| problem.kind).min().unwrap_or(ErrorKind::Malformed)
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        Error { problems: vec![problem] }
    }
}

impl From<k2o_core::Error> for Error {
    fn from(error: k2o_core::Error) -> Error {
        let kind = match error.kind() {
            CoreKind::Shape => ErrorKind::ShapeMismatch,
            CoreKind::Limit => ErrorKind::Limit,
            CoreKind::Unsupported => ErrorKind::Unsupported,
            CoreKind::Io => ErrorKind::Io,
            _ => ErrorKind::Malformed,
        };
        let mended = error.help().map(str::to_string);
        let error = Error::new(kind, error.message());
        match mended {
            Some(help) => error.help(help),
            None => error,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::new(ErrorKind::Io, error.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)?;
        self.shapes.iter().try_for_each(|shapes| write!(f, "\n  shapes: {shapes}"))?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().take(MOST_SHOWN).enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.problems.len().checked_sub(MOST_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\nand {more} problems more"),
        }
    }
}

impl std::error::Error for Error {}
