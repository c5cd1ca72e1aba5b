//! Reads Keras models into K2O graphs.

#![forbid(unsafe_code)]

mod archive;
mod error;

pub use archive::{Archive, Limits, ReadAt, Source, StoredWeight, WeightStore};
pub use error::{Error, ErrorKind, Problem, Result};
