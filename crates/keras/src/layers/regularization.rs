//! Layers of `keras/src/layers/regularization`.

mod dropout;

pub(super) use dropout::Dropout;
