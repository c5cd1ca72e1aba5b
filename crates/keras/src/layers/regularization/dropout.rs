//! `Dropout`: nothing at inference. <https://keras.io/api/layers/regularization_layers/dropout/>

use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::Identity;

#[derive(Debug)]
pub(in crate::layers) struct Dropout;

impl Layer for Dropout {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.ignore(&["rate", "p", "noise_shape"]);
        Ok(Dropout)
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.apply(Identity, call.input()?)?])
    }
}
