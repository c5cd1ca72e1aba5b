//! Changes of JSON that leave it JSON.

use fastrand::Rng;
use k2o::keras::LAYERS;
use serde_json::{Map, Value, json};

/// A value that few expect.
fn odd(rng: &mut Rng) -> Value {
    const INTEGERS: [i64; 17] = [
        0,
        1,
        -1,
        2,
        3,
        7,
        100,
        -100,
        65_536,
        1_000_000,
        i32::MAX as i64,
        1 << 31,
        1 << 32,
        1 << 53,
        1 << 62,
        i64::MAX,
        i64::MIN,
    ];
    const FLOATS: [f64; 9] = [0.5, -0.0, 1e308, -1e308, 1e-308, 1.5, 3.0, 1e19, 2e-3];
    const TEXTS: [&str; 20] = [
        "",
        "same",
        "valid",
        "causal",
        "relu",
        "softmax",
        "NaN",
        "Infinity",
        "-Infinity",
        "channels_first",
        "channels_last",
        "float16",
        "int64",
        "bool",
        "concat",
        "sum",
        "zeros",
        "../../x",
        "\u{0}",
        "\u{202e}\u{1f600}",
    ];
    match rng.u8(0..12) {
        0..4 => json!(INTEGERS[rng.usize(0..INTEGERS.len())]),
        4 => json!(FLOATS[rng.usize(0..FLOATS.len())]),
        5 => json!(u64::MAX - u64::from(rng.bool())),
        6 => json!(TEXTS[rng.usize(0..TEXTS.len())]),
        7 => json!(LAYERS[rng.usize(0..LAYERS.len())].class),
        8 => Value::Null,
        9 => json!(rng.bool()),
        10 => match rng.u8(0..9) {
            0 => json!([]),
            1 => json!({}),
            2 => json!([null]),
            3 => json!([[0]]),
            4 => Value::Array(vec![odd(rng); 300]),
            5 => json!({ "class_name": LAYERS[rng.usize(0..LAYERS.len())].class, "config": {} }),
            6 => json!({ "class_name": "__tuple__", "items": [odd(rng), odd(rng)] }),
            7 => (0..rng.usize(1..200)).fold(json!(1), |inner, _| json!([inner])),
            _ => (0..rng.usize(1..100)).fold(json!({}), |inner, _| json!({ "config": inner })),
        },
        _ => Value::Array((0..rng.usize(1..5)).map(|_| odd(rng)).collect()),
    }
}

/// Changes the value at one place. Returns where, and what was done.
pub fn change(root: &mut Value, rng: &mut Rng) -> String {
    let (pick, donor) = (rng.usize(0..count(root)), rng.usize(0..count(root)));
    let donated = find(&mut root.clone(), donor, String::new()).map(|(_, value)| value.clone());
    let Some((path, value)) = find(root, pick, String::new()) else { return "nothing".to_owned() };
    let done = match (rng.u8(0..10), &mut *value) {
        (0..2, Value::Object(fields)) if !fields.is_empty() => {
            let key = any_key(fields, rng);
            fields.shift_remove(&key);
            format!("{key:?} removed")
        }
        (2, Value::Object(fields)) if !fields.is_empty() => {
            let (from, to) = (any_key(fields, rng), any_key(fields, rng));
            let moved = fields.get(&from).cloned().unwrap_or_default();
            fields.insert(to.clone(), moved);
            format!("{to:?} is {from:?}")
        }
        (3, Value::Object(fields)) => {
            const KEYS: [&str; 12] = [
                "dtype",
                "batch_shape",
                "shared_object_id",
                "go_backwards",
                "mask_zero",
                "data_format",
                "dilation_rate",
                "trainable",
                "activation",
                "registered_name",
                "build_config",
                "stateful",
            ];
            let key = KEYS[rng.usize(0..KEYS.len())];
            fields.insert(key.to_owned(), odd(rng));
            format!("{key:?} odd")
        }
        (0..2, Value::Array(items)) if !items.is_empty() => {
            let at = rng.usize(0..items.len());
            items.remove(at);
            format!("item {at} removed")
        }
        (2..4, Value::Array(items)) if !items.is_empty() => {
            let (from, to) = (rng.usize(0..items.len()), rng.usize(0..=items.len()));
            items.insert(to, items[from].clone());
            format!("item {from} again at {to}")
        }
        (4, Value::Array(items)) if items.len() > 1 => {
            let (a, b) = (rng.usize(0..items.len()), rng.usize(0..items.len()));
            items.swap(a, b);
            format!("items {a} and {b} swapped")
        }
        (5, Value::String(text)) => {
            match rng.u8(0..3) {
                0 => *text = text.repeat(rng.usize(0..2000)),
                1 => drop(text.pop()),
                _ => text.push_str("_1"),
            }
            "another text".to_owned()
        }
        (6, value) => {
            *value = json!([value.take()]);
            "in a list".to_owned()
        }
        (7..9, value) => {
            *value = donated.unwrap_or_default();
            "a value from elsewhere".to_owned()
        }
        (5..7, Value::Number(number)) => {
            let n = number.as_i64().unwrap_or_default();
            *value = json!(n.wrapping_mul(rng.i64(-3..4)).wrapping_add(rng.i64(-2..3)));
            "another number".to_owned()
        }
        (_, value) => {
            *value = odd(rng);
            "an odd value".to_owned()
        }
    };
    format!("{path}: {done}")
}

fn any_key(fields: &Map<String, Value>, rng: &mut Rng) -> String {
    fields.keys().nth(rng.usize(0..fields.len())).cloned().unwrap_or_default()
}

/// The number of values in `value`, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value of this number, counted from the outermost one, and the path to it.
fn find(value: &mut Value, number: usize, path: String) -> Option<(String, &mut Value)> {
    if number == 0 {
        return Some((path, value));
    }
    let inner: Box<dyn Iterator<Item = (String, &mut Value)>> = match value {
        Value::Array(items) => Box::new(items.iter_mut().enumerate().map(|(i, item)| (i.to_string(), item))),
        Value::Object(fields) => Box::new(fields.iter_mut().map(|(key, item)| (key.clone(), item))),
        _ => return None,
    };
    let mut left = number - 1;
    for (key, item) in inner {
        let inside = count(item);
        if left < inside {
            return find(item, left, format!("{path}/{key}"));
        }
        left -= inside;
    }
    None
}

/// Changes the first JSON object in `bytes` that describes a model, such as an attribute of an HDF5 file, to one of the same
/// length; `None` if there is none, or the changed one is longer.
pub fn change_embedded(bytes: &mut [u8], rng: &mut Rng) -> Option<String> {
    const STARTS: [&[u8]; 3] = [b"{\"class_name\":", b"{\"module\":", b"{\"name\":"];
    let is_start = |at: &usize| STARTS.iter().any(|start| bytes[*at..].starts_with(start));
    let start = (0..bytes.len()).find(is_start)?;
    let mut parsed = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<Value>();
    let mut root = parsed.next()?.ok()?;
    let end = start + parsed.byte_offset();
    let done = change(&mut root, rng);
    // Python writes spaces behind commas and colons, which leaves room.
    let mut text = root.to_string().into_bytes();
    if text.len() > end - start {
        return None;
    }
    text.resize(end - start, b' ');
    bytes[start..end].copy_from_slice(&text);
    Some(done)
}
