//! What a command computes with: threads and instructions.

use crate::failure::Failure;
use k2o::{InstructionSet, Model, Threads};
use std::num::NonZeroUsize;

/// The environment variable that names the instruction set.
const VARIABLE: &str = "K2O_ISA";

/// What `--help` says of the environment.
pub(crate) const ENVIRONMENT: &str = "\
Environment:
  K2O_ISA  The instructions that predict, verify and report compute with: avx512,
           avx2 or portable [default: the widest that the processor has]";

#[derive(Debug, clap::Args)]
pub(crate) struct ComputeArgs {
    /// Computes with so many threads, which gives the same, bit for bit
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
}

impl ComputeArgs {
    /// The threads, which are started now; one is the caller's.
    pub fn threads(&self, model: &Model) -> Result<Threads, Failure> {
        Threads::new(self.threads).map_err(|error| model.cpu_error(&error).into())
    }
}

/// The instruction set that the environment names, if it names one.
pub(crate) fn instruction_set() -> Result<Option<InstructionSet>, Failure> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    if value.is_empty() {
        return Ok(None);
    }
    let usage = |text: String| Failure::Usage(format!("{VARIABLE}: {text}"));
    let set: InstructionSet =
        value.to_string_lossy().parse().map_err(|error: k2o::cpu::Error| usage(error.to_string()))?;
    match set.is_available() {
        true => Ok(Some(set)),
        false => Err(usage(format!("this processor does not have {set}"))),
    }
}
