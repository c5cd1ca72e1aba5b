//! The commands of K2O, as a library: `k2o` and `cargo xtask` are two names for [`run`].
//!
//! Results go to standard output, errors to standard error. The exit status is 0 when done, 2 for wrong usage, 3 for
//! something unsupported, 4 for a malformed file, 5 for an exceeded limit, 6 for a failed read or write, 7 when a
//! verification failed.

#![forbid(unsafe_code)]

mod arrays;
mod commands;
mod computing;
mod console;
mod examples;
mod failure;
mod output;
mod progress;

use clap::{Parser, Subcommand};
use commands::{check, completions, convert, man, plot, predict, report, summary, verify, what_if};
use console::{Mode, note, print};
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "k2o",
    version,
    about = "Keras models without Python: look at them, run them, write them as ONNX",
    after_help = format!("{}\n\n{}", examples::K2O, computing::ENVIRONMENT)
)]
struct Cli {
    /// Says nothing but errors, and what was asked for; convert and verify answer by their exit status then
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a model as ONNX
    #[command(after_help = examples::CONVERT)]
    Convert(convert::Args),
    /// Show layers, shapes, parameters, what layers cost, and what is odd
    #[command(after_help = examples::SUMMARY)]
    Summary(summary::Args),
    /// Say whether the layers fit each other, and how to mend what does not
    #[command(after_help = examples::CHECK)]
    Check(check::Args),
    /// Show the shapes that the layers have with another input
    #[command(after_help = examples::WHAT_IF)]
    WhatIf(what_if::Args),
    /// Draw the layers and the connections between them
    #[command(after_help = examples::PLOT)]
    Plot(plot::Args),
    /// Write a page about a model: its graph, what its layers take, what is in its weights
    #[command(after_help = examples::REPORT)]
    Report(report::Args),
    /// Run a model on arrays from a file
    #[command(after_help = examples::PREDICT)]
    Predict(predict::Args),
    /// Check the runtime and the exported file against a reference in double precision
    #[command(after_help = examples::VERIFY)]
    Verify(verify::Args),
    /// Print a script that completes commands and options in a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::Args),
    /// Print the manual, or write the page of each command
    #[command(after_help = examples::MAN)]
    Man(man::Args),
}

/// The names of the commands, for callers that have commands of their own.
pub const COMMANDS: [&str; 10] =
    ["convert", "summary", "check", "what-if", "plot", "report", "predict", "verify", "completions", "man"];

/// Runs the command that `args` spell, the first of them being the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Errors of usage are JSON too, and those have no options yet.
    let json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if json && error.use_stderr() => {
            console::start(Mode { quiet: false, json });
            return fail(&Failure::usage(&error));
        }
        Err(error) => {
            // Help and version are answers, not errors; clap knows where each goes.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 });
        }
    };
    console::start(Mode { quiet: cli.quiet, json });
    let outcome = match cli.command {
        Command::Convert(args) => convert::run(&args),
        Command::Summary(args) => summary::run(&args),
        Command::Check(args) => check::run(&args),
        Command::WhatIf(args) => what_if::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match outcome.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

/// The inputs of a model in a file of arrays, as `predict` reads them: so that the reader can be tested by itself.
///
/// # Errors
/// The text that the command shows.
#[doc(hidden)]
pub fn read_inputs(path: &std::path::Path, model: &k2o::Model) -> Result<Vec<k2o::Array>, String> {
    arrays::read_inputs(path, model).map_err(|failure| failure.to_string())
}

/// Says what failed, and with which exit status the process is to end.
fn fail(failure: &Failure) -> ExitCode {
    console::error(failure);
    ExitCode::from(failure.status())
}
