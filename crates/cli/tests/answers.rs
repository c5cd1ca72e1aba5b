//! What is said, with `--json` and `--quiet`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod run;

use k2o_fixtures::{case, other};
use run::{Outcome, Run};
use serde_json::{Value, json};

fn model(name: &str) -> String {
    case(name).path("keras3.keras").display().to_string()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The keys of an object in their order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn convert_answers_with_an_object_for_a_model_and_an_array_for_several() {
    let run = Run::new();
    let basic = model("basic");
    let args = ["convert", &basic, "-o", "y.onnx", "--json"];
    let outcome = run.k2o(&args);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let value = parse(&outcome.stdout);
    let all = [
        "model",
        "format",
        "keras_version",
        "weights",
        "layers",
        "parameters",
        "output",
        "opset",
        "nodes",
        "bytes",
        "external_data",
        "milliseconds",
        "choices",
    ];
    assert_eq!(keys(&value), all);
    let bytes = std::fs::metadata(run.path("y.onnx")).unwrap().len();
    for (key, expected) in [
        ("model", json!(basic)),
        ("keras_version", json!("3.15.1")),
        ("weights", Value::Null),
        ("layers", json!(7)),
        ("parameters", json!(195_009)),
        ("output", json!("y.onnx")),
        ("opset", json!(17)),
        ("nodes", json!(12)),
        ("bytes", json!(bytes)),
        ("external_data", Value::Null),
        ("choices", json!([])),
    ] {
        assert_eq!(value[key], expected, "{key}");
    }
    assert!(value["milliseconds"].as_f64().unwrap() > 0.0);

    let outcome = run.k2o(&[&args[..], &["--external-data"]].concat());
    let data = &parse(&outcome.stdout)["external_data"];
    let name = run.files().into_iter().find(|name| name.ends_with(".onnx_data")).unwrap();
    let len = std::fs::metadata(run.path(&name)).unwrap().len();
    assert_eq!(data, &json!({ "file": name, "bytes": len }));

    let (gru, lambda) = (model("masking_gru"), other("lambda.keras").display().to_string());
    std::fs::copy(&gru, run.path("gru.keras")).unwrap();
    let outcome = run.k2o(&["convert", "gru.keras", &lambda, "-o", "out", "--json"]);
    assert_eq!(outcome.status, 3);
    let values = parse(&outcome.stdout);
    assert_eq!(keys(&values[0]), all);
    let choice = json!({ "operator": "gru", "form": "as Scan", "reason": "its mask may leave out any step" });
    assert_eq!(values[0]["choices"], json!([choice]));
    assert_eq!((keys(&values[1]), &values[1]["model"]), (vec!["model", "error"], &json!(lambda)));
    assert_eq!(values[1]["error"]["kind"], "unsupported");
    // Each line of the errors is an object.
    let kinds: Vec<Value> = outcome.stderr.lines().map(|line| parse(line)["error"]["kind"].clone()).collect();
    assert_eq!(kinds, ["unsupported", "unsupported"]);
}

#[test]
fn predict_and_verify_answer_with_objects() {
    let run = Run::new();
    let case = case("two_inputs_two_outputs");
    let (model, x) = (model("two_inputs_two_outputs"), case.path("inputs.npz").display().to_string());
    let outcome = run.k2o(&["predict", &model, "-i", &x, "-o", "y.npz", "--json"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let value = parse(&outcome.stdout);
    assert_eq!(keys(&value), ["model", "weights", "output", "format", "outputs", "milliseconds"]);
    let expected: Vec<Value> =
        case.outputs(3).iter().map(|(name, y)| json!({ "name": name, "shape": y.shape() })).collect();
    assert_eq!(value["outputs"], json!(expected));
    assert_eq!((&value["output"], &value["format"]), (&json!("y.npz"), &json!("npz")));

    let y = case.path("keras3.outputs.npz").display().to_string();
    for (more, passed, status) in [(["--expected", &y], true, 0), (["--expected", &x], false, 2)] {
        let outcome = run.k2o(&[&["verify", &model, "--json", "-i", &x], &more[..]].concat());
        assert_eq!(outcome.status, status, "{}", outcome.stderr);
        if passed {
            let value = parse(&outcome.stdout);
            assert_eq!(
                keys(&value),
                ["model", "weights", "passed", "weights_type", "layers", "outputs", "rounding", "non_finite"]
            );
            assert_eq!(value["passed"], json!(true));
            assert_eq!(value["layers"][0]["k2o"]["within"], json!(true));
            assert_eq!(value["outputs"].as_array().unwrap().len(), 2);
            let between: Vec<&Value> = value["outputs"][0]["differences"]
                .as_array()
                .unwrap()
                .iter()
                .map(|found| &found["between"])
                .collect();
            assert!(between.contains(&&json!("k2o and Keras")), "{between:?}");
        } else {
            assert_eq!(parse(&outcome.stderr)["error"]["kind"], "usage");
        }
    }
}

/// A command that fails its verification.
fn failing(run: &Run, more: &[&str]) -> Outcome {
    let case = case("dense_between_steps");
    let (_, mut expected) = case.outputs(3).remove(0);
    expected[[1, 0]] += 1e-3;
    ndarray_npy::write_npy(run.path("expected.npy"), &expected).unwrap();
    let x = case.path("inputs.npz").display().to_string();
    let model = model("dense_between_steps");
    run.k2o(&[&["verify", &model, "--input", &x, "--expected", "expected.npy"], more].concat())
}

#[test]
fn a_failed_verification_answers_and_fails() {
    let run = Run::new();
    let outcome = failing(&run, &["--json"]);
    assert_eq!(outcome.status, 7);
    assert_eq!(parse(&outcome.stdout)["passed"], json!(false));
    assert_eq!(parse(&outcome.stderr)["error"]["kind"], "verification");
    let outcome = failing(&run, &["--quiet"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (7, ""));
    assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
}

#[test]
fn errors_are_objects_with_kind_message_and_help() {
    let run = Run::new();
    let path = |name: &str| other(name).display().to_string();
    std::fs::copy(case("conv_only").path("keras3.json"), run.path("net.json")).unwrap();
    for (args, status, kind, message, help) in [
        (vec!["convert", "absent.keras"], 6, "io", "absent.keras", None),
        (
            vec!["convert", &path("no_flatten.keras")],
            4,
            "malformed",
            "kernel",
            Some("a Flatten before this layer"),
        ),
        (vec!["convert", "net.json"], 2, "usage", "without weights", Some("name them with --weights")),
        (vec!["convert"], 2, "usage", "<MODEL>", None),
        (vec!["verify", "net.json", "--threads", "many"], 2, "usage", "invalid value 'many'", None),
        (
            vec!["convert", "net.json", "--wieghts", "x"],
            2,
            "usage",
            "unexpected argument '--wieghts' found",
            Some("a similar argument exists: '--weights'"),
        ),
    ] {
        let outcome = run.k2o(&[&args[..], &["--json"]].concat());
        assert_eq!((outcome.status, outcome.stdout.as_str()), (status, ""), "{args:?}");
        assert_eq!(outcome.stderr.lines().count(), 1);
        let error = &parse(&outcome.stderr)["error"];
        assert_eq!(keys(error), ["kind", "message", "help"]);
        assert_eq!(error["kind"], kind, "{args:?}");
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
        assert!(!outcome.stderr.contains("Usage:"), "{error}");
        match help {
            Some(help) => assert!(error["help"].as_str().unwrap().starts_with(help), "{error}"),
            None => assert_eq!(error["help"], Value::Null),
        }
    }
}

#[test]
fn the_weights_that_were_found_are_in_the_answer() {
    let run = Run::new();
    for (from, to) in [("keras3.json", "net.json"), ("keras3.weights.h5", "net.weights.h5")] {
        std::fs::copy(case("conv_only").path(from), run.path(to)).unwrap();
    }
    for command in ["convert", "verify"] {
        let outcome = run.k2o(&[command, "net.json", "--json"]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{command}");
        assert_eq!(parse(&outcome.stdout)["weights"], "net.weights.h5", "{command}");
        let outcome = run.k2o(&["--quiet", command, "net.json"]);
        assert_eq!(
            (outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str()),
            (0, "", ""),
            "{command}"
        );
    }
}

#[test]
fn a_quiet_command_says_what_was_asked_for() {
    let run = Run::new();
    let model = model("conv_only");
    let x = case("conv_only").path("inputs.npz").display().to_string();
    for (args, says) in [
        (vec!["convert", &model, "-o", "y.onnx"], false),
        (vec!["predict", &model, "-i", &x, "-o", "y.npy"], false),
        (vec!["verify", &model], false),
        (vec!["summary", &model], true),
        (vec!["predict", &model, "-i", &x, "-o", "-", "--format", "csv"], true),
        (vec!["verify", &model, "--json"], true),
    ] {
        for args in [[&["-q"], &args[..]].concat(), [&args[..], &["--quiet"]].concat()] {
            let outcome = run.k2o(&args);
            assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{args:?}");
            assert_eq!(!outcome.stdout.is_empty(), says, "{args:?}");
        }
    }
    let outcome = run.k2o(&["convert", "absent.keras", "--quiet"]);
    assert!(outcome.status == 6 && outcome.stderr.starts_with("error: absent.keras"), "{}", outcome.stderr);
}
