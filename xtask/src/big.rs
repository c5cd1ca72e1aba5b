//! `big-model [--gib N] [--folder DIR] [--external-data]`: converts a model that is larger than the memory it may take.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The arguments of the script.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    gib: f64,
    /// Where the model is put, if not where temporary files are.
    folder: Option<PathBuf>,
    external_data: bool,
}

/// What the command line says.
pub(crate) fn arguments(args: &[OsString]) -> Result<Arguments, String> {
    let usage = || "usage: cargo xtask big-model [--gib N] [--folder DIR] [--external-data]".to_string();
    let mut arguments = Arguments { gib: 5.0, folder: None, external_data: false };
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--external-data") => arguments.external_data = true,
            Some("--folder") => arguments.folder = Some(words.next().ok_or_else(usage)?.into()),
            Some("--gib") => {
                let number = words.next().and_then(|word| word.to_str()).ok_or_else(usage)?;
                arguments.gib = number.parse().map_err(|_| format!("{number:?} is no number"))?;
            }
            _ => return Err(usage()),
        }
    }
    Ok(arguments)
}

/// Builds `k2o`, sets up an environment for the script where there is none yet, and returns the script's command.
pub(crate) fn command(root: &Path, arguments: &Arguments) -> Result<Command, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--quiet", "--release", "--package", "k2o-cli", "--manifest-path"];
    run(Command::new(cargo).args(build).arg(root.join("Cargo.toml")))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut command = Command::new(environment(root)?);
    command
        .arg(root.join(".ci/check_big.py"))
        .arg(target.join("release").join(format!("k2o{}", std::env::consts::EXE_SUFFIX)))
        .arg(arguments.gib.to_string())
        .args(&arguments.folder)
        .args(arguments.external_data.then_some("--external-data"));
    Ok(command)
}

/// The Python of the environment that `.ci/run` uses too; it is made anew where its requirements have changed.
fn environment(root: &Path) -> Result<PathBuf, String> {
    let (requirements, folder) = (root.join(".ci/requirements.txt"), root.join("target/ci-venv"));
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    let wanted =
        std::fs::read(&requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    if std::fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let system = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(install).arg(&requirements))?;
    std::fs::write(&installed, wanted).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("error: {program}: {status}")),
        Err(error) => Err(format!("error: {program}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_may_be_left_out() {
        let parse = |text: &str| arguments(&text.split(' ').map(Into::into).collect::<Vec<_>>());
        let five = Arguments { gib: 5.0, folder: None, external_data: false };
        assert_eq!(parse("big-model"), Ok(five));
        let all = Arguments { gib: 0.5, folder: Some("/tmp".into()), external_data: true };
        assert_eq!(parse("big-model --external-data --gib 0.5 --folder /tmp"), Ok(all));
        for wrong in ["big-model 5", "big-model --gib", "big-model --gib five", "big-model --folder"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
