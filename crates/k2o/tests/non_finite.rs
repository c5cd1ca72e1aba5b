//! Weights that are NaN or infinite keep their bits on the way from the file to where they are used, and are counted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run must fail")]

use k2o::core::ExprKind;
use k2o::onnx::WeightsType;
use k2o::{Array, ExportOptions, Model};
use k2o_fixtures::{case, replaced};
use onnx_protobuf::{Message, ModelProto};
use std::collections::BTreeMap;

/// NaNs quiet and signalling, of both signs and with payloads, infinities, a zero with a sign, the least number above zero.
const ODD: [u32; 8] =
    [0x7fc0_0000, 0x7fc0_0001, 0xffd2_3456, 0x7f80_0001, 0x7f80_0000, 0xff80_0000, 0x8000_0000, 0x0000_0001];

/// The bytes of a layer's weight as they are stored.
fn stored(model: &Model, layer: &str, weight: &str) -> Vec<u8> {
    let call = model.outline().calls.iter().find(|call| call.path == layer).expect("there is such a layer");
    let found = call.weights.iter().find(|info| info.name == weight).expect("it has such a weight");
    let ExprKind::Stored(stored) = found.expr.kind() else { unreachable!() };
    stored.read().unwrap()
}

/// The model of a case in which a weight begins with these bits.
fn with_bits(name: &str, layer: &str, weight: &str, bits: &[u32]) -> Model {
    let case = case(name);
    let (json, weights) = (case.path("keras3.json"), case.path("keras3.weights.h5"));
    let json = std::fs::read(json).unwrap();
    let model = Model::from_json_and_weights(json.clone(), std::fs::read(&weights).unwrap()).unwrap();
    let old = stored(&model, layer, weight);
    let mut new = old.clone();
    let odd = bits.iter().flat_map(|bits| bits.to_le_bytes());
    new.iter_mut().zip(odd).for_each(|(byte, odd)| *byte = odd);
    Model::from_json_and_weights(json, replaced(&weights, &old, &new).unwrap()).unwrap()
}

/// The bytes of every initializer by its name.
fn initializers(model: &Model, weights_type: WeightsType) -> BTreeMap<String, Vec<u8>> {
    let options = ExportOptions::default().with_weights_type(weights_type);
    let bytes = model.to_onnx(&options).unwrap().to_bytes().unwrap();
    let file = ModelProto::parse_from_bytes(&bytes).unwrap();
    file.graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.raw_data.to_vec())).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The same NaN that signals nothing.
fn quiet(bits: u32) -> u32 {
    if f32::from_bits(bits).is_nan() { bits | 0x40_0000 } else { bits }
}

/// Where elements are put in another order than they are stored in, this is done in double precision, in which signalling NaNs
/// become quiet: all else of their bits stays.
#[test]
fn an_exported_file_has_the_bits_of_the_weights() {
    for (name, layer, weight, is_moved) in [
        ("embedding_int32", "embedding", "embeddings", false),
        ("dense_plain", "dense", "kernel", false),
        ("conv1d_same", "conv1d", "kernel", false),
        ("depthwise_conv1d_valid", "depthwise_conv1d", "kernel", true),
        ("layer_normalization_two_axes", "layer_normalization", "gamma", false),
        ("conv1d_transpose_valid", "conv1d_transpose", "kernel", true),
        ("lstm_sequences", "lstm/lstm_cell", "kernel", true),
        ("gru_sequences", "gru/gru_cell", "recurrent_kernel", true),
    ] {
        let model = with_bits(name, layer, weight, &ODD);
        let sorted = |bytes: &[u8]| {
            let mut words = words(bytes);
            if is_moved {
                words.iter_mut().for_each(|word| *word = quiet(*word));
            }
            words.sort_unstable();
            words
        };
        let expected = sorted(&stored(&model, layer, weight));
        let files = initializers(&model, WeightsType::F32);
        assert!(files.values().any(|bytes| sorted(bytes) == expected), "{name}: {files:x?}");
    }
}

/// What is rounded has one NaN.
#[test]
fn half_precision_keeps_infinities_and_that_there_are_nans() {
    let model = with_bits("embedding_int32", "embedding", "embeddings", &ODD);
    let files = initializers(&model, WeightsType::F16);
    let expected: [u16; 8] = [0x7e00, 0x7e00, 0x7e00, 0x7e00, 0x7c00, 0xfc00, 0x8000, 0];
    let begins = |bytes: &Vec<u8>| bytes.starts_with(expected.map(u16::to_le_bytes).as_flattened());
    assert!(files.values().any(begins), "{files:x?}");
}

#[test]
fn the_runtime_gives_the_bits_of_the_weights() {
    let model = with_bits("embedding_int32", "embedding", "embeddings", &ODD);
    // Three rows of three numbers.
    let ids = ndarray::array![[0, 1, 2, 0, 1, 2]];
    let outputs = model.predict(&[Array::from(ids)]).unwrap();
    let bits: Vec<u32> = outputs[0].iter().take(8).map(|x| x.to_bits()).collect();
    assert_eq!(bits, ODD);
}

#[test]
fn weights_that_are_not_finite_are_counted_once() {
    let count = |model: &Model| -> Vec<String> {
        model.non_finite_weights().unwrap().iter().map(ToString::to_string).collect()
    };
    let model = with_bits("dense_plain", "dense", "kernel", &ODD);
    assert_eq!(count(&model), ["dense: kernel holds 4 NaN and 2 infinite numbers"]);
    let model =
        with_bits("batch_normalization_last", "batch_normalization", "moving_variance", &[0x7f80_0000]);
    assert_eq!(count(&model), ["batch_normalization: moving_variance holds 1 infinite number"]);
    let model = with_bits("shared_dense", "dense", "kernel", &[0x7fc0_0000]);
    assert_eq!(count(&model), ["dense: kernel holds 1 NaN"]);
    let model = with_bits("lstm_sequences", "lstm/lstm_cell", "bias", &[0xff80_0000]);
    assert_eq!(count(&model), ["lstm/lstm_cell: bias holds 1 infinite number"]);
    let without = Model::from_bytes(std::fs::read(case("dense_plain").path("keras3.json")).unwrap()).unwrap();
    assert_eq!(count(&without), [""; 0]);
}
