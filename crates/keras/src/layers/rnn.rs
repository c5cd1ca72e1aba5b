//! `keras/src/layers/rnn`.

mod bidirectional;
mod cell;
mod cudnn;
mod gru;
mod lstm;
mod recurrent;
mod simple_rnn;
mod stacked_rnn_cells;
mod time_distributed;

pub(super) use bidirectional::Bidirectional;
pub use cell::{Cell, OverSteps, Steps};
pub(crate) use cudnn::in_layout_of_the_class;
pub(super) use gru::GruCell;
pub(super) use lstm::LstmCell;
pub use recurrent::Recurrent;
pub(super) use simple_rnn::SimpleRnnCell;
pub(super) use stacked_rnn_cells::StackedRnnCells;
pub(super) use time_distributed::TimeDistributed;
