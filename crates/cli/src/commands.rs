//! One file per command.

pub(crate) mod convert;
pub(crate) mod predict;
pub(crate) mod summary;
pub(crate) mod verify;

use crate::failure::Failure;
use clap::Args;
use k2o::{Model, OpenOptions};
use std::path::{Path, PathBuf};

/// The model that a command works on.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A .keras archive or folder, an .h5 model, or a JSON config
    pub model: PathBuf,
    /// The weights of a JSON config
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
}

impl ModelArgs {
    pub fn open(&self) -> Result<Model, Failure> {
        let mut options = OpenOptions::default();
        options.weights = self.weights.clone();
        Ok(Model::open_with(&self.model, &options)?)
    }

    /// The files that are read, which no output may replace.
    pub fn paths(&self) -> Vec<&Path> {
        std::iter::once(self.model.as_path()).chain(self.weights.as_deref()).collect()
    }
}

/// A number with a comma between every three digits.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes with its unit.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (n, text) in [(0, "0"), (896, "896"), (1000, "1,000"), (3_145_738, "3,145,738")] {
            assert_eq!(grouped(n), text);
        }
    }
}
