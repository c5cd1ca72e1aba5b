//! `Conv1DTranspose`: every input step spreads the kernel over the output.
//! <https://keras.io/api/layers/convolution_layers/convolution1d_transpose/>
//!
//! The output's length is `n * stride` with `padding="same"` and no `output_padding`; else `(n - 1) * stride` plus the
//! kernel's span (`valid`), or plus 1 if that is odd (`same`), plus `output_padding`, which for `valid` is the least that
//! makes room for a stride (`keras/src/backend/common/backend_utils.py`). What the kernel reaches beyond is cropped, half
//! of it at the start, the odd step at the end. The kernel is stored as `[taps, filters, channels]`.

use super::base_conv::{BaseConv, PaddingMode};
use crate::layers::size;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::{Weight, WeightSpec};
use crate::{Error, Fields, Layer, Result};
use k2o_core::ops::{self, Spread};
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct ConvTranspose {
    base: BaseConv,
    filters: usize,
    windows: Vec<Spread>,
}

/// How a kernel of `span` steps spreads, so that the output is as long as Keras says.
fn spread(
    [taps, stride, dilation]: [i64; 3],
    padding: PaddingMode,
    output_padding: Option<i64>,
) -> Result<Spread> {
    let span = Spread::new(taps, stride, dilation, (0, 0), 0)?.span();
    if let Some(padding) = output_padding
        && !(0..stride).contains(&padding)
    {
        return Err(Error::malformed(format!(
            "`output_padding` is {padding}; expected 0 up to the stride, {stride}, less 1"
        )));
    }
    // Steps past `(n - 1) * stride`.
    let wanted = match (padding, output_padding) {
        (PaddingMode::Causal, _) => {
            return Err(Error::unsupported("`padding` = \"causal\" is not supported"));
        }
        (PaddingMode::Same, None) => stride,
        (PaddingMode::Same, Some(padding)) => span % 2 + padding,
        (PaddingMode::Valid, None) => span.max(stride),
        (PaddingMode::Valid, Some(padding)) => {
            span.checked_add(padding).ok_or_else(|| Error::limit("the kernel's span overflows"))?
        }
    };
    let cropped = (span - wanted).max(0);
    let crop = (cropped / 2, cropped - cropped / 2);
    Ok(Spread::new(taps, stride, dilation, crop, (wanted - span).max(0))?)
}

impl Layer for ConvTranspose {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("groups", &[Value::from(1)])?;
        let base = BaseConv::from_config(fields, 1)?.without_strided_dilation()?;
        let rank = base.kernel_size.len();
        let output_padding = fields.ints(&["output_padding"], rank)?;
        let padding = |axis: usize| output_padding.as_ref().and_then(|padding| padding.get(axis).copied());
        let axes = base.kernel_size.iter().zip(&base.strides).zip(&base.dilation_rate).enumerate();
        let windows = axes.map(|(axis, ((&taps, &stride), &dilation))| {
            spread([taps, stride, dilation], base.padding, padding(axis))
        });
        let windows = windows.collect::<Result<_>>()?;
        Ok(ConvTranspose { filters: size(fields.positive(&["filters"])?)?, base, windows })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = self.base.input(cx, call)?;
        let rank = self.windows.len();
        let mut specs =
            vec![WeightSpec::trainable("kernel", &self.base.kernel_shape([self.filters, cx.channels(x)?])?)];
        if self.base.use_bias {
            specs.push(WeightSpec::trainable("bias", &[self.filters]));
        }
        let weights = cx.weights(&specs)?;
        let [kernel, bias @ ..] = weights.as_slice() else {
            return Err(Error::malformed("a weight is missing"));
        };
        let order: Vec<usize> = (0..rank).chain([rank + 1, rank]).collect();
        let kernel = Weight { name: kernel.name.clone(), expr: kernel.expr.permute(&order)? };
        let mut inputs = vec![cx.operand(x)?, cx.constant(&kernel)?];
        for bias in bias {
            inputs.push(cx.constant(bias)?);
        }
        let y = cx.add(ops::ConvTranspose { windows: self.windows.clone() }, &inputs)?;
        Ok(vec![self.base.output(cx, y)?])
    }
}
