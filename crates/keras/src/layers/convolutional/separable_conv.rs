//! `SeparableConv1D`: every channel convolved alone, then a convolution with a kernel of size 1 over all of them.
//! <https://keras.io/api/layers/convolution_layers/separable_convolution1d/>

use super::base_conv::BaseConv;
use super::depthwise_conv::{depth_multiplier, depthwise};
use crate::layers::size;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::{Padding, Window, ops};
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct SeparableConv {
    base: BaseConv,
    filters: usize,
    depth_multiplier: usize,
}

impl Layer for SeparableConv {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("groups", &[Value::from(1)])?;
        let mut base = BaseConv::from_config(fields, 1)?;
        if fields.version() >= KerasVersion::V3 {
            base = base.without_causal()?;
        }
        Ok(SeparableConv {
            filters: size(fields.positive(&["filters"])?)?,
            depth_multiplier: depth_multiplier(fields)?,
            base,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = self.base.input(cx, call)?;
        let (channels, rank) = (cx.channels(x)?, self.base.kernel_size.len());
        let depthwise_kernel = self.base.kernel_shape([channels, self.depth_multiplier])?;
        let mut pointwise_kernel = vec![1; rank];
        pointwise_kernel.extend([channels.saturating_mul(self.depth_multiplier), self.filters]);
        let mut specs = vec![
            WeightSpec::trainable("depthwise_kernel", &depthwise_kernel),
            WeightSpec::trainable("pointwise_kernel", &pointwise_kernel),
        ];
        if self.base.use_bias {
            specs.push(WeightSpec::trainable("bias", &[self.filters]));
        }
        let weights = cx.weights(&specs)?;
        let [kernel, others @ ..] = weights.as_slice() else {
            return Err(Error::malformed("a weight is missing"));
        };
        let spread = depthwise(cx, self.base.windows()?, x, kernel, None)?;
        let mut inputs = vec![cx.operand(spread)?];
        for weight in others {
            inputs.push(cx.constant(weight)?);
        }
        let windows = vec![Window::new(1, 1, 1, Padding::Explicit(0, 0))?; rank];
        let y = cx.add(ops::Conv { windows, groups: 1 }, &inputs)?;
        Ok(vec![self.base.output(cx, y)?])
    }
}
