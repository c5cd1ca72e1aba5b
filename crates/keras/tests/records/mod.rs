//! The models of records of shapes, as Keras 3 writes them.

use k2o_fixtures::{ShapeRecord, Sizes};
use k2o_keras::{Archive, ImportOptions, Imported, Limits, Source, import};
use serde_json::{Value, json};

/// The layer with a name, and with names for the layers that it wraps.
fn named(layer: &Value, name: &str) -> Value {
    let mut layer = layer.clone();
    let config = layer["config"].as_object_mut().unwrap();
    for (key, value) in config.iter_mut().filter(|(_, value)| value.get("config").is_some()) {
        *value = named(value, &format!("{name}_{key}"));
    }
    config.insert("name".into(), json!(name));
    layer
}

fn input_layer(at: usize, shape: &Sizes) -> Value {
    let name = format!("x{at}");
    let config = json!({"name": name, "batch_shape": shape, "dtype": "float32"});
    json!({"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []})
}

fn layers(record: &ShapeRecord) -> impl Iterator<Item = Value> {
    record.layers.iter().enumerate().map(|(at, layer)| named(layer, &format!("layer{at}")))
}

fn model(class: &str, config: Value) -> Value {
    json!({"class_name": class, "module": "keras", "config": config, "registered_name": class})
}

/// The record's model as `model.to_json()` of Keras 3 has a functional one with so many outputs.
pub fn functional(record: &ShapeRecord, outputs: usize) -> Value {
    let tensor = |name: &str| {
        let config = json!({"shape": null, "dtype": "float32", "keras_history": [name, 0, 0]});
        json!({"class_name": "__keras_tensor__", "config": config})
    };
    let inputs: Vec<String> = (0..record.inputs.len()).map(|at| format!("x{at}")).collect();
    let mut list: Vec<Value> =
        record.inputs.iter().enumerate().map(|(at, shape)| input_layer(at, shape)).collect();
    let mut argument = match inputs.as_slice() {
        [one] => tensor(one),
        several => several.iter().map(|name| tensor(name)).collect(),
    };
    for mut layer in layers(record) {
        let name = layer["config"]["name"].clone();
        layer["inbound_nodes"] = json!([{"args": [argument], "kwargs": {}}]);
        argument = tensor(name.as_str().unwrap());
        layer["name"] = name;
        list.push(layer);
    }
    let last = format!("layer{}", record.layers.len() - 1);
    let triples = |names: &[String]| names.iter().map(|name| json!([name, 0, 0])).collect::<Vec<_>>();
    let outputs: Vec<Value> = (0..outputs).map(|at| json!([last, 0, at])).collect();
    let config = json!({"name": "model", "layers": list, "input_layers": triples(&inputs),
        "output_layers": outputs});
    model("Functional", config)
}

pub fn sequential(record: &ShapeRecord) -> Value {
    let list: Vec<Value> = std::iter::once(input_layer(0, &record.inputs[0])).chain(layers(record)).collect();
    model("Sequential", json!({"name": "model", "layers": list}))
}

/// Imports the model as one that this Keras wrote.
pub fn open(config: &Value) -> Result<Imported, k2o_keras::Error> {
    let source = Source::from_bytes("model.json", config.to_string().into_bytes());
    let mut archive = Archive::read(&source, &Limits::default())?;
    archive.keras_version = Some("3.15.1".into());
    import(&archive, &ImportOptions::default())
}
