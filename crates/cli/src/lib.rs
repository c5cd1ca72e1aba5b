//! The commands of K2O, as a library: `k2o` and `cargo xtask` are two names for [`run`].
//!
//! Results go to standard output, errors to standard error. The exit status is 0 when done, 2 for wrong usage, 3 for
//! something unsupported, 4 for a malformed file, 5 for an exceeded limit, 6 for a failed read or write, 7 when a
//! verification failed.

#![forbid(unsafe_code)]

mod arrays;
mod commands;
mod computing;
mod failure;
mod output;

use clap::{Parser, Subcommand};
use commands::{convert, plot, predict, report, summary, verify};
use failure::Failure;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "k2o",
    version,
    about = "Keras models without Python: look at them, run them, write them as ONNX",
    after_help = computing::ENVIRONMENT
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a model as ONNX
    Convert(convert::Args),
    /// Show layers, output shapes and numbers of parameters
    Summary(summary::Args),
    /// Draw the layers and the connections between them
    Plot(plot::Args),
    /// Write a page about a model: its graph, what its layers take, what is in its weights
    Report(report::Args),
    /// Run a model on arrays from a file
    Predict(predict::Args),
    /// Check the runtime and the exported file against a reference in double precision
    Verify(verify::Args),
}

/// The names of the commands, for callers that have commands of their own.
pub const COMMANDS: [&str; 6] = ["convert", "summary", "plot", "report", "predict", "verify"];

/// Runs the command that `args` spell, the first of them being the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; clap knows where each goes.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 });
        }
    };
    let outcome = match cli.command {
        Command::Convert(args) => convert::run(&args),
        Command::Summary(args) => summary::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    match outcome.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

/// Writes what the user did not ask for, and may want to know, to standard error.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Writes a result to standard output. A reader that has gone away is not an error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Io(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
