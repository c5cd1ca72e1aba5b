//! `Conv1D`: `y[t, o] = bias[o] + sum of x[t * stride + k * dilation - before, c] * kernel[k, c, o]`.
//! <https://keras.io/api/layers/convolution_layers/convolution1d/>
//!
//! Early Keras 2 has no `data_format`, `dilation_rate` or `groups`. Keras 2 takes inputs of more axes: all but the
//! last two are a batch.

use super::base_conv::BaseConv;
use crate::layers::size;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops;

#[derive(Debug)]
pub(in crate::layers) struct Conv {
    base: BaseConv,
    filters: usize,
    groups: usize,
}

impl Layer for Conv {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Conv {
            filters: size(fields.positive(&["filters"])?)?,
            groups: match fields.int(&["groups"])?.unwrap_or(1) {
                n if n > 0 => size(n)?,
                n => return Err(Error::malformed(format!("`groups` is {n}; it must be above zero"))),
            },
            base: BaseConv::from_config(fields, 1)?.without_strided_dilation()?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let rank = self.base.kernel_size.len() + 2;
        let input = call.input()?;
        let batch_axes = (cx.shape(input)?.rank() + 1).saturating_sub(rank);
        if batch_axes > 1 && cx.version() < KerasVersion::V3 {
            let x = cx.merge_leading(batch_axes, input)?;
            let y = self.convolve(cx, &Call::of(x))?;
            return Ok(vec![cx.split_leading(batch_axes, y, input)?]);
        }
        Ok(vec![self.convolve(cx, call)?])
    }
}

impl Conv {
    fn convolve(&self, cx: &mut Lowering, call: &Call) -> Result<Tensor> {
        let x = self.base.input(cx, call)?;
        let channels = cx.channels(x)?;
        if self.groups == 0 || channels % self.groups != 0 {
            let message = format!("{channels} channels do not fall into {} groups", self.groups);
            let help = format!("the number of groups must divide that of the input's channels, {channels}");
            return Err(k2o_core::Error::shape(message).with_help(help).into());
        }
        let kernel = self.base.kernel_shape([channels / self.groups, self.filters])?;
        let mut specs = vec![WeightSpec::trainable("kernel", &kernel)];
        if self.base.use_bias {
            specs.push(WeightSpec::trainable("bias", &[self.filters]));
        }
        let mut inputs = vec![cx.operand(x)?];
        for weight in cx.weights(&specs)? {
            inputs.push(cx.constant(&weight)?);
        }
        let y = cx.add(ops::Conv { windows: self.base.windows()?, groups: self.groups }, &inputs)?;
        self.base.output(cx, y)
    }
}
