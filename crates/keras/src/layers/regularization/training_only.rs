//! Layers that do nothing at inference: `Dropout` and its kin, noise, `ActivityRegularization`, and `Identity`, which
//! never does anything. <https://keras.io/api/layers/regularization_layers/>

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::Identity;

#[derive(Debug)]
pub(in crate::layers) struct TrainingOnly {
    /// What becomes of a mask in Keras 2.
    masks_in_keras2: Masks,
}

impl Layer for TrainingOnly {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        match fields.class() {
            "ActivityRegularization" => fields.ignore(&["l1", "l2"]),
            "GaussianNoise" => fields.ignore(&["stddev"]),
            "Identity" => {}
            _ => fields.ignore(&["rate", "noise_shape"]),
        }
        let masks_in_keras2 = if fields.class() == "Identity" { Masks::Dropped } else { Masks::Passed };
        Ok(TrainingOnly { masks_in_keras2 })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.rearrange(Identity, call.input()?)?])
    }

    fn is_per_vector(&self) -> bool {
        true
    }

    fn masks(&self, version: KerasVersion) -> Masks {
        if version >= KerasVersion::V3 { Masks::Passed } else { self.masks_in_keras2 }
    }
}
