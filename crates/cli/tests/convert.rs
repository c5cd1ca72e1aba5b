//! What the options of `convert` do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod run;

use k2o_fixtures::case;
use run::Run;
use std::path::Path;

fn model(name: &str) -> String {
    case(name).path("keras3.keras").display().to_string()
}

fn size(run: &Run, name: &str) -> u64 {
    std::fs::metadata(run.path(name)).unwrap().len()
}

fn read(run: &Run, name: &str) -> Vec<u8> {
    std::fs::read(run.path(name)).unwrap()
}

/// Whether the file holds these bytes somewhere.
fn holds(file: &[u8], bytes: &[u8]) -> bool {
    file.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn external_data_is_one_more_file_named_by_its_content() {
    let run = Run::new();
    let basic = model("basic");
    for name in ["net.onnx", "again.onnx"] {
        let outcome = run.k2o(&["convert", &basic, "-o", name, "--external-data"]);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        let files = run.files();
        let data = files.iter().find(|file| file.ends_with(".onnx_data")).unwrap();
        assert!(outcome.stdout.contains(&format!("in {data}) in ")), "{}", outcome.stdout);
        assert!(holds(&read(&run, name), data.as_bytes()));
    }
    let files = run.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files[2].starts_with("weights-"), "{files:?}");
    assert!(read(&run, "net.onnx") == read(&run, "again.onnx"));
    // What is left in the model is names and small weights.
    assert!(size(&run, "net.onnx") < 10_000 && size(&run, &files[2]) > 770_000);

    let small = Run::new();
    let outcome = small.k2o(&["convert", &model("conv_only"), "-o", "net.onnx", "--external-data"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(small.files(), ["net.onnx"]);
}

#[test]
fn the_data_of_a_model_is_never_written_over_an_input() {
    let run = Run::new();
    run.k2o(&["convert", &model("basic"), "-o", "net.onnx", "--external-data"]);
    let data = run.files().pop().unwrap();
    let original = std::fs::read(case("basic").path("keras3.keras")).unwrap();
    std::fs::write(run.path(&data), &original).unwrap();
    let outcome = run.k2o(&["convert", &data, "-o", "net.onnx", "--external-data"]);
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("is the input"), "{}", outcome.stderr);
    assert!(read(&run, &data) == original);
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let run = Run::new();
    for name in ["advanced", "bidirectional_lstm", "masking_bidirectional"] {
        let path = model(name);
        for output in ["a.onnx", "b.onnx"] {
            let outcome = run.k2o(&["convert", &path, "-o", output]);
            assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        }
        assert!(read(&run, "a.onnx") == read(&run, "b.onnx"), "{name}");
    }
}

#[test]
fn narrow_weights_take_half_the_room() {
    let run = Run::new();
    for weights in ["f32", "f16", "bf16"] {
        let output = format!("{weights}.onnx");
        let arguments = ["convert", &model("basic"), "-o", &output, "--weights-type", weights];
        let outcome = run.k2o(&arguments);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    }
    for narrow in ["f16.onnx", "bf16.onnx"] {
        assert!((size(&run, narrow) as f64 / size(&run, "f32.onnx") as f64 - 0.5).abs() < 0.01);
    }
    assert!(read(&run, "f16.onnx") != read(&run, "bf16.onnx"));
}

#[test]
fn sizes_are_fixed_by_name_or_for_the_only_input() {
    let run = Run::new();
    let (one, two) = (model("symbolic_time"), model("two_inputs_two_outputs"));
    for (path, flags, gone) in [
        (&one, ["--batch", "7"], "batch"),
        (&one, ["--input-shape", "None,64,None"], "steps"),
        (&one, ["--input-shape", "input_layer=(2, 64, ?)"], "steps"),
        (&two, ["--batch", "3"], "batch"),
    ] {
        let outcome = run.k2o(&["convert", path, "-o", "net.onnx", flags[0], flags[1]]);
        assert_eq!(outcome.status, 0, "{flags:?}: {}", outcome.stderr);
        assert!(!holds(&read(&run, "net.onnx"), gone.as_bytes()), "{flags:?}");
    }
}

#[test]
fn options_that_do_not_fit_are_refused_and_nothing_is_written() {
    let run = Run::new();
    let (one, two) = (model("symbolic_time"), model("two_inputs_two_outputs"));
    for (path, flags, status, text) in [
        (
            &one,
            vec!["--input-shape", "x=1,2,3"],
            2,
            "there is no input \"x\"; the model's are \"input_layer\"",
        ),
        (&one, vec!["--input-shape", "1,2"], 2, "input \"input_layer\" has shape [batch, steps, "),
        (&one, vec!["--input-shape", "1,1,None"], 2, "layer \"max_pooling1d\""),
        (&one, vec!["--input-shape", "1,two,3"], 2, "\"two\" is no size"),
        (&one, vec!["--batch", "0"], 2, "--batch"),
        (&one, vec!["--batch", "2", "--input-shape", "1,64,None"], 2, "cannot have a batch of 2"),
        (&two, vec!["--input-shape", "1,2"], 2, "name the one that is meant"),
        (&one, vec!["--opset", "29"], 2, "opset 29 cannot be written; 13 to 28 can"),
        (&one, vec!["--io-layout", "nchw"], 2, "there are channels-last and channels-first"),
        (&one, vec!["--weights-type", "int8"], 2, "there are f32, f16 and bf16"),
        (&one, vec!["--target", "tract", "--weights-type", "bf16"], 3, "tract reads no bf16 weights"),
    ] {
        let outcome = run.k2o(&[&["convert", path.as_str(), "-o", "net.onnx"], flags.as_slice()].concat());
        assert_eq!(outcome.status, status, "{flags:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(text), "{flags:?}: {}", outcome.stderr);
        assert!(!Path::new(&run.path("net.onnx")).exists(), "{flags:?}");
    }
}

#[test]
fn a_channels_first_model_begins_without_a_transposition() {
    let run = Run::new();
    let outcome = run.k2o(&["convert", &model("basic"), "-o", "net.onnx", "--io-layout", "channels-first"]);
    assert!(outcome.stdout.contains("11 nodes"), "{}{}", outcome.stdout, outcome.stderr);
    assert!(!holds(&read(&run, "net.onnx"), b"Transpose"));
}

#[test]
fn verify_says_what_narrow_weights_change() {
    let run = Run::new();
    let case = case("narrow_advanced");
    let [model, x, y] = ["keras3.keras", "inputs.npz", "keras3.outputs.npz"].map(|name| case.path(name));
    let [model, x, y] = [model, x, y].map(|path| path.display().to_string());
    let outcome = run.k2o(&["verify", &model, "--weights-type", "f16", "--input", &x, "--expected", &y]);
    assert_eq!(outcome.status, 0, "{}{}", outcome.stdout, outcome.stderr);
    for text in ["Output with f16 weights", "of the largest value", "from Keras", "within the bound"] {
        assert!(outcome.stdout.contains(text), "{text}: {}", outcome.stdout);
    }
}
