//! Parts of models and of batches: a model that ends at a layer gives that layer's output, and a run in batches gives
//! what the whole run gives.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use k2o::core::{Data, Tensor, run_reference};
use k2o::{Array, ErrorKind, Model, OpenOptions};
use k2o_fixtures::{Case, Input, case, cases};
use std::num::NonZero;

fn arrays(case: &Case) -> Vec<Array> {
    let array = |(_, input): (String, Input)| match input {
        Input::F32(array) => array.into(),
        Input::I32(array) => array.into(),
        Input::I64(array) => array.into(),
    };
    case.inputs().into_iter().map(array).collect()
}

fn tensor(array: &Array) -> Tensor {
    let data = match array {
        Array::F32(array) => Data::F64(array.iter().map(|&x| f64::from(x)).collect()),
        Array::I32(array) => Data::I64(array.iter().map(|&x| i64::from(x)).collect()),
        Array::I64(array) => Data::I64(array.iter().copied().collect()),
    };
    Tensor::new(array.shape().to_vec(), data).unwrap()
}

/// Each supported case in one of its forms, but for one that takes seconds in a debug build.
fn each_model(mut check: impl FnMut(&Case, &Model)) {
    for case in cases().iter().filter(|case| case.name != "advanced") {
        let form = case.forms().remove(0);
        let mut options = OpenOptions::default();
        options.weights = form.weights;
        let model = Model::open_with(&form.model, &options);
        check(case, &model.unwrap_or_else(|error| panic!("{}: {error}", case.name)));
    }
}

#[test]
fn a_model_that_ends_at_a_layer_gives_the_layers_output() {
    let mut calls = 0;
    each_model(|case, model| {
        let inputs = arrays(case);
        let (graph, outline) = (model.graph(), model.outline());
        let keep: Vec<_> = graph.taps().iter().filter_map(|tap| tap.value).collect();
        let tensors: Vec<Tensor> = inputs.iter().map(tensor).collect();
        let whole = run_reference(graph, &tensors, &keep).unwrap();
        for (id, call) in outline.calls.iter().enumerate() {
            let same_path = outline.calls.iter().enumerate().filter(|(_, other)| other.path == call.path);
            let number = 1 + same_path.take_while(|(other, _)| *other != id).count();
            let what = format!("{}: {}#{number}", case.name, call.path);
            // What a recurrent layer does in one step is no value of the graph.
            let is_step = !graph.taps().iter().any(|tap| tap.call.0 == id);
            if is_step {
                assert_eq!(
                    model.until(&format!("{}#{number}", call.path)).unwrap_err().kind(),
                    ErrorKind::Input
                );
                continue;
            }
            let part =
                model.until(&format!("{}#{number}", call.path)).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(part.outputs()[0].name, call.name, "{what}");
            let left: Vec<Tensor> = model
                .inputs()
                .iter()
                .zip(&tensors)
                .filter(|(port, _)| part.inputs().contains(port))
                .map(|(_, tensor)| tensor.clone())
                .collect();
            assert_eq!(part.inputs().len(), left.len(), "{what}");
            let run = run_reference(part.graph(), &left, &[]).unwrap_or_else(|e| panic!("{what}: {e}"));
            let taps = graph.taps().iter().filter(|tap| tap.call.0 == id);
            let expected: Vec<&Tensor> = taps.map(|tap| &whole.kept[&tap.value.unwrap()]).collect();
            assert_eq!(run.outputs.iter().collect::<Vec<_>>(), expected, "{what}");
            // The part's own calls are as consistent as the whole's.
            for tap in part.graph().taps() {
                assert!(part.outline().get(tap.call).is_some(), "{what}");
            }
            calls += 1;
            assert!(part.summary().total_parameters <= model.summary().total_parameters, "{what}");
        }
    });
    assert!(calls > 500, "only {calls} layer calls were tried");
}

#[test]
fn all_of_a_model_is_the_model() {
    let model = Model::open(case("basic").path("keras3.keras")).unwrap();
    let last = model.outline().calls.last().unwrap().path.clone();
    let part = model.until(&last).unwrap();
    assert_eq!(part.summary(), model.summary());
    let x = arrays(&case("basic"));
    assert_eq!(part.predict(&x).unwrap(), model.predict(&x).unwrap());
}

#[test]
fn batches_give_what_the_whole_gives_bit_for_bit() {
    each_model(|case, model| {
        let inputs = arrays(case);
        let whole = model.predict(&inputs).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        for size in [1, 2, 5] {
            let parts = model.predict_in_batches(&inputs, NonZero::new(size).unwrap());
            let fixed = model.inputs()[0].r#type.shape[0].as_symbol().is_none();
            match parts {
                Ok(parts) => {
                    let bits = |arrays: &[ndarray::ArrayD<f32>]| -> Vec<(Vec<usize>, Vec<u32>)> {
                        let bits = |array: &ndarray::ArrayD<f32>| {
                            (array.shape().to_vec(), array.iter().map(|x| x.to_bits()).collect())
                        };
                        arrays.iter().map(bits).collect()
                    };
                    assert_eq!(bits(&parts), bits(&whole), "{} by {size}", case.name);
                }
                Err(error) => assert!(fixed, "{} by {size}: {error}", case.name),
            }
        }
    });
}

/// A model of one layer without weights.
fn small(layer: &str, input: &str) -> Model {
    let config = format!(
        r#"{{"class_name": "Sequential", "config": {{"name": "s", "layers": [
            {{"class_name": "InputLayer", "config": {{"name": "x", "batch_shape": {input}}}}}, {layer}]}}}}"#
    );
    Model::from_bytes(config).unwrap()
}

#[test]
fn what_cannot_be_run_in_batches_is_refused_with_the_reason() {
    let softmax = r#"{"class_name": "Softmax", "config": {"name": "soft", "axis": 0}}"#;
    let relu = r#"{"class_name": "ReLU", "config": {"name": "relu"}}"#;
    for (model, text) in [
        (
            small(relu, "[4, 2]"),
            "input \"x\" has shape [4, 2]: the size of its batch is fixed, so the model cannot be run in batches of \
             another size",
        ),
        (
            small(softmax, "[null, 2]"),
            "layer \"soft\" (Softmax): softmax over the batch: the model cannot be run in parts",
        ),
    ] {
        let x = ndarray::Array2::<f32>::zeros((4, 2));
        assert!(model.predict(&[x.clone().into()]).is_ok());
        let error = model.predict_in_batches(&[x.into()], NonZero::new(2).unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Input, text));
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_and_none_are_none() {
    let model = small(r#"{"class_name": "ReLU", "config": {"name": "relu"}}"#, "[null, 2]");
    let two = NonZero::new(2).unwrap();
    let wrong = ndarray::Array2::<f32>::zeros((4, 3));
    let error = |inputs: &[Array]| model.predict_in_batches(inputs, two).unwrap_err().kind();
    assert_eq!(error(&[wrong.into()]), ErrorKind::Input);
    assert_eq!(error(&[]), ErrorKind::Input);
    let none = ndarray::Array2::<f32>::zeros((0, 2));
    assert_eq!(model.predict_in_batches(&[none.clone().into()], two), Ok(vec![none.into_dyn()]));
}
