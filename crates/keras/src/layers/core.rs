//! Layers of `keras/src/layers/core`.

mod dense;
mod input_layer;

pub(super) use dense::Dense;
pub(super) use input_layer::InputLayer;
