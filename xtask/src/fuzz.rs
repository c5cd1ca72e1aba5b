//! `fuzz-models N [--seed S]`: random networks in real Keras and here.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// How many networks, and the number of the first.
pub(crate) fn arguments(args: &[OsString]) -> Result<(u64, u64), String> {
    let words: Vec<&str> = args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    let number = |word: &str| word.parse().map_err(|_| format!("{word:?} is no number"));
    match words.as_slice() {
        [count] => Ok((number(count)?, 0)),
        [count, "--seed", seed] => Ok((number(count)?, number(seed)?)),
        _ => Err("usage: cargo xtask fuzz-models N [--seed S]".to_string()),
    }
}

/// The script that sets up Keras and compares; the program that it compares with is this one.
pub(crate) fn command(root: &Path, count: u64, seed: u64) -> Command {
    let mut command = Command::new(root.join("fixtures/generate/fuzz"));
    command
        .arg(std::env::current_exe().unwrap_or_default())
        .args([count.to_string(), seed.to_string()])
        .arg(root.join("target/fuzz-models"));
    command
}

#[cfg(test)]
mod tests {
    use super::arguments;

    #[test]
    fn the_seed_may_be_left_out() {
        let parse = |text: &str| arguments(&text.split(' ').map(Into::into).collect::<Vec<_>>());
        assert_eq!(parse("fuzz-models 5"), Ok((5, 0)));
        assert_eq!(parse("fuzz-models 5 --seed 7"), Ok((5, 7)));
        assert!(parse("fuzz-models").is_err());
        assert!(parse("fuzz-models five").is_err());
        assert!(parse("fuzz-models 5 --speed 7").is_err());
    }
}
