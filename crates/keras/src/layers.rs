//! The list of supported layers, alphabetical; each is a file in the folder that Keras keeps it in.

mod activations;
mod convolutional;
mod core;
mod merging;
mod normalization;
mod pooling;
mod regularization;
mod reshaping;

use crate::{Fields, Layer, Result};

/// One layer class that can be imported.
#[derive(Clone, Copy, Debug)]
pub struct SupportedLayer {
    /// The class name in Keras 3.
    pub class: &'static str,
    /// Other spellings, of Keras 1 and 2.
    pub aliases: &'static [&'static str],
    /// What of it is refused; empty if nothing is.
    pub refused: &'static str,
    pub(crate) from_config: fn(&mut Fields<'_, '_>) -> Result<Box<dyn Layer>>,
}

macro_rules! layers {
    ($($class:ident $(| $alias:ident)* => $type:path $(, refuses $refused:literal)?;)*) => {
        /// Every supported layer class, in alphabetical order.
        pub const LAYERS: &[SupportedLayer] = &[$(SupportedLayer {
            class: stringify!($class),
            aliases: &[$(stringify!($alias)),*],
            refused: concat!($($refused)?),
            from_config: |fields| Ok(Box::new(<$type as Layer>::from_config(fields)?)),
        },)*];
    };
}

layers! {
    Activation => activations::Activation;
    Add => merging::Merge;
    AveragePooling1D => pooling::Pooling;
    BatchNormalization | BatchNormalizationV1 | BatchNormalizationV2 | SyncBatchNormalization
        => normalization::BatchNormalization, refuses "`renorm`, `virtual_batch_size`";
    Concatenate => merging::Concatenate;
    Conv1D | Convolution1D => convolutional::Conv;
    Dense => core::Dense, refuses "quantized and LoRA weights";
    Dropout => regularization::Dropout;
    Flatten => reshaping::Flatten;
    GlobalAveragePooling1D => pooling::GlobalPooling;
    GlobalMaxPooling1D | GlobalMaxPool1D => pooling::GlobalPooling;
    InputLayer => core::InputLayer, refuses "sparse and ragged inputs";
    LeakyReLU => activations::LeakyReLU;
    MaxPooling1D | MaxPool1D => pooling::Pooling;
    ReLU => activations::ReLU;
    Reshape => reshaping::Reshape;
    Softmax => activations::Softmax;
    ZeroPadding1D => reshaping::ZeroPadding;
}

/// The layer with this class name, in any version's spelling.
pub(crate) fn find(class: &str) -> Option<&'static SupportedLayer> {
    LAYERS.iter().find(|layer| layer.class == class || layer.aliases.contains(&class))
}

/// How a layer's tensors are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataFormat {
    ChannelsLast,
    ChannelsFirst,
}

impl DataFormat {
    fn take(fields: &mut Fields<'_, '_>) -> Result<DataFormat> {
        let choices =
            [("channels_last", DataFormat::ChannelsLast), ("channels_first", DataFormat::ChannelsFirst)];
        fields.choice(&["data_format"], &choices, DataFormat::ChannelsLast)
    }
}

/// The axis counted from the front, of a tensor of `rank`; Keras counts negative axes from the back.
fn axis_from_front(axis: i64, rank: usize) -> Result<usize> {
    let from_front =
        if axis < 0 { i64::try_from(rank).ok().and_then(|rank| axis.checked_add(rank)) } else { Some(axis) };
    let found = from_front.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    found.ok_or_else(|| crate::Error::malformed(format!("axis {axis} of a tensor of rank {rank}")))
}

/// A size in memory; numbers past that are an error.
fn size(n: i64) -> Result<usize> {
    usize::try_from(n).map_err(|_| crate::Error::limit(format!("the size {n} does not fit memory")))
}

#[cfg(test)]
mod tests {
    use super::LAYERS;

    #[test]
    fn the_list_is_alphabetical_and_names_are_unique() {
        let names: Vec<&str> = LAYERS.iter().map(|layer| layer.class).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        let mut all: Vec<&str> =
            LAYERS.iter().flat_map(|layer| layer.aliases).chain(&names).copied().collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
