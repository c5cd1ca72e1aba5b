//! Why a command failed, and the exit status that says so.

use k2o::ErrorKind;
use std::fmt;
use std::path::Path;

/// The exit status for wrong usage, as clap has it.
pub(crate) const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's error.
    Model(k2o::Error),
    /// The arguments or input arrays do not fit.
    Usage(String),
    /// A file could not be read or written.
    Io(String),
    /// A file of arrays is damaged.
    Malformed(String),
    /// A difference is past the bound; the report was printed.
    Verification(String),
}

impl Failure {
    /// A file that could not be read or written.
    pub fn io(path: &Path, error: impl fmt::Display) -> Failure {
        Failure::Io(format!("{}: {error}", path.display()))
    }

    pub fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Malformed(_) => 4,
            Failure::Io(_) => 6,
            Failure::Verification(_) => 7,
            Failure::Model(error) => match error.kind() {
                ErrorKind::Input => USAGE,
                ErrorKind::Unsupported => 3,
                ErrorKind::Limit => 5,
                ErrorKind::Io => 6,
                _ => 4,
            },
        }
    }
}

impl From<k2o::Error> for Failure {
    fn from(error: k2o::Error) -> Failure {
        Failure::Model(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Model(error) => write!(f, "{error}"),
            Failure::Usage(text)
            | Failure::Io(text)
            | Failure::Malformed(text)
            | Failure::Verification(text) => f.write_str(text),
        }
    }
}
