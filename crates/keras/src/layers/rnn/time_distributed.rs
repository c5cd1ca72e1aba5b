//! `TimeDistributed(layer)`: a layer called on every step alone.
//! <https://keras.io/api/layers/recurrent_layers/time_distributed/>
//!
//! Batch and steps are made one axis for the call; a layer that computes every vector alone is called as it is.

use crate::fields::missing;
use crate::layer::LayerObject;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, Layer, Result};

#[derive(Debug)]
pub(in crate::layers) struct TimeDistributed {
    layer: LayerObject,
}

impl Layer for TimeDistributed {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let layer = fields.take(&["layer"]).ok_or_else(|| missing("layer"))?;
        Ok(TimeDistributed { layer: fields.layer(layer, "layer")? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        let shape = cx.shape(x)?;
        if shape.rank() < 3 {
            let message = format!("an input of rank 3 or more was expected; {shape} was given");
            return Err(k2o_core::Error::shape(message).into());
        }
        if self.layer.is_per_vector() {
            return cx.call_child(&self.layer, &Call::of(x));
        }
        let steps = cx.merge_leading(2, x)?;
        let outputs = cx.call_child(&self.layer, &Call::of(steps))?;
        let split = |y: Tensor| match y.is_unknown() {
            true => Ok(y),
            false => cx.split_leading(2, y, x),
        };
        let outputs = outputs.into_iter().map(split).collect::<Result<Vec<_>>>()?;
        match outputs.len() {
            0 | 1 => Ok(outputs),
            n => Err(Error::unsupported(format!("a layer of {n} outputs"))),
        }
    }
}
