//! What the benches share: the models, and the check that everything timed computes the same.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot run must stop")]

use k2o::{Array, ExportOptions, Model};
use k2o_verify::{Difference, TractModel, random_inputs};
use ndarray::ArrayD;

/// The models that are timed, by the names of their fixtures.
pub const MODELS: [&str; 8] = [
    "conv_flatten_dense",
    "basic",
    "advanced",
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

/// The file of a fixture that holds the whole model.
pub fn path(name: &str) -> std::path::PathBuf {
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
        let onnx = model.to_onnx(&ExportOptions::default()).unwrap().to_bytes().unwrap();
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
    assert_eq!(ours.len(), theirs.len(), "{name}: numbers of outputs");
    for (ours, theirs) in ours.iter().zip(theirs) {
        let expected: Vec<f64> = theirs.iter().map(|&x| f64::from(x)).collect();
        let difference = Difference::between(ours.iter().map(|&x| f64::from(x)), &expected);
        assert!(
            ours.shape() == theirs.shape() && difference.is_within(),
            "{name}: the outputs differ by {:e}, more than {:e}",
            difference.worst,
            difference.allowed
        );
    }
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
