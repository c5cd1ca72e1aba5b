//! Layers of `keras/src/layers/preprocessing`.

mod normalization;
mod rescaling;

pub(super) use normalization::Normalization;
pub(super) use rescaling::Rescaling;

use crate::fields::{as_float, in_config};
use crate::{Error, Result};
use k2o_core::Tensor as Array;
use serde_json::Value;

/// A number, or nested lists of them all of one shape, in single precision.
fn numbers(key: &str, value: &Value) -> Result<Array> {
    fn collect(value: &Value, depth: usize, shape: &mut Vec<usize>, data: &mut Vec<f64>) -> Option<()> {
        let Value::Array(items) = value else {
            data.push(f64::from(as_float(value)? as f32));
            return (depth == shape.len()).then_some(());
        };
        if data.is_empty() && depth == shape.len() {
            shape.push(items.len());
        }
        if shape.get(depth) != Some(&items.len()) {
            return None;
        }
        items.iter().try_for_each(|item| collect(item, depth + 1, shape, data))
    }
    // An array that Keras wrapped is given by its elements too.
    let unwrapped = match value.get("class_name").and_then(Value::as_str) {
        Some("__numpy__") => in_config(value, "value").unwrap_or(value),
        _ => value,
    };
    let (mut shape, mut data) = (Vec::new(), Vec::new());
    collect(unwrapped, 0, &mut shape, &mut data)
        .and_then(|()| Array::f64(shape, data).ok())
        .ok_or_else(|| Error::malformed(format!("`{key}` is no array of numbers")))
}
