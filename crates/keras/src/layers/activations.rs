//! Layers of `keras/src/layers/activations`.

mod activation;
mod elu;
mod leaky_relu;
mod prelu;
mod relu;
mod softmax;
mod thresholded_relu;

pub(super) use activation::Activation;
pub(super) use elu::Elu;
pub(super) use leaky_relu::LeakyReLU;
pub(super) use prelu::PReLU;
pub(super) use relu::ReLU;
pub(super) use softmax::Softmax;
pub(super) use thresholded_relu::ThresholdedReLU;
