//! The runtimes that a file can be written for.

use crate::named::named;

named! {
    /// A runtime, of which the exporter knows what it gets right.
    pub enum Target "target" {
        /// onnxruntime, which follows the standard.
        #[default]
        OnnxRuntime = "onnxruntime",
        /// tract, whose `LSTM`, `GRU` and `RNN` run forwards with the default activations whatever the node says, and
        /// whose `Scan` is right.
        Tract = "tract",
    }
}
