//! Layers of `keras/src/layers/regularization`.

mod training_only;

pub(super) use training_only::TrainingOnly;
