//! `DepthwiseConv1D`: every channel convolved alone, with `depth_multiplier` kernels each; output channel
//! `c * depth_multiplier + m` is channel `c` with kernel `m`.
//! <https://keras.io/api/layers/convolution_layers/depthwise_convolution1d/>

use super::base_conv::BaseConv;
use crate::layers::size;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::{Weight, WeightSpec};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::{Operand, Window, ops};
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct DepthwiseConv {
    base: BaseConv,
    depth_multiplier: usize,
}

/// How many kernels every channel has: 1 where the config does not say.
pub(super) fn depth_multiplier(fields: &mut Fields<'_, '_>) -> Result<usize> {
    match fields.int(&["depth_multiplier"])?.unwrap_or(1) {
        n if n > 0 => size(n),
        n => Err(Error::malformed(format!("`depth_multiplier` is {n}; it must be above zero"))),
    }
}

/// The convolution of every channel alone. `kernel` is `[taps.., channels, depth_multiplier]`.
pub(super) fn depthwise(
    cx: &mut Lowering,
    windows: Vec<Window>,
    x: Tensor,
    kernel: &Weight,
    bias: Option<Operand>,
) -> Result<Tensor> {
    let mut shape = kernel.expr.shape().to_vec();
    let (Some(multiplier), Some(channels)) = (shape.pop(), shape.pop()) else {
        return Err(Error::malformed("a kernel without channels"));
    };
    let filters = channels.checked_mul(multiplier);
    shape.extend([1, filters.ok_or_else(|| Error::limit("the number of filters overflows"))?]);
    let kernel = Weight { name: kernel.name.clone(), expr: kernel.expr.reshape(&shape)? };
    let inputs = [Some(cx.operand(x)?), Some(cx.constant(&kernel)?), bias];
    cx.add(ops::Conv { windows, groups: channels }, &inputs.into_iter().flatten().collect::<Vec<_>>())
}

impl Layer for DepthwiseConv {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("groups", &[Value::from(1)])?;
        Ok(DepthwiseConv {
            depth_multiplier: depth_multiplier(fields)?,
            base: BaseConv::from_config(fields, 1)?.without_causal()?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = self.base.input(cx, call)?;
        let channels = cx.channels(x)?;
        let name = if cx.version() < KerasVersion::V3 { "depthwise_kernel" } else { "kernel" };
        let kernel = self.base.kernel_shape([channels, self.depth_multiplier])?;
        let mut specs = vec![WeightSpec::trainable(name, &kernel)];
        if self.base.use_bias {
            specs.push(WeightSpec::trainable("bias", &[channels.saturating_mul(self.depth_multiplier)]));
        }
        let weights = cx.weights(&specs)?;
        let [kernel, bias @ ..] = weights.as_slice() else {
            return Err(Error::malformed("a weight is missing"));
        };
        let bias = bias.first().map(|bias| cx.constant(bias)).transpose()?;
        let y = depthwise(cx, self.base.windows()?, x, kernel, bias)?;
        Ok(vec![self.base.output(cx, y)?])
    }
}
