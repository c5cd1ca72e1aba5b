//! `Dense`: `activation(x · kernel + bias)` over the last axis, whatever the rank.
//! <https://keras.io/api/layers/core_layers/dense/>

use crate::activation::Activation;
use crate::layer::Masks;
use crate::layers::size;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops;

#[derive(Debug)]
pub(in crate::layers) struct Dense {
    units: usize,
    use_bias: bool,
    activation: Activation,
}

impl Layer for Dense {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("lora_rank", &[])?;
        fields.ignore(&["lora_alpha"]);
        Ok(Dense {
            units: size(fields.positive(&["units"])?)?,
            use_bias: fields.bool(&["use_bias"], true)?,
            activation: Activation::take(fields, "activation")?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = cx.to_float(call.input()?)?;
        let mut specs = vec![WeightSpec::trainable("kernel", &[cx.channels(x)?, self.units])];
        if self.use_bias {
            specs.push(WeightSpec::trainable("bias", &[self.units]));
        }
        let mut inputs = vec![cx.operand(x)?];
        for weight in cx.weights(&specs)? {
            inputs.push(cx.constant(&weight)?);
        }
        let y = cx.add(ops::Dense, &inputs)?;
        Ok(vec![self.activation.lower(cx, y)?])
    }
    fn is_per_vector(&self) -> bool {
        true
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
