//! Keras models in pure Rust: open them, look at their shapes, run them, write them as ONNX.
//!
//! The central type is [`Model`]:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/dense_between_steps/keras3.keras");
//! use k2o::{ExportOptions, Model};
//! use ndarray::Array3;
//!
//! let model = Model::open(path)?;
//! assert_eq!(model.summary().total_parameters, 241);
//!
//! let x = Array3::<f32>::zeros((2, 40, 3));
//! let y = model.predict(&[x.into()])?;
//! assert_eq!(y[0].shape(), [2, 2]);
//!
//! let onnx = model.to_onnx(&ExportOptions::default())?.to_bytes()?;
//! assert!(onnx.len() > 241 * 4);
//! # Ok(())
//! # }
//! ```
//!
//! Tensors are channels-last, as in Keras: `[batch, steps, channels]`. Computation is in single precision, by the caller's
//! thread; with the feature `rayon` there is `Threads::new` for [`PredictOptions`] and [`Session`].
//!
//! This crate is thin: it opens files and puts `k2o-keras`, `k2o-core`, `k2o-cpu` and `k2o-onnx` together.

#![forbid(unsafe_code)]

mod analysis;
mod array;
mod batches;
mod error;
mod file;
mod layer;
mod model;
mod predict;
mod sha256;
mod summary;

pub use analysis::{Bound, CostOptions, Costs, LayerCost, ReceptiveField};
pub use array::Array;
pub use error::{Error, ErrorKind, Result};
pub use k2o_core as core;
pub use k2o_cpu as cpu;
pub use k2o_cpu::{InstructionSet, Plan, PlanOptions, Session, StreamPlan, Threads};
pub use k2o_keras as keras;
pub use k2o_keras::{Importer, InputShape, Limits};
pub use k2o_onnx as onnx;
pub use k2o_onnx::{Export, ExportOptions};
pub use model::{Model, OpenOptions, Port, Provenance};
pub use predict::PredictOptions;
pub use summary::{Summary, SummaryRow};
