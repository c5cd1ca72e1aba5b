//! Layers that do nothing at inference: `Dropout` and its kin, noise, `ActivityRegularization`, and `Identity`, which
//! never does anything. <https://keras.io/api/layers/regularization_layers/>

use crate::layer::Masks;
use crate::layers::expect_rank;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::Identity;

#[derive(Debug)]
pub(in crate::layers) struct TrainingOnly {
    /// What becomes of a mask in Keras 2.
    masks_in_keras2: Masks,
    /// The only rank that Keras takes, if there is one.
    rank: Option<usize>,
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
        let rank = (fields.class() == "SpatialDropout1D").then_some(3);
        Ok(TrainingOnly { masks_in_keras2, rank })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        if let Some(rank) = self.rank {
            expect_rank(cx, x, rank)?;
        }
        Ok(vec![cx.rearrange(Identity, x)?])
    }

    fn is_per_vector(&self) -> bool {
        true
    }

    fn masks(&self, version: KerasVersion) -> Masks {
        if version >= KerasVersion::V3 { Masks::Passed } else { self.masks_in_keras2 }
    }
}
