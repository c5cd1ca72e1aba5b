//! `cargo xtask <command>`: the commands of `k2o`, and the project's own chores.
//!
//! The commands of `k2o` run in this program, which is built without tract, but `verify`, which is run through cargo
//! with the feature `tract`.

#![forbid(unsafe_code)]

mod big;
mod fuzz;
mod golden;
mod readme;
mod tidy;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask <command>

commands of k2o (--help after each tells more):
  convert MODEL    write a model as ONNX
  summary MODEL    show layers, output shapes, numbers of parameters and costs
  check MODEL      say whether the layers fit each other, and how to mend what does not
  what-if MODEL    show the shapes that the layers have with another input
  plot MODEL       draw the layers and the connections between them
  report MODEL     write a page about a model
  predict MODEL    run a model on arrays from a file
  verify MODEL     check runtime and exported file; builds tract the first time, which takes minutes
  completions SHELL
                   print a script that completes the commands of an installed k2o
  man              print the manual of an installed k2o

chores:
  tidy             check what the compiler cannot: documentation, dependencies between crates, the README's table
  golden           rewrite crates/k2o/tests/golden, the exported files that a test knows; look at the difference
  readme           rewrite the parts of README.md that are generated
  fuzz-models N [--seed S]
                   run N random networks in real Keras and here, and compare; needs Python 3.11 and, the first time,
                   the network; what differs is kept in target/fuzz-models
  big-model [--gib N] [--folder DIR] [--external-data]
                   convert a model of N GiB (5 by default) and check the memory that this takes, and the result in
                   onnxruntime; needs Python 3.11 and, the first time, the network; for a while, twice as much disk
";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = args.first().and_then(|arg| arg.to_str()).unwrap_or("help");
    match command {
        "verify" => with_tract(&args),
        _ if k2o_cli::COMMANDS.contains(&command) => {
            k2o_cli::run(std::iter::once(OsString::from("cargo xtask")).chain(args))
        }
        "tidy" => report(tidy::check(&root())),
        "readme" => report(readme::rewrite(&root())),
        "golden" => match golden::clear(&root()) {
            Ok(()) => status(golden::write(&root())),
            Err(error) => report(Err(error)),
        },
        "fuzz-models" => match fuzz::arguments(&args) {
            Ok((count, seed)) => status(fuzz::command(&root(), count, seed)),
            Err(error) => report(Err(error)),
        },
        "big-model" => match big::arguments(&args).and_then(|arguments| big::command(&root(), &arguments)) {
            Ok(command) => status(command),
            Err(error) => report(Err(error)),
        },
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("error: no command is called {other:?}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn report(outcome: Result<String, String>) -> ExitCode {
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command of `k2o` built with tract, from the caller's folder.
fn with_tract(args: &[OsString]) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "k2o-cli",
            "--features",
            "tract",
            "--manifest-path",
        ])
        .arg(root().join("Cargo.toml"))
        .arg("--")
        .args(args);
    status(command)
}

/// Runs another program and exits as it does.
fn status(mut command: Command) -> ExitCode {
    match command.status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {}: {error}", command.get_program().display());
            ExitCode::from(6)
        }
    }
}
