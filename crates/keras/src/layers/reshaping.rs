//! Layers of `keras/src/layers/reshaping`.

mod cropping;
mod flatten;
mod permute;
mod repeat_vector;
mod reshape;
mod up_sampling;
mod zero_padding;

pub(super) use cropping::Cropping;
pub(super) use flatten::Flatten;
pub(super) use permute::Permute;
pub(super) use repeat_vector::RepeatVector;
pub(super) use reshape::Reshape;
pub(super) use up_sampling::UpSampling;
pub(super) use zero_padding::ZeroPadding;
