//! Layers that do nothing at inference: `Dropout` and its kin, noise, `ActivityRegularization`, and `Identity`, which
//! never does anything. <https://keras.io/api/layers/regularization_layers/>

use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::Identity;

#[derive(Debug)]
pub(in crate::layers) struct TrainingOnly;

impl Layer for TrainingOnly {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        match fields.class() {
            "ActivityRegularization" => fields.ignore(&["l1", "l2"]),
            "GaussianNoise" => fields.ignore(&["stddev"]),
            "Identity" => {}
            _ => fields.ignore(&["rate", "noise_shape"]),
        }
        Ok(TrainingOnly)
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.rearrange(Identity, call.input()?)?])
    }

    fn is_per_vector(&self) -> bool {
        true
    }
}
