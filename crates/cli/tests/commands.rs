//! The commands as users run them, over every fixture: exit status, what is printed, what is written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod run;

use k2o_fixtures::{Case, Form, case, cases, other};
use ndarray::ArrayD;
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyExt, WriteNpyExt};
use run::Run;
use std::fs::File;
use std::path::Path;
use tempfile::TempDir;

/// The arguments that name a model in one of its forms.
fn model_args(form: &Form) -> Vec<String> {
    let mut args = vec![form.model.display().to_string()];
    if let Some(weights) = &form.weights {
        args.extend(["--weights".to_string(), weights.display().to_string()]);
    }
    args
}

fn for_each_form(check: impl Fn(&Case, &Form, &[&str])) {
    for case in cases() {
        for form in case.forms() {
            let args = model_args(&form);
            check(&case, &form, &args.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

#[test]
fn predict_gives_keras_outputs_for_every_form() {
    for_each_form(|case, form, model| {
        let run = Run::new();
        // Keras 2 names inputs otherwise than Keras 3, whose names were recorded; their order is the same.
        let mut options = k2o::OpenOptions::default();
        options.weights = form.weights.clone();
        let ports = k2o::Model::open_with(&form.model, &options).unwrap().inputs();
        let inputs = TempDir::new().unwrap();
        let input = inputs.path().join("x.npz");
        let mut npz = NpzWriter::new(File::create(&input).unwrap());
        for (port, (_, array)) in ports.iter().zip(case.inputs()) {
            array.write(&mut npz, &port.name);
        }
        npz.finish().unwrap();
        let input = input.display().to_string();
        let outcome = run.k2o(&[&["predict"], model, &["--input", &input, "--output", "y.npz"]].concat());
        let what = format!("{} {}: {}", case.name, form.label(), outcome.stderr);
        assert_eq!(outcome.status, 0, "{what}");
        assert_eq!(run.files(), ["y.npz"], "{what}");
        let mut npz = NpzReader::new(File::open(run.path("y.npz")).unwrap()).unwrap();
        let expected = case.outputs(form.keras);
        let names: Vec<String> = expected.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(npz.names().unwrap(), names, "{what}");
        for (name, expected) in expected {
            let ours: ArrayD<f32> = npz.by_name(&name).unwrap();
            assert_eq!(ours.shape(), expected.shape(), "{what}");
            let bound = 1e-5 * expected.iter().fold(1.0f32, |m, x| m.max(x.abs()));
            let worst = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= bound, "{what} {name}: {worst} is past {bound}");
        }
    });
}

#[test]
fn verify_passes_for_every_form() {
    for_each_form(|case, form, model| {
        // In a debug build the reference takes seconds on the large model.
        if case.name == "advanced" && form.keras == 2 {
            return;
        }
        let run = Run::new();
        let outcome = run.k2o(&[&["verify"], model].concat());
        let what = format!("{} {}: {}{}", case.name, form.label(), outcome.stdout, outcome.stderr);
        assert_eq!(outcome.status, 0, "{what}");
        assert!(outcome.stdout.contains("all differences are within the bound"), "{what}");
    });
}

#[test]
fn convert_writes_beside_nothing_else_and_says_what_it_did() {
    let run = Run::new();
    let model = case("basic").path("keras3.keras");
    std::fs::copy(model, run.path("net.keras")).unwrap();
    let outcome = run.k2o(&["convert", "net.keras"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(run.files(), ["net.keras", "net.onnx"]);
    assert_eq!(outcome.stderr, "");
    let size = std::fs::metadata(run.path("net.onnx")).unwrap().len() as f64 / 1e3;
    let start =
        "net.keras (.keras archive, Keras 3.15.1): 7 layers, 195,009 parameters -> net.onnx (opset 17, ";
    assert!(outcome.stdout.starts_with(start), "{}", outcome.stdout);
    assert!(outcome.stdout.contains(&format!("12 nodes, {size:.1} kB) in ")), "{}", outcome.stdout);
    assert_eq!(outcome.stdout.lines().count(), 1);
}

#[test]
fn summary_has_keras_totals() {
    let run = Run::new();
    let path = |name: &str, file: &str| case(name).path(file).display().to_string();
    let outcome = run.k2o(&["summary", &path("advanced", "keras2.h5")]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let totals = "Total params: 3,145,738\nTrainable params: 3,144,842\nNon-trainable params: 896\n";
    assert!(outcome.stdout.contains(totals), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("dense (Dense)"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("(None, 512)"), "{}", outcome.stdout);
    for file in ["keras3.keras", "keras2.h5", "keras3.h5"] {
        let outcome = run.k2o(&["summary", &path("compiled_trained", file)]);
        assert!(outcome.stdout.contains("\nOptimizer params: "), "{file}: {}", outcome.stdout);
    }
    // Shapes and parameters need no weights.
    let outcome = run.k2o(&["summary", &path("basic", "keras3.json")]);
    assert!(outcome.stdout.contains("Total params: 195,009\n"), "{}", outcome.stdout);
}

/// What is no Keras model, or not a whole one: the status, and words of the answer.
const OTHERS: &[(&str, i32, &str)] = &[
    ("checkpoint", 3, "checkpoint"),
    ("custom_layer.keras", 3, "layer \"doubling\" (Doubling)"),
    ("empty.keras", 4, "empty"),
    ("frozen.pb", 3, "TensorFlow"),
    ("git_lfs_pointer.keras", 3, "git lfs pull"),
    ("half.json", 4, "line"),
    ("image.png", 3, "PNG"),
    ("lambda.h5", 3, "(Lambda)"),
    ("lambda.keras", 3, "(Lambda)"),
    ("lambda_keras2.h5", 3, "(Lambda)"),
    ("measurements.h5", 3, "Keras"),
    ("missing_weight.keras", 4, "layer \"dense_1\" (Dense): weight \"bias\" is missing"),
    ("no_config.keras", 4, "config.json"),
    ("no_flatten.keras", 4, "a Flatten before this layer"),
    ("no_model_config.h5", 4, "model_config"),
    ("numpy.npz", 3, "NumPy"),
    ("package.json", 3, "Keras"),
    ("page.h5", 3, "HTML"),
    ("saved_model", 3, "SavedModel"),
    ("tfjs/model.json", 3, "TensorFlow.js"),
    ("tiny.onnx", 3, "ONNX"),
    ("tiny.tflite", 3, "TensorFlow Lite"),
    ("torch.pt", 3, "PyTorch"),
    ("torch_legacy.pt", 3, "PyTorch"),
    ("truncated.h5", 4, "HDF5"),
    ("truncated.keras", 4, "zip"),
    ("weights_only.h5", 3, "--weights"),
    ("weights_only.weights.h5", 3, "--weights"),
    ("wrong_shape.h5", 4, "weight \"kernel\" has shape [4, 2] in the file"),
    ("wrong_shape.keras", 4, "weight \"kernel\" has shape [4, 2] in the file"),
];

#[test]
fn what_is_no_model_is_refused_with_words_and_leaves_nothing_behind() {
    for (name, status, words) in OTHERS {
        let run = Run::new();
        let path = other(name).display().to_string();
        let outcome = run.k2o(&["convert", &path, "-o", "out.onnx"]);
        let what = format!("{name}: {}", outcome.stderr);
        assert_eq!(outcome.status, *status, "{what}");
        assert!(outcome.stderr.contains(words), "{what}");
        assert!(outcome.stderr.starts_with("error: "), "{what}");
        assert!(!outcome.stderr.contains("panicked"), "{what}");
        assert_eq!(outcome.stdout, "", "{what}");
        assert_eq!(run.files(), [""; 0], "{what}");
    }
}

#[test]
fn every_other_file_is_tried() {
    let mut names: Vec<String> = std::fs::read_dir(other(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    let tried: Vec<&str> = OTHERS.iter().map(|(name, ..)| name.split('/').next().unwrap()).collect();
    assert_eq!(names, tried);
}

#[test]
fn wrong_usage_and_missing_files_have_their_own_status() {
    let run = Run::new();
    let model = case("conv_only").path("keras3.keras").display().to_string();
    let two = case("two_inputs_two_outputs").path("keras3.keras").display().to_string();
    let x = case("conv_only").path("inputs.npz").display().to_string();
    let wrong = ArrayD::<f32>::zeros(vec![2, 5]);
    wrong.write_npy(File::create(run.path("wrong.npy")).unwrap()).unwrap();
    std::fs::write(run.path("text.npy"), "no array").unwrap();
    for (args, status, words) in [
        (vec!["frobnicate"], 2, "frobnicate"),
        (vec!["convert"], 2, "MODEL"),
        (vec!["convert", "absent.keras"], 6, "absent.keras"),
        (vec!["convert", &model, "--opset", "9", "-o", "y.onnx"], 2, "13"),
        (vec!["convert", &model, "--target", "caffe", "-o", "y.onnx"], 2, "onnxruntime and tract"),
        (vec!["convert", &model, "-o", "no/such/folder/y.onnx"], 6, "no/such/folder"),
        (vec!["predict", &model, "--input", "wrong.npy", "--output", "y.npy"], 2, "[2, 5]"),
        (vec!["predict", &model, "--input", "text.npy", "--output", "y.npy"], 4, "text.npy"),
        (vec!["predict", &model, "--input", "absent.npy", "--output", "y.npy"], 6, "absent.npy"),
        (vec!["predict", &two, "--input", "wrong.npy", "--output", "y.npz"], 2, ".npz"),
        (vec!["predict", &two, "--input", &x, "--output", "y.npz"], 2, "input_layer_1"),
        (vec!["predict", &two, "--input", &x, "--output", "y.npy"], 2, "outputs"),
        (vec!["predict", &model, "--input", &x, "--output", "y.npy", "--batch-size", "0"], 2, "--batch-size"),
        (vec!["summary", &model, "--define", "relu"], 2, "NAME=EXPR"),
        (vec!["summary", &model, "--define", "relu=rely"], 2, "it has: celu, elu"),
        (
            vec!["summary", &model, "--define", "relu=relu(1, 2, 3, 4)"],
            2,
            "negative_slope, max_value, threshold",
        ),
        (
            vec!["summary", &model, "--define", "<lambda>=relu"],
            2,
            "no layer uses the activation \"<lambda>\"",
        ),
        (vec!["summary", &model, "--until", "conv1"], 2, "there are: conv1d"),
    ] {
        let outcome = run.k2o(&args);
        assert_eq!(outcome.status, status, "{args:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{args:?}: {}", outcome.stderr);
        assert_eq!(run.files(), ["text.npy", "wrong.npy"], "{args:?}");
    }
}

#[test]
fn an_output_never_replaces_an_input() {
    let run = Run::new();
    let original = std::fs::read(case("conv_only").path("keras3.keras")).unwrap();
    std::fs::write(run.path("net.keras"), &original).unwrap();
    std::fs::hard_link(run.path("net.keras"), run.path("hard.onnx")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("net.keras", run.path("soft.onnx")).unwrap();
    for target in ["net.keras", "./net.keras", "hard.onnx", "soft.onnx"] {
        let outcome = run.k2o(&["convert", "net.keras", "-o", target]);
        assert_eq!(outcome.status, 2, "{target}: {}", outcome.stderr);
        assert_eq!(std::fs::read(run.path("net.keras")).unwrap(), original, "{target}");
    }
    assert_eq!(run.files(), ["hard.onnx", "net.keras", "soft.onnx"]);
}

#[test]
fn a_difference_past_the_bound_fails_the_verification() {
    let run = Run::new();
    let case = case("dense_between_steps");
    let (_, mut expected) = case.outputs(3).remove(0);
    expected[[1, 0]] += 1e-3;
    expected.write_npy(File::create(run.path("expected.npy")).unwrap()).unwrap();
    let model = case.path("keras3.keras").display().to_string();
    let x = case.path("inputs.npz").display().to_string();
    let outcome = run.k2o(&["verify", &model, "--input", &x, "--expected", "expected.npy"]);
    assert_eq!(outcome.status, 7, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("k2o and Keras"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("1.0e-3 !"), "{}", outcome.stdout);
}

#[test]
fn one_output_is_an_npy_that_holds_the_array() {
    let run = Run::new();
    let case = case("conv_only");
    let x = case.inputs().remove(0).1.into_f32();
    x.write_npy(File::create(run.path("x.npy")).unwrap()).unwrap();
    let model = case.path("keras2.h5").display().to_string();
    let outcome = run.k2o(&["predict", &model, "--input", "x.npy", "--output", "y.npy"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let y = ArrayD::<f32>::read_npy(File::open(run.path("y.npy")).unwrap()).unwrap();
    assert_eq!(y.shape(), case.outputs(2)[0].1.shape());
    // Double precision and integers are numbers too.
    x.mapv(f64::from).write_npy(File::create(run.path("x64.npy")).unwrap()).unwrap();
    let outcome = run.k2o(&["predict", &model, "--input", "x64.npy", "--output", "y64.npy"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(y, ArrayD::<f32>::read_npy(File::open(run.path("y64.npy")).unwrap()).unwrap());
}

#[test]
fn an_unzipped_archive_is_a_model() {
    let run = Run::new();
    let source = case("conv_only").path("keras3.keras");
    let archive = File::open(source).unwrap();
    let mut zip = zip::ZipArchive::new(archive).unwrap();
    zip.extract(run.path("net.keras")).unwrap();
    let outcome = run.k2o(&["convert", "net.keras"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(Path::new(&run.path("net.onnx")).is_file());
}
