//! Every form of every model that Keras wrote: the reference run of the imported graph gives Keras's outputs, every
//! weight is found, and what is not supported is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

use k2o_core::{Data, Tensor, run_reference};
use k2o_fixtures::{Case, Form, Input, cases};
use k2o_keras::{Archive, ErrorKind, ImportOptions, Imported, KerasVersion, Limits, Source, import};
use serde_json::{Value, json};
use std::path::Path;

fn source(path: &Path) -> Source {
    Source::from_bytes(path.file_name().unwrap().to_string_lossy(), std::fs::read(path).unwrap())
}

fn open(form: &Form) -> Result<Imported, k2o_keras::Error> {
    let limits = Limits::default();
    let archive = match &form.weights {
        Some(weights) => Archive::read_parts(&source(&form.model), None, Some(&source(weights)), &limits),
        None => Archive::read(&source(&form.model), &limits),
    };
    archive.and_then(|archive| import(&archive, &ImportOptions::default()))
}

/// Whether `|ours - expected| <= 1e-5 * max(1, max|expected|)`.
fn is_close(ours: &[f64], expected: &[f32]) -> bool {
    let bound = 1e-5 * expected.iter().fold(1.0f64, |m, x| m.max(f64::from(x.abs())));
    let near = |(ours, expected): (&f64, &f32)| (ours - f64::from(*expected)).abs() <= bound;
    ours.len() == expected.len() && ours.iter().zip(expected).all(near)
}

fn for_each_form(check: impl Fn(&Case, &Form, &Imported)) {
    let mut count = 0;
    for case in cases() {
        for form in case.forms() {
            let imported =
                open(&form).unwrap_or_else(|error| panic!("{} {}: {error}", case.name, form.label()));
            check(&case, &form, &imported);
            count += 1;
        }
    }
    assert!(count > 50, "only {count} forms were found");
}

/// What the reference computes otherwise than Keras, if anything.
fn problem(case: &Case, form: &Form) -> Option<String> {
    let imported = match open(form) {
        Ok(imported) => imported,
        Err(error) => return Some(error.to_string()),
    };
    let input = |(_, array): (String, Input)| {
        let (shape, data) = match &array {
            Input::F32(x) => (x.shape(), Data::F64(x.iter().map(|&x| f64::from(x)).collect())),
            Input::I32(x) => (x.shape(), Data::I64(x.iter().map(|&x| i64::from(x)).collect())),
            Input::I64(x) => (x.shape(), Data::I64(x.iter().copied().collect())),
        };
        Tensor::new(shape, data).unwrap()
    };
    let inputs: Vec<Tensor> = case.inputs().into_iter().map(input).collect();
    let run = match run_reference(&imported.graph, &inputs, &[]) {
        Ok(run) => run,
        Err(error) => return Some(error.to_string()),
    };
    let expected = case.outputs(form.keras);
    let names: Vec<&str> = imported.graph.outputs().iter().map(|port| port.name.as_str()).collect();
    if !names.iter().copied().eq(expected.iter().map(|(name, _)| name.as_str())) {
        return Some(format!("outputs {names:?}"));
    }
    let differs = run.outputs.iter().zip(&expected).find(|(ours, (_, expected))| {
        ours.shape() != expected.shape() || !is_close(&numbers(ours), expected.as_slice().unwrap())
    });
    differs.map(|(ours, (name, expected))| format!("{name}: {ours:?}, Keras has {expected:?}"))
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.data() {
        Data::F64(data) => data.clone(),
        Data::I64(data) => data.iter().map(|&x| x as f64).collect(),
        Data::Bool(data) => data.iter().map(|&x| f64::from(u8::from(x))).collect(),
    }
}

#[test]
fn the_reference_gives_keras_outputs() {
    let mut problems = Vec::new();
    for case in cases() {
        for form in case.forms() {
            let text = |what| format!("{} {}: {what}", case.name, form.label());
            problems.extend(problem(&case, &form).map(text));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for case in k2o_fixtures::unsupported_cases() {
        for form in case.forms() {
            let what = format!("{} {}", case.name, form.label());
            let Err(error) = open(&form) else { panic!("{what} is supported: take it off the list") };
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error}");
            assert!(error.problems().iter().all(|problem| problem.place.contains('"')), "{what}: {error}");
        }
    }
}

#[test]
fn every_weight_is_bound() {
    for_each_form(|case, form, imported| {
        let calls = imported.outline.calls.iter().filter(|call| call.repetition == 0);
        let unbound: Vec<&str> = calls
            .filter(|call| call.weights.iter().any(|weight| !weight.bound))
            .map(|call| call.path.as_str())
            .collect();
        assert!(unbound.is_empty(), "{} {}: {unbound:?}", case.name, form.label());
    });
}

#[test]
fn the_version_is_recognised_in_every_form() {
    for_each_form(|case, form, imported| {
        let expected = match form.keras {
            1 => KerasVersion::V1,
            2 => KerasVersion::V2,
            _ => KerasVersion::V3,
        };
        assert_eq!(imported.version, expected, "{} {}", case.name, form.label());
    });
}

/// Imports a config given as JSON, without weights.
fn import_config(config: &Value) -> Result<Imported, k2o_keras::Error> {
    let archive = Archive::read(
        &Source::from_bytes("model.json", config.to_string().into_bytes()),
        &Limits::default(),
    )?;
    import(&archive, &ImportOptions::default())
}

fn sequential(layers: Value) -> Value {
    json!({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
}

fn input(shape: &[Option<i64>]) -> Value {
    json!({"class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": "float32", "name": "x"}})
}

#[track_caller]
fn check_words(config: &Value, kind: ErrorKind, words: &str) {
    let error = import_config(config).expect_err("an error was expected");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.kind(), kind);
}

#[track_caller]
fn check_error(config: &Value, kind: ErrorKind, text: &str) {
    let error = import_config(config).expect_err("an error was expected");
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), kind);
}

#[test]
fn every_problem_of_a_model_is_listed_at_once() {
    let config = sequential(json!([
        input(&[None, Some(8), Some(2)]),
        {"class_name": "Lambda", "config": {"name": "square"}},
        {"class_name": "Conv1D", "config": {"name": "c", "filters": 0, "kernel_size": [3]}},
        {"class_name": "Wonder", "config": {"name": "w"}},
        {"class_name": "Dense", "config": {"name": "d", "units": 3, "activation": "curly"}},
        {"class_name": "Dropout", "config": {"name": "o", "rate": 0.5, "speed": 3}},
    ]));
    check_error(
        &config,
        ErrorKind::Unsupported,
        "layer \"square\" (Lambda): a Lambda layer holds Python code, which is never run here\n  \
         help: replace it by Keras layers that compute the same, and save the model again\n\
         layer \"c\" (Conv1D): `filters` is 0; it must be above zero\n\
         layer \"w\" (Wonder): this layer class is not supported\n\
         layer \"d\" (Dense): the activation \"curly\" is not one of Keras's\n  \
         help: if it is a function of your own, say what it computes: \
         --define 'curly=relu(negative_slope=0.1, max_value=20)'\n\
         layer \"o\" (Dropout): the config has `speed`, which is not known",
    );
}

#[test]
fn shapes_that_do_not_fit_are_explained() {
    check_error(
        &sequential(json!([
            input(&[None, Some(8), Some(2)]),
            {"class_name": "MaxPooling1D", "config": {"name": "p", "pool_size": [4]}},
            {"class_name": "Conv1D", "config": {"name": "c", "filters": 3, "kernel_size": [3]}},
        ])),
        ErrorKind::ShapeMismatch,
        "layer \"c\" (Conv1D): a window of 3 steps does not fit an input of 2: (2 - 3) / 1 + 1 = 0\n  \
         shapes: [batch, 8, 2] -> p [batch, 2, 2] -> c\n  \
         help: a window of at most 2 steps fits, or one with padding=\"same\"",
    );
}

#[test]
fn graphs_that_cannot_be_are_refused() {
    let layer = |name: &str, inbound: Value| json!({"class_name": "ReLU", "config": {"name": name}, "name": name, "inbound_nodes": inbound});
    let functional = |layers: Value, output: &str| {
        json!({"class_name": "Functional", "config": {
            "name": "f", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [[output, 0, 0]]}})
    };
    let x = json!({"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
        "config": {"batch_shape": [null, 4], "dtype": "float32", "name": "x"}});
    let cycle = "its input is never computed, call 0 of layer \"b\" (ReLU): the layers form a cycle, or there is no such \
                 call";
    for (layers, output, text) in [
        (
            json!([x, layer("a", json!([[["b", 0, 0, {}]]])), layer("b", json!([[["a", 0, 0, {}]]]))]),
            "b",
            format!("layer \"a\" (ReLU): {cycle}"),
        ),
        (
            json!([x, layer("a", json!([[["z", 0, 0, {}]]]))]),
            "a",
            "layer \"f\" (Functional): layer \"a\": `inbound_nodes[0]`: no layer is called \"z\"".to_string(),
        ),
        (
            json!([x, layer("a", json!([[["x", 0, 1, {}]]]))]),
            "a",
            "layer \"a\" (ReLU): output 1 of a layer that has 1".to_string(),
        ),
        (
            json!([x, layer("a", json!([[["x", 0, 0, {}]]])), layer("a", json!([[["x", 0, 0, {}]]]))]),
            "a",
            "layer \"f\" (Functional): two layers are called \"a\"".to_string(),
        ),
        (
            json!([x, layer("a", json!([[["x", 0, 0, {}]]]))]),
            "q",
            "layer \"f\" (Functional): `output_layers`: no layer is called \"q\"".to_string(),
        ),
    ] {
        check_error(&functional(layers, output), ErrorKind::Malformed, &text);
    }
}

#[test]
fn models_that_call_models_again_and_again_end() {
    let input = json!({"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
        "config": {"batch_shape": [null, 4], "name": "x"}});
    let mut model = json!({"class_name": "ReLU", "config": {"name": "relu"}});
    for depth in 0..30 {
        let name = model["config"]["name"].clone();
        let mut inner = model;
        inner["name"] = name.clone();
        inner["inbound_nodes"] = json!([[["x", 0, 0, {}]], [[name, 0, 0, {}]]]);
        model = json!({"class_name": "Functional", "config": {"name": format!("m{depth}"),
            "layers": [input, inner], "input_layers": [["x", 0, 0]], "output_layers": [[name, 1, 0]]}});
    }
    check_words(&model, ErrorKind::Limit, "more layer calls than are allowed");
}

#[test]
fn what_stands_for_a_text_or_an_object_is_one() {
    for (key, value) in
        [("module", json!(7)), ("name", json!([])), ("registered_name", json!({})), ("config", json!([1]))]
    {
        let mut layer = json!({"class_name": "ReLU", "config": {"name": "r"}});
        layer[key] = value.clone();
        let config = sequential(json!([input(&[None, Some(4)]), layer]));
        check_words(&config, ErrorKind::Malformed, &format!("layer \"ReLU\": `{key}` is {value}; expected"));
    }
}

#[test]
fn names_are_short_and_print() {
    for (name, kind, text) in [
        ("a".repeat(1001), ErrorKind::Limit, "the name is 1001 bytes long; 1000 are allowed"),
        (
            "a\nb".to_string(),
            ErrorKind::Malformed,
            "layer \"a\\nb\": the name has the control character U+000A",
        ),
        ("a\u{9b}".to_string(), ErrorKind::Malformed, "U+009B"),
    ] {
        let layer = json!({"class_name": "ReLU", "config": {"name": name}});
        check_words(&sequential(json!([input(&[None, Some(4)]), layer])), kind, text);
        let first = json!({"class_name": "InputLayer", "config": {"name": name, "batch_shape": [null, 4]}});
        check_words(&sequential(json!([first])), kind, text);
    }
}

#[test]
fn tensors_have_a_bounded_number_of_axes() {
    let relu = json!({"class_name": "ReLU", "config": {"name": "relu"}});
    let shape = |rank: usize| vec![Some(1); rank];
    assert!(import_config(&sequential(json!([input(&shape(64)), relu]))).is_ok());
    let config = sequential(json!([input(&shape(65)), relu]));
    check_words(&config, ErrorKind::Limit, "a tensor of 65 axes; 64 are allowed");
    let reshape = json!({"class_name": "Reshape", "config": {"name": "r", "target_shape": vec![1; 64]}});
    let config = sequential(json!([input(&[None, Some(1)]), reshape]));
    check_words(&config, ErrorKind::Limit, "layer \"r\" (Reshape): a tensor of 65 axes");
}

#[test]
fn classes_of_another_package_are_not_keras_own() {
    let mut layer = json!({"class_name": "ReLU", "registered_name": "mine>ReLU", "module": null,
        "config": {"name": "r"}});
    let config = |layer: &Value| sequential(json!([input(&[None, Some(4)]), layer]));
    check_words(&config(&layer), ErrorKind::Unsupported, "registered by the model's author, \"mine>ReLU\"");
    layer["registered_name"] = json!("ReLU");
    assert!(import_config(&config(&layer)).is_ok());
}

/// Every value in a config that is no object, as a JSON pointer.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    if !at.is_empty() {
        out.push(at.to_string());
    }
    for (key, value) in inner {
        pointers(value, &format!("{at}/{key}"), out);
    }
}

#[test]
fn nonsense_in_a_config_of_keras1_neither_panics_nor_hangs() {
    let nonsense = [
        json!(null),
        json!(-1),
        json!(1e300),
        json!("x"),
        json!([]),
        json!([null, {}]),
        json!({}),
        json!(true),
    ];
    let (mut tried, mut refused) = (0, 0);
    for case in ["keras1_sequential", "keras1_merge", "keras1_nested_without_names", "keras1_layers"] {
        let text = std::fs::read_to_string(k2o_fixtures::case(case).path("keras1.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let mut places = Vec::new();
        pointers(&config, "", &mut places);
        for place in &places {
            for value in &nonsense {
                let mut damaged = config.clone();
                *damaged.pointer_mut(place).unwrap() = value.clone();
                tried += 1;
                if let Err(error) = import_config(&damaged) {
                    assert!(!error.to_string().is_empty(), "{case} {place}");
                    refused += 1;
                }
            }
        }
    }
    assert!(tried > 4000 && refused > tried / 4, "{tried} tried, {refused} refused");
}
