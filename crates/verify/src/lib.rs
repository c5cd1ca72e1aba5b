//! Cross-checks: what the runtime and the exported file compute, against the reference in `f64`, against tract, and
//! against outputs that Keras itself computed.
//!
//! [`verify`] runs all of them on one input and returns a [`Report`] with the worst difference per layer and per
//! output. Every difference is held against one bound: `|ours - expected| <= 1e-5 * max(1, max|expected|)`.
//!
//! The feature `tract` adds the run of the exported file in tract; it takes minutes to compile. The feature `rten` adds
//! `RtenModel`, a third runtime for exported files.

#![forbid(unsafe_code)]

mod compare;
mod difference;
mod inputs;
#[cfg(feature = "rten")]
mod rten;
#[cfg(feature = "tract")]
mod tract;

pub use compare::{Change, Finding, Options, OutputRow, Report, Row, verify};
pub use difference::{BOUND, Difference};
pub use inputs::random_inputs;
#[cfg(feature = "rten")]
pub use rten::RtenModel;
#[cfg(feature = "tract")]
pub use tract::{TractModel, run as run_tract, shapes_in_tract};
