//! Layers of `keras/src/layers/core`.

mod dense;
mod embedding;
mod input_layer;
mod masking;

pub(super) use dense::Dense;
pub(super) use embedding::Embedding;
pub(super) use input_layer::InputLayer;
pub(super) use masking::Masking;
