//! Layers of any config: those of the fixtures, changed.

use arbitrary::{Result, Unstructured};
use k2o::keras::LAYERS;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Every layer in the configs of the fixtures, whatever it is called, in a fixed order.
static KNOWN: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    let folder = k2o_fixtures::root().join("models");
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        for name in ["keras2.json", "keras3.json"] {
            let text = std::fs::read(entry.path().join(name)).unwrap_or_default();
            if let Ok(model) = serde_json::from_slice(&text) {
                collect(&model, &mut found);
            }
        }
    }
    found.into_values().collect()
});

/// What is at each key of a layer's config, to put it elsewhere.
static VALUES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let fields = KNOWN.iter().filter_map(|layer| layer["config"].as_object()).flatten();
    let values: BTreeMap<String, (String, Value)> =
        fields.map(|(key, value)| (format!("{key} {value}"), (key.clone(), value.clone()))).collect();
    values.into_values().filter(|(key, _)| key != "name").collect()
});

fn collect(value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            let class = fields.get("class_name").and_then(Value::as_str).unwrap_or_default();
            if LAYERS.iter().any(|layer| layer.class == class) && class != "InputLayer" {
                let mut layer = json!({ "class_name": class, "config": fields.get("config") });
                layer["config"]["name"] = json!("layer");
                found.insert(layer.to_string(), layer);
            }
            fields.values().for_each(|item| collect(item, found));
        }
        _ => {}
    }
}

/// A model of an input, one layer, and, perhaps, one that reads what it gives.
pub fn model(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut layer = u.choose(&KNOWN)?.clone();
    for _ in 0..u.int_in_range(0..=4)? {
        change(&mut layer, u)?;
    }
    let shape = match u.int_in_range(0..=5)? {
        0 => json!([null, null, 4]),
        1 => json!([null, 4]),
        2 => json!([2, 6, 3]),
        3 => json!([null, 6, 2, 3]),
        4 => json!([any(u, 0)?, any(u, 0)?, any(u, 0)?]),
        _ => json!([null, 12, 4]),
    };
    let key = *u.choose(&["batch_shape", "batch_input_shape"])?;
    let input =
        json!({ "class_name": "InputLayer", "config": { "name": "x", key: shape, "dtype": "float32" } });
    let mut layers = vec![input, layer];
    if u.arbitrary()? {
        layers.push(u.choose(&KNOWN)?.clone());
        layers[2]["config"]["name"] = json!("last");
    }
    let mut model = json!({ "class_name": "Sequential", "config": { "name": "model", "layers": layers } });
    model["keras_version"] = json!(*u.choose(&["2.15.0", "3.5.0", "1.2.2"])?);
    Ok(model)
}

/// Changes one value of a config, at any depth.
fn change(value: &mut Value, u: &mut Unstructured<'_>) -> Result<()> {
    match value {
        Value::Object(fields) if !fields.is_empty() && u.ratio(7, 8)? => {
            if u.ratio(1, 4)? {
                let (key, value) = u.choose(&VALUES)?.clone();
                let value = if u.arbitrary()? { value } else { any(u, 0)? };
                fields.insert(key, value);
                return Ok(());
            }
            let at = u.choose_index(fields.len())?;
            let Some((key, inner)) = fields.iter_mut().nth(at) else { return Ok(()) };
            if u.ratio(1, 8)? {
                let key = key.clone();
                fields.shift_remove(&key);
                return Ok(());
            }
            change(inner, u)
        }
        Value::Array(items) if !items.is_empty() && u.ratio(7, 8)? => {
            let at = u.choose_index(items.len())?;
            match u.int_in_range(0..=3)? {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(&mut items[at], u)?,
            }
            Ok(())
        }
        _ => {
            *value = any(u, 0)?;
            Ok(())
        }
    }
}

/// A value of any kind, with what layers know more often.
fn any(u: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    const TEXTS: [&str; 14] = [
        "",
        "same",
        "valid",
        "causal",
        "full",
        "channels_first",
        "relu",
        "softmax",
        "float16",
        "mixed_float16",
        "int32",
        "concat",
        "NaN",
        "max",
    ];
    const EDGES: [i64; 9] = [i64::MIN, i64::MAX, -1, 0, 1 << 31, 1 << 32, 1 << 53, 1 << 62, 1 << 20];
    Ok(match u.int_in_range(0..=11)? {
        0..=3 => json!(u.int_in_range(-3..=12)?),
        4 => json!(*u.choose(&EDGES)?),
        5 => json!(u.arbitrary::<f64>()?),
        6 => json!(*u.choose(&TEXTS)?),
        7 => json!(u.arbitrary::<bool>()?),
        8 => Value::Null,
        9 => u.choose(&VALUES)?.1.clone(),
        10 if depth < 4 => u.choose(&KNOWN)?.clone(),
        11 if depth < 4 => {
            let len = u.int_in_range(0..=4)?;
            (0..len).map(|_| any(u, depth + 1)).collect::<Result<Vec<_>>>()?.into()
        }
        _ => json!(u.arbitrary::<i64>()?),
    })
}
