//! Writes K2O graphs as ONNX: the file that an expert would have written by hand.
//!
//! The central type is [`Export`]: a [`Graph`](k2o_core::Graph) turned into ONNX nodes by [`export`], from which the
//! file can be written as often as one likes, weights being read one at a time.
//!
//! - Every operator is written in one file of `ops`: the layouts it accepts and the nodes it becomes.
//! - Axes are moved in one pass only (`layout`), and only where data goes from channels-last to channels-first or
//!   back.
//! - A tensor that equals a layer's output, up to the order of its axes, bears the layer's name;
//!   [`Export::layer_names`] says where each layer's output went.
//! - The same graph and options give the same bytes.
//!
//! This crate knows ONNX and nothing of Keras, files, threads, time or the environment.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod choice;
mod draft;
mod encode;
mod error;
mod export;
mod initializer;
mod io_layout;
mod layout;
mod messages;
mod named;
mod names;
mod ops;
mod options;
mod sizes;
mod target;
mod view;
mod weights_type;

pub use choice::Choice;
pub use encode::export;
pub use error::{Error, ErrorKind, Result};
pub use export::Export;
pub use io_layout::IoLayout;
pub use options::{ExportOptions, LateText};
pub use target::Target;
pub use weights_type::WeightsType;

use k2o_core::CallId;

/// Where a layer's output is to be found in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerName {
    /// The layer call.
    pub call: CallId,
    /// Which of its outputs.
    pub output: usize,
    /// Its place.
    pub place: Place,
}

/// Where a layer's output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the tensor of this name.
    Named {
        /// The tensor's name.
        name: String,
        /// Where the tensor's axes stand in another order: its axis `i` is the layer output's axis `permutation[i]`.
        permutation: Option<Vec<usize>>,
    },
    /// Nowhere: it was folded into its neighbours, or flattened in another order of axes.
    Folded,
}
