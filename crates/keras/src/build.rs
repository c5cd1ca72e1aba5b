//! Makes layer objects from their configs, noting every error and going on.

use crate::layer::{Kind, LayerObject};
use crate::layers;
use crate::model::{Model, is_model_class};
use crate::{Error, Fields, KerasVersion, Limits, Result};
use serde_json::{Map, Value};

/// What is known while layer objects are made.
#[derive(Debug)]
pub(crate) struct Build {
    pub version: KerasVersion,
    pub limits: Limits,
    /// What was wrong so far.
    pub errors: Vec<Error>,
    objects: usize,
}

impl Build {
    pub fn new(version: KerasVersion, limits: Limits) -> Build {
        Build { version, limits, errors: Vec::new(), objects: 0 }
    }

    /// The layer that `{"class_name": .., "config": .., "name": ..}` describes; broken, with the error noted,
    /// where its config is not understood.
    pub fn object(&mut self, description: &Value, store: String) -> Result<LayerObject> {
        if self.objects >= self.limits.max_layers {
            let limit = self.limits.max_layers;
            return Err(Error::limit(format!("the model has more than {limit} layers")));
        }
        let id = self.objects;
        self.objects += 1;
        let class = description.get("class_name").and_then(Value::as_str);
        let class = class.ok_or_else(|| Error::malformed("a layer without `class_name`"))?;
        let config = description.get("config").unwrap_or(&Value::Null);
        let empty = Map::new();
        let map = config.as_object().unwrap_or(&empty);
        let name = [description.get("name"), map.get("name")].into_iter().flatten().find_map(Value::as_str);
        let mut object = LayerObject {
            name: name.unwrap_or(class).to_string(),
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
            Err(error) if error.kind() == crate::ErrorKind::Limit => return Err(error),
            Err(error) => self.errors.push(error.within(object.place())),
        }
        Ok(object)
    }

    /// The layer itself, and its class as Keras 3 spells it.
    fn kind(
        &mut self,
        description: &Value,
        class: &str,
        map: &Map<String, Value>,
        store: &str,
    ) -> Result<(Kind, String)> {
        if let Some(module) = description.get("module").and_then(Value::as_str) {
            if module.starts_with("keras.src.ops") || module.starts_with("keras.ops") {
                return Err(Error::unsupported(
                    "operator nodes (`keras.ops` on Keras tensors) are not supported",
                ));
            }
            let own = ["keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras"];
            if !own.iter().any(|name| module == *name || module.starts_with(&format!("{name}."))) {
                return Err(Error::unsupported(format!("this is a custom class of module {module:?}")));
            }
        }
        if is_model_class(class) {
            let model = Model::from_config(class, description.get("config"), description, self, store)?;
            return Ok((Kind::Model(model), class.to_string()));
        }
        let Some(entry) = layers::find(class) else {
            return Err(match class {
                "Lambda" => Error::unsupported("a Lambda layer holds Python code, which is never run here")
                    .help("replace it by Keras layers that compute the same, and save the model again"),
                _ if description
                    .get("registered_name")
                    .and_then(Value::as_str)
                    .is_some_and(|name| name.contains('>')) =>
                {
                    Error::unsupported("this is a custom class registered by the model's author")
                }
                _ => Error::unsupported("this layer class is not supported"),
            });
        };
        check_dtype(map.get("dtype"))?;
        let mut fields = Fields::new(entry.class, map, self, store.to_string());
        fields.ignore(&["dtype"]);
        let layer = (entry.from_config)(&mut fields)?;
        fields.finish()?;
        Ok((Kind::Leaf(layer), entry.class.to_string()))
    }
}

/// Accepts every floating-point policy: computation is in single precision, whatever the policy says.
fn check_dtype(dtype: Option<&Value>) -> Result<()> {
    let name = match dtype {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(name)) => name.as_str(),
        Some(policy) => {
            let class = policy.get("class_name").and_then(Value::as_str).unwrap_or_default();
            let name = policy.pointer("/config/name").and_then(Value::as_str);
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
        _ => Err(Error::unsupported(format!("the dtype {name:?} is not supported"))),
    }
}
