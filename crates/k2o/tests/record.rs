//! What an exported file says of where it came from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use k2o::{ExportOptions, Model, OpenOptions};
use onnx_protobuf::{Message, ModelProto};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

fn sha256(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn metadata(model: &Model, options: &ExportOptions) -> BTreeMap<String, String> {
    let bytes = model.to_onnx(options).unwrap().to_bytes().unwrap();
    let file = ModelProto::parse_from_bytes(&bytes).unwrap();
    assert_eq!(file.producer_name, "k2o");
    let entries = file.metadata_props.into_iter().map(|entry| (entry.key, entry.value));
    let mut entries: BTreeMap<String, String> = entries.collect();
    assert!(entries.remove("layers").unwrap().starts_with("[{\"name\":"));
    entries
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn a_file_names_its_source() {
    let case = k2o_fixtures::case("conv_only");
    for (name, format, version) in
        [("keras3.keras", ".keras archive", "3.15.1"), ("keras2.h5", "HDF5 model", "2.15.0")]
    {
        let path = case.path(name);
        let expected = pairs(&[
            ("keras_version", version),
            ("source_format", format),
            ("source_sha256", &sha256(&path)),
        ]);
        let model = Model::open(&path).unwrap();
        assert_eq!(metadata(&model, &ExportOptions::default()), expected);
        let model = Model::from_bytes(std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(metadata(&model, &ExportOptions::default()), expected);
        // A part of it is still of that file.
        let part = model.until("conv1d").unwrap();
        assert_eq!(metadata(&part, &ExportOptions::default()), expected);
    }
}

#[test]
fn weights_in_a_file_of_their_own_are_named_too() {
    let case = k2o_fixtures::case("conv_only");
    let (config, weights) = (case.path("keras3.json"), case.path("keras3.weights.h5"));
    let mut options = OpenOptions::default();
    options.weights = Some(weights.clone());
    let model = Model::open_with(&config, &options).unwrap();
    let entries = metadata(&model, &ExportOptions::default());
    assert_eq!(entries["source_sha256"], sha256(&config));
    assert_eq!(entries["weights_sha256"], sha256(&weights));
}

#[test]
fn what_the_caller_says_stands() {
    let model = Model::open(k2o_fixtures::case("conv_only").path("keras3.keras")).unwrap();
    let options =
        ExportOptions::default().with_metadata("source_sha256", "mine").with_metadata("license", "MIT");
    let entries = metadata(&model, &options);
    assert_eq!((entries["source_sha256"].as_str(), entries["license"].as_str()), ("mine", "MIT"));
}
