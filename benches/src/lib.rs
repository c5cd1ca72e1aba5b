//! What the benches share: the models, the check that everything timed computes the same, and the contest with other
//! runtimes.

#![deny(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot run must stop")]

pub mod contest;
pub mod growth;
pub mod kernels;
pub mod machine;
pub mod net;
pub mod ours;
pub mod peak;
#[cfg(feature = "peers")]
pub mod peers;
pub mod plot;
pub mod report;
#[cfg(feature = "peers")]
pub mod runtimes;
pub mod selection;
pub mod streams;
pub mod table;

use k2o::onnx::Target;
use k2o::{Array, ExportOptions, Model};
use k2o_verify::{Difference, TractModel, random_inputs};
use ndarray::ArrayD;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The models that are timed, by the names of their fixtures.
pub const MODELS: [&str; 11] = [
    "conv_flatten_dense",
    "basic",
    "advanced",
    "tcn",
    "separable",
    "convbilstm",
    "narrow_advanced",
    "dense_between_steps",
    "dense_between_flat",
    "conv_only",
    "functional_residual",
];

/// The batch sizes that are timed.
pub const BATCHES: [usize; 3] = [1, 32, 256];

/// A model, ready to run on the same inputs in every runtime.
pub struct Contest {
    /// The model as K2O has it.
    pub model: Model,
    /// The inputs.
    pub inputs: Vec<Array>,
    /// The exported file in tract.
    pub tract: TractModel,
}

/// The folder of results, and of what `benches/setup` makes.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("bench")
}

/// Runs a bench that is no group of criterion's, unless the program was started by `cargo test --benches`, which runs all;
/// an error goes to standard error.
pub fn run(bench: impl FnOnce() -> Result<(), String>) -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a file of results, in a folder that is made where there is none, and says so.
///
/// # Errors
/// Where it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = folder.and_then(|()| std::fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

/// The file of a fixture that holds the whole model.
pub fn path(name: &str) -> PathBuf {
    k2o_fixtures::case(name).path("keras3.keras")
}

impl Contest {
    /// Loads the fixture into both runtimes.
    ///
    /// # Panics
    /// Where their outputs differ by more than the bound: what computes something else must not be timed.
    pub fn new(name: &str, batch: usize) -> Contest {
        let model = Model::open(path(name)).unwrap();
        let inputs = random_inputs(&model, batch, 7).unwrap();
        let options = ExportOptions::default().with_target(Target::Tract);
        let onnx = model.to_onnx(&options).unwrap().to_bytes().unwrap();
        let tract = TractModel::load(&onnx, &inputs).unwrap();
        let contest = Contest { model, inputs, tract };
        assert_agree(
            name,
            &contest.model.predict(&contest.inputs).unwrap(),
            &contest.tract.run(&contest.inputs).unwrap(),
        );
        contest
    }
}

/// Stops the bench where two runtimes disagree.
pub fn assert_agree(name: &str, ours: &[ArrayD<f32>], theirs: &[ArrayD<f32>]) {
    agree(ours, theirs).unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Whether two runtimes computed the same: outputs of the same shapes, within the bound of [`Difference`].
///
/// # Errors
/// Says how they differ.
pub fn agree(ours: &[ArrayD<f32>], theirs: &[ArrayD<f32>]) -> Result<(), String> {
    agree_within(ours, theirs, 1.0)
}

/// Whether two runtimes computed the same, as [`agree`], within `slack` times that bound.
///
/// # Errors
/// Says how they differ.
pub fn agree_within(ours: &[ArrayD<f32>], theirs: &[ArrayD<f32>], slack: f64) -> Result<(), String> {
    if ours.len() != theirs.len() {
        return Err(format!("the numbers of outputs differ: {} and {}", ours.len(), theirs.len()));
    }
    for (ours, theirs) in ours.iter().zip(theirs) {
        if ours.shape() != theirs.shape() {
            return Err(format!(
                "the shapes of an output differ: {:?} and {:?}",
                ours.shape(),
                theirs.shape()
            ));
        }
        let expected: Vec<f64> = theirs.iter().map(|&x| f64::from(x)).collect();
        let difference = Difference::between(ours.iter().map(|&x| f64::from(x)), &expected);
        let Difference { worst, allowed } = difference;
        let allowed = slack * allowed;
        if worst > allowed {
            return Err(format!("the outputs differ by {worst:e}, more than {allowed:e}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the outputs differ")]
    fn wrong_answers_are_not_timed() {
        let right = ArrayD::from_elem(vec![2, 1], 0.5);
        let wrong = ArrayD::from_elem(vec![2, 1], 0.5001);
        assert_agree("a model", &[right], &[wrong]);
    }
}
