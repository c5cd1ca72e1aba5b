//! Every model, exported and run in rten, computes what Keras computed, but for those that `rten.txt` lists.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

use k2o::{Array, ExportOptions, Model, OpenOptions};
use k2o_fixtures::{Case, Input, cases};
use k2o_verify::{Difference, RtenModel};
use std::collections::BTreeMap;

/// `Err` where rten does not load the file, fails in running it, or computes something else than Keras.
fn outcome(case: &Case) -> Result<(), String> {
    let form = case.forms().remove(0);
    let mut open = OpenOptions::default();
    open.weights = form.weights;
    let model = Model::open_with(&form.model, &open).unwrap();
    let onnx = model.to_onnx(&ExportOptions::default()).unwrap().to_bytes().unwrap();
    let array = |(_, input): (String, Input)| match input {
        Input::F32(array) => Array::from(array),
        Input::I32(array) => Array::from(array),
        Input::I64(array) => Array::from(array),
    };
    let inputs: Vec<Array> = case.inputs().into_iter().map(array).collect();
    let loaded = RtenModel::load(onnx).map_err(|error| format!("not loaded: {error}"))?;
    let outputs = loaded.run(&inputs).map_err(|error| format!("not run: {error}"))?;
    let expected = case.outputs(form.keras);
    assert_eq!(outputs.len(), expected.len(), "{}", case.name);
    for (ours, (name, expected)) in outputs.iter().zip(&expected) {
        let keras: Vec<f64> = expected.iter().map(|&x| f64::from(x)).collect();
        let difference = Difference::between(ours.iter().map(|&x| f64::from(x)), &keras);
        let (given, wanted) = (ours.shape(), expected.shape());
        match (given == wanted, difference.is_within()) {
            (false, _) => return Err(format!("wrong shape: {name} is {given:?}, not {wanted:?}")),
            (_, false) => return Err(format!("wrong numbers: {name} by {}", difference.worst)),
            _ => (),
        }
    }
    Ok(())
}

/// By case: what `outcome` says of it, in the words of `rten.txt`: the stage, and a part of rten's message.
fn listed() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let mut reason = ("", "");
    let mut listed = BTreeMap::new();
    for line in include_str!("rten.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line.strip_prefix("  ") {
            Some(case) => assert!(listed.insert(case, reason).is_none(), "rten.txt lists {case} twice"),
            None => reason = line.split_once(':').expect("a reason begins with a stage"),
        }
    }
    listed
}

#[test]
fn rten_computes_what_keras_computed_but_for_the_cases_listed() {
    let mut listed = listed();
    let mut problems = Vec::new();
    for case in cases() {
        let name = case.name.as_str();
        problems.extend(match (outcome(&case), listed.remove(name)) {
            (Ok(()), None) => None,
            (Ok(()), Some(_)) => Some(format!("{name} is listed, and right")),
            (Err(found), None) => Some(format!("{name} is not listed, and {found}")),
            (Err(found), Some((stage, message))) => {
                let is_known = found.starts_with(stage) && found.contains(message.trim());
                (!is_known).then(|| format!("{name} is listed as {stage}:{message}, and {found}"))
            }
        });
    }
    problems.extend(listed.keys().map(|name| format!("{name} is listed, and no case")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
