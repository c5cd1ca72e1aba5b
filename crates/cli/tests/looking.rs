//! `summary`, `check` and `what-if` as users run them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot run must fail"
)]

#[allow(dead_code, reason = "these commands read and write no files of their own")]
mod run;

use k2o::core::ExprKind;
use k2o::{Model, OpenOptions};
use k2o_fixtures::{case, cases, replaced};
use run::Run;
use serde_json::{Value, json};

fn model(name: &str) -> String {
    case(name).forms().remove(0).model.display().to_string()
}

fn answer(args: &[&str]) -> String {
    let outcome = Run::new().k2o(args);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{args:?}");
    outcome.stdout
}

fn json_answer(args: &[&str]) -> Value {
    serde_json::from_str(&answer(args)).unwrap()
}

#[test]
fn a_summary_in_json_is_what_keras_says() {
    for name in ["basic", "advanced", "functional_residual", "two_inputs_two_outputs", "nested_two_levels"] {
        assert_eq!(
            json_answer(&["summary", &model(name), "--json"]),
            case(name).description["summary"],
            "{name}"
        );
    }
}

#[test]
fn every_kind_of_summary_is_given_of_every_model() {
    for case in cases() {
        let Some(form) = case.forms().into_iter().find(|form| form.weights.is_none()) else { continue };
        let path = form.model.display().to_string();
        let costs =
            json_answer(&["summary", &path, "--cost", "--rate", "16000", "--expand-nested", "--json"]);
        let plain = json_answer(&["summary", &path, "--json"]);
        assert_eq!(costs["total_params"], plain["total_params"], "{}", case.name);
        let outermost = costs["layers"].as_array().unwrap().iter().filter(|layer| layer["depth"] == 0);
        let sum =
            |key: &str| outermost.clone().map(|layer| layer["cost"][key].as_u64().unwrap()).sum::<u64>();
        assert_eq!(json!(sum("multiply_adds")), costs["cost"]["multiply_adds"], "{}", case.name);
        assert_eq!(
            json!(sum("weight_bytes")),
            json!(4 * plain["total_params"].as_u64().unwrap()),
            "{}",
            case.name
        );
    }
}

#[test]
fn the_cost_of_basic_is_what_its_sizes_say() {
    let costs = json_answer(&["summary", &model("basic"), "--cost", "--batch", "2", "--json"]);
    // conv1d: 98 steps of 32 filters on 3 x 1; conv1d_1: 47 of 64 on 3 x 32; dense 1472 x 128 and 128 x 1.
    let expected = [98 * 32 * 3, 0, 47 * 64 * 96, 0, 0, 1472 * 128, 128].map(|n| json!(2 * n));
    let found =
        costs["layers"].as_array().unwrap().iter().map(|layer| layer["cost"]["multiply_adds"].clone());
    assert_eq!(found.collect::<Vec<_>>(), expected);
    // 2 x 98 x 32 numbers in, half of them out.
    assert_eq!(costs["layers"][1]["cost"]["activation_bytes"], json!(2 * 4 * (98 * 32 + 49 * 32)));
    let bounds = costs["layers"].as_array().unwrap().iter().map(|layer| layer["cost"]["bound_by"].clone());
    assert_eq!(bounds.filter(|bound| *bound == "compute").count(), 1);
    assert_eq!(costs["sizes"], json!({"batch": 2}));
}

#[test]
fn receptive_fields_are_told_in_steps_and_seconds() {
    let fields = |name: &str, layers: &[&str]| {
        let summary = json_answer(&["summary", &model(name), "--rate", "100", "--json"]);
        let rows = summary["layers"].as_array().unwrap().clone();
        let field = |layer: &&str| {
            let row = rows.iter().find(|row| row["name"] == **layer).unwrap();
            let field = &row["receptive_field"];
            json!([field["steps"], field["stride"], field["seconds"]])
        };
        layers.iter().map(field).collect::<Vec<_>>()
    };
    assert_eq!(
        fields("basic", &["conv1d", "max_pooling1d", "conv1d_1", "max_pooling1d_1"]),
        [json!([3, 1, 0.03]), json!([4, 2, 0.04]), json!([8, 2, 0.08]), json!([10, 4, 0.1])]
    );
    // Eight causal convolutions of 3 taps, each twice as far apart as those before: 1 + 2 (1 + 2 + .. + 128).
    assert_eq!(fields("tcn", &["conv1d_1", "add_7"]), [json!([3, 1, 0.03]), json!([511, 1, 5.11])]);
    // What is carried from step to step has no bound.
    assert_eq!(fields("convbilstm", &["bidirectional"]), [json!([null, 2, null])]);
}

#[test]
fn tables_have_the_columns_that_are_asked_for() {
    let nested = model("nested_two_levels");
    let text = answer(&["summary", &nested, "--expand-nested", "--show-trainable", "--markdown"]);
    let header = "| Layer (type)                 | Output Shape | Param # | Connected to                       | Trainable |";
    assert!(text.contains(header), "{text}");
    assert!(
        text.contains("|     dense (Dense)            | (None, 5, 4) |      16 | conv1d[0][0] "),
        "{text}"
    );
    // Layers inside wrappers stay there, as in Keras's own summary.
    let wrapped = model("bidirectional_lstm");
    assert_eq!(answer(&["summary", &wrapped, "--expand-nested"]), answer(&["summary", &wrapped]));
    let plain = answer(&["summary", &model("basic")]);
    assert!(!plain.contains("Connected to") && !plain.contains("Multiply-adds"), "{plain}");
    let frozen = answer(&["summary", &model("frozen_layers"), "--show-trainable"]);
    assert!(frozen.contains(" N ") && frozen.contains(" Y "), "{frozen}");
}

#[test]
fn advice_is_given_where_something_is_odd() {
    for (name, sentence) in [
        (
            "advanced",
            "flatten -> dense holds 95.8 % of the parameters (5,888 x 512); GlobalAveragePooling1D here would need 131,584",
        ),
        ("basic", "max_pooling1d_1 drops the last step (odd length 47)"),
        ("conv1d_strides2_same", "conv1d reads zero padding in 40 % of its windows (9 steps, windows of 3)"),
        ("dense_rank3", "plain is applied per time step (rank 3 input): was a Flatten meant?"),
        (
            "dense_chain",
            "dense_1 has no activation: with dense_2 behind it, it computes what one Dense layer can",
        ),
    ] {
        for command in ["summary", "check"] {
            let text = answer(&[command, &model(name)]);
            assert!(text.contains(&format!("\n- {sentence}\n")), "{command} {name}: {text}");
        }
    }
    assert!(!answer(&["summary", &model("stream_tcn")]).contains("Advice"));
}

#[test]
fn a_config_alone_can_be_checked() {
    let basic = case("basic").folder.join("keras3.json").display().to_string();
    let text = answer(&["check", &basic]);
    let line = "7 layers, 195,009 parameters, input_layer [batch, 100, 1] -> dense_1 [batch, 1]: the layers fit each other\n";
    assert!(text.contains(line), "{text}");
    let checked = json_answer(&["check", &model("symbolic_time"), "--json"]);
    assert_eq!(checked["ok"], true);
    let shortest = checked["shortest_input"].as_u64().unwrap();
    // One step less, and some layer has nothing to read.
    let what_if = |steps: u64| {
        let channels = checked["inputs"][0]["shape"][2].to_string();
        Run::new().k2o(&["what-if", &model("symbolic_time"), "--input", &format!("{steps},{channels}")])
    };
    assert_eq!(what_if(shortest).status, 0);
    assert!(shortest == 1 || what_if(shortest - 1).status == 4);
}

#[test]
fn another_input_gives_other_shapes_and_says_what_no_longer_fits() {
    let what_if = json_answer(&["what-if", &model("basic"), "--input", "64,1", "--json"]);
    let shapes: Vec<Value> =
        what_if["layers"].as_array().unwrap().iter().map(|layer| layer["output_shape"].clone()).collect();
    assert_eq!(
        shapes,
        [
            json!([null, 62, 32]),
            json!([null, 31, 32]),
            json!([null, 29, 64]),
            json!([null, 14, 64]),
            json!([null, 896]),
            json!([null, 128]),
            json!([null, 1])
        ]
    );
    assert_eq!(what_if["layers"][0]["saved_output_shape"], json!([null, 98, 32]));
    assert_eq!(what_if["shortest_input"], 10);
    assert_eq!(
        what_if["weights_that_differ"],
        json!(["dense (Dense): kernel [896, 128] instead of [1472, 128]"])
    );
    for (input, part) in [
        ("9,1", "(1 - 2) / 2 + 1 = 0"),
        ("9,1", "with an input of 10 steps or more, all layers fit"),
        ("64", "an input of rank 3 was expected; [batch, 64] was given"),
        ("other=64,1", "sizes were given for an input \"other\"; the model's are [\"input_layer\"]"),
        ("64,one", "\"one\" is no size; expected sizes such as 64,1"),
    ] {
        let outcome = Run::new().k2o(&["what-if", &model("basic"), "--input", input]);
        assert!(outcome.status != 0 && outcome.stderr.contains(part), "{input}: {}", outcome.stderr);
    }
    // The length may stay open.
    let open = answer(&["what-if", &model("conv_only"), "--input", "None,2"]);
    assert!(open.contains("The shortest input that works has "), "{open}");
}

/// Puts the model of a case into a folder, with NaN and infinity for the first two elements of its first weight.
fn spoil(run: &Run, name: &str) {
    let case = case(name);
    let (json, weights) = (case.path("keras3.json"), case.path("keras3.weights.h5"));
    let mut options = OpenOptions::default();
    options.weights = Some(weights.clone());
    let model = Model::open_with(&json, &options).unwrap();
    let first = model.outline().calls.iter().find_map(|call| call.weights.first()).unwrap();
    let ExprKind::Stored(stored) = first.expr.kind() else { unreachable!() };
    let old = stored.read().unwrap();
    let mut new = old.clone();
    new[..8].copy_from_slice([f32::NAN, f32::INFINITY].map(f32::to_le_bytes).as_flattened());
    std::fs::copy(json, run.path("net.json")).unwrap();
    std::fs::write(run.path("net.weights.h5"), replaced(&weights, &old, &new).unwrap()).unwrap();
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let run = Run::new();
    spoil(&run, "flatten_dense");
    let answer = |args: &[&str]| {
        let outcome = run.k2o(args);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        outcome.stdout
    };
    let json_answer = |args: &[&str]| -> Value { serde_json::from_str(&answer(args)).unwrap() };
    let with_weights = ["net.json", "--weights", "net.weights.h5"];
    let sentence = "dense: kernel holds 1 NaN and 1 infinite number\n";
    let summary = [["summary"].as_slice(), &with_weights].concat();
    let text = answer(&summary);
    assert!(text.contains(&format!("\nNot finite:\n- {sentence}")), "{text}");
    let mut summary = json_answer(&[summary.as_slice(), &["--json"]].concat());
    let counts = |layer: &Value| (layer["name"].clone(), layer.get("non_finite").cloned());
    let layers: Vec<_> = summary["layers"].as_array().unwrap().iter().map(counts).collect();
    assert_eq!(layers, [(json!("flatten"), None), (json!("dense"), Some(json!(2)))]);
    // All else is what Keras says.
    summary["layers"][1].as_object_mut().unwrap().remove("non_finite");
    assert_eq!(summary, case("flatten_dense").description["summary"]);

    let verify = [["verify"].as_slice(), &with_weights].concat();
    let text = answer(&verify);
    assert!(text.contains(&format!("\n{sentence}all differences are within the bound\n")), "{text}");
    let found = &json_answer(&[verify.as_slice(), &["--json"]].concat())["non_finite"];
    assert_eq!(*found, json!([{ "layer": "dense", "weight": "kernel", "nan": 1, "infinite": 1 }]));

    // Without weights there is nothing to say.
    assert!(!answer(&["summary", "net.json"]).contains("finite"));
}
