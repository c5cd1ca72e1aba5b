//! The list of supported layers, alphabetical; each is a file in the folder that Keras keeps it in.

mod activations;
mod convolutional;
mod core;
mod merging;
mod normalization;
mod operators;
mod pooling;
mod preprocessing;
mod regularization;
mod reshaping;
mod rnn;

pub use rnn::{Cell, OverSteps, Steps};
pub(crate) use rnn::{Recurrent, in_layout_of_the_class};

use crate::fields::{as_int, expected};
use crate::lowering::{Lowering, Tensor};
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
    ActivityRegularization => regularization::TrainingOnly;
    AdaptiveAveragePooling1D => pooling::AdaptivePooling, refuses "an unknown number of steps, as Keras does";
    AdaptiveMaxPooling1D => pooling::AdaptivePooling, refuses "an unknown number of steps, as Keras does";
    Add => merging::Merge;
    AlphaDropout => regularization::TrainingOnly;
    Average => merging::Merge;
    AveragePooling1D | AvgPool1D => pooling::Pooling;
    BatchNormalization | BatchNormalizationV1 | BatchNormalizationV2 | SyncBatchNormalization
        => normalization::BatchNormalization, refuses "`virtual_batch_size`";
    Bidirectional => rnn::Bidirectional, refuses "the call argument `constants`";
    Concatenate => merging::Concatenate;
    Conv1D | Convolution1D => convolutional::Conv;
    Conv1DTranspose | Convolution1DTranspose => convolutional::ConvTranspose;
    Cropping1D => reshaping::Cropping;
    CuDNNGRU => rnn::Recurrent, refuses "a mask, as Keras does";
    CuDNNLSTM => rnn::Recurrent, refuses "a mask, as Keras does";
    Dense => core::Dense, refuses "quantized and LoRA weights";
    DepthwiseConv1D => convolutional::DepthwiseConv;
    Dot => merging::Dot, refuses "more than one axis of unknown size in the result";
    Dropout => regularization::TrainingOnly;
    ELU => activations::Elu;
    Embedding => core::Embedding, refuses "quantized and LoRA weights";
    Flatten => reshaping::Flatten;
    GRU => rnn::Recurrent, refuses "the call argument `constants`";
    GRUCell => rnn::GruCell;
    GaussianDropout => regularization::TrainingOnly;
    GaussianNoise => regularization::TrainingOnly;
    GlobalAveragePooling1D | GlobalAvgPool1D => pooling::GlobalPooling;
    GlobalMaxPooling1D | GlobalMaxPool1D => pooling::GlobalPooling;
    GroupNormalization => normalization::GroupNormalization, refuses "masks of Keras 2";
    Identity => regularization::TrainingOnly;
    InputLayer => core::InputLayer, refuses "sparse and ragged inputs";
    LSTM => rnn::Recurrent, refuses "the call argument `constants`";
    LSTMCell => rnn::LstmCell;
    LayerNormalization => normalization::LayerNormalization;
    LeakyReLU => activations::LeakyReLU;
    Masking => core::Masking;
    MaxPooling1D | MaxPool1D => pooling::Pooling;
    Maximum => merging::Merge;
    Minimum => merging::Merge;
    Multiply => merging::Merge;
    Normalization => preprocessing::Normalization;
    PReLU => activations::PReLU;
    Permute => reshaping::Permute;
    RMSNormalization => normalization::LayerNormalization;
    RNN => rnn::Recurrent, refuses "the call argument `constants`";
    ReLU => activations::ReLU;
    RepeatVector => reshaping::RepeatVector;
    Rescaling => preprocessing::Rescaling;
    Reshape => reshaping::Reshape;
    SeparableConv1D | SeparableConvolution1D => convolutional::SeparableConv;
    SimpleRNN => rnn::Recurrent, refuses "the call argument `constants`";
    SimpleRNNCell => rnn::SimpleRnnCell;
    Softmax => activations::Softmax;
    SpatialDropout1D => regularization::TrainingOnly;
    SpectralNormalization => normalization::SpectralNormalization;
    StackedRNNCells => rnn::StackedRnnCells;
    Subtract => merging::Merge;
    ThresholdedReLU => activations::ThresholdedReLU;
    TimeDistributed => rnn::TimeDistributed, refuses "layers of several outputs";
    UnitNormalization => normalization::UnitNormalization;
    UpSampling1D => reshaping::UpSampling;
    ZeroPadding1D => reshaping::ZeroPadding;
}

/// The layer with this class name, in any version's spelling.
pub(crate) fn find(class: &str) -> Option<&'static SupportedLayer> {
    LAYERS.iter().find(|layer| layer.class == class || layer.aliases.contains(&class))
}

/// The operator of `keras.ops` with this class name.
pub(crate) fn find_operator(class: &str) -> Option<&'static SupportedLayer> {
    operators::OPERATORS.iter().find(|operator| operator.class == class)
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

    /// A tensor that is laid out so, with its channels last.
    fn to_channels_last(self, cx: &mut Lowering, x: Tensor) -> Result<Tensor> {
        match self {
            DataFormat::ChannelsLast => Ok(x),
            DataFormat::ChannelsFirst => cx.channels_last(x),
        }
    }

    /// A tensor with its channels last, laid out so.
    fn lay_out(self, cx: &mut Lowering, y: Tensor) -> Result<Tensor> {
        match self {
            DataFormat::ChannelsLast => Ok(y),
            DataFormat::ChannelsFirst => cx.channels_first(y),
        }
    }
}

/// The axis counted from the front, of a tensor of `rank`; Keras counts negative axes from the back.
pub(crate) fn axis_from_front(axis: i64, rank: usize) -> Result<usize> {
    let from_front =
        if axis < 0 { i64::try_from(rank).ok().and_then(|rank| axis.checked_add(rank)) } else { Some(axis) };
    let found = from_front.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    found.ok_or_else(|| crate::Error::malformed(format!("axis {axis} of a tensor of rank {rank}")))
}

/// Axes as Keras writes them: one number or a list, negative ones counted from the back.
#[derive(Clone, Debug)]
struct Axes(Vec<i64>);

impl Axes {
    /// The last axis.
    fn last() -> Axes {
        Axes(vec![-1])
    }

    /// Reads the axes under `key`, if there are any.
    fn take(fields: &mut Fields<'_, '_>, key: &'static str) -> Result<Option<Axes>> {
        let Some(value) = fields.take(&[key]) else { return Ok(None) };
        let one = std::slice::from_ref(value);
        let axes = value.as_array().map_or(one, Vec::as_slice).iter().map(as_int).collect::<Option<_>>();
        axes.map(|axes| Some(Axes(axes))).ok_or_else(|| expected(key, "an axis or a list of axes", value))
    }
}

/// The axes counted from the front, in increasing order, of a tensor of `rank`; at least one.
fn axes_from_front(axes: &Axes, rank: usize) -> Result<Vec<usize>> {
    let mut found = axes.0.iter().map(|&axis| axis_from_front(axis, rank)).collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    if found.is_empty() || found.iter().zip(found.iter().skip(1)).any(|(axis, next)| axis == next) {
        return Err(crate::Error::malformed(format!("the axes {:?} of a tensor of rank {rank}", axes.0)));
    }
    Ok(found)
}

/// Demands that a tensor has `rank` axes.
fn expect_rank(cx: &Lowering, tensor: Tensor, rank: usize) -> Result<()> {
    let shape = cx.shape(tensor)?;
    if shape.rank() == rank {
        return Ok(());
    }
    let message = format!("an input of rank {rank} was expected; {shape} was given");
    Err(k2o_core::Error::shape(message).into())
}

/// A size in memory; numbers past that are an error.
fn size(n: i64) -> Result<usize> {
    if n < 0 {
        return Err(crate::Error::malformed(format!("the size {n} is negative")));
    }
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
