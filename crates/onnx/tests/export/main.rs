//! Graphs exported and read again by another protobuf library.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and so may what it calls")]

mod bidirectional_nodes;
mod cases;
mod decode;
mod files;
mod formulas;
mod graphs;
mod group_norms;
mod moving;
mod net;
mod nodes;
mod operators;
mod options;
mod random_graphs;
mod recipes;
mod recurrent;
mod recurrent_nodes;
mod round_trip;
mod sound;
