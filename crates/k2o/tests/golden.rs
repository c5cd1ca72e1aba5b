//! What is written for whole models and for layers of every kind, node by node, as text in `golden/`.
//!
//! A change of the exporter shows in the texts; `cargo xtask golden` rewrites them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod onnx_text;

use k2o::onnx::Target;
use k2o::{ExportOptions, Model, OpenOptions};
use onnx_protobuf::{Message, ModelProto};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Models of many layers.
const MODELS: &[&str] = &[
    "advanced",
    "basic",
    "bidirectional_classifier",
    "conv_only",
    "dense_between_flat",
    "dense_between_steps",
    "encoder_decoder_symbolic_time",
    "functional_residual",
    "keras1_sequential",
    "narrow_advanced",
    "nested_two_levels",
    "recurrent_attention",
    "recurrent_encoder_decoder_ids",
    "stream_audio",
    "stream_conv_gru",
    "stream_conv_lstm",
    "stream_tcn",
    "symbolic_time",
    "two_inputs_two_outputs",
];

/// Layers of one kind each.
const LAYERS: &[&str] = &[
    "activation_functions",
    "activation_functions_of_keras3",
    "activation_hard_sigmoid",
    "activation_layers_every_form",
    "activation_symbolic_time",
    "adaptive_average_pooling1d_overlaps",
    "adaptive_pooling_every_form",
    "batch_normalization_before",
    "batch_normalization_behind",
    "batch_normalization_last",
    "bidirectional_gru",
    "bidirectional_lstm",
    "bidirectional_lstm_modes",
    "bidirectional_lstm_sequences",
    "bidirectional_simple_rnn",
    "concatenate_channels",
    "conv1d_causal",
    "conv1d_dilation2_causal",
    "conv1d_first",
    "conv1d_strides2_same",
    "conv1d_transpose_strides2_same",
    "convolution_every_form",
    "convolution_symbolic_time",
    "core_every_form",
    "cudnn_lstm",
    "depthwise_conv1d_multiplier2",
    "dot_channels",
    "embedding_before_conv",
    "embedding_mask_lstm",
    "embedding_mask_mean",
    "flatten_first_dense",
    "group_normalization_between_convs",
    "gru_activations",
    "gru_reset_before_sequences",
    "gru_sequences",
    "input_fixed_batch",
    "layer_normalization_axis1",
    "lstm_activations",
    "lstm_backwards_sequences",
    "lstm_last",
    "lstm_sequences",
    "masking_bidirectional",
    "masking_gru",
    "masking_stacked_cells",
    "masks_merged_same",
    "merging_every_form",
    "merging_ranks",
    "normalization_every_form",
    "normalization_given",
    "normalization_symbolic_time",
    "permute",
    "pooling_every_form",
    "pooling_symbolic_time",
    "prelu",
    "recurrent_initial_states",
    "recurrent_states",
    "regularization_every_form",
    "rescaling",
    "reshaping_every_form",
    "reshaping_symbolic_time",
    "rnn_lstm",
    "rnn_stacked",
    "separable_conv1d_causal",
    "shared_conv",
    "simple_rnn_activations",
    "simple_rnn_last",
    "simple_rnn_sequences",
    "softmax",
    "sparsemax_in_dense",
    "spectral_normalization_conv",
    "thresholded_relu_theta",
    "time_distributed_conv",
    "time_distributed_dense",
    "unit_normalization_axes",
];

/// What depends on the operator set: a name, a case, and, where the case has other layers too, the layer.
const OF_OPSETS: &[(&str, &str, Option<&str>)] = &[
    ("gelu", "activation_functions", Some("of_gelu")),
    ("global_max_pooling1d", "global_max_pooling1d_alone", None),
    ("group_normalization", "group_normalization_two", None),
    ("group_normalization_of_one_channel", "group_normalization_instance", None),
    ("hard_swish", "activation_functions_of_keras3", Some("of_hard_swish")),
    ("layer_normalization", "layer_normalization_last", None),
    ("masking_simple_rnn", "masking_simple_rnn", None),
    ("mish", "activation_functions", Some("of_mish")),
    ("rms_normalization", "rms_normalization_last", None),
];

/// The first form of a case.
fn model(case: &str) -> Model {
    let form = k2o_fixtures::case(case).forms().remove(0);
    let mut options = OpenOptions::default();
    options.weights = form.weights;
    Model::open_with(&form.model, &options).unwrap()
}

fn text(model: &Model, options: &ExportOptions) -> String {
    let bytes = model.to_onnx(options).unwrap().to_bytes().unwrap();
    onnx_text::text(&ModelProto::parse_from_bytes(&bytes).unwrap())
}

/// Every snapshot, by name.
fn snapshots() -> Vec<(String, String)> {
    let default = ExportOptions::default();
    let mut all: Vec<(String, String)> = Vec::new();
    all.extend(MODELS.iter().chain(LAYERS).map(|case| (case.to_string(), text(&model(case), &default))));
    for (name, case, layer) in OF_OPSETS {
        let model = layer.map_or_else(|| model(case), |layer| model(case).until(layer).unwrap());
        for (at, opset) in [
            ("oldest", ExportOptions::MIN_OPSET),
            ("default", default.opset),
            ("newest", ExportOptions::MAX_OPSET),
        ] {
            all.push((format!("{name}@{at}"), text(&model, &default.clone().with_opset(opset))));
        }
    }
    for (case, what, options) in [
        ("bidirectional_gru", "tract", default.clone().with_target(Target::Tract)),
        ("gru_sequences", "tract", default.clone().with_target(Target::Tract)),
        ("lstm_last", "tract", default.clone().with_target(Target::Tract)),
        ("masking_right_rnn", "right_padded", default.clone().with_right_padding(true)),
        ("narrow_advanced", "taps", default.clone().with_taps(true)),
    ] {
        all.push((format!("{case}@{what}"), text(&model(case), &options)));
    }
    all
}

#[test]
fn exported_files_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut differ = Vec::new();
    let mut expected = BTreeSet::new();
    for (name, text) in snapshots() {
        let compare = || settings.bind(|| insta::assert_snapshot!(name.as_str(), text));
        if catch_unwind(AssertUnwindSafe(compare)).is_err() {
            differ.push(name.clone());
        }
        assert!(expected.insert(format!("{name}.snap")), "{name} is there twice");
    }
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string());
    let stray = files.map(Result::unwrap).filter(|file| file.ends_with(".snap") && !expected.contains(file));
    differ.extend(stray);
    assert!(
        differ.is_empty(),
        "not as in tests/golden: {differ:#?}\n`cargo xtask golden` rewrites what is there"
    );
}
