//! Layers of `keras/src/layers/activations`.

mod activation;
mod leaky_relu;
mod relu;
mod softmax;

pub(super) use activation::Activation;
pub(super) use leaky_relu::LeakyReLU;
pub(super) use relu::ReLU;
pub(super) use softmax::Softmax;
