//! Every form of every model: the runtime, the reference and, where it is built in, tract running the exported file
//! compute what Keras computed, layer by layer and at the outputs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

use k2o::onnx::WeightsType;
use k2o::{Array, ExportOptions, Model, OpenOptions};
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

/// What is wrong with one form as a file of this operator set with these weights, if anything.
fn problem(case: &Case, form: &Form, opset: i64, weights_type: WeightsType) -> Option<String> {
    let mut open = OpenOptions::default();
    open.weights = form.weights.clone();
    let model = match Model::open_with(&form.model, &open) {
        Ok(model) => model,
        Err(error) => return Some(error.to_string()),
    };
    let mut options = options(case, form);
    (options.opset, options.weights_type) = (opset, weights_type);
    let report = match verify(&model, &options) {
        Ok(report) => report,
        Err(error) => return Some(error.to_string()),
    };
    let has_tract = cfg!(feature = "tract") && weights_type != WeightsType::BF16;
    // Rounded weights compute something else than Keras did.
    let rounded = weights_type != WeightsType::F32;
    let complete = report.outputs.iter().all(|row| {
        let keras = [row.cpu_keras.is_some(), row.reference_keras.is_some(), row.tract_keras.is_some()];
        keras == [!rounded, !rounded, has_tract && !rounded] && row.tract.is_some() == has_tract
    });
    let complete = complete && report.rounding.len() == if rounded { report.outputs.len() } else { 0 };
    let compared = report.layers.iter().filter(|row| row.cpu != Finding::Folded).count();
    let with_tract = report.layers.iter().all(|row| row.tract.is_some() == has_tract);
    match (report.passed(), complete && with_tract && (compared > 0 || report.layers.is_empty())) {
        (true, true) => None,
        (true, false) => Some("not everything was compared".to_string()),
        (false, _) => Some(format!("past the bound: {:?}", report.outputs)),
    }
}

/// Every form at the default operator set, or the first form of every case at these operator sets and with these weights.
#[track_caller]
fn check(all_forms: bool, variants: &[(i64, WeightsType)]) {
    let mut problems = Vec::new();
    for case in cases() {
        let forms = case.forms();
        let forms = if all_forms { forms.as_slice() } else { &forms[..1] };
        for (form, &(opset, weights_type)) in forms.iter().flat_map(|f| variants.iter().map(move |v| (f, v)))
        {
            let what = problem(&case, form, opset, weights_type);
            let named = |what| format!("{} {} opset {opset} {weights_type}: {what}", case.name, form.label());
            problems.extend(what.map(named));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

const F32: WeightsType = WeightsType::F32;

#[test]
fn everything_agrees_with_keras() {
    check(true, &[(ExportOptions::default().opset, F32)]);
}

/// Only the exported file differs.
#[cfg(feature = "tract")]
#[test]
fn every_operator_set_agrees_with_keras() {
    check(false, &[13, 15, 18, 20, 21, 23, ExportOptions::MAX_OPSET].map(|opset| (opset, F32)));
}

#[test]
fn weights_of_every_type_agree_with_the_reference() {
    check(false, &[(17, WeightsType::F16), (17, WeightsType::BF16)]);
}

#[test]
fn what_narrow_weights_change_is_said() {
    let case = k2o_fixtures::case("narrow_advanced");
    let model = Model::open(case.path("keras3.keras")).unwrap();
    let change = |weights_type| {
        let mut options = options(&case, &case.forms()[0]);
        options.weights_type = weights_type;
        verify(&model, &options).unwrap().rounding
    };
    assert!(change(F32).is_empty());
    let [half, brain] = [WeightsType::F16, WeightsType::BF16].map(|weights| change(weights).remove(0));
    // 3 bits fewer.
    assert!(
        half.worst > 0.0 && half.worst < brain.worst && brain.worst < 0.1 * brain.largest,
        "{half:?} {brain:?}"
    );
    assert!((half.keras.unwrap() - half.worst).abs() <= 1e-5);
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

#[test]
fn random_inputs_that_memory_does_not_hold_are_refused() {
    let path = k2o_fixtures::case("basic").path("keras3.keras");
    let error = k2o_verify::random_inputs(&Model::open(&path).unwrap(), 1 << 40, 0).unwrap_err();
    assert_eq!(error.kind(), k2o::ErrorKind::Limit);
    let text = "random inputs up to one of shape [1099511627776, 100, 1] take 439804651110400 bytes; 8589934592 bytes of \
                memory are allowed";
    assert!(error.to_string().contains(text), "{error}");
    let mut open = OpenOptions::default();
    open.limits.max_memory = 4 << 20;
    let model = Model::open_with(&path, &open).unwrap();
    // 100 numbers for each example.
    assert!(k2o_verify::random_inputs(&model, (4 << 20) / 400, 0).is_ok());
    assert_eq!(
        k2o_verify::random_inputs(&model, (4 << 20) / 400 + 1, 0).unwrap_err().kind(),
        k2o::ErrorKind::Limit
    );
}
