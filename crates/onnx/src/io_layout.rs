//! In which order of axes a file takes and gives its tensors.

use crate::named::named;

named! {
    /// The order of the axes of a file's inputs and outputs.
    pub enum IoLayout "io layout" {
        /// As in Keras: `[batch, steps, channels]`.
        #[default]
        ChannelsLast = "channels-last",
        /// As ONNX's convolutions have them: `[batch, channels, steps]`. Inputs and outputs of two axes and fewer are
        /// the same either way.
        ChannelsFirst = "channels-first",
    }
}
