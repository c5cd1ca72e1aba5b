//! Layers of `keras/src/layers/convolutional`.

mod conv;

pub(super) use conv::Conv;
