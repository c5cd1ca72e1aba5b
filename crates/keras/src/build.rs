//! Makes layer objects from their configs, noting every error and going on.

use crate::archive::shown;
use crate::fields::{expected, in_config};
use crate::layer::{Kind, LayerObject};
use crate::layers;
use crate::model::{Model, is_model_class};
use crate::registry::{FromConfig, Registry};
use crate::snake_case::to_snake_case;
use crate::{Activation, Error, Fields, KerasVersion, Layer, Limits, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What is known while layer objects are made.
#[derive(Debug)]
pub(crate) struct Build {
    pub version: KerasVersion,
    pub limits: Limits,
    /// What was wrong so far.
    pub errors: Vec<Error>,
    registry: Registry,
    /// The names of activations that layers gave, and those of them that the registry knows.
    named: BTreeSet<String>,
    registered: BTreeSet<String>,
    objects: usize,
}

impl Build {
    pub fn new(version: KerasVersion, limits: Limits, registry: Registry) -> Build {
        Build {
            version,
            limits,
            errors: Vec::new(),
            registry,
            named: BTreeSet::new(),
            registered: BTreeSet::new(),
            objects: 0,
        }
    }

    /// The activation that the caller gave this name.
    pub fn registered_activation(&mut self, name: &str) -> Option<Result<Activation>> {
        self.named.insert(name.to_string());
        let (name, activation) = self.registry.find_activation(name, self.version)?;
        self.registered.insert(name.to_string());
        Some(activation)
    }

    /// The error for definitions that no layer used.
    pub fn left_over(&self) -> Option<Error> {
        self.registry.left_over(&self.registered, &self.named)
    }

    /// The layer that `{"class_name": .., "config": .., "name": ..}` describes; broken, with the error noted,
    /// where its config is not understood.
    pub fn object(&mut self, description: &Value, store: String) -> Result<LayerObject> {
        let id = self.next_id()?;
        let class = description.get("class_name").and_then(Value::as_str);
        let class = class.ok_or_else(|| Error::malformed("a layer without `class_name`"))?;
        check_name("class", class)?;
        check_kinds(description, class).map_err(|error| error.within(format!("layer {}", shown(class))))?;
        let empty = Map::new();
        let map = description.get("config").and_then(Value::as_object).unwrap_or(&empty);
        let name = [description.get("name"), map.get("name")].into_iter().flatten().find_map(Value::as_str);
        let name = name.unwrap_or(class);
        check_name("name", name)?;
        let mut object = LayerObject {
            name: name.to_string(),
            class: class.to_string(),
            store,
            trainable: map.get("trainable") != Some(&Value::Bool(false)),
            id,
            kind: Kind::Broken,
        };
        match self.kind(description, class, map, &object.store) {
            Ok((kind, class)) => {
                object.kind = kind;
                object.class = class;
            }
            Err(error) if error.kind() == crate::ErrorKind::Limit => return Err(error.at(object.place())),
            Err(error) => self.errors.push(error.within(object.place())),
        }
        Ok(object)
    }

    fn next_id(&mut self) -> Result<usize> {
        let limit = self.limits.max_layers;
        if self.objects >= limit {
            return Err(Error::limit(format!("the model has more than {limit} layers")));
        }
        self.objects += 1;
        Ok(self.objects - 1)
    }

    /// A layer that another one has without describing it.
    pub fn part(&mut self, class: &str, store: String, layer: Box<dyn Layer>) -> Result<LayerObject> {
        Ok(LayerObject {
            name: to_snake_case(class),
            class: class.to_string(),
            store,
            trainable: true,
            id: self.next_id()?,
            kind: Kind::Leaf(layer),
        })
    }

    /// The layer itself, and its class as Keras 3 spells it.
    fn kind(
        &mut self,
        description: &Value,
        class: &str,
        map: &Map<String, Value>,
        store: &str,
    ) -> Result<(Kind, String)> {
        if let Some(from_config) = self.registry.find_layer(description, class) {
            return Ok((Kind::Leaf(self.leaf(from_config, class, map, store)?), class.to_string()));
        }
        if let Some(module) = description.get("module").and_then(Value::as_str) {
            if module.starts_with("keras.src.ops") || module.starts_with("keras.ops") {
                let entry = layers::find_operator(class).ok_or_else(|| {
                    Error::unsupported(format!(
                        "the operator node `{class}` (`keras.ops` on Keras tensors) is not supported"
                    ))
                })?;
                let layer = self.leaf(entry.from_config, entry.class, map, store)?;
                return Ok((Kind::Leaf(layer), class.to_string()));
            }
            if !is_keras_module(module) {
                let message = format!("this is a custom class of module {}", shown(module));
                return Err(Error::unsupported(message).help(REGISTER));
            }
        }
        if let Some(name) = foreign_name(description) {
            let message = format!("this is a custom class registered by the model's author, {}", shown(name));
            return Err(Error::unsupported(message).help(REGISTER));
        }
        if is_model_class(class) {
            let model = Model::from_config(class, description.get("config"), description, self, store)?;
            return Ok((Kind::Model(model), class.to_string()));
        }
        let Some(entry) = layers::find(class) else {
            return Err(match class {
                "Lambda" => Error::unsupported("a Lambda layer holds Python code, which is never run here")
                    .help("replace it by Keras layers that compute the same, and save the model again"),
                _ => Error::unsupported("this layer class is not supported"),
            });
        };
        let layer = self.leaf(entry.from_config, entry.class, map, store)?;
        Ok((Kind::Leaf(layer), entry.class.to_string()))
    }

    /// The layer that `from_config` makes of every key.
    fn leaf(
        &mut self,
        from_config: FromConfig,
        class: &str,
        map: &Map<String, Value>,
        store: &str,
    ) -> Result<Box<dyn Layer>> {
        check_dtype(map.get("dtype"))?;
        let mut fields = Fields::new(class, map, self, store.to_string());
        fields.ignore(&["dtype"]);
        let layer = from_config(&mut fields)?;
        fields.finish()?;
        Ok(layer)
    }
}

/// The most bytes of a name, of which Keras's own have some dozens.
const MAX_NAME: usize = 1000;

/// What helps with a class that is not Keras's.
const REGISTER: &str = "a program that uses this library can say what it computes: `Importer::register`";

/// Whether a Python module is part of Keras.
pub(crate) fn is_keras_module(module: &str) -> bool {
    let own = ["keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras"];
    own.iter()
        .any(|name| module.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The name with which a class was registered that is not Keras's, whatever it is called.
fn foreign_name(description: &Value) -> Option<&str> {
    let name = description.get("registered_name").and_then(Value::as_str)?;
    let package = name.split_once('>').map(|(package, _)| package)?;
    (package != "Keras" && package != "keras").then_some(name)
}

/// Refuses a description whose parts are not texts and objects, of which nothing else would be taken.
fn check_kinds(description: &Value, class: &str) -> Result<()> {
    let config = description.get("config");
    let name = config.and_then(|config| config.get("name"));
    let texts = ["module", "name", "registered_name"].map(|key| (key, description.get(key)));
    for (key, value) in texts.into_iter().chain([("name", name)]) {
        if let Some(value) = value.filter(|value| !value.is_null() && !value.is_string()) {
            return Err(expected(key, "a text", value));
        }
    }
    let is_config = |config: &Value| config.is_object() || config.is_array() && is_model_class(class);
    match config.filter(|config| !is_config(config)) {
        Some(config) => Err(expected("config", "keys and values", config)),
        None => Ok(()),
    }
}

/// Refuses a name that is no name: names come again in every message, table and exported file.
fn check_name(what: &str, name: &str) -> Result<()> {
    let place = || format!("layer {}", shown(name));
    if name.len() > MAX_NAME {
        let message = format!("the {what} is {} bytes long; {MAX_NAME} are allowed", name.len());
        return Err(Error::limit(message).within(place()));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(c) => {
            let message = format!("the {what} has the control character U+{:04X} in it", u32::from(c));
            Err(Error::malformed(message).within(place()))
        }
        None => Ok(()),
    }
}

/// Accepts every floating-point policy: computation is in single precision, whatever the policy says.
fn check_dtype(dtype: Option<&Value>) -> Result<()> {
    let name = match dtype {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(name)) => name.as_str(),
        Some(policy) => {
            let class = policy.get("class_name").and_then(Value::as_str).unwrap_or_default();
            let name = in_config(policy, "name").and_then(Value::as_str);
            match (class, name) {
                ("DTypePolicy" | "Policy" | "FloatDTypePolicy" | "PolicyV1", Some(name)) => name,
                _ => {
                    let text = crate::fields::brief(policy);
                    return Err(Error::unsupported(format!("the dtype policy {text} is not supported")));
                }
            }
        }
    };
    match name {
        "float16" | "bfloat16" | "float32" | "float64" | "mixed_float16" | "mixed_bfloat16" => Ok(()),
        // What an InputLayer, an Embedding or a preprocessing layer may say.
        "int8" | "uint8" | "int16" | "uint16" | "int32" | "uint32" | "int64" | "uint64" | "bool" => Ok(()),
        _ => Err(Error::unsupported(format!("the dtype {} is not supported", shown(name)))),
    }
}
