//! What can go wrong when a graph is written as ONNX.

use k2o_core::CallId;
use std::fmt;
use std::sync::Arc;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option is out of range, or the model has no weights.
    Input,
    /// The graph does something that ONNX cannot say at the chosen operator set.
    Unsupported,
    /// Shapes or dtypes do not fit each other.
    Shape,
    /// A size is past what can be represented.
    Limit,
    /// A stored constant could not be decoded.
    Malformed,
    /// A stored constant could not be read, or the file could not be written.
    Io,
}

/// An error with its kind, what was expected and given, and, where one is known, the layer call.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    origin: Option<CallId>,
    source: Option<Arc<std::io::Error>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), origin: None, source: None }
    }

    pub(crate) fn input(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Input, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn shape(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Shape, message)
    }

    /// The same error, at the layer call `origin` unless it already names one.
    pub(crate) fn at(mut self, origin: Option<CallId>) -> Error {
        self.origin = self.origin.or(origin);
        self
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
            Core::Malformed => ErrorKind::Malformed,
            Core::Io => ErrorKind::Io,
            Core::Input => ErrorKind::Input,
            // Among them kinds that this crate does not know yet.
            _ => ErrorKind::Unsupported,
        };
        Error::new(kind, error.message()).at(error.origin())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        let message = format!("the model could not be written: {error}");
        Error { source: Some(Arc::new(error)), ..Error::new(ErrorKind::Io, message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}
