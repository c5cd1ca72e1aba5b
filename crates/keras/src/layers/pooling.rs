//! Layers of `keras/src/layers/pooling`.

mod global_pooling;
mod pooling_1d;

pub(super) use global_pooling::GlobalPooling;
pub(super) use pooling_1d::Pooling;
