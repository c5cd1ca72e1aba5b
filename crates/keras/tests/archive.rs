//! Archives against the files of real Keras: every form of every model, files that are no models, damaged files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

use k2o_core::StoredTensor;
use k2o_fixtures::{Case, Form, cases, other};
use k2o_keras::{Archive, ErrorKind, Format, Layout, Limits, Result, Source, StoredWeight, describe_folder};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

fn source(path: &Path) -> Source {
    let name = path.file_name().unwrap().to_string_lossy();
    Source::from_bytes(name, std::fs::read(path).unwrap())
}

fn read(path: &Path) -> Result<Archive> {
    Archive::read(&source(path), &Limits::default())
}

fn read_form(form: &Form) -> Result<Archive> {
    match &form.weights {
        None => read(&form.model),
        Some(weights) => {
            Archive::read_parts(&source(&form.model), None, Some(&source(weights)), &Limits::default())
        }
    }
}

/// Every weight of the model: that of layers, and that of the model itself.
fn weights(archive: &Archive) -> Vec<StoredWeight> {
    let Some(store) = &archive.weights else { return Vec::new() };
    let tree = store.tree().values().flatten().map(|(_, weight)| weight);
    let named = store.named().iter().flat_map(|layer| &layer.weights).chain(store.top_level());
    tree.chain(named.map(|(_, weight)| weight)).cloned().collect()
}

/// Shapes and bytes of all weights, in an order that the layout has no part in.
fn leaves(archive: &Archive) -> Vec<(Vec<usize>, Vec<u8>)> {
    let leaf = |weight: &StoredWeight| (weight.shape().to_vec(), weight.read().unwrap());
    let mut leaves: Vec<_> = weights(archive).iter().map(leaf).collect();
    leaves.sort();
    leaves
}

/// The same with the axes and the elements of every weight sorted.
fn shuffled(mut leaves: Vec<(Vec<usize>, Vec<u8>)>) -> Vec<(Vec<usize>, Vec<u8>)> {
    for (shape, bytes) in &mut leaves {
        shape.sort_unstable();
        let mut elements: Vec<&[u8]> = bytes.chunks(4).collect();
        elements.sort_unstable();
        *bytes = elements.concat();
    }
    leaves.sort();
    leaves
}

#[track_caller]
fn check_form(case: &Case, form: &Form) -> Archive {
    let label = format!("{} {}", case.name, form.label());
    let archive = read_form(form).unwrap_or_else(|error| panic!("{label}: {error}"));
    let extension = form.model.extension().unwrap().to_str().unwrap();
    let (format, part) = match extension {
        "keras" => (Format::KerasZip, "config.json"),
        "h5" => (Format::Hdf5, "attribute model_config"),
        _ => (Format::JsonAndWeights, form.model.file_name().unwrap().to_str().unwrap()),
    };
    assert_eq!(archive.format, format, "{label}");
    assert_eq!(archive.config_part, part, "{label}");
    assert!(archive.config["class_name"].is_string(), "{label}");
    let weights = form.weights.as_deref().unwrap_or(&form.model).to_string_lossy().into_owned();
    let layout = match weights.ends_with(".keras") || weights.ends_with(".weights.h5") {
        true => Layout::Tree,
        false => Layout::Named,
    };
    assert_eq!(archive.weights.as_ref().unwrap().layout(), layout, "{label}");
    match &archive.keras_version {
        Some(version) => assert!(version.starts_with(&format!("{}.", form.keras)), "{label}: {version}"),
        // The configuration of Keras 3 does not say which Keras wrote it, and some of the oldest files do not.
        None => {
            let stem = form.model.file_stem().unwrap().to_str().unwrap();
            let without = ["keras1.filters_first", "keras2.no_version"];
            assert!(extension == "json" && form.keras == 3 || without.contains(&stem), "{label}");
        }
    }
    archive
}

#[test]
fn every_form_of_every_model_holds_the_same_weights() {
    for case in cases() {
        let forms: Vec<(Form, Archive)> =
            case.forms().into_iter().map(|form| (form.clone(), check_form(&case, &form))).collect();
        let parameters = case.description["summary"]["total_params"].as_u64().unwrap();
        // In half precision the two versions of Keras keep different things.
        let is_half = case.name.starts_with("precision_");
        // The axes of a kernel have changed their order and their direction.
        let is_old = case.name.starts_with("keras1_") || case.name.starts_with("oldest_");
        let mut first = BTreeMap::new();
        for (form, archive) in &forms {
            let leaves = if is_old { shuffled(leaves(archive)) } else { leaves(archive) };
            let count: usize = leaves.iter().map(|(shape, _)| shape.iter().product::<usize>()).sum();
            // What several layers share may be there more than once; and one bias may be there where the layer has two.
            let has_all = case.name != "cudnn_layers_of_plain_weights";
            assert!(count as u64 >= parameters || !has_all, "{} {}", case.name, form.label());
            let leaves = BTreeSet::from_iter(leaves);
            let expected =
                first.entry(if is_half { form.keras } else { 0 }).or_insert_with(|| leaves.clone());
            assert!(*expected == leaves, "{} {} differs", case.name, form.label());
        }
    }
}

#[test]
fn both_layouts_keep_the_order_of_a_layers_weights() {
    let case = k2o_fixtures::case("batchnorm_negative");
    let tree = read(&case.path("keras3.keras")).unwrap().weights.unwrap();
    for file in ["keras3.h5", "keras2.h5"] {
        let named = read(&case.path(file)).unwrap().weights.unwrap();
        let mut compared = 0;
        for layer in named.named() {
            let path = format!("layers/{}", layer.name);
            let numbered = tree.tree().get(&path).map(Vec::as_slice).unwrap_or_default();
            assert_eq!(numbered.len(), layer.weights.len(), "{path}");
            for (position, ((index, a), (name, b))) in numbered.iter().zip(&layer.weights).enumerate() {
                assert_eq!(*index, position);
                assert_eq!(a.path(), format!("{path}/vars/{index}"));
                assert_eq!(a.shape(), b.shape(), "{name}");
                assert_eq!(a.read().unwrap(), b.read().unwrap(), "{name}");
                compared += 1;
            }
        }
        assert_eq!(compared, 2 + 4 + 2 + 4 + 2);
    }
}

#[test]
fn the_optimizers_variables_are_counted_and_left_out() {
    let case = k2o_fixtures::case("compiled_trained");
    // Adam keeps two moments for each parameter that is trained, and a step; Keras 3 also a learning rate.
    let trained = case.description["summary"]["trainable_params"].as_u64().unwrap();
    for (file, expected) in [
        ("keras2.h5", 2 * trained + 1),
        ("keras2.keras", 2 * trained + 1),
        ("keras3.h5", 2 * trained + 2),
        ("keras3.keras", 2 * trained + 2),
    ] {
        let archive = read(&case.path(file)).unwrap();
        assert_eq!(archive.weights.unwrap().optimizer_elements(), expected, "{file}");
    }
    let archive = read(&k2o_fixtures::case("conv_only").path("keras3.keras")).unwrap();
    assert_eq!(archive.weights.unwrap().optimizer_elements(), 0);
}

#[test]
fn a_configuration_alone_has_no_weights() {
    let path = k2o_fixtures::case("conv_only").path("keras2.json");
    let archive = read(&path).unwrap();
    assert_eq!(archive.format, Format::Json);
    assert_eq!(archive.keras_version.as_deref(), Some("2.15.0"));
    assert_eq!(archive.backend.as_deref(), Some("tensorflow"));
    assert_eq!(archive.config_part, "keras2.json");
    assert!(archive.weights.is_none());
}

#[test]
fn parts_that_are_mixed_up_say_so() {
    let case = k2o_fixtures::case("conv_only");
    let (json, whole) = (source(&case.path("keras3.json")), source(&case.path("keras3.keras")));
    let limits = Limits::default();
    let error = Archive::read_parts(&whole, None, Some(&whole), &limits).unwrap_err();
    assert!(error.to_string().contains("keras3.keras: the JSON of a configuration was expected"), "{error}");
    let error = Archive::read_parts(&json, None, Some(&json), &limits).unwrap_err();
    assert!(error.to_string().contains("keras3.json: weights were expected"), "{error}");
    let error = Archive::read_parts(&json, None, Some(&source(&other("tiny.onnx"))), &limits).unwrap_err();
    assert!(error.to_string().contains("tiny.onnx: this is an ONNX model"), "{error}");
    // The weights of a whole model will do, and so will the metadata of an unpacked one.
    let metadata = Source::from_bytes("metadata.json", br#"{"keras_version": "3.1.0"}"#.as_slice());
    let archive = Archive::read_parts(&json, Some(&metadata), Some(&whole), &limits).unwrap();
    assert_eq!(archive.keras_version.as_deref(), Some("3.1.0"));
    assert_eq!(leaves(&archive), leaves(&read(&case.path("keras3.keras")).unwrap()));
}

#[test]
fn files_that_are_no_models_are_named() {
    use ErrorKind::{Malformed, Unsupported};
    let table = [
        ("checkpoint/checkpoint", Unsupported, "the index of a TensorFlow checkpoint"),
        ("checkpoint/ckpt.index", Unsupported, "the index of a TensorFlow checkpoint"),
        ("empty.keras", Malformed, "the file is empty"),
        ("frozen.pb", Unsupported, "a frozen TensorFlow graph"),
        ("git_lfs_pointer.keras", Unsupported, "git lfs pull"),
        ("half.json", Malformed, "the JSON ends too early, at line 1 column 1664"),
        ("image.png", Unsupported, "a PNG image"),
        ("measurements.h5", Unsupported, "not written by Keras: it holds \"measurements\""),
        ("no_config.keras", Malformed, "config.json is missing"),
        ("no_model_config.h5", Malformed, "no attribute model_config"),
        ("numpy.npz", Unsupported, "a NumPy .npz archive"),
        (
            "package.json",
            Unsupported,
            "\"class_name\" and \"config\" were expected, it has \"name\", \"version\"",
        ),
        ("page.h5", Unsupported, "a web page"),
        ("README.md", Unsupported, "begins with the bytes 23 20"),
        ("saved_model/saved_model.pb", Unsupported, "a TensorFlow SavedModel"),
        ("tfjs/model.json", Unsupported, "a TensorFlow.js model cannot be read yet"),
        ("tiny.onnx", Unsupported, "an ONNX model"),
        ("tiny.tflite", Unsupported, "a TensorFlow Lite model"),
        ("torch.pt", Unsupported, "a PyTorch model"),
        ("torch_legacy.pt", Unsupported, "a PyTorch checkpoint"),
        ("truncated.h5", Malformed, "cut off"),
        ("truncated.keras", Malformed, "the end of the zip archive is missing"),
        ("weights_only.h5", Unsupported, "`--weights`"),
        ("weights_only.weights.h5", Unsupported, "`--weights`"),
    ];
    for (name, kind, expected) in table {
        let error = read(&other(name)).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
        let file = name.rsplit('/').next().unwrap();
        assert!(error.to_string().starts_with(&format!("{file}: ")), "{name}: {error}");
        if name != "README.md" {
            assert!(error.problems().iter().all(|problem| problem.help.is_some()), "{name}: {error}");
        }
    }
}

#[test]
fn folders_that_are_no_models_are_named() {
    for (folder, expected) in
        [("saved_model", "SavedModel"), ("checkpoint", "checkpoint"), ("tfjs", "TensorFlow.js")]
    {
        let names: Vec<String> = std::fs::read_dir(other(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = describe_folder(&names).unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn limits_hold() {
    let case = k2o_fixtures::case("conv_only");
    let check = |file: &str, limits: Limits| {
        let error = Archive::read(&source(&case.path(file)), &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{file}: {error}");
    };
    for file in ["keras3.keras", "keras3.h5", "keras3.json"] {
        check(file, Limits { max_config_bytes: 100, ..Limits::default() });
        check(file, Limits { max_memory: 1000, ..Limits::default() });
    }
    check("keras3.h5", Limits { max_layers: 1, ..Limits::default() });
    check("keras3.keras", Limits { max_layers: 1, ..Limits::default() });
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// One to four edits: a bit, a byte, a number in place of an address or a size, bytes from elsewhere, or a cut.
fn damage(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let len = bytes.len() as u64;
    let put = |out: &mut Vec<u8>, at: usize, new: &[u8]| {
        out.iter_mut().skip(at).zip(new).for_each(|(old, new)| *old = *new);
    };
    for _ in 0..=next(state) % 4 {
        let at = (next(state) % len) as usize;
        let value = next(state);
        match next(state) % 6 {
            0 => put(&mut out, at, &[bytes[at] ^ 1 << (value % 8)]),
            1 => put(&mut out, at, &[value as u8]),
            2 => put(&mut out, at, &(value % len).to_le_bytes()),
            3 => {
                let extremes = [0, 1, u64::MAX, 1 << 63, i64::MAX as u64, u32::MAX.into(), len, len - 1];
                put(&mut out, at, &extremes[(value % 8) as usize].to_le_bytes());
            }
            4 => put(&mut out, at, bytes.chunks(40).nth(value as usize % bytes.len().div_ceil(40)).unwrap()),
            _ if value.is_multiple_of(8) => out.truncate(at + 1),
            _ => {}
        }
    }
    out
}

#[test]
fn damaged_files_neither_panic_nor_hang() {
    let small = |case: &Case, file: &str| std::fs::read(case.path(file)).unwrap();
    let (plain, trained) = (k2o_fixtures::case("conv_only"), k2o_fixtures::case("compiled_trained"));
    let files = [
        small(&plain, "keras3.keras"),
        small(&plain, "keras3.h5"),
        small(&plain, "keras2.h5"),
        small(&plain, "keras3.json"),
        small(&trained, "keras2.keras"),
        small(&trained, "keras3.h5"),
    ];
    let json = Source::from_bytes("config.json", small(&plain, "keras3.json"));
    let parts = [small(&plain, "keras3.weights.h5"), small(&plain, "keras2.legacy_weights.h5")];
    let limits = Limits { max_memory: 64 << 20, ..Limits::default() };
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let (mut opened, mut refused) = (0, 0);
    for round in 0..4000 {
        let whole = !next(&mut state).is_multiple_of(4);
        let base = match whole {
            true => &files[next(&mut state) as usize % files.len()],
            false => &parts[next(&mut state) as usize % parts.len()],
        };
        let damaged = Source::from_bytes("damaged", damage(base, &mut state));
        let start = Instant::now();
        let outcome = match whole {
            true => Archive::read(&damaged, &limits),
            false => Archive::read_parts(&json, None, Some(&damaged), &limits),
        };
        match outcome {
            Ok(archive) => {
                weights(&archive).iter().for_each(|weight| drop(weight.read()));
                opened += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(5), "round {round} took {:?}", start.elapsed());
    }
    // The damage is neither so light that all passes nor so heavy that nothing does.
    assert!(opened > 400 && refused > 400, "{opened} opened, {refused} refused");
}
