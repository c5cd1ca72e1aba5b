//! The shapes that K2O gives layers are those that Keras gives them, and what Keras does not build is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod records;

use k2o_fixtures::{Run, ShapeRecord, Sizes, shape_records};
use k2o_keras::Imported;
use records::{functional, open, sequential};
use serde_json::{Value, json};

/// The sizes of the outputs, `None` for what is no number.
fn outputs(imported: &Imported) -> Vec<Sizes> {
    let graph = &imported.graph;
    let sizes = |port: &k2o_core::Port| {
        let shape = &graph.value(port.value).r#type.shape;
        shape.iter().map(k2o_core::Dim::as_fixed).collect()
    };
    graph.outputs().iter().map(sizes).collect()
}

/// What K2O makes of a record.
#[derive(Debug)]
enum Ours {
    Shapes(Vec<Sizes>),
    Refused(String),
}

/// Whether a reason to differ is that of this record.
type Applies = fn(&ShapeRecord, &Ours) -> bool;

/// Where K2O rightly says something else than Keras does while it builds a model; and why.
const DIFFERENCES: [(&str, Applies); 7] = [
    ("Keras builds the model but cannot compute it, and K2O refuses it", |record, ours| {
        // TensorFlow's CPU kernels lack channels first, which is nothing wrong with a model.
        let of_the_machine = |error: &str| ["NHWC", "NCHW"].iter().any(|layout| error.contains(layout));
        matches!((&record.run, ours), (Run::Error(error), Ours::Refused(_)) if !of_the_machine(error))
    }),
    ("Keras computes other shapes than it foretells, those that K2O gives", |record, ours| {
        let fits = |ours: &Sizes, real: &Sizes| {
            ours.len() == real.len() && ours.iter().zip(real).all(|(n, real)| n.is_none() || n == real)
        };
        match (&record.run, ours) {
            (Run::Shapes(real), Ours::Shapes(given)) => {
                given.len() == real.len() && given.iter().zip(real).all(|(ours, real)| fits(ours, real))
            }
            _ => false,
        }
    }),
    ("there is no window, mean, maximum or norm of no elements", |record, ours| {
        let shapes = || record.inputs.iter().chain(record.outcome.iter().flatten());
        matches!(ours, Ours::Refused(_)) && shapes().flatten().any(|&n| n == Some(0))
    }),
    ("examples of a batch do not mix, and no axes are none to normalize over", |record, ours| {
        let norm = ["LayerNormalization", "GroupNormalization", "Activation", "Softmax"];
        let rank = record.inputs[0].len() as i64;
        let axes = &record.layers[0]["config"]["axis"];
        let is_odd = rank == 1 || *axes == json!([]) || *axes == json!(0) || *axes == json!(-rank);
        matches!(ours, Ours::Refused(_)) && is_odd && is_one_of(record, &norm)
    }),
    ("a size that is not known is demanded to fit when the model runs", |record, ours| {
        let is_unknown =
            |error: &String| error.contains("Incompatible input shapes") && error.contains("None");
        matches!(ours, Ours::Shapes(_))
            && record.outcome.as_ref().is_err_and(is_unknown)
            && is_one_of(record, &["Dot"])
    }),
    ("a batch of 1 repeats, and a size that is not known is that of the other inputs", |record, ours| {
        let (Ok(keras), Ours::Shapes(given)) = (&record.outcome, ours) else { return false };
        let decided = |(axis, (n, keras)): (usize, (&Option<i64>, &Option<i64>))| {
            keras.is_none() || n == keras || (axis == 0 && n.is_none() && *keras == Some(1))
        };
        let (given, keras) = (&given[0], &keras[0]);
        let merged = record.inputs.len() > 1 && given.len() == keras.len();
        merged && given.iter().zip(keras).enumerate().all(decided)
    }),
    ("the README says that it is refused", |_, ours| {
        let said = [
            "leaves several axes of unknown size",
            "(AdaptiveMaxPooling1D): axis",
            "(AdaptiveAveragePooling1D): axis",
        ];
        matches!(ours, Ours::Refused(error) if said.iter().any(|said| error.contains(said)))
    }),
];

fn is_one_of(record: &ShapeRecord, classes: &[&str]) -> bool {
    record.layers.iter().any(|layer| classes.iter().any(|class| layer["class_name"] == *class))
}

/// What K2O makes of the record, in both forms that a model of one input and one output has.
fn ours(record: &ShapeRecord) -> Vec<Ours> {
    let count = record.outcome.as_ref().map_or(1, Vec::len);
    let mut models = vec![functional(record, count)];
    if record.inputs.len() == 1 && count == 1 {
        models.push(sequential(record));
    }
    let open = |config: &Value| match open(config) {
        Ok(imported) => Ours::Shapes(outputs(&imported)),
        Err(error) => Ours::Refused(error.to_string()),
    };
    models.iter().map(open).collect()
}

#[test]
fn shapes_are_those_of_keras() {
    let mut problems = Vec::new();
    let mut excused = [0; DIFFERENCES.len()];
    for record in shape_records() {
        for ours in ours(&record) {
            let agrees = match (&ours, &record.outcome) {
                (Ours::Shapes(given), Ok(expected)) => given == expected,
                (Ours::Refused(_), Err(_)) => true,
                _ => false,
            };
            if agrees {
                continue;
            }
            match DIFFERENCES.iter().position(|(_, applies)| applies(&record, &ours)) {
                Some(at) => excused[at] += 1,
                None => problems.push(format!("{}: {ours:?} of {record:?}", record.place())),
            }
        }
    }
    assert!(problems.is_empty(), "{} differ:\n{}", problems.len(), problems.join("\n"));
    for ((reason, _), count) in DIFFERENCES.iter().zip(excused) {
        println!("{count}: {reason}");
        assert!(count > 0, "nothing differs because {reason:?}");
    }
}

#[test]
fn there_are_records_of_shapes_and_of_errors_enough() {
    let records = shape_records();
    let errors = records.iter().filter(|record| record.outcome.is_err()).count();
    assert!(records.len() >= 2500, "{} records", records.len());
    assert!(errors >= 500 && 4 * errors >= records.len(), "{errors} errors of {}", records.len());
}
