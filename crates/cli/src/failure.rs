//! Why a command failed, and the exit status that says so.

use k2o::ErrorKind;
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;

/// The exit status for wrong usage, as clap has it.
pub(crate) const USAGE: u8 = 2;

/// What the line of the mend begins with in the text of an error.
const HELP: &str = "  help: ";

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
    /// Some of several models failed, the first of them with `status`; what each failed of was printed.
    Several { status: u8, message: String },
}

impl Failure {
    /// A file that could not be read or written.
    pub fn io(path: &Path, error: impl fmt::Display) -> Failure {
        Failure::Io(format!("{}: {error}", path.display()))
    }

    /// Arguments that clap refuses: its message and its tips, without the usage that it shows to people.
    pub fn usage(error: &clap::Error) -> Failure {
        let text = error.to_string();
        let mut message = text.split("\n\n").next().unwrap_or_default().trim_end().to_string();
        for tip in text.lines().filter_map(|line| line.trim_start().strip_prefix("tip: ")) {
            message = format!("{message}\n{HELP}{tip}");
        }
        Failure::Usage(message.strip_prefix("error: ").unwrap_or(&message).to_string())
    }

    /// The word for the exit status.
    pub fn kind(&self) -> &'static str {
        match self.status() {
            USAGE => "usage",
            3 => "unsupported",
            4 => "malformed",
            5 => "limit",
            6 => "io",
            _ => "verification",
        }
    }

    /// The kind, the message, and the mend where one is known.
    pub fn to_json(&self) -> Value {
        let text = self.to_string();
        let (help, message): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with(HELP));
        let help: Vec<&str> = help.iter().filter_map(|line| line.strip_prefix(HELP)).collect();
        let help = (!help.is_empty()).then(|| help.join("\n"));
        json!({ "kind": self.kind(), "message": message.join("\n"), "help": help })
    }

    pub fn status(&self) -> u8 {
        match self {
            Failure::Several { status, .. } => *status,
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
            | Failure::Verification(text)
            | Failure::Several { message: text, .. } => f.write_str(text),
        }
    }
}
