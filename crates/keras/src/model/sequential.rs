//! `Sequential`: one layer after the other. <https://keras.io/api/models/sequential/>

use super::{Symbols, is_model_class, layer_list, layer_objects};
use crate::archive::shown;
use crate::build::Build;
use crate::layer::LayerObject;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Result};
use k2o_core::TensorType;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Layers in a row, and what is known of the input.
#[derive(Debug)]
pub(crate) struct Sequential {
    layers: Vec<LayerObject>,
    input_name: String,
    /// The config that holds the input's shape and dtype.
    input: Value,
}

fn is_input_layer(description: &Value) -> bool {
    description.get("class_name").and_then(Value::as_str) == Some("InputLayer")
}

/// The layer that a model begins with; for a model at the start of a model, the one inside.
fn first_layer(layers: &[Value]) -> Option<&Value> {
    let first = layers.first()?;
    let class = first.get("class_name").and_then(Value::as_str).unwrap_or_default();
    match first.get("config").filter(|_| is_model_class(class)) {
        None => Some(first),
        Some(config) => {
            let layers = layer_list(config).ok()?;
            let input = config.pointer("/input_layers/0").map(|input| input.get(0).unwrap_or(input));
            let is_input = |layer: &&Value| input.is_some() && layer.get("name") == input;
            layers.iter().find(is_input).or_else(|| first_layer(layers))
        }
    }
}

impl Sequential {
    pub fn from_config(
        config: &Value,
        description: &Value,
        build: &mut Build,
        store: &str,
    ) -> Result<Sequential> {
        let descriptions = layer_list(config)?;
        let empty = Value::Null;
        let first = first_layer(descriptions).ok_or_else(|| Error::malformed("the model has no layers"))?;
        let first_config = first.get("config").unwrap_or(&empty);
        let first_name = first_config.get("name").and_then(Value::as_str).unwrap_or("input");
        let input_name =
            if is_input_layer(first) { first_name.to_string() } else { format!("{first_name}_input") };
        // The first layer says it, or the shape with which the model was built.
        let says_shape = |config: &Value| {
            ["batch_shape", "batch_input_shape", "input_shape"].iter().any(|key| config.get(key).is_some())
        };
        let built = [config.get("build_input_shape"), description.pointer("/build_config/input_shape")];
        let input = match built.into_iter().flatten().find(|shape| shape.is_array()) {
            _ if says_shape(first_config) => first_config.clone(),
            Some(shape) => json!({"batch_shape": shape}),
            None => Value::Null,
        };
        // An input layer is checked as others are, and computes nothing.
        for description in descriptions.iter().filter(|layer| is_input_layer(layer)) {
            build.object(description, String::new())?;
        }
        let layers = layer_objects(descriptions, build, store, |layer| !is_input_layer(layer))?;
        let mut names = BTreeSet::new();
        if let Some(twice) = layers.iter().find(|layer| !names.insert(layer.name.as_str())) {
            return Err(Error::malformed(format!("two layers are called {}", shown(&twice.name))));
        }
        Ok(Sequential { layers, input_name, input })
    }

    /// The layers, in the config's order.
    pub fn layers(&self) -> &[LayerObject] {
        &self.layers
    }

    /// The name of the input.
    pub fn input_name(&self) -> &str {
        &self.input_name
    }

    /// Name and type of the input.
    pub fn input(&self, symbols: &mut Symbols) -> Result<(String, TensorType)> {
        let r#type = symbols.input_type(&self.input_name, &self.input);
        let r#type =
            r#type.map_err(|error| error.within(format!("the input {}", shown(&self.input_name))))?;
        let r#type = r#type.ok_or_else(|| {
            Error::malformed("the model says nothing of its input's shape")
                .help("save it after it was built: start it with an Input layer, or call it once")
        })?;
        Ok((self.input_name.clone(), r#type))
    }

    /// The name of the output: the last layer's.
    pub fn output_name(&self) -> String {
        self.layers.last().map_or_else(|| self.input_name.clone(), |layer| layer.name.clone())
    }

    pub fn lower(&self, cx: &mut Lowering, input: Tensor) -> Tensor {
        self.layers.iter().fold(input, |tensor, layer| {
            let outputs = cx.call(layer, &Call::of(tensor));
            outputs.tensors.first().copied().unwrap_or(Tensor::UNKNOWN)
        })
    }
}
