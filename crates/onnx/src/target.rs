//! The runtimes that a file can be written for.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A runtime, of which the exporter knows what it gets right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Target {
    /// onnxruntime, which follows the standard.
    #[default]
    OnnxRuntime,
    /// tract, whose `LSTM`, `GRU` and `RNN` run forwards with the default activations whatever the node says, and
    /// whose `Scan` is right.
    Tract,
}

impl Target {
    /// Every target.
    pub const ALL: [Target; 2] = [Target::OnnxRuntime, Target::Tract];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Target::OnnxRuntime => "onnxruntime",
            Target::Tract => "tract",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Target> {
        let names = Target::ALL.map(Target::name).join(" and ");
        let unknown = || Error::input(format!("no target is called {name:?}; there are {names}"));
        Target::ALL.into_iter().find(|target| target.name() == name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_found_by_its_name() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
        let error = "caffe".parse::<Target>().unwrap_err();
        assert_eq!(error.message(), "no target is called \"caffe\"; there are onnxruntime and tract");
    }
}
