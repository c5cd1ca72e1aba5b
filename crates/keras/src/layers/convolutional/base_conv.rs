//! What all convolutions have in common (`base_conv.py`, `base_depthwise_conv.py`, ..): geometry, data format, bias
//! and activation.

use crate::activation::Activation;
use crate::fields::missing;
use crate::layers::{DataFormat, expect_rank, size};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, Result};
use k2o_core::{Padding, Window};

#[derive(Debug)]
pub(super) struct BaseConv {
    pub kernel_size: Vec<i64>,
    pub strides: Vec<i64>,
    pub dilation_rate: Vec<i64>,
    pub padding: PaddingMode,
    pub use_bias: bool,
    data_format: DataFormat,
    activation: Activation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaddingMode {
    Valid,
    Same,
    Causal,
}

impl BaseConv {
    /// Reads the keys of a convolution over `rank` axes.
    pub fn from_config(fields: &mut Fields<'_, '_>, rank: usize) -> Result<BaseConv> {
        let modes =
            [("valid", PaddingMode::Valid), ("same", PaddingMode::Same), ("causal", PaddingMode::Causal)];
        let kernel_size = fields.ints(&["kernel_size"], rank)?.ok_or_else(|| missing("kernel_size"))?;
        if kernel_size.iter().any(|&taps| taps < 1) {
            return Err(Error::malformed(format!("`kernel_size` is {kernel_size:?}; it must be above zero")));
        }
        Ok(BaseConv {
            kernel_size,
            strides: fields.ints(&["strides"], rank)?.unwrap_or_else(|| vec![1; rank]),
            dilation_rate: fields.ints(&["dilation_rate"], rank)?.unwrap_or_else(|| vec![1; rank]),
            padding: fields.choice(&["padding"], &modes, PaddingMode::Valid)?,
            use_bias: fields.bool(&["use_bias"], true)?,
            data_format: DataFormat::take(fields)?,
            activation: Activation::take(fields, "activation")?,
        })
    }

    /// Refuses strides together with a dilation, as Keras does for all but depthwise and separable convolutions.
    pub fn without_strided_dilation(self) -> Result<BaseConv> {
        let strided = self.strides.iter().any(|&stride| stride > 1);
        if strided && self.dilation_rate.iter().any(|&dilation| dilation > 1) {
            let (strides, dilations) = (&self.strides, &self.dilation_rate);
            return Err(Error::malformed(format!(
                "`strides` is {strides:?} and `dilation_rate` {dilations:?}; one of them must be 1"
            )));
        }
        Ok(self)
    }

    /// Refuses `padding="causal"`, which Keras has not for every convolution.
    pub fn without_causal(self) -> Result<BaseConv> {
        match self.padding {
            PaddingMode::Causal => Err(Error::unsupported("`padding` = \"causal\" is not supported")),
            _ => Ok(self),
        }
    }

    /// How the kernel slides along each axis. `causal` puts `dilation * (size - 1)` zeros before the input.
    pub fn windows(&self) -> Result<Vec<Window>> {
        let mut windows = Vec::new();
        for ((&taps, &stride), &dilation) in
            self.kernel_size.iter().zip(&self.strides).zip(&self.dilation_rate)
        {
            let padding = match self.padding {
                PaddingMode::Valid => Padding::Explicit(0, 0),
                PaddingMode::Same => Padding::Same,
                PaddingMode::Causal => {
                    let span = taps.checked_sub(1).and_then(|n| n.checked_mul(dilation));
                    Padding::Explicit(span.ok_or_else(|| Error::limit("the kernel's span overflows"))?, 0)
                }
            };
            windows.push(Window::new(taps, stride, dilation, padding)?);
        }
        Ok(windows)
    }

    /// The shape of a kernel with these channels behind its taps.
    pub fn kernel_shape(&self, channels: [usize; 2]) -> Result<Vec<usize>> {
        let taps = self.kernel_size.iter().map(|&taps| size(taps)).collect::<Result<Vec<_>>>()?;
        Ok([taps.as_slice(), &channels].concat())
    }

    /// The input with its channels last.
    pub fn input(&self, cx: &mut Lowering, call: &Call) -> Result<Tensor> {
        let x = call.input()?;
        expect_rank(cx, x, self.kernel_size.len() + 2)?;
        self.data_format.to_channels_last(cx, x)
    }

    /// The output, made of a convolution's result with its channels last.
    pub fn output(&self, cx: &mut Lowering, y: Tensor) -> Result<Tensor> {
        let y = self.data_format.lay_out(cx, y)?;
        self.activation.lower(cx, y)
    }
}
