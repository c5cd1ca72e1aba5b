//! Layers of `keras/src/layers/reshaping`.

mod flatten;
mod reshape;
mod zero_padding;

pub(super) use flatten::Flatten;
pub(super) use reshape::Reshape;
pub(super) use zero_padding::ZeroPadding;
