//! `man [-o FOLDER]`

use crate::Cli;
use crate::failure::Failure;
use crate::output::write_whole;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write a page for each command, such as k2o-convert.1; made if need be [default: the page of k2o goes to
    /// standard output]
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let mut k2o = Cli::command().disable_help_subcommand(true);
    // Gives commands their full names.
    k2o.build();
    let Some(folder) = &args.output else {
        let page = page(&Man::new(k2o))?;
        return String::from_utf8(page).map_err(|error| Failure::Io(error.to_string()));
    };
    std::fs::create_dir_all(folder).map_err(|error| Failure::io(folder, error))?;
    let commands: Vec<Command> = k2o.get_subcommands().cloned().collect();
    for command in std::iter::once(k2o).chain(commands) {
        let man = Man::new(command);
        let target = folder.join(man.get_filename());
        let page = page(&man)?;
        write_whole(&target, &[], |writer| {
            writer.write_all(&page).map_err(|error| Failure::io(&target, error))
        })?;
    }
    Ok(String::new())
}

fn page(man: &Man) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    man.render(&mut page).map_err(|error| Failure::Io(error.to_string()))?;
    Ok(page)
}
