//! The command `k2o`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    k2o_cli::run(std::env::args_os())
}
