//! States of stateful layers as inputs and outputs of the model.

use super::{Lowering, Tensor};
use crate::{Error, Result};
use k2o_core::{DType, Dim, Shape, TensorType};

/// The states that became inputs and outputs.
#[derive(Debug, Default)]
pub(crate) struct ExposedStates {
    /// Whether states are to become that.
    pub wanted: bool,
    /// The outputs, which come behind the model's own.
    pub outputs: Vec<(String, Tensor)>,
}

impl Lowering {
    /// Whether the states of stateful layers become inputs and outputs of the model; those of a layer that is called
    /// within a scan cannot.
    pub(crate) fn exposes_states(&self) -> bool {
        self.states.wanted && self.bodies.is_empty()
    }

    fn state_name(&self, what: &str, at: usize) -> String {
        let path = self.stack.last().map_or("", |frame| frame.path.as_str());
        format!("{path}/{what}_{at}")
    }

    /// Inputs of the model, `[batch of x, size]` each, for the first states of the layer in progress.
    pub(crate) fn state_inputs(&mut self, x: Tensor, sizes: &[usize]) -> Result<Vec<Tensor>> {
        let shape = self.shape(x)?;
        let batch = shape.first().cloned().ok_or_else(|| Error::malformed("a sequence without a batch"))?;
        let mut inputs = Vec::new();
        for (at, &size) in sizes.iter().enumerate() {
            let shape = Shape::new([batch.clone(), Dim::from_usize(size)?]);
            let name = self.state_name("state", at);
            inputs.push(self.builder.input(name, TensorType::new(shape, DType::F32))?.into());
        }
        Ok(inputs)
    }

    /// Makes the last states of the layer in progress outputs of the model.
    pub(crate) fn state_outputs(&mut self, states: &[Tensor]) {
        for (at, state) in states.iter().enumerate() {
            let name = self.state_name("next_state", at);
            self.states.outputs.push((name, *state));
        }
    }
}
