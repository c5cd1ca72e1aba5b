//! Layers of `keras/src/layers/normalization`.

mod batch_normalization;

pub(super) use batch_normalization::BatchNormalization;
