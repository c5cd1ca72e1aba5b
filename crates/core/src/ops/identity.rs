//! `y = x`: what dropout and its like are at inference. Kept so that the layer has a node until a rewrite drops it.

use super::{Infer, Operator, exactly};
use crate::{Cost, Result, Tensor, TensorType};

/// The input, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity;

impl Operator for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("identity", inputs)?;
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("identity", inputs)?;
        Ok(vec![(*x).clone()])
    }
}
