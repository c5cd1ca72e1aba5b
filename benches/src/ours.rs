//! K2O's own runtime as a contestant.

use crate::contest::Runner;
use k2o::Model;
use k2o::cpu::{PlanOptions, Session, TensorView, Threads};
use k2o::onnx::WeightsType;
use ndarray::ArrayD;
use std::num::NonZeroUsize;

/// The rows of ours in every contest, by name, with the type in which weights are kept.
pub const OURS: [(&str, WeightsType); 2] = [("k2o", WeightsType::F32), ("k2o f16", WeightsType::F16)];

/// `model` made ready to run on `inputs` with `threads` threads and weights of type `weights`.
///
/// # Errors
/// Where there is no plan of the model, or there are no threads.
pub fn k2o(
    model: &Model,
    inputs: &[ArrayD<f32>],
    threads: usize,
    weights: WeightsType,
) -> Result<Box<dyn Runner>, String> {
    let options = PlanOptions { narrow_weights: weights.narrow(), ..PlanOptions::default() };
    let plan = model.plan_with(&options).map_err(|error| error.to_string())?;
    let threads = Threads::new(NonZeroUsize::new(threads).ok_or("no thread")?);
    let session = Session::with_threads(&plan, threads.map_err(|error| error.to_string())?);
    let inputs = inputs.iter().map(|input| input.as_standard_layout().into_owned()).collect();
    Ok(Box::new(Ours { session, inputs }))
}

/// A session with its inputs, which are in row-major order.
struct Ours {
    session: Session,
    inputs: Vec<ArrayD<f32>>,
}

impl Runner for Ours {
    fn run(&mut self) -> Result<(), String> {
        let view = |input| {
            let array: &ArrayD<f32> = input;
            TensorView::f32(array.shape(), array.as_slice().unwrap_or_default())
        };
        let views = self.inputs.iter().map(view).collect::<Result<Vec<_>, _>>();
        let views = views.map_err(|error| error.to_string())?;
        self.session.run(&views).map(|_| ()).map_err(|error| error.to_string())
    }

    fn outputs(&mut self) -> Result<Vec<ArrayD<f32>>, String> {
        self.run()?;
        let outputs = self.session.outputs().ok_or("no outputs after a run")?;
        let output = |(_, view): (&str, TensorView<'_>)| {
            let data = view.as_f32().ok_or("an output of integers")?.to_vec();
            ArrayD::from_shape_vec(view.shape().to_vec(), data).map_err(|error| error.to_string())
        };
        outputs.iter().map(output).collect()
    }
}
