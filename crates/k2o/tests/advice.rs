//! What is said of layers in an order that is seldom meant, and of others like them nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot run must fail")]

use k2o::Model;
use serde_json::{Value, json};

/// What is odd about layers one behind the other, each a class and more of its config than its name.
fn advice(input: &[i64], layers: &[(&str, Value)]) -> Vec<String> {
    let batch_shape: Vec<Value> = [Value::Null].into_iter().chain(input.iter().map(|&n| json!(n))).collect();
    let mut described =
        vec![json!({ "class_name": "InputLayer", "config": { "batch_shape": batch_shape, "name": "x" } })];
    for (at, (class, more)) in layers.iter().enumerate() {
        let mut config = more.clone();
        config["name"] = json!(format!("{}_{at}", class.to_lowercase()));
        described.push(json!({ "class_name": class, "config": config }));
    }
    let config = json!({ "name": "net", "layers": described });
    let model = json!({ "class_name": "Sequential", "config": config, "keras_version": "3.0.0" });
    Model::from_bytes(model.to_string()).unwrap().advice()
}

#[test]
fn dropout_belongs_behind_batch_normalization() {
    let rate = || json!({ "rate": 0.5 });
    let normalization = ("BatchNormalization", json!({}));
    for class in ["Dropout", "SpatialDropout1D", "GaussianDropout", "AlphaDropout"] {
        let name = class.to_lowercase();
        let sentence = format!(
            "dropout before batch normalization ({name}_0 -> batchnormalization_1): what is normalized has another variance in \
             training than afterwards"
        );
        assert_eq!(advice(&[6, 4], &[(class, rate()), normalization.clone()]), [sentence]);
    }
    assert_eq!(advice(&[6, 4], &[normalization, ("Dropout", rate())]), [""; 0]);
    assert_eq!(advice(&[6, 4], &[("Dropout", rate()), ("LayerNormalization", json!({}))]), [""; 0]);
}

#[test]
fn softmax_over_one_is_always_one() {
    let dense = |units: u32, activation: &str| ("Dense", json!({ "units": units, "activation": activation }));
    let sentence =
        |name: &str| format!("{name}: softmax over one unit is always 1; sigmoid gives a probability");
    assert_eq!(advice(&[4], &[dense(1, "softmax")]), [sentence("dense_0")]);
    assert_eq!(advice(&[4], &[dense(1, "linear"), ("Softmax", json!({}))]), [sentence("softmax_1")]);
    assert_eq!(advice(&[4], &[dense(2, "softmax")]), [""; 0]);
    assert_eq!(advice(&[4], &[dense(1, "sigmoid")]), [""; 0]);
    // Over the steps, of which there are more.
    let over_steps = ("Softmax", json!({ "axis": 1 }));
    assert_eq!(advice(&[4, 1], &[over_steps]), [""; 0]);
}
