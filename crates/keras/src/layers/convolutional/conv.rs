//! `Conv1D`: `y[t, o] = bias[o] + sum of x[t * stride + k * dilation - before, c] * kernel[k, c, o]`.
//! <https://keras.io/api/layers/convolution_layers/convolution1d/>
//!
//! `padding="causal"` puts `dilation * (size - 1)` zeros before the input. Keras 1 and early Keras 2 have no
//! `data_format`, `dilation_rate` or `groups`. Keras 2 takes inputs of more axes, all but the last two a batch: refused.

use crate::activation::Activation;
use crate::layers::{DataFormat, size};
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::{Padding, Window, ops};

#[derive(Debug)]
pub(in crate::layers) struct Conv {
    filters: usize,
    windows: Vec<Window>,
    groups: usize,
    data_format: DataFormat,
    use_bias: bool,
    activation: Activation,
}

#[derive(Clone, Copy)]
enum PaddingMode {
    Valid,
    Same,
    Causal,
}

impl Layer for Conv {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let rank = 1;
        let filters = size(fields.positive(&["filters"])?)?;
        let kernel_size = fields.ints(&["kernel_size"], rank)?;
        let kernel_size = kernel_size.ok_or_else(|| Error::malformed("the config has no `kernel_size`"))?;
        let strides = fields.ints(&["strides"], rank)?.unwrap_or_else(|| vec![1; rank]);
        let dilation_rate = fields.ints(&["dilation_rate"], rank)?.unwrap_or_else(|| vec![1; rank]);
        let modes =
            [("valid", PaddingMode::Valid), ("same", PaddingMode::Same), ("causal", PaddingMode::Causal)];
        let mode = fields.choice(&["padding"], &modes, PaddingMode::Valid)?;
        let mut windows = Vec::new();
        for ((&taps, &stride), &dilation) in kernel_size.iter().zip(&strides).zip(&dilation_rate) {
            let padding = match mode {
                PaddingMode::Valid => Padding::Explicit(0, 0),
                PaddingMode::Same => Padding::Same,
                PaddingMode::Causal => {
                    let span = taps.checked_sub(1).and_then(|n| n.checked_mul(dilation));
                    Padding::Explicit(span.ok_or_else(|| Error::limit("the kernel's span overflows"))?, 0)
                }
            };
            windows.push(Window::new(taps, stride, dilation, padding)?);
        }
        Ok(Conv {
            filters,
            windows,
            groups: size(fields.int(&["groups"])?.unwrap_or(1))?,
            data_format: DataFormat::take(fields)?,
            use_bias: fields.bool(&["use_bias"], true)?,
            activation: Activation::take(fields, "activation")?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let mut x = call.input()?;
        if self.data_format == DataFormat::ChannelsFirst {
            x = cx.channels_last(x)?;
        }
        let (shape, rank) = (cx.shape(x)?, self.windows.len() + 2);
        if shape.rank() > rank && cx.version() < KerasVersion::V3 {
            let message = format!("an input of rank {}, {shape}, is not supported; {rank} is", shape.rank());
            return Err(Error::unsupported(message));
        }
        if shape.rank() != rank {
            let message = format!("an input of rank {rank} was expected; {shape} was given");
            return Err(k2o_core::Error::shape(message).into());
        }
        let channels = cx.channels(x)?;
        if self.groups == 0 || channels % self.groups != 0 {
            let message = format!("{channels} channels do not fall into {} groups", self.groups);
            return Err(k2o_core::Error::shape(message).into());
        }
        let mut kernel = self.windows.iter().map(|window| size(window.size())).collect::<Result<Vec<_>>>()?;
        kernel.extend([channels / self.groups, self.filters]);
        let mut specs = vec![WeightSpec::trainable("kernel", &kernel)];
        if self.use_bias {
            specs.push(WeightSpec::trainable("bias", &[self.filters]));
        }
        let mut inputs = vec![cx.operand(x)?];
        for weight in cx.weights(&specs)? {
            inputs.push(cx.constant(&weight)?);
        }
        let mut y = cx.add(ops::Conv { windows: self.windows.clone(), groups: self.groups }, &inputs)?;
        if self.data_format == DataFormat::ChannelsFirst {
            y = cx.channels_first(y)?;
        }
        Ok(vec![self.activation.lower(cx, y)?])
    }
}
