//! What commands say, and where: results on standard output, everything else on standard error.

use crate::failure::Failure;
use serde_json::{Value, json};
use std::borrow::Cow;
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
        let _ = writeln!(std::io::stderr(), "note: {}", printable(text));
    }
}

/// Writes an error to standard error.
pub(crate) fn error(failure: &Failure) {
    let _ = match mode().json {
        true => {
            let text = json!({ "error": failure.to_json() }).to_string();
            writeln!(std::io::stderr(), "{}", printable(&text))
        }
        false => writeln!(std::io::stderr(), "error: {}", printable(&failure.to_string())),
    };
}

/// Writes a result to standard output. A reader that has gone away is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(printable(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Io(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// The text without what makes a terminal do something else than show it: names in files may hold anything.
///
/// Control characters and those that turn the direction of writing become `\\u001b` and the like, which JSON reads as
/// what they were.
fn printable(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match acts(c) {
            true => shown += &format!("\\u{:04x}", u32::from(c)),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A number of milliseconds, as JSON has it.
pub(crate) fn milliseconds(elapsed: std::time::Duration) -> f64 {
    elapsed.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_makes_terminals_act_is_written_out() {
        for (text, shown) in [
            ("layer \"a\"\n\tb\u{e9}", "layer \"a\"\n\tb\u{e9}"),
            ("\u{1b}[31mred", "\\u001b[31mred"),
            ("a\rb\0\u{7f}\u{9b}2J", "a\\u000db\\u0000\\u007f\\u009b2J"),
            ("\u{202e}gpj", "\\u202egpj"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
