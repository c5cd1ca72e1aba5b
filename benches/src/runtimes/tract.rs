//! tract: a model optimised for the sizes of its inputs, whose state is kept between runs. It has one thread.

use super::{Runtime, array};
use crate::contest::Runner;
use k2o::onnx::Target;
use ndarray::ArrayD;
use std::io::Cursor;
use tract_onnx::prelude::*;

/// The runtime.
pub(super) struct Tract;

fn error(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

impl Runtime for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn version(&self) -> String {
        crate::machine::version_of("tract-onnx")
    }

    fn is_parallel(&self) -> bool {
        false
    }

    fn target(&self) -> Target {
        Target::Tract
    }

    fn load(&self, onnx: &[u8], inputs: &[ArrayD<f32>], _: usize) -> Result<Box<dyn Runner>, String> {
        let mut model = tract_onnx::onnx().model_for_read(&mut Cursor::new(onnx)).map_err(error)?;
        let mut values = TVec::new();
        for (index, input) in inputs.iter().enumerate() {
            let fact = InferenceFact::dt_shape(f32::datum_type(), input.shape());
            model = model.with_input_fact(index, fact).map_err(error)?;
            let data = input.as_slice().ok_or("an input that is not in row-major order")?;
            values.push(Tensor::from_shape(input.shape(), data).map_err(error)?.into_tvalue());
        }
        let plan = model.into_optimized().and_then(|model| model.into_runnable()).map_err(error)?;
        Ok(Box::new(State { state: plan.spawn().map_err(error)?, inputs: values }))
    }
}

/// A model with its state and its inputs.
struct State {
    state: TypedSimpleState,
    inputs: TVec<TValue>,
}

impl Runner for State {
    fn run(&mut self) -> Result<(), String> {
        self.state.run(self.inputs.clone()).map(drop).map_err(error)
    }

    fn outputs(&mut self) -> Result<Vec<ArrayD<f32>>, String> {
        let outputs = self.state.run(self.inputs.clone()).map_err(error)?;
        let output = |output: &TValue| {
            let view = output.to_plain_array_view::<f32>().map_err(error)?;
            array(view.shape().to_vec(), view.iter().copied().collect())
        };
        outputs.iter().map(output).collect()
    }
}
