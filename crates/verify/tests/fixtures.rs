//! Every form of every model: the runtime, the reference and, where it is built in, tract running the exported file
//! compute what Keras computed, layer by layer and at the outputs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

use k2o::{Array, Model, OpenOptions};
use k2o_fixtures::{Case, Form, Input, cases};
use k2o_verify::{Finding, Options, verify};

fn options(case: &Case, form: &Form) -> Options {
    let mut options = Options::default();
    let array = |(_, input): (String, Input)| match input {
        Input::F32(array) => Array::from(array),
        Input::I32(array) => Array::from(array),
        Input::I64(array) => Array::from(array),
    };
    options.inputs = Some(case.inputs().into_iter().map(array).collect());
    options.expected =
        Some(case.outputs(form.keras).into_iter().map(|(_, array)| array.mapv(f64::from)).collect());
    options
}

/// What is wrong with one form, if anything.
fn problem(case: &Case, form: &Form) -> Option<String> {
    let mut open = OpenOptions::default();
    open.weights = form.weights.clone();
    let model = match Model::open_with(&form.model, &open) {
        Ok(model) => model,
        Err(error) => return Some(error.to_string()),
    };
    let report = match verify(&model, &options(case, form)) {
        Ok(report) => report,
        Err(error) => return Some(error.to_string()),
    };
    let has_tract = cfg!(feature = "tract");
    let complete = report.outputs.iter().all(|row| {
        row.cpu_keras.is_some() && row.reference_keras.is_some() && row.tract_keras.is_some() == has_tract
    });
    let compared = report.layers.iter().filter(|row| row.cpu != Finding::Folded).count();
    let with_tract = report.layers.iter().all(|row| row.tract.is_some() == has_tract);
    match (report.passed(), complete && with_tract && (compared > 0 || report.layers.is_empty())) {
        (true, true) => None,
        (true, false) => Some("not everything was compared".to_string()),
        (false, _) => Some(format!("past the bound: {:?}", report.outputs)),
    }
}

#[test]
fn everything_agrees_with_keras() {
    let mut problems = Vec::new();
    for case in cases() {
        for form in case.forms() {
            problems
                .extend(problem(&case, &form).map(|what| format!("{} {}: {what}", case.name, form.label())));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_folded_layer_is_said_to_be_folded() {
    let case = k2o_fixtures::case("narrow_advanced");
    let model = Model::open(case.path("keras3.keras")).unwrap();
    let report = verify(&model, &Options::default()).unwrap();
    let row = |name: &str| report.layers.iter().find(|row| row.name == name).unwrap();
    assert_eq!(row("batch_normalization").cpu, Finding::Folded);
    assert_ne!(row("conv1d").cpu, Finding::Folded);
    assert_ne!(row("dense_1").cpu, Finding::Folded);
}

#[test]
fn random_inputs_are_the_same_for_the_same_seed() {
    let model = Model::open(k2o_fixtures::case("symbolic_time").path("keras3.keras")).unwrap();
    let inputs = |seed| k2o_verify::random_inputs(&model, 3, seed).unwrap();
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    assert_eq!(inputs(1)[0].shape()[0], 3);
}
