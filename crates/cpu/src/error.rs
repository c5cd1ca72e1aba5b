//! What can go wrong when a plan is made or run.

use k2o_core::CallId;
use std::fmt;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes do not fit each other, or break a constraint of the graph.
    Shape,
    /// A size is past what can be represented, was allowed, or fits memory.
    Limit,
    /// A caller's array does not fit the graph's input, or one of its elements is no index of what it picks from.
    Input,
    /// A stored constant has another size than it says.
    Malformed,
    /// The operator exists, but not for these types.
    Unsupported,
    /// The bytes behind a constant could not be read.
    Io,
}

/// An error with its kind, what was expected and given, and, where one is known, the layer call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    origin: Option<CallId>,
    /// The step of the plan that failed and, where that is a scan, which of its runs, the step of its body's plan, and so
    /// on: of the errors of one run of a plan, the smallest is the one that is reported.
    place: Vec<usize>,
}

impl Error {
    /// An error of `kind`; `message` is lower case without a final stop.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), origin: None, place: Vec::new() }
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit, message)
    }

    pub(crate) fn shape(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Shape, message)
    }

    /// For what is read and was not made before, which no graph leads to.
    pub(crate) fn not_computed() -> Error {
        Error::shape("a value is used before it is computed")
    }

    /// The same error, at the layer call `origin` unless it already names one.
    pub(crate) fn at(mut self, origin: Option<CallId>) -> Error {
        self.origin = self.origin.or(origin);
        self
    }

    /// The same error, in step `step` of what failed.
    pub(crate) fn in_step(mut self, step: usize) -> Error {
        self.place.insert(0, step);
        self
    }

    /// Where it failed: the steps, the outermost first.
    pub(crate) fn place(&self) -> &[usize] {
        &self.place
    }

    /// Who is at fault.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The layer call that the failing operator came from.
    pub fn origin(&self) -> Option<CallId> {
        self.origin
    }

    /// What was expected and given.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<k2o_core::Error> for Error {
    fn from(error: k2o_core::Error) -> Error {
        use k2o_core::ErrorKind as Core;
        let kind = match error.kind() {
            Core::Shape => ErrorKind::Shape,
            Core::Limit => ErrorKind::Limit,
            Core::Input => ErrorKind::Input,
            Core::Malformed => ErrorKind::Malformed,
            Core::Io => ErrorKind::Io,
            _ => ErrorKind::Unsupported,
        };
        Error::new(kind, error.message()).at(error.origin())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_graph_keep_kind_text_and_origin() {
        let error: Error = k2o_core::Error::limit("too large").at(Some(CallId(3))).into();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Limit, "too large"));
        assert_eq!(error.at(Some(CallId(4))).origin(), Some(CallId(3)));
    }
}
