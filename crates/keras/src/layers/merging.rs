//! Layers of `keras/src/layers/merging`.

mod concatenate;
mod dot;
mod merge;

pub(super) use concatenate::Concatenate;
pub(super) use dot::Dot;
pub(super) use merge::Merge;
