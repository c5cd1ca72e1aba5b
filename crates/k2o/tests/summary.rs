//! Summaries of every form of every model: Keras's own rows and totals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use k2o::{Model, OpenOptions, Summary};
use k2o_fixtures::cases;
use serde_json::{Value, json};

/// Rows by name. Keras 2 gives inputs other names than Keras 3, whose summary was recorded.
fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    for row in rows.iter_mut().filter(|row| row["class"] == "InputLayer") {
        row["name"] = json!("input");
    }
    rows.sort_by_key(|row| format!("{} {}", row["name"], row["output_shape"]));
    rows
}

/// Rows without the shapes that Keras shows otherwise than they are: after `glu`, which halves an axis, that which it is
/// given; and a Bidirectional as if its backward layer had as many units as the forward one.
fn without_untrue_shapes(mut rows: Vec<Value>, case: &str) -> Vec<Value> {
    let differs = case.contains("bidirectional_other");
    let is_untrue = |row: &Value| row["name"] == "of_glu" || differs && row["class"] == "Bidirectional";
    for row in rows.iter_mut().filter(|row| is_untrue(row)) {
        row["output_shape"] = Value::Null;
    }
    rows
}

/// Whether the row is of an operator of `keras.ops` that no layer is called like.
fn is_operator(row: &Value) -> bool {
    let classes = ["Any", "ExpandDims", "LogicalOr", "NotEqual", "OnesLike", "ZerosLike"];
    row["class"].as_str().is_some_and(|class| classes.contains(&class))
}

fn rows(summary: &Summary) -> Vec<Value> {
    let shape = |shapes: &[Vec<Option<i64>>]| match shapes {
        [only] => json!(only),
        several => json!(several),
    };
    let row = |row: &k2o::SummaryRow| {
        json!({
            "name": row.name,
            "class": row.class,
            "output_shape": shape(&row.output_shapes),
            "params": row.parameters,
        })
    };
    summary.rows.iter().map(row).collect()
}

#[test]
fn rows_and_totals_are_keras_own() {
    for case in cases() {
        for form in case.forms() {
            let what = format!("{} {}", case.name, form.label());
            let mut options = OpenOptions::default();
            options.weights = form.weights.clone();
            let model =
                Model::open_with(&form.model, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
            let summary = model.summary();
            let expected = &case.description["summary"];
            let mut expected_rows = expected["layers"].as_array().unwrap().clone();
            let mut our_rows = rows(&summary);
            // The rows are Keras 3's, which has one for each operator that it makes a mask with, `Concatenate` among them.
            if form.keras < 3 && expected_rows.iter().any(is_operator) {
                for rows in [&mut our_rows, &mut expected_rows] {
                    rows.retain(|row| !is_operator(row) && row["class"] != "Concatenate");
                }
            }
            // Keras 2 describes layers in another order.
            let known = |rows: Vec<Value>| {
                let rows = if form.keras < 3 { sorted(rows) } else { rows };
                without_untrue_shapes(rows, &case.name)
            };
            assert_eq!(known(our_rows), known(expected_rows), "{what}");
            // A layer that a nested model shares with the outer one is written, and read, as two.
            if case.name == "nested_shares_a_layer" {
                continue;
            }
            assert_eq!(json!(summary.total_parameters), expected["total_params"], "{what}");
            assert_eq!(json!(summary.trainable_parameters), expected["trainable_params"], "{what}");
            assert_eq!(json!(summary.non_trainable_parameters), expected["non_trainable_params"], "{what}");
        }
    }
}
