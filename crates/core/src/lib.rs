//! What a network does: shapes, dtypes, the closed set of operators, and graphs of them.
//!
//! The central type is [`Graph`]: operators in execution order over values whose shapes are known. A graph is
//! only made by a [`GraphBuilder`], which infers the shape of every value as it is added or fails, so that a
//! graph whose shapes do not fit cannot exist. Tensors are channels-last, as in Keras.
//!
//! - [`Dim`] and [`Shape`] are numbers or expressions of symbols (`batch`, `(steps - 3) / 2 + 1`); all
//!   arithmetic on them is checked.
//! - [`ops`] holds one file per operator: its shape rule, its cost, and its reference semantics over `f64`.
//! - [`Constant`] is a lazily evaluated weight.
//! - [`Outline`] is the tree of layer calls that a graph was made from; every node points into it.
//! - [`rewrite`] makes an equal graph that is smaller.
//!
//! This crate knows nothing of Keras, ONNX, files, threads, time or the environment.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
// Loops of tests count as they like.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod constant;
mod constraint;
mod cost;
mod dim;
mod dtype;
mod error;
mod graph;
mod grouped;
mod motion;
pub mod ops;
mod outline;
mod per_value;
mod reference;
mod rewrite;
mod samples;
mod shape;
mod tensor;
mod window;

pub use constant::{Constant, ConstantExpr, ExprKind, Ranges, StoredTensor};
pub use constraint::{Constraint, Relation};
pub use cost::Cost;
pub use dim::{Atom, Bindings, Dim, Monomial};
pub use dtype::DType;
pub use error::{Error, ErrorKind, Result};
pub use graph::{ConstantId, Graph, GraphBuilder, Node, NodeId, Operand, Port, Tap, Value, ValueId};
pub use grouped::grouped;
pub use motion::{Fill, Motion, motion, padding_before};
pub use ops::Op;
pub use outline::{CallId, LayerCall, Outline, WeightInfo};
pub use per_value::PerValue;
pub use reference::{ReferenceRun, run_reference};
pub use rewrite::{reduce_before_concat, rewrite, round_weights, substitute, to_scans, until};
pub use samples::computes_samples_alone;
pub use shape::{Shape, TensorType};
pub use tensor::{Data, Tensor};
pub use window::{Extent, Padding, Window};
