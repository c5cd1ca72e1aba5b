//! Everything that can go wrong, whoever found it.

use k2o_core::{CallId, Outline};
use std::fmt;
use std::path::Path;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input or options do not fit the model.
    Input,
    /// The model uses something that is not supported, or the file is of another kind.
    Unsupported,
    /// The file is damaged or contradicts itself.
    Malformed,
    /// A size is past what was allowed.
    Limit,
    /// A file could not be read or written.
    Io,
}

/// An error with its kind; its text names the file, the layer and the key, what was expected and what was given, and
/// the mend where one is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    is_shape_mismatch: bool,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), is_shape_mismatch: false }
    }

    /// A file that could not be read or written.
    pub fn io(path: &Path, error: &std::io::Error) -> Error {
        Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
    }

    /// Who is at fault.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether layers do not fit the shapes that they are given.
    pub fn is_shape_mismatch(&self) -> bool {
        self.is_shape_mismatch
    }

    /// The same error with the file it is about in front, on a line of its own where there are several problems.
    pub fn in_file(mut self, path: &Path) -> Error {
        let problems = self.message.lines().filter(|line| !line.starts_with(' ')).count();
        let separator = if problems > 1 { "\n" } else { " " };
        // Where the file itself is the place, its name is there already.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let message = self.message.strip_prefix(&format!("{name}: ")).unwrap_or(&self.message);
        self.message = format!("{}:{separator}{message}", path.display());
        self
    }

    /// A runtime's error, at the layer that its origin names.
    pub(crate) fn at_layer(
        kind: ErrorKind,
        message: &str,
        origin: Option<CallId>,
        outline: &Outline,
    ) -> Error {
        match origin.and_then(|id| outline.get(id)) {
            Some(call) => Error::new(kind, format!("layer {:?} ({}): {message}", call.path, call.class)),
            None => Error::new(kind, message),
        }
    }

    pub(crate) fn core(error: &k2o_core::Error, outline: &Outline) -> Error {
        let kind = match error.kind() {
            k2o_core::ErrorKind::Limit => ErrorKind::Limit,
            k2o_core::ErrorKind::Malformed => ErrorKind::Malformed,
            k2o_core::ErrorKind::Unsupported => ErrorKind::Unsupported,
            k2o_core::ErrorKind::Io => ErrorKind::Io,
            _ => ErrorKind::Input,
        };
        Error::at_layer(kind, error.message(), error.origin(), outline)
    }
}

impl From<k2o_keras::Error> for Error {
    fn from(error: k2o_keras::Error) -> Error {
        let kind = match error.kind() {
            k2o_keras::ErrorKind::Unsupported => ErrorKind::Unsupported,
            k2o_keras::ErrorKind::Limit => ErrorKind::Limit,
            k2o_keras::ErrorKind::Io => ErrorKind::Io,
            k2o_keras::ErrorKind::Input => ErrorKind::Input,
            _ => ErrorKind::Malformed,
        };
        let is_shape_mismatch = error.problems().iter().any(|problem| !problem.shapes.is_empty());
        Error { is_shape_mismatch, ..Error::new(kind, error.to_string()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
