//! `SpectralNormalization(layer)`: at inference the layer itself, with the kernel that training has left.
//! <https://keras.io/api/layers/normalization_layers/spectral_normalization/>
//!
//! Keras 3 gives the output the type of the input: of integers, as an Embedding reads, it makes integers, without a mask.
//!
//! A `.keras` file holds the layer's kernel once more in the wrapper's group, and the vector of the power iteration.

use crate::fields::missing;
use crate::layer::{LayerObject, Masks};
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::Cast;

#[derive(Debug)]
pub(in crate::layers) struct SpectralNormalization {
    layer: LayerObject,
}

impl Layer for SpectralNormalization {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.ignore(&["power_iterations"]);
        let layer = fields.take(&["layer"]).ok_or_else(|| missing("layer"))?;
        Ok(SpectralNormalization { layer: fields.layer(layer, "layer")? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let mut outputs = cx.call_child(&self.layer, call)?;
        let known = ["kernel", "embeddings", "depthwise_kernel"];
        let kernel = known.into_iter().find_map(|name| Some((name, cx.weight_shape(&self.layer, name)?)));
        let Some((name, shape)) = kernel else {
            return Err(Error::unsupported(format!("{} has no kernel to normalize", self.layer.class)));
        };
        let columns = shape.last().copied().unwrap_or(1);
        cx.weights(&[WeightSpec::repeated(name, &shape), WeightSpec::fixed("vector_u", &[1, columns])])?;
        if cx.version() >= KerasVersion::V3 {
            let to = cx.type_of(call.input()?)?.dtype;
            for output in outputs.iter_mut().filter(|output| !output.is_unknown() && !to.is_float()) {
                *output = cx.rearrange(Cast { to }, *output)?;
            }
        }
        Ok(outputs)
    }

    /// The mask is what the wrapped layer makes of it.
    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}
