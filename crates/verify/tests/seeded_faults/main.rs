//! Wrong numbers are found: of many mistakes, each made alone in a model that Keras's outputs are recorded of, `verify`
//! lets none pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot run must fail"
)]

mod faults;
mod net;

use faults::{Fault, faults};
use k2o::{Array, Model};
use k2o_fixtures::{Case, Input, case};
use k2o_verify::{Options, OutputRow, verify};
use net::Net;
use std::collections::BTreeMap;

/// A model, and what Keras says of it.
struct Known {
    model: Model,
    net: Net,
    options: Options,
}

impl Known {
    fn open(case: &Case) -> Known {
        let form = &case.forms()[0];
        let model = Model::open(&form.model).unwrap();
        let mut options = Options::default();
        let array = |(_, input): (String, Input)| match input {
            Input::F32(array) => Array::from(array),
            Input::I32(array) => Array::from(array),
            Input::I64(array) => Array::from(array),
        };
        options.inputs = Some(case.inputs().into_iter().map(array).collect());
        let outputs = case.outputs(form.keras).into_iter();
        options.expected = Some(outputs.map(|(_, array)| array.mapv(f64::from)).collect());
        Known { net: Net::of(model.graph()), model, options }
    }

    /// How far what `net` computes is from Keras's outputs, at worst, as a multiple of the bound; infinitely far if it has
    /// another shape.
    fn distance(&self, net: &Net) -> Result<f64, String> {
        let graph = net.build().map_err(|error| error.to_string())?;
        let model = self.model.with_graph(graph).map_err(|error| error.to_string())?;
        let report = match verify(&model, &self.options) {
            Ok(report) => report,
            Err(error) if error.to_string().contains("the expected array has") => return Ok(f64::INFINITY),
            Err(error) => return Err(error.to_string()),
        };
        let to_keras = |row: &OutputRow| row.cpu_keras.unwrap().worst / row.cpu_keras.unwrap().allowed;
        let worst = report.outputs.iter().map(to_keras).fold(0.0, f64::max);
        assert_eq!(report.passed(), worst <= 1.0, "the runtime and the reference make the same mistake");
        Ok(worst)
    }
}

/// What is wrong with the proof that the mistake is found, if anything; else how far it is past the bound.
fn outcome(known: &Known, fault: &Fault) -> Result<f64, String> {
    let mut net = known.net.clone();
    (fault.make)(&mut net);
    if !net.differs_from(&known.net) {
        return Err("it changes nothing".to_string());
    }
    match known.distance(&net)? {
        distance if distance > 1.0 => Ok(distance),
        distance => Err(format!("it passes, at {distance:.3} of the bound")),
    }
}

#[test]
fn no_mistake_passes() {
    let faults = faults();
    assert!(faults.len() >= 200, "{}", faults.len());
    let mut models: BTreeMap<&str, Known> = BTreeMap::new();
    let (mut problems, mut found) = (Vec::new(), Vec::new());
    for fault in &faults {
        let known = models.entry(fault.model).or_insert_with(|| Known::open(&case(fault.model)));
        match outcome(known, fault) {
            Ok(distance) => found.push((distance, format!("{}: {}", fault.model, fault.what))),
            Err(problem) => problems.push(format!("{}: {}: {problem}", fault.model, fault.what)),
        }
    }
    for (model, known) in &models {
        let distance = known.distance(&known.net).unwrap();
        assert!(distance <= 1.0, "{model} is wrong without a mistake");
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (distance, what) in &found {
        println!("{distance:12.1} x the bound  {what}");
    }
    println!("{} mistakes in {} models, all found", found.len(), models.len());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
