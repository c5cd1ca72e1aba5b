//! Layers of `keras/src/layers/pooling`.

mod adaptive_pooling;
mod global_pooling;
mod pooling_1d;

pub(super) use adaptive_pooling::AdaptivePooling;
pub(super) use global_pooling::GlobalPooling;
pub(super) use pooling_1d::Pooling;
