//! Layers of `keras/src/layers/merging`.

mod concatenate;
mod merge;

pub(super) use concatenate::Concatenate;
pub(super) use merge::Merge;
