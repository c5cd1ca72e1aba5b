//! Layers of `keras/src/layers/convolutional`.

mod base_conv;
mod conv;
mod conv_transpose;
mod depthwise_conv;
mod separable_conv;

pub(super) use conv::Conv;
pub(super) use conv_transpose::ConvTranspose;
pub(super) use depthwise_conv::DepthwiseConv;
pub(super) use separable_conv::SeparableConv;
