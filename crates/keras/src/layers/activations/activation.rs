//! `Activation`: a function by name. <https://keras.io/api/layers/core_layers/activation/>

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result, activation};

#[derive(Debug)]
pub(in crate::layers) struct Activation {
    activation: activation::Activation,
}

impl Layer for Activation {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Activation { activation: activation::Activation::take(fields, "activation")? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![self.activation.lower(cx, call.input()?)?])
    }
    fn is_per_vector(&self) -> bool {
        self.activation.is_per_vector()
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
