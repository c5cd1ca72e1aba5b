//! What a caller may choose about the file.

use crate::{Error, IoLayout, Result, Target, WeightsType};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What the file says besides the graph, and how it says what the graph does. The flags of `k2o convert` are these
/// fields.
///
/// ```
/// let options = k2o_onnx::ExportOptions::default().with_opset(18).with_metadata("license", "MIT");
/// assert_eq!(options.opset, 18);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The version of ONNX's operator set, 13 to 28; 17 by default, which is the oldest with `LayerNormalization`. The
    /// file format (`ir_version`) is the oldest that knows it.
    pub opset: i64,
    /// Whether every layer output that still exists becomes an output of the model, after its own. The nodes are
    /// the same either way.
    pub keep_taps: bool,
    /// The runtime that the file is for, whose known errors the nodes keep clear of; what the standard says and
    /// onnxruntime does by default.
    pub target: Option<Target>,
    /// Whether the steps that a mask leaves out are always the last ones of their row, so that `LSTM`, `GRU` and `RNN`
    /// can be told how many there are. Where they are not, those nodes then compute something else than the model.
    pub assume_right_padded: bool,
    /// The size of the first axis of every input; as the model has it by default, which is a symbol, `batch`, for most.
    pub batch: Option<usize>,
    /// Sizes of inputs by their names, in Keras's order of axes whatever the layout; where there is none, the size is as
    /// the model has it. None are given by default.
    pub input_shapes: Vec<(String, Vec<Option<usize>>)>,
    /// The order of the axes of inputs and outputs; Keras's by default.
    pub io_layout: IoLayout,
    /// The type in which weights are stored; single precision by default.
    pub weights_type: WeightsType,
    /// Whether weights go to a file of their own, next to the model, whatever their size. By default they do if the model
    /// would be larger than [`MAX_MODEL_BYTES`](ExportOptions::MAX_MODEL_BYTES).
    pub external_data: bool,
    /// The model's `producer_version`; this crate's version by default. The `producer_name` is always `k2o`.
    pub producer_version: String,
    /// The graph's name; the outline's by default.
    pub model_name: Option<String>,
    /// The model's `doc_string`.
    pub doc_string: String,
    /// Pairs of a key, which must be unique, and a value, for the model's `metadata_props`. Behind them stands `layers`:
    /// a JSON array of the Keras layers with `name`, `class`, and, where its output is a tensor of the file, `tensor`
    /// and, where that has its axes in another order, `permutation`.
    pub metadata: Vec<(String, String)>,
    /// Further pairs for the model's `metadata_props`, whose values are asked for when the file is written up to them.
    pub late_metadata: Vec<(String, LateText)>,
}

/// A text that is known later, such as one that another thread computes; cheap to clone.
#[derive(Clone)]
pub struct LateText(Arc<dyn Fn() -> std::io::Result<String> + Send + Sync>);

impl LateText {
    /// The text that `get` returns, each time that it is called.
    pub fn new(get: impl Fn() -> std::io::Result<String> + Send + Sync + 'static) -> LateText {
        LateText(Arc::new(get))
    }

    /// The text.
    pub(crate) fn get(&self) -> std::io::Result<String> {
        (self.0)()
    }
}

impl fmt::Debug for LateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateText")
    }
}

/// The same if they are clones of each other.
impl PartialEq for LateText {
    fn eq(&self, other: &LateText) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LateText {}

/// The key of the metadata that the exporter adds.
pub(crate) const LAYERS: &str = "layers";

impl Default for ExportOptions {
    fn default() -> ExportOptions {
        ExportOptions {
            opset: 17,
            keep_taps: false,
            target: None,
            assume_right_padded: false,
            batch: None,
            input_shapes: Vec::new(),
            io_layout: IoLayout::default(),
            weights_type: WeightsType::default(),
            external_data: false,
            producer_version: env!("CARGO_PKG_VERSION").into(),
            model_name: None,
            doc_string: String::new(),
            metadata: Vec::new(),
            late_metadata: Vec::new(),
        }
    }
}

impl ExportOptions {
    /// The oldest operator set that can be written.
    pub const MIN_OPSET: i64 = 13;
    /// The newest operator set that can be written.
    pub const MAX_OPSET: i64 = 28;
    /// The largest model that is one file: Google's protobuf, on which most readers build, refuses 2 GiB and more.
    pub const MAX_MODEL_BYTES: u64 = 2_040_109_465;

    /// Sets [`opset`](Self::opset).
    pub fn with_opset(self, opset: i64) -> Self {
        Self { opset, ..self }
    }

    /// Sets [`keep_taps`](Self::keep_taps).
    pub fn with_taps(self, keep_taps: bool) -> Self {
        Self { keep_taps, ..self }
    }

    /// Sets [`target`](Self::target).
    pub fn with_target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Sets [`assume_right_padded`](Self::assume_right_padded).
    pub fn with_right_padding(self, assume_right_padded: bool) -> Self {
        Self { assume_right_padded, ..self }
    }

    /// Sets [`batch`](Self::batch).
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch: Some(batch), ..self }
    }

    /// Adds to [`input_shapes`](Self::input_shapes).
    pub fn with_input_shape(
        mut self,
        name: impl Into<String>,
        sizes: impl IntoIterator<Item = Option<usize>>,
    ) -> Self {
        self.input_shapes.push((name.into(), sizes.into_iter().collect()));
        self
    }

    /// Sets [`io_layout`](Self::io_layout).
    pub fn with_io_layout(self, io_layout: IoLayout) -> Self {
        Self { io_layout, ..self }
    }

    /// Sets [`weights_type`](Self::weights_type).
    pub fn with_weights_type(self, weights_type: WeightsType) -> Self {
        Self { weights_type, ..self }
    }

    /// Sets [`external_data`](Self::external_data).
    pub fn with_external_data(self, external_data: bool) -> Self {
        Self { external_data, ..self }
    }

    /// Sets [`producer_version`](Self::producer_version).
    pub fn with_producer_version(self, version: impl Into<String>) -> Self {
        Self { producer_version: version.into(), ..self }
    }

    /// Sets [`model_name`](Self::model_name).
    pub fn with_model_name(self, name: impl Into<String>) -> Self {
        Self { model_name: Some(name.into()), ..self }
    }

    /// Sets [`doc_string`](Self::doc_string).
    pub fn with_doc_string(self, text: impl Into<String>) -> Self {
        Self { doc_string: text.into(), ..self }
    }

    /// Adds a pair to [`metadata`](Self::metadata).
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Adds a pair to [`late_metadata`](Self::late_metadata).
    pub fn with_late_metadata(mut self, key: impl Into<String>, value: LateText) -> Self {
        self.late_metadata.push((key.into(), value));
        self
    }

    /// Refuses what no file can say.
    pub(crate) fn check(&self) -> Result<()> {
        let (min, max, opset) = (Self::MIN_OPSET, Self::MAX_OPSET, self.opset);
        if !(min..=max).contains(&opset) {
            return Err(Error::input(format!("opset {opset} cannot be written; {min} to {max} can")));
        }
        if (self.target, self.weights_type) == (Some(Target::Tract), WeightsType::BF16) {
            // Of 0.23.9.
            return Err(Error::unsupported("tract reads no bf16 weights; f16 it does"));
        }
        let mut keys = BTreeSet::from([LAYERS]);
        let given = self.metadata.iter().map(|(key, _)| key);
        match given
            .chain(self.late_metadata.iter().map(|(key, _)| key))
            .find(|key| !keys.insert(key.as_str()))
        {
            Some(key) => Err(Error::input(format!("the metadata key {key:?} is given twice"))),
            None => Ok(()),
        }
    }

    /// The lowest version of the file format that knows the operator set.
    pub(crate) fn ir_version(&self) -> i64 {
        match self.opset {
            ..=14 => 7,
            15..=18 => 8,
            19..=20 => 9,
            21..=22 => 10,
            23 => 11,
            24 => 12,
            25..=27 => 13,
            28.. => 14,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn an_opset_out_of_range_is_refused_by_name() {
        for opset in [-1, 0, 12, 29, i64::MAX] {
            let error = ExportOptions::default().with_opset(opset).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Input);
            assert_eq!(error.message(), format!("opset {opset} cannot be written; 13 to 28 can"));
        }
        assert!(ExportOptions::default().with_opset(13).check().is_ok());
        assert!(ExportOptions::default().with_opset(28).check().is_ok());
    }

    #[test]
    fn the_format_is_as_old_as_the_opset_allows() {
        let version = |opset| ExportOptions::default().with_opset(opset).ir_version();
        assert_eq!([13, 14, 15, 18, 19, 20, 21, 22, 23].map(version), [7, 7, 8, 8, 9, 9, 10, 10, 11]);
        assert_eq!([24, 25, 26, 27, 28].map(version), [12, 13, 13, 13, 14]);
    }

    #[test]
    fn what_a_target_cannot_read_is_refused() {
        let options =
            |weights| ExportOptions::default().with_target(Target::Tract).with_weights_type(weights);
        assert_eq!(options(WeightsType::BF16).check().unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(options(WeightsType::F16).check().is_ok());
    }

    #[test]
    fn metadata_keys_are_unique() {
        let options = ExportOptions::default().with_metadata("a", "1").with_metadata("a", "2");
        assert_eq!(options.check().unwrap_err().message(), "the metadata key \"a\" is given twice");
        let options = ExportOptions::default().with_metadata("layers", "[]");
        assert!(options.check().is_err());
    }
}
