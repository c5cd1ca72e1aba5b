//! Weights that are NaN or infinite: what they make of the outputs is the same in the runtime and in the reference, and the
//! report names them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use k2o::core::{DType, ExprKind, Graph, Op, WeightInfo};
use k2o::{Array, Model, OpenOptions};
use k2o_fixtures::{Case, Input, case, cases, replaced};
use k2o_verify::{Options, verify};

/// The inputs of a case, and Keras's outputs.
fn options(case: &Case) -> Options {
    let mut options = Options::default();
    let array = |(_, input): (String, Input)| match input {
        Input::F32(array) => Array::from(array),
        Input::I32(array) => Array::from(array),
        Input::I64(array) => Array::from(array),
    };
    options.inputs = Some(case.inputs().into_iter().map(array).collect());
    options
}

/// The model of a case in which the first element of a weight is `value`, for every single-precision weight that can be told
/// from others, with the weight's name.
fn spoilt(case: &Case, value: f32) -> Vec<(String, Model)> {
    let form = case.forms().into_iter().find(|form| form.weights.is_some());
    let Some((json, weights)) = form.and_then(|form| Some((form.model, form.weights?))) else {
        return Vec::new();
    };
    let mut options = OpenOptions::default();
    options.weights = Some(weights.clone());
    let model = Model::open_with(&json, &options).unwrap();
    let infos =
        model.outline().calls.iter().filter(|call| call.repetition == 0).flat_map(|call| &call.weights);
    let spoil = |info: &WeightInfo| {
        let ExprKind::Stored(stored) = info.expr.kind() else { return None };
        let old = stored.read().unwrap();
        if stored.dtype() != DType::F32 || !(16..1 << 16).contains(&old.len()) {
            return None;
        }
        let mut new = old.clone();
        new[..4].copy_from_slice(&value.to_le_bytes());
        let bytes = replaced(&weights, &old, &new)?;
        Some((info.name.clone(), Model::from_json_and_weights(std::fs::read(&json).unwrap(), bytes).unwrap()))
    };
    infos.filter_map(spoil).collect()
}

/// Whether a batch normalization was made part of other weights.
fn is_folded(model: &Model) -> bool {
    let affines =
        |graph: &Graph| graph.nodes().iter().filter(|node| matches!(node.op, Op::Affine(_))).count();
    affines(model.rewritten()) < affines(model.graph())
}

#[test]
fn the_runtime_makes_of_them_what_the_reference_does() {
    let mut problems = Vec::new();
    let mut count = 0;
    for (index, case) in cases().iter().enumerate() {
        let infinity = if index % 2 == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        for value in [f32::NAN, infinity] {
            for (weight, model) in spoilt(case, value) {
                // Times infinity, a sum is another one than its terms.
                if value.is_infinite() && is_folded(&model) {
                    continue;
                }
                count += 1;
                let report = verify(&model, &options(case)).unwrap();
                // Other runtimes have their own rules: tract's maximum of NaN and a number is the number.
                let mut runtime = report
                    .layers
                    .iter()
                    .map(|row| row.cpu.is_within())
                    .chain(report.outputs.iter().map(|row| row.cpu.is_within()));
                if !runtime.all(|is_within| is_within) {
                    problems.push(format!("{} {weight} {value}: {:?}", case.name, report.outputs));
                }
                assert_eq!(
                    report.non_finite.iter().map(k2o::NonFinite::count).sum::<u64>(),
                    1,
                    "{}",
                    case.name
                );
            }
        }
    }
    assert!(count > 700, "{count}");
    assert!(problems.is_empty(), "{} of {count}\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn the_report_names_them_and_nan_is_only_like_nan() {
    let case = case("dense_plain");
    let (_, model) = spoilt(&case, f32::NAN).remove(0);
    let mut options = options(&case);
    // The first unit's kernel begins with it.
    let outputs = model.predict(options.inputs.as_ref().unwrap()).unwrap().remove(0);
    assert!(outputs.outer_iter().all(|row| row[0].is_nan() && row[1].is_finite()));
    let passed = |options: &Options| verify(&model, options).unwrap().passed();
    let mut expected = outputs.mapv(f64::from);
    options.expected = Some(vec![expected.clone()]);
    assert!(passed(&options));
    let number = expected[[0, 1]];
    expected[[0, 1]] = f64::NAN;
    options.expected = Some(vec![expected.clone()]);
    assert!(!passed(&options), "a number where NaN is expected");
    expected[[0, 1]] = number;
    expected[[0, 0]] = 0.0;
    options.expected = Some(vec![expected]);
    assert!(!passed(&options), "NaN where a number is expected");
    let found = verify(&model, &options).unwrap().non_finite;
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dense: kernel holds 1 NaN"]);
}
