//! The examples do what they say: each is run as a user runs it, and what it prints and writes is what the library gives.
//!
//! `cargo test` builds the examples of a package before its tests run; `cargo test --test examples` does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use k2o::{ExportOptions, Model};
use k2o_fixtures::{case, other};
use ndarray::{Array2, Array3, ArrayD, Axis};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run of an example left.
#[derive(Debug)]
struct Run {
    succeeded: bool,
    stdout: String,
    stderr: String,
}

/// The example's program, which lies beside the folder of this test's.
fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(Path::parent).unwrap().join("examples");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is not there: `cargo build --examples` makes it", path.display());
    path
}

fn run<A: AsRef<OsStr>>(name: &str, arguments: &[A], stdin: &str) -> Run {
    let mut command = Command::new(binary(name));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { succeeded: output.status.success(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[track_caller]
fn succeed<A: AsRef<OsStr>>(name: &str, arguments: &[A], stdin: &str) -> String {
    let run = run(name, arguments, stdin);
    assert!(run.succeeded && run.stderr.is_empty(), "{name}: {run:?}");
    run.stdout
}

/// Numbers without a pattern.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 12.9898).sin()).collect()
}

#[test]
fn embed_predicts_what_the_file_does() {
    let x = Array3::from_shape_vec((1, 48, 2), numbers(96)).unwrap();
    let step = |step: ndarray::ArrayView1<'_, f32>| format!("{} {}\n", step[0], step[1]);
    let text: String = x.rows().into_iter().map(step).collect();
    let model = Model::open(case("conv_only").path("keras3.keras")).unwrap();
    let y = model.predict(&[x.into()]).unwrap();
    let expected = format!(
        "a model of 518 parameters, {} bytes of this program\n\
         a recording of 48 steps of 2 channels\n\
         global_max_pooling1d: {}\n",
        case("conv_only").path("keras3.keras").metadata().unwrap().len(),
        y[0]
    );
    assert_eq!(succeed("embed", &[] as &[&str], &text), expected);
}

#[test]
fn embed_refuses_what_is_no_recording() {
    for (stdin, error) in [
        ("", "standard input has no numbers\n"),
        ("1 2\n3\n", "step 1 has 1 channels, the first one 2\n"),
        ("1 2\n3 x\n", "step 1, \"3 x\": invalid float literal\n"),
        ("1 2\n", "input \"input_layer\" has shape [batch, 48, 2]; an array of shape [1, 1, 2] was given\n"),
    ] {
        let run = run("embed", &[] as &[&str], stdin);
        assert!(!run.succeeded && run.stderr == error, "{stdin:?}: {run:?}");
    }
}

#[test]
fn convert_folder_writes_each_model_and_names_those_that_fail() {
    let folder = tempfile::tempdir().unwrap();
    let (models, out) = (folder.path().join("models"), folder.path().join("out"));
    std::fs::create_dir_all(models.join("deep/er")).unwrap();
    let good = [
        ("basic.keras", case("basic").path("keras3.keras")),
        ("deep/basic.h5", case("basic").path("keras2.h5")),
        ("deep/er/tcn.keras", case("stream_tcn").path("keras3.keras")),
    ];
    let bad = [("deep/cut.keras", other("truncated.keras")), ("wrong.keras", other("wrong_shape.keras"))];
    let beside =
        [("basic.weights.h5", case("basic").path("keras3.weights.h5")), ("page.txt", other("page.h5"))];
    for (name, source) in good.iter().chain(&bad).chain(&beside) {
        std::fs::copy(source, models.join(name)).unwrap();
    }

    let run = run("convert_folder", &[&models, &out], "");
    assert!(!run.succeeded && run.stderr.is_empty(), "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let options = ExportOptions::default().with_opset(18);
    for (name, source) in &good {
        let export = Model::open(source).unwrap().to_onnx(&options).unwrap();
        let written = out.join(format!("{name}.onnx"));
        assert_eq!(std::fs::read(&written).unwrap(), export.to_bytes().unwrap(), "{name}");
        let line = format!("{name}: {} nodes -> {}", export.node_count(), written.display());
        assert!(lines.contains(&line.as_str()), "{line:?} is not in {lines:#?}");
    }
    let failed = [
        "deep/cut.keras: FAILED: the end of the zip archive is missing; help: the file was cut off: fetch or save it again",
        "wrong.keras: FAILED: layer \"dense_1\" (Dense): weight \"kernel\" has shape [4, 2] in the file",
    ];
    for start in failed {
        assert!(lines.iter().any(|line| line.starts_with(start)), "{start:?} is not in {lines:#?}");
    }
    assert_eq!(lines.last(), Some(&"3 converted, 2 failed"));
    assert_eq!(lines.len(), good.len() + bad.len() + 1, "a line for each: {lines:#?}");
    // Nothing half written is left.
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&out), ["basic.keras.onnx", "deep"]);
    assert_eq!(names(&out.join("deep")), ["basic.h5.onnx", "er"]);
    assert_eq!(names(&out.join("deep/er")), ["tcn.keras.onnx"]);
}

#[test]
fn convert_folder_succeeds_where_all_models_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(case("conv_only").path("keras3.keras"), folder.path().join("model.keras")).unwrap();
    // Into the same folder, of which nothing is converted twice.
    for _ in 0..2 {
        let stdout = succeed("convert_folder", &[folder.path(), folder.path()], "");
        assert!(stdout.ends_with("1 converted, 0 failed\n"), "{stdout}");
    }
}

#[test]
fn custom_layer_computes_what_its_class_says() {
    let stdout = succeed("custom_layer", &[] as &[&str], "");
    for text in [
        "without an importer: layer \"loudness\" (Loudness): this is a custom class of module \"my_layers\"\n",
        "\nloudness (Loudness): (None, None, 1)\nlimit (Activation): (None, None, 1)\n",
        // The floor, the root of (9 + 16) / 2, the root of 1, the limit.
        "\nloudness 0.5000, by hand 0.5000\nloudness 3.5355, by hand 3.5355\n\
         loudness 1.0000, by hand 1.0000\nloudness 4.0000, by hand 4.0000\n",
    ] {
        assert!(stdout.contains(text), "{text:?} is not in {stdout}");
    }
}

#[test]
fn features_are_those_of_the_layer_and_neighbours_the_closest() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("x.npy"), folder.path().join("features.npy"));
    let path = case("basic").path("keras3.keras");
    let mut x = Array3::from_shape_vec((7, 100, 1), numbers(700)).unwrap();
    // Example 5 is nearly example 1.
    let near = x.index_axis(Axis(0), 1).mapv(|value| value + 0.001);
    x.index_axis_mut(Axis(0), 5).assign(&near);
    ndarray_npy::write_npy(&input, &x).unwrap();
    let arguments = [path.as_os_str(), OsStr::new("max_pooling1d_1"), input.as_os_str(), output.as_os_str()];
    let stdout = succeed("features", &arguments, "");

    // The whole model, with the layer's output kept, knows nothing of `until`.
    let model = Model::open(&path).unwrap();
    let call = model.outline().calls.iter().position(|call| call.path == "max_pooling1d_1").unwrap();
    let options = k2o::PlanOptions { keep_taps: true, ..k2o::PlanOptions::default() };
    let mut session = model.plan_with(&options).unwrap().session();
    model.run(&mut session, &[x.into()]).unwrap();
    let tap = session.tap(k2o::core::CallId(call), 0).unwrap();
    assert_eq!(tap.shape(), [7, 23, 64]);
    let expected = Array2::from_shape_vec((7, 23 * 64), tap.as_f32().unwrap().to_vec()).unwrap();
    let written: ArrayD<f32> = ndarray_npy::read_npy(&output).unwrap();
    assert_eq!(written, expected.clone().into_dyn());

    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "1472 features of 7 examples at \"max_pooling1d_1\"");
    for (at, line) in lines[1..8].iter().enumerate() {
        let cosine = |other: usize| {
            let pairs = || expected.row(at).into_iter().zip(expected.row(other));
            let sum = |f: fn(f64, f64) -> f64| pairs().map(|(&a, &b)| f(a.into(), b.into())).sum::<f64>();
            sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt()
        };
        let others = (0..7).filter(|&other| other != at);
        let nearest = others.max_by(|&a, &b| cosine(a).total_cmp(&cosine(b))).unwrap();
        let start = format!("example {at}: most like {nearest}, cosine ");
        let printed: f64 = line.strip_prefix(&start).unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        assert!((printed - cosine(nearest)).abs() < 1e-4, "{line}");
    }
    assert!(lines[2].contains("most like 5") && lines[6].contains("most like 1"), "{stdout}");
}

#[test]
fn features_of_a_layer_that_is_not_there_name_those_that_are() {
    let path = case("basic").path("keras3.keras");
    let run = run("features", &[path.as_os_str(), OsStr::new("conv1"), OsStr::new("x.npy")], "");
    assert!(!run.succeeded && run.stderr.contains("help: there are: conv1d"), "{run:?}");
}

#[test]
fn stream_gives_the_bits_of_one_run_whatever_the_chunks() {
    let path = case("stream_conv_lstm").path("keras3.keras");
    let outputs = |chunk: &str| {
        let stdout = succeed("stream", &[path.as_os_str(), OsStr::new(chunk)], "");
        let can = format!("{} can be streamed: input \"input_layer\", latency 1 steps\n", path.display());
        assert!(stdout.starts_with(&can), "{stdout}");
        let last = stdout.lines().last().unwrap().to_string();
        assert!(last.starts_with("output \"dense\": ..") && last.ends_with(": same bits"), "{stdout}");
        last
    };
    assert_eq!(outputs("1"), outputs("64"));
}

#[test]
fn stream_says_which_layer_prevents_it() {
    let run = run("stream", &[case("basic").path("keras3.keras")], "");
    assert!(!run.succeeded && run.stderr.starts_with("layer \"flatten\" (Flatten): it cannot be streamed"));
}

#[test]
fn examples_without_their_arguments_say_which_there_are() {
    for (name, arguments) in [
        ("convert_folder", "MODELS OUT"),
        ("features", "MODEL LAYER INPUT.npy [FEATURES.npy]"),
        ("stream", "MODEL [CHUNK]"),
    ] {
        let run = run(name, &[] as &[&str], "");
        assert!(!run.succeeded && run.stderr == format!("usage: {name} {arguments}\n"), "{run:?}");
    }
}
