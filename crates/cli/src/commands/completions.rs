//! `completions SHELL`

use crate::Cli;
use crate::failure::Failure;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    // In memory: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "k2o", &mut script);
    String::from_utf8(script).map_err(|error| Failure::Io(error.to_string()))
}
