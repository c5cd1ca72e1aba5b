//! `Embedding`: the rows of a table that the input numbers.
//! <https://keras.io/api/layers/core_layers/embedding/>
//!
//! With `mask_zero`, the number 0 is a step that does not count. Inputs that are no integers are cut to `int32`. A number that is no row is an error, as on Keras's CPU.

use crate::layer::Masks;
use crate::layers::size;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::DType;
use k2o_core::ops::{Cast, Gather};

#[derive(Debug)]
pub(in crate::layers) struct Embedding {
    input_dim: usize,
    output_dim: usize,
    mask_zero: bool,
}

impl Layer for Embedding {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("sparse", &[])?;
        fields.refuse("lora_rank", &[])?;
        fields.ignore(&["input_length", "lora_alpha"]);
        Ok(Embedding {
            input_dim: size(fields.positive(&["input_dim"])?)?,
            output_dim: size(fields.positive(&["output_dim"])?)?,
            mask_zero: fields.bool(&["mask_zero"], false)?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let mut indices = call.input()?;
        let mask = match self.mask_zero {
            true => Some(cx.truth_of(indices)?),
            false => None,
        };
        if !cx.type_of(indices)?.dtype.is_integer() {
            indices = cx.rearrange(Cast { to: DType::I32 }, indices)?;
        }
        let specs = [WeightSpec::trainable("embeddings", &[self.input_dim, self.output_dim])];
        let mut inputs = Vec::new();
        for weight in cx.weights(&specs)? {
            inputs.push(cx.constant(&weight)?);
        }
        inputs.push(cx.any_operand(indices)?);
        Ok(vec![cx.add(Gather { axis: 0 }, &inputs)?.with_mask(mask)])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}
