//! What can go wrong when a graph is made, bound or evaluated.

use crate::CallId;
use std::fmt;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes, dtypes or arguments do not fit each other.
    Shape,
    /// A size is past what can be represented or what was allowed.
    Limit,
    /// A stored constant could not be read, or has another size than it says.
    Malformed,
    /// The operator exists, but not with these arguments.
    Unsupported,
    /// The bytes behind a constant could not be read.
    Io,
    /// A caller's input does not fit the graph.
    Input,
}

/// An error with its kind, what was expected and given, and, where one is known, the layer call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    origin: Option<CallId>,
}

impl Error {
    /// An error of `kind`; `message` is lower case without a final stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), help: None, origin: None }
    }

    /// A shape error.
    pub fn shape(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Shape, message)
    }

    /// A size that cannot be represented.
    pub fn limit(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit, message)
    }

    /// The same error, at the layer call `origin` unless it already names one.
    pub fn at(mut self, origin: Option<CallId>) -> Error {
        self.origin = self.origin.or(origin);
        self
    }

    /// The same error with what would mend it, unless that is known already.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Error {
        self.help.get_or_insert_with(|| help.into());
        self
    }

    /// Who is at fault.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What would mend it, if that is known.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
