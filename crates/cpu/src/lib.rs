//! Runs networks on the CPU.
//!
//! The central type is [`Plan`]: a [`Graph`](k2o_core::Graph) made ready to run, with its constants evaluated and
//! packed and its operators joined into steps, but without sizes. A [`Session`] of a plan owns the memory and runs
//! it on arrays.
//!
//! ```
//! # use k2o_core::{DType, Dim, GraphBuilder, Shape, TensorType, ops};
//! # use k2o_cpu::{Plan, PlanOptions, TensorView};
//! # let mut builder = GraphBuilder::new();
//! # let shape = Shape::new([Dim::symbol("batch"), 3.into()]);
//! # let x = builder.input("x", TensorType::new(shape, DType::F32))?;
//! # let y = builder.add(ops::Unary::Relu, [x])?;
//! # builder.output("y", y);
//! # let graph = builder.finish();
//! let plan = Plan::new(&graph, &PlanOptions::default())?;
//! let mut session = plan.session();
//! let outputs = session.run(&[TensorView::f32(&[2, 3], &[1., -2., 3., -4., 5., -6.])?])?;
//! let y = outputs.by_name("y").and_then(|y| y.as_f32());
//! assert_eq!(y, Some([1., 0., 3., 0., 5., 0.].as_slice()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants:
//!
//! - The result for one sample has the same bits whatever the batch it is in: an element's arithmetic depends on
//!   the operator and on the element's own inputs only. Vector lanes are output channels. Sums of products are made
//!   of blocks of at most [`BLOCK`] terms whose places depend on the kernel's sizes only.
//! - A recurrent layer run on the parts of a sequence, each from the last states of the one before, gives the bits of
//!   the whole.
//! - Joining operators into a step changes no bit, so what taps show is what runs without taps.
//! - A session allocates nothing for sizes that it has seen; with those of a pool, as far as rayon does not.
//! - NaN and infinity propagate as in the operators' references.
//!
//! All `unsafe` of the project but that of its benches is here: vectors and what reads them through pointers (`simd`,
//! `kernels`), and memory and work that several threads share (`arena`, `session`, `threads`).
//!
//! This crate knows nothing of Keras, ONNX, files, time or the environment, and starts no thread unless it is asked to.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "memory whose parts several threads write")]
#[deny(clippy::indexing_slicing)]
mod arena;
#[deny(clippy::indexing_slicing)]
mod bound;
mod error;
#[allow(unsafe_code, reason = "elements behind pointers, and operations between vectors")]
mod kernels;
#[deny(clippy::indexing_slicing)]
mod plan;
#[allow(unsafe_code, reason = "chunks of values that threads write")]
#[deny(clippy::indexing_slicing)]
mod session;
#[allow(unsafe_code, reason = "instructions that not every processor has")]
mod simd;
#[deny(clippy::indexing_slicing)]
mod stream;
#[deny(clippy::indexing_slicing)]
mod table;
#[cfg(test)]
mod testing;
#[allow(unsafe_code, reason = "work that several threads share")]
mod threads;
#[deny(clippy::indexing_slicing)]
mod view;

pub use error::{Error, ErrorKind, Result};
pub use kernels::products::BLOCK;
pub use plan::{Plan, PlanOptions, StepInfo};
pub use session::{Outputs, Session};
pub use simd::InstructionSet;
pub use stream::{StreamOutputs, StreamPlan, StreamSession};
pub use threads::Threads;
pub use view::{DataView, TensorView};
