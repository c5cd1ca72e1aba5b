//! Layers and activations that Keras does not have: registered, defined, or refused with words that help.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

use k2o_core::ops::{Binary, BinaryKind, Unary};
use k2o_core::{Tensor as Array, run_reference};
use k2o_fixtures::case;
use k2o_keras::{
    Activation, Archive, Arg, Call, Cell, ErrorKind, Fields, ImportOptions, Importer, Layer, Limits,
    Lowering, Result, Source, Tensor, WeightSpec,
};
use serde_json::{Value, json};

fn archive(config: &Value) -> Archive {
    let source = Source::from_bytes("model.json", config.to_string().into_bytes());
    Archive::read(&source, &Limits::default()).unwrap()
}

/// `activation(x * kernel summed up + bias)`, weights and all: what Keras calls `Dense`.
#[derive(Debug)]
struct Projection {
    units: usize,
    activation: Activation,
}

impl Layer for Projection {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.ignore(&["use_bias"]);
        let units = usize::try_from(fields.positive(&["units"])?).unwrap();
        Ok(Projection { units, activation: Activation::take(fields, "activation")? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let input = call.input()?;
        let channels = cx.channels(input)?;
        let specs = [
            WeightSpec::trainable("kernel", &[channels, self.units]),
            WeightSpec::trainable("bias", &[self.units]),
        ];
        let weights = cx.weights(&specs)?;
        let operands = [cx.operand(input)?, cx.constant(&weights[0])?, cx.constant(&weights[1])?];
        let product = cx.add(k2o_core::ops::Dense, &operands)?;
        Ok(vec![self.activation.lower(cx, product)?])
    }
}

/// Twice the input, by a constant that no file holds.
#[derive(Debug)]
struct Doubling;

impl Layer for Doubling {
    fn from_config(_: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Doubling)
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let input = call.input()?;
        let operands = [cx.operand(input)?, cx.operand(input)?];
        Ok(vec![cx.add(k2o_core::ops::Binary { kind: k2o_core::ops::BinaryKind::Add }, &operands)?])
    }
}

#[test]
fn a_custom_layer_finds_its_weights() {
    let case = case("dense_between_flat");
    let read = |file: &str| std::fs::read(case.path(file)).unwrap();
    let mut config: Value = serde_json::from_slice(&read("keras3.json")).unwrap();
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    let dense = layers.iter_mut().find(|layer| layer["class_name"] == "Dense").unwrap();
    let name = dense["config"]["name"].as_str().unwrap().to_string();
    // What Keras writes for a class and a function of the author's that were registered with a package.
    dense["module"] = json!("my.layers");
    dense["registered_name"] = json!("mine>Dense");
    dense["config"]["activation"] = json!({"module": "my.functions", "class_name": "function",
        "config": "mine>bend", "registered_name": "mine>bend"});
    let json = Source::from_bytes("model.json", config.to_string().into_bytes());
    let weights = Source::from_bytes("model.weights.h5", read("keras3.weights.h5"));
    let archive = Archive::read_parts(&json, None, Some(&weights), &Limits::default()).unwrap();
    let x = case.inputs().remove(0).1.into_f32();
    let x = Array::f64(x.shape(), x.iter().map(|&x| f64::from(x)).collect()).unwrap();
    let (_, expected) = case.outputs(3).remove(0);
    for name in ["mine>Dense", "Dense"] {
        let imported = Importer::new()
            .register::<Projection>(name)
            .register_activation("bend", |cx, tensor| cx.apply(Unary::Relu, tensor))
            .import(&archive, &ImportOptions::default())
            .unwrap();
        assert!(imported.outline.calls.iter().flat_map(|call| &call.weights).all(|weight| weight.bound));
        let run = run_reference(&imported.graph, std::slice::from_ref(&x), &[]).unwrap();
        for (ours, expected) in run.outputs[0].as_f64().unwrap().iter().zip(&expected) {
            assert!((ours - f64::from(*expected)).abs() < 1e-5, "{ours} is not {expected}");
        }
    }
    let error = k2o_keras::import(&archive, &ImportOptions::default()).unwrap_err();
    assert_eq!(
        error.problems()[0].to_string(),
        format!(
            "layer {name:?} (Dense): this is a custom class of module \"my.layers\"\n  \
             help: a program that uses this library can say what it computes: `Importer::register`"
        )
    );
}

#[test]
fn classes_are_found_by_every_name_that_files_give_them() {
    for (layer, registered) in [
        (
            json!({"class_name": "Doubling", "module": "my_layers", "registered_name": "mine>Doubling"}),
            "mine>Doubling",
        ),
        (
            json!({"class_name": "Doubling", "module": "my_layers", "registered_name": "mine>Doubling"}),
            "Doubling",
        ),
        // As Keras 2 writes it.
        (json!({"class_name": "mine>Doubling"}), "mine>Doubling"),
        (json!({"class_name": "mine>Doubling"}), "Doubling"),
        (json!({"class_name": "Doubling"}), "Doubling"),
        // Keras's own layers can be replaced.
        (json!({"class_name": "Dropout", "module": "keras.layers"}), "Dropout"),
    ] {
        let mut layer = layer;
        layer["config"] = json!({"name": "doubling"});
        let config = json!({"class_name": "Sequential", "config": {"name": "s", "layers": [
            {"class_name": "InputLayer", "config": {"batch_shape": [null, 3], "name": "x"}}, layer]}});
        let importer = Importer::new().register::<Doubling>(registered);
        let imported = importer.import(&archive(&config), &ImportOptions::default()).unwrap();
        let x = Array::f64([1, 3], vec![1.0, 2.0, 3.0]).unwrap();
        let run = run_reference(&imported.graph, &[x], &[]).unwrap();
        assert_eq!(run.outputs[0].as_f64().unwrap(), [2.0, 4.0, 6.0], "{registered}");
    }
}

/// A model of activations one after the other, as written by this version of Keras.
fn activations(version: &str, activations: &[Value]) -> Archive {
    let layers = activations.iter().enumerate().map(|(i, activation)| {
        json!({"class_name": "Activation", "config": {"name": format!("a{i}"), "activation": activation}})
    });
    let input = json!({"class_name": "InputLayer", "config": {"batch_shape": [null, 4], "name": "x"}});
    let layers: Vec<Value> = std::iter::once(input).chain(layers).collect();
    let config = json!({"class_name": "Sequential", "keras_version": version,
        "config": {"name": "s", "layers": layers}});
    let mut archive = archive(&config);
    archive.keras_version = Some(version.to_string());
    archive
}

#[track_caller]
fn check(
    version: &str,
    activation: Value,
    definitions: &[(&str, &str)],
    expected: std::result::Result<&[f64], &str>,
) {
    let mut importer = Importer::new();
    for (name, expression) in definitions {
        importer = importer.define(*name, expression).unwrap();
    }
    let what = activation.to_string();
    let found = importer.import(&activations(version, &[activation]), &ImportOptions::default());
    match (found, expected) {
        (Ok(imported), Ok(expected)) => {
            let x = Array::f64([1, 4], vec![-2.0, -0.25, 0.75, 30.0]).unwrap();
            let run = run_reference(&imported.graph, &[x], &[]).unwrap();
            let found = run.outputs[0].as_f64().unwrap();
            let close = found.len() == expected.len()
                && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close, "{what}: {found:?} is not {expected:?}");
        }
        (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected, "{what}"),
        (found, _) => panic!("{what}: {found:?}"),
    }
}

#[test]
fn activations_are_found_by_every_name_that_files_give_them() {
    let function = |module: &str, name: &str| json!({"class_name": "function", "module": module, "config": name, "registered_name": name});
    let bend = ("bend", "relu(negative_slope=0.5, max_value=20)");
    let bent: &[f64] = &[-1.0, -0.125, 0.75, 20.0];
    let relu: &[f64] = &[0.0, 0.0, 0.75, 30.0];
    check("3.15.1", json!(null), &[], Ok(&[-2.0, -0.25, 0.75, 30.0]));
    check("3.15.1", json!("relu"), &[], Ok(relu));
    check("3.15.1", function("builtins", "relu"), &[], Ok(relu));
    check("3.15.1", function("keras.src.activations.activations", "relu"), &[], Ok(relu));
    for activation in [
        json!("bend"),
        function("builtins", "bend"),
        function("my.functions", "bend"),
        function("my.functions", "mine>bend"),
    ] {
        check("3.15.1", activation.clone(), &[bend], Ok(bent));
        check("2.15.0", activation, &[bend], Ok(bent));
    }
    check("3.15.1", function("my.functions", "mine>bend"), &[("mine>bend", bend.1)], Ok(bent));
    // Keras writes the bare name of a function that is called as one of its own.
    check("3.15.1", json!("relu"), &[("relu", bend.1)], Ok(bent));
    check("2.15.0", json!("<lambda>"), &[("<lambda>", "hard_sigmoid")], Ok(&[0.1, 0.45, 0.65, 1.0]));
    check("3.15.1", json!("threshold"), &[("threshold", "threshold(0, -1)")], Ok(&[-1.0, -1.0, 0.75, 30.0]));
    check("3.15.1", json!("glu"), &[], Ok(&[-2.0 / (1.0 + (-0.75f64).exp()), -0.25]));
}

#[test]
fn what_is_unknown_is_said_with_the_words_that_define_it() {
    let place = "layer \"a0\" (Activation): ";
    let help = "if it is a function of your own, say what it computes: --define";
    for (version, activation, text) in [
        (
            "2.15.0",
            json!("<lambda>"),
            format!(
                "the activation \"<lambda>\" is not one of Keras's\n  \
                help: {help} '<lambda>=relu(negative_slope=0.1, max_value=20)'"
            ),
        ),
        (
            "3.15.1",
            json!({"class_name": "function", "module": "my.functions", "config": "relu"}),
            format!(
                "the activation \"relu\" is a function of the module \"my.functions\"\n  \
                help: {help} 'relu=relu(negative_slope=0.1, max_value=20)'"
            ),
        ),
        (
            "2.15.0",
            json!("hard_swish"),
            "the activation \"hard_swish\" is not one of Keras 2's\n  \
             help: if it computes what Keras 3's does, say so: --define 'hard_swish=hard_silu'"
                .to_string(),
        ),
        (
            "3.15.1",
            json!("threshold"),
            "the activation \"threshold\" needs arguments, which a name does not give\n  \
             help: say which: --define 'threshold=threshold(threshold=1, default_value=1)'"
                .to_string(),
        ),
        (
            "3.15.1",
            json!("it's"),
            format!(
                "the activation \"it's\" is not one of Keras's\n  \
                help: {help} 'NAME=relu(negative_slope=0.1, max_value=20)'"
            ),
        ),
    ] {
        check(version, activation, &[], Err(&format!("{place}{text}")));
    }
}

#[test]
fn code_is_refused_whatever_is_defined() {
    let text = "layer \"a0\" (Activation): `activation` is Python code, which is never run here\n  \
        help: give the layer a function of keras.activations in its place, and save the model again";
    for activation in [
        json!({"class_name": "__lambda__", "config": {"value": ["code", null, null]}}),
        json!({"class_name": "__lambda__", "config": "<lambda>"}),
        json!({"class_name": "function", "config": {"code": "x"}}),
        json!({"class_name": "function"}),
        json!({"config": "<lambda>"}),
        json!([1, 2]),
    ] {
        check("3.15.1", activation, &[("<lambda>", "relu")], Err(text));
    }
}

#[test]
fn a_definition_that_no_layer_uses_is_an_error() {
    let importer = Importer::new().define("bend", "relu").unwrap().define("curl", "tanh").unwrap();
    let archive = activations("3.15.1", &[json!("relu"), json!("curl")]);
    let error = importer.import(&archive, &ImportOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(
        error.to_string(),
        "no layer uses the activation \"bend\", which was defined\n  \
         help: the activations that the model names are: \"curl\", \"relu\""
    );
    // What is registered may serve several models.
    let importer = Importer::new().register_activation("bend", |cx, tensor| cx.apply(Unary::Relu, tensor));
    importer.import(&activations("3.15.1", &[json!("relu")]), &ImportOptions::default()).unwrap();
}

#[test]
fn definitions_that_cannot_be_are_refused() {
    for (name, expression, text) in [
        (
            "<lambda>",
            "relu(slope=1)",
            "the definition of \"<lambda>\": relu has no argument \"slope\"; it has: negative_slope, max_value, threshold",
        ),
        ("bend", "tanh", "the definition of \"bend\": there is one already"),
    ] {
        let importer = Importer::new().define("bend", "relu").unwrap();
        let error = importer.define(name, expression).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Input, text));
    }
}

#[test]
fn an_odd_axis_cannot_be_halved() {
    let config = json!({"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": "InputLayer", "config": {"batch_shape": [null, 5], "name": "x"}},
        {"class_name": "Activation", "config": {"name": "a", "activation": "glu"}}]}});
    let error = k2o_keras::import(&archive(&config), &ImportOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer \"a\" (Activation): glu halves axis 1 of the input [batch, 5], whose size is odd\n  \
         shapes: [batch, 5] -> a"
    );
}

/// `h' = decay * h + x`: a cell of one's own, whose output is its state.
#[derive(Debug)]
struct Leaky {
    units: usize,
    decay: f64,
}

impl Layer for Leaky {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let units = usize::try_from(fields.positive(&["units"])?).unwrap();
        Ok(Leaky { units, decay: fields.float(&["decay"])?.unwrap_or(0.5) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let [Arg::Tensor(x), Arg::List(states)] = call.args.as_slice() else { panic!("{call:?}") };
        let [Arg::Tensor(h)] = states.as_slice() else { panic!("{states:?}") };
        let decay = cx.literal("decay", Array::scalar(self.decay))?;
        let kept = cx.add(Binary { kind: BinaryKind::Mul }, &[cx.operand(*h)?, decay])?;
        let next = cx.add(Binary { kind: BinaryKind::Add }, &[cx.operand(kept)?, cx.operand(*x)?])?;
        Ok(vec![next, next])
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }
}

impl Cell for Leaky {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.units]
    }

    fn output_size(&self) -> usize {
        self.units
    }
}

#[test]
fn a_registered_cell_is_run_for_every_step() {
    let cell = json!({"class_name": "Leaky", "module": "mine", "registered_name": "mine>Leaky",
                      "config": {"name": "leaky", "units": 2, "decay": 0.25}});
    let model = |options: &[(&str, bool)]| {
        let mut rnn = json!({"name": "rnn", "cell": cell});
        options.iter().for_each(|&(key, value)| rnn[key] = value.into());
        archive(&json!({"class_name": "Sequential", "config": {"name": "model", "layers": [
            {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [null, null, 2]}},
            {"class_name": "RNN", "config": rnn}]}}))
    };
    let importer = Importer::new().register::<Leaky>("mine>Leaky");
    let x = Array::f64([1, 3, 2], vec![1., 2., 4., 8., 16., 32.]).unwrap();
    for (options, expected) in [
        (&[][..], vec![17.0625, 34.125]),
        (&[("go_backwards", true)], vec![3.0, 6.0]),
        (&[("return_sequences", true)], vec![1., 2., 4.25, 8.5, 17.0625, 34.125]),
        (&[("return_sequences", true), ("go_backwards", true)], vec![16., 32., 8., 16., 3., 6.]),
    ] {
        let imported = importer.import(&model(options), &ImportOptions::default()).unwrap();
        let run = run_reference(&imported.graph, std::slice::from_ref(&x), &[]).unwrap();
        assert_eq!(run.outputs[0].as_f64().unwrap(), expected, "{options:?}");
    }

    let error = Importer::new().import(&model(&[]), &ImportOptions::default()).unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(error.to_string().contains("layer \"leaky\" (Leaky)"), "{error}");
    // A layer that is no cell cannot be one.
    let dense = archive(&json!({"class_name": "Sequential", "config": {"name": "model", "layers": [
        {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [null, null, 2]}},
        {"class_name": "RNN", "config": {"name": "rnn", "cell": {
            "class_name": "Dense", "config": {"name": "dense", "units": 2}}}}]}}));
    let error = Importer::new().import(&dense, &ImportOptions::default());
    let error = error.unwrap_err();
    assert!(error.to_string().contains("is not a cell of one step"), "{error}");
}

/// Where masks meet, Keras 3.4 and later unite them, Keras 3.0 to 3.3 drop them, and Keras 2 takes what both have.
#[test]
fn masks_meet_as_in_the_version_that_wrote_the_model() {
    let input = |name: &str| {
        json!({"class_name": "InputLayer", "name": name, "inbound_nodes": [],
               "config": {"name": name, "batch_shape": [null, 3, 1]}})
    };
    let layer = |class: &str, name: &str, config: Value, reads: &[&str]| {
        let mut config = config;
        config["name"] = name.into();
        let inbound: Vec<Value> = reads.iter().map(|from| json!([from, 0, 0, {}])).collect();
        json!({"class_name": class, "name": name, "config": config, "inbound_nodes": [inbound]})
    };
    let model = |version: &str, merge: &str| {
        archive(&json!({"class_name": "Functional", "keras_version": version, "config": {
            "name": "model", "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["mean", 0, 0]],
            "layers": [
                input("a"), input("b"),
                layer("Masking", "mask_a", json!({"mask_value": 0.0}), &["a"]),
                layer("Masking", "mask_b", json!({"mask_value": 0.0}), &["b"]),
                layer(merge, "merge", json!({}), &["mask_a", "mask_b"]),
                layer("GlobalAveragePooling1D", "mean", json!({}), &["merge"])]}}))
    };
    let inputs = [[1.0, 2.0, 0.0], [0.0, 4.0, 8.0]].map(|x| Array::f64([1, 3, 1], x.to_vec()).unwrap());
    for (version, merge, expected) in [
        ("3.4.0", "Add", 5.0),
        ("3.15.1", "Multiply", (1.0 + 8.0 + 8.0) / 3.0),
        // Printed by Keras 3.0.5.
        ("3.0.5", "Add", 5.0),
        ("3.3.3", "Multiply", 8.0 / 3.0),
        ("2.15.0", "Add", 6.0),
        ("2.15.0", "Maximum", 4.0),
    ] {
        let imported = Importer::new().import(&model(version, merge), &ImportOptions::default()).unwrap();
        let run = run_reference(&imported.graph, &inputs, &[]).unwrap();
        assert_eq!(run.outputs[0].as_f64().unwrap(), [expected], "{merge} of {version}");
    }
}
