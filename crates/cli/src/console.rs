//! What commands say, and where: results on standard output, everything else on standard error.

use crate::failure::Failure;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::OnceLock;

/// How much is said, and in what form.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mode {
    /// Nothing but errors, and data that was asked for.
    pub quiet: bool,
    /// Answers and errors as JSON.
    pub json: bool,
}

/// The process's mode: a process runs one command.
static MODE: OnceLock<Mode> = OnceLock::new();

/// Sets the mode, once.
pub(crate) fn start(mode: Mode) {
    let _ = MODE.set(mode);
}

fn mode() -> Mode {
    MODE.get().copied().unwrap_or_default()
}

/// Whether a command says what it was not asked for.
pub(crate) fn is_talking() -> bool {
    let Mode { quiet, json } = mode();
    !quiet && !json
}

/// What a command answers: JSON if asked for, else the text, of which a quiet command has none.
pub(crate) fn answer(text: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> String {
    match mode() {
        Mode { json: true, .. } => format!("{}\n", value()),
        Mode { quiet: true, .. } => String::new(),
        _ => text(),
    }
}

/// Writes what the user did not ask for, and may want to know, to standard error.
pub(crate) fn note(text: &str) {
    if is_talking() {
        let _ = writeln!(std::io::stderr(), "note: {text}");
    }
}

/// Writes an error to standard error.
pub(crate) fn error(failure: &Failure) {
    let _ = match mode().json {
        true => writeln!(std::io::stderr(), "{}", json!({ "error": failure.to_json() })),
        false => writeln!(std::io::stderr(), "error: {failure}"),
    };
}

/// Writes a result to standard output. A reader that has gone away is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Io(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A number of milliseconds, as JSON has it.
pub(crate) fn milliseconds(elapsed: std::time::Duration) -> f64 {
    elapsed.as_micros() as f64 / 1e3
}
