//! Layers with numbers of any size, in their configs and in the shapes of their inputs, are imported or refused: never a
//! panic, a wrapped number, a long wait or a large allocation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod records;

use k2o_core::Dim;
use k2o_fixtures::{ShapeRecord, shape_records};
use k2o_keras::Imported;
use records::{functional, open, sequential};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many records of each class are changed in every way.
const RECORDS: usize = 4;

fn extremes() -> Vec<Value> {
    let integers =
        [i64::MIN, i64::MIN + 1, -1, 0, 1 << 31, 1 << 32, 1 << 53, 1 << 60, 1 << 62, i64::MAX - 1, i64::MAX];
    let mut values: Vec<Value> = integers.map(Value::from).to_vec();
    values.extend([json!(u64::MAX), json!(9.3e18), json!(1e300), json!(-0.5)]);
    values
}

/// Every number in the value, in turn replaced by `extreme`.
fn replaced(value: &Value, extreme: &Value) -> Vec<Value> {
    match value {
        Value::Number(_) => vec![extreme.clone()],
        Value::Array(items) => (0..items.len())
            .flat_map(|at| replaced(&items[at], extreme).into_iter().map(move |new| (at, new)))
            .map(|(at, new)| {
                let mut items = items.clone();
                items[at] = new;
                Value::Array(items)
            })
            .collect(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, item)| replaced(item, extreme).into_iter().map(move |new| (key, new)))
            .map(|(key, new)| {
                let mut map = map.clone();
                map.insert(key.clone(), new);
                Value::Object(map)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The record with one number replaced, for each number in it.
fn changed(record: &ShapeRecord) -> Vec<ShapeRecord> {
    let mut records = Vec::new();
    for extreme in extremes() {
        for layers in replaced(&Value::from(record.layers.clone()), &extreme) {
            records.push(ShapeRecord { layers: layers.as_array().unwrap().clone(), ..record.clone() });
        }
        let Some(size) = extreme.as_i64() else { continue };
        for (input, axis) in
            (0..record.inputs.len()).flat_map(|i| (0..record.inputs[i].len()).map(move |axis| (i, axis)))
        {
            let mut record = record.clone();
            record.inputs[input][axis] = Some(size);
            records.push(record);
        }
    }
    records
}

/// Demands sizes that could be addressed, and costs that are counted or past the limit.
fn check(imported: &Imported, record: &ShapeRecord) {
    let graph = &imported.graph;
    for value in graph.values() {
        let shape = &value.r#type.shape;
        let fixed: Vec<i64> = shape.iter().filter_map(Dim::as_fixed).collect();
        let bytes = fixed.iter().try_fold(1i64, |bytes, &n| bytes.checked_mul(n.max(1)));
        assert!(bytes.is_some() && fixed.iter().all(|&n| n >= 0), "{shape} of {record:?}");
    }
    for node in graph.nodes() {
        let _ = graph.cost(node);
    }
    let _ = k2o_core::rewrite(graph);
}

#[test]
fn layers_of_any_numbers_are_imported_or_refused() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut imported, mut refused) = (0, 0);
    for record in shape_records().into_iter().filter(|record| record.outcome.is_ok()) {
        let class = record.layers.iter().map(|layer| layer["class_name"].as_str().unwrap()).next_back();
        let key = if record.family == "stacks" { "stack" } else { class.unwrap() };
        let count = seen.entry(key.to_string()).or_default();
        *count += 1;
        if *count > RECORDS {
            continue;
        }
        for record in changed(&record) {
            let mut models = vec![functional(&record, 1)];
            models.extend((record.inputs.len() == 1).then(|| sequential(&record)));
            for model in models {
                match open(&model) {
                    Ok(model) => {
                        check(&model, &record);
                        imported += 1;
                    }
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(seen.len() > 30 && imported > 1000 && refused > 1000, "{imported} and {refused} of {seen:?}");
}
