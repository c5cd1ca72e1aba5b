//! Layers of `keras/src/layers/rnn`.

mod time_distributed;

pub(super) use time_distributed::TimeDistributed;
