//! What the options of the commands do to a model: activations defined, layers cut off, weights found, batches.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod run;

use k2o_fixtures::{Case, case};
use ndarray::ArrayD;
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyExt, WriteNpyExt};
use run::Run;
use std::fs::File;

/// A folder with the config of a model as `net.json`, its weights as `weights`, and its first input as `x.npy`.
fn folder(case: &Case, weights: &[&str], change: impl Fn(String) -> String) -> Run {
    let run = Run::new();
    let config = std::fs::read_to_string(case.path("keras3.json")).unwrap();
    std::fs::write(run.path("net.json"), change(config)).unwrap();
    for name in weights {
        std::fs::copy(case.path("keras3.weights.h5"), run.path(name)).unwrap();
    }
    let x = case.inputs().remove(0).1.into_f32();
    x.write_npy(File::create(run.path("x.npy")).unwrap()).unwrap();
    run
}

fn array(run: &Run, name: &str) -> ArrayD<f32> {
    ArrayD::read_npy(File::open(run.path(name)).unwrap()).unwrap()
}

#[test]
fn an_activation_that_is_defined_is_what_it_is_defined_as() {
    let case = case("conv_only");
    let original = folder(&case, &["net.weights.h5"], |config| config);
    let predict = ["predict", "net.json", "-i", "x.npy", "-o", "y.npy"];
    assert_eq!(original.k2o(&predict).status, 0);
    let expected = array(&original, "y.npy");

    let changed = |config: String| config.replace("\"activation\": \"relu\"", "\"activation\": \"<lambda>\"");
    let run = folder(&case, &["net.weights.h5"], changed);
    let outcome = run.k2o(&predict);
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    let help = "--define '<lambda>=relu(negative_slope=0.1, max_value=20)'";
    assert!(outcome.stderr.contains(help), "{}", outcome.stderr);
    for (command, rest) in [
        ("predict", vec!["-i", "x.npy", "-o", "y.npy"]),
        ("convert", vec![]),
        ("summary", vec![]),
        ("verify", vec![]),
    ] {
        let outcome =
            run.k2o(&[&[command, "net.json", "--define", "<lambda>=relu(0.0)"], &rest[..]].concat());
        assert_eq!(outcome.status, 0, "{command}: {}", outcome.stderr);
    }
    assert_eq!(array(&run, "y.npy"), expected);
    let defined = [&predict[..], &["--define", "<lambda>=relu(max_value=0.25)"]].concat();
    assert_eq!(run.k2o(&defined).status, 0);
    assert_ne!(array(&run, "y.npy"), expected);
}

#[test]
fn weights_beside_a_config_are_found_and_named() {
    let case = case("conv_only");
    for (names, expected) in [
        (vec!["net.weights.h5", "net.h5", "net.hdf5"], "net.weights.h5"),
        (vec!["net.h5", "net.hdf5"], "net.h5"),
        (vec!["net.hdf5"], "net.hdf5"),
    ] {
        let run = folder(&case, &names, |config| config);
        for args in [
            vec!["convert", "net.json"],
            vec!["predict", "net.json", "-i", "x.npy", "-o", "y.npy"],
            vec!["verify", "net.json"],
        ] {
            let outcome = run.k2o(&args);
            assert_eq!(outcome.status, 0, "{args:?}: {}", outcome.stderr);
            assert_eq!(outcome.stderr, format!("note: weights from {expected}\n"), "{args:?}");
        }
        // What is read is not written.
        let outcome = run.k2o(&["convert", "net.json", "-o", expected]);
        assert_eq!(outcome.status, 2, "{}", outcome.stderr);
        let outcome = run.k2o(&["convert", "net.json", "--weights", expected]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
        // A summary needs none.
        let outcome = run.k2o(&["summary", "net.json"]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    }
    // The same from another folder.
    let run = folder(&case, &["net.weights.h5"], |config| config);
    let elsewhere = Run::new();
    let model = run.path("net.json").display().to_string();
    let outcome = elsewhere.k2o(&["convert", &model, "-o", "y.onnx"]);
    let note = format!("note: weights from {}\n", run.path("net.weights.h5").display());
    assert_eq!((outcome.status, outcome.stderr), (0, note));
}

#[test]
fn a_config_without_weights_says_where_they_were_looked_for() {
    let run = folder(&case("conv_only"), &["other.weights.h5"], |config| config);
    for args in [
        vec!["convert", "net.json"],
        vec!["predict", "net.json", "-i", "x.npy", "-o", "y.npy"],
        vec!["verify", "net.json"],
    ] {
        let outcome = run.k2o(&args);
        assert_eq!(outcome.status, 2, "{args:?}");
        assert_eq!(
            outcome.stderr,
            "error: net.json: the model was opened without weights\n  \
             help: name them with --weights; there is none of net.weights.h5, net.h5, net.hdf5\n"
        );
    }
    assert_eq!(run.files(), ["net.json", "other.weights.h5", "x.npy"]);
}

#[test]
fn a_model_that_ends_at_a_layer_has_its_output_and_asks_for_no_more_than_it_needs() {
    let case = case("two_inputs_two_outputs");
    let model = case.path("keras3.keras").display().to_string();
    let run = Run::new();
    // The only input that is left is the second one.
    let x = case.inputs().remove(1).1.into_f32();
    x.write_npy(File::create(run.path("x.npy")).unwrap()).unwrap();
    let until = ["--until", "conv1d"];
    let outcome = run.k2o(&[&["predict", &model, "-i", "x.npy", "-o", "y.npz"], &until[..]].concat());
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let mut npz = NpzReader::new(File::open(run.path("y.npz")).unwrap()).unwrap();
    assert_eq!(npz.names().unwrap(), ["conv1d"]);
    let y: ArrayD<f32> = npz.by_name("conv1d").unwrap();
    assert!(outcome.stdout.contains(&format!("conv1d {:?}", y.shape())), "{}", outcome.stdout);

    let outcome = run.k2o(&[&["convert", &model, "-o", "y.onnx"], &until[..]].concat());
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("2 layers, 28 parameters"), "{}", outcome.stdout);
    let outcome = run.k2o(&[&["verify", &model], &until[..]].concat());
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("dense"), "{}", outcome.stdout);
    let outcome = run.k2o(&[&["summary", &model], &until[..]].concat());
    assert!(outcome.stdout.contains("conv1d (Conv1D)"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("Total params: 28\n"), "{}", outcome.stdout);
}

#[test]
fn batches_give_the_same_file() {
    let run = folder(&case("conv_only"), &["net.h5"], |config| config);
    let predict = |output: &str, more: &[&str]| {
        let outcome = run.k2o(&[&["predict", "net.json", "-i", "x.npy", "-o", output], more].concat());
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        std::fs::read(run.path(output)).unwrap()
    };
    let whole = predict("whole.npy", &[]);
    for size in ["1", "2", "1000"] {
        assert_eq!(predict("parts.npy", &["--batch-size", size]), whole, "{size}");
    }
}

/// The arrays of an `.npz`, by name.
fn arrays(run: &Run, name: &str) -> Vec<(String, ArrayD<f32>)> {
    let mut npz = NpzReader::new(File::open(run.path(name)).unwrap()).unwrap();
    let names = npz.names().unwrap();
    names
        .into_iter()
        .map(|name| {
            let array = npz.by_name::<ndarray::OwnedRepr<f32>, ndarray::IxDyn>(&name).unwrap();
            (name, array)
        })
        .collect()
}

#[test]
fn a_sequence_in_pieces_is_the_whole_if_the_states_are_passed_on() {
    let changed = |config: String| config.replace("\"stateful\": false", "\"stateful\": true");
    let run = folder(&case("lstm_any_length"), &["net.weights.h5"], changed);
    assert_eq!(run.k2o(&["predict", "net.json", "-i", "x.npy", "-o", "y.npy"]).status, 0);
    let (x, whole) = (array(&run, "x.npy"), array(&run, "y.npy"));

    let batch = x.shape()[0];
    let units = whole.shape()[2];
    let mut states = [0, 1].map(|at| (format!("lstm/state_{at}"), ArrayD::<f32>::zeros(vec![batch, units])));
    let mut pieces = Vec::new();
    for range in [0..2, 2..3, 3..6] {
        let mut npz = NpzWriter::new(File::create(run.path("x.npz")).unwrap());
        npz.add_array("input_layer", &x.slice_axis(ndarray::Axis(1), range.into())).unwrap();
        for (name, state) in &states {
            npz.add_array(name.as_str(), state).unwrap();
        }
        npz.finish().unwrap();
        let outcome = run.k2o(&["predict", "net.json", "--states", "-i", "x.npz", "-o", "y.npz"]);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        let given = arrays(&run, "y.npz");
        let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lstm", "lstm/next_state_0", "lstm/next_state_1"]);
        pieces.push(given[0].1.clone());
        states.iter_mut().zip(&given[1..]).for_each(|((_, state), (_, next))| state.clone_from(next));
    }
    let views: Vec<_> = pieces.iter().map(|piece| piece.view()).collect();
    assert_eq!(ndarray::concatenate(ndarray::Axis(1), &views).unwrap(), whole);

    // The exported file has them too.
    assert_eq!(run.k2o(&["convert", "net.json", "--states", "-o", "net.onnx"]).status, 0);
    assert_eq!(run.k2o(&["verify", "net.json", "--states"]).status, 0);
}

#[test]
fn what_was_chosen_for_a_runtime_is_said() {
    let run = Run::new();
    let path = |name: &str| case(name).path("keras3.keras").display().to_string();
    for (name, options, expected) in [
        ("lstm_backwards", &["--target", "tract"][..], "lstm as Scan (tract ignores `direction`)"),
        ("masking_gru", &["--assume-right-padded"], "gru with sequence_lens (masks assumed right-padded)"),
        ("masking_gru", &[], "gru as Scan (its mask may leave out any step)"),
    ] {
        let path = path(name);
        let outcome = run.k2o(&[&["convert", &path, "-o", "y.onnx"][..], options].concat());
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert!(outcome.stdout.ends_with(&format!(" ms, {expected}\n")), "{}", outcome.stdout);
    }
    let outcome = run.k2o(&["convert", &path("lstm_last"), "-o", "y.onnx", "--target", "onnxruntime"]);
    assert!(outcome.stdout.ends_with(" ms\n"), "{}", outcome.stdout);
}

#[test]
fn what_a_model_may_take_can_be_said() {
    let case = case("conv_only");
    let run = folder(&case, &["net.weights.h5"], |config| config);
    let predict = ["predict", "net.json", "-i", "x.npy", "-o", "y.npy"];
    for (limit, status, words) in [
        (["--max-memory", "2K"], 5, "more than 16 values"),
        (["--max-memory", "1M"], 0, ""),
        (["--max-memory", "2g"], 0, ""),
        (["--max-memory", "20000000000G"], 2, "expected a number of bytes such as 4096, 512M or 2G"),
        (["--max-memory", "much"], 2, "expected a number of bytes such as 4096, 512M or 2G"),
        (["--max-layers", "5"], 5, "more than 5 layers"),
        (["--max-layers", "7"], 0, ""),
    ] {
        let outcome = run.k2o(&[&predict[..], &limit].concat());
        assert_eq!(outcome.status, status, "{limit:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{limit:?}: {}", outcome.stderr);
    }
}
