//! Reads Keras models into K2O graphs.
//!
//! The central functions are [`Archive::read`], which finds config and weights in a file and interprets nothing, and
//! [`import`], which lowers every layer call to operators of `k2o-core` and finds every weight:
//!
//! ```text
//! bytes -> Archive { config: JSON, weights: WeightStore } -> Imported { graph, outline }
//! ```
//!
//! - [`LAYERS`] is the list of supported layers. A layer is one file in `layers/`, which reads its config through
//!   [`Fields`] and adds operators through [`Lowering`]; nothing else knows it.
//! - [`Importer`] takes layers and activations that Keras does not have: types of yours that implement [`Layer`].
//! - Nothing in a file is executed, no other file is opened, and nothing is guessed: what is not supported is an
//!   [`Error`] that names the layer and the key. An import reports all problems of a model at once.
//! - Weights stay where they are until they are needed.
//!
//! This crate knows nothing of ONNX, of kernels, or of the file system: it reads through [`ReadAt`].

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod activation;
mod archive;
mod build;
mod diagnosis;
mod error;
mod fields;
mod import;
mod keras1;
mod layer;
mod layers;
mod lowering;
mod model;
mod ranks;
mod registry;
mod snake_case;
mod version;
mod weights;

pub use activation::{Activation, CustomActivation};
pub use archive::{
    Archive, Format, Layout, Limits, NamedLayer, ReadAt, Source, StoredWeight, WeightStore, describe_folder,
};
pub use error::{Error, ErrorKind, Problem, Result};
pub use fields::Fields;
pub use import::{ImportOptions, Imported, Importer, InputShape, import};
pub use layer::{Layer, LayerObject, Masks};
pub use layers::{Cell, LAYERS, OverSteps, Steps, SupportedLayer};
pub use lowering::{Arg, Call, Lowering, Tensor};
pub use serde_json::Value;
pub use version::KerasVersion;
pub use weights::{Weight, WeightSpec};
