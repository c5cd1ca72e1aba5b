//! What the caller adds to Keras's own layers and activations.

use crate::activation::{Activation, CustomActivation, Expression};
use crate::{Error, ErrorKind, Fields, KerasVersion, Layer, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Reads a layer's config.
pub(crate) type FromConfig = fn(&mut Fields<'_, '_>) -> Result<Box<dyn Layer>>;

/// Layers and activations by name; they take precedence over Keras's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    layers: BTreeMap<String, FromConfig>,
    activations: BTreeMap<String, Registered>,
}

#[derive(Clone, Debug)]
enum Registered {
    Function(CustomActivation),
    Definition(Expression),
}

impl Registry {
    pub fn layer(&mut self, class: String, from_config: FromConfig) {
        self.layers.insert(class, from_config);
    }

    pub fn function(&mut self, name: String, function: CustomActivation) {
        self.activations.insert(name, Registered::Function(function));
    }

    pub fn definition(&mut self, name: String, expression: &str) -> Result<()> {
        let within = |error: Error| error.within(format!("the definition of {name:?}"));
        let expression = Expression::parse(expression).map_err(within)?;
        if self.activations.contains_key(&name) {
            return Err(within(Error::new(ErrorKind::Input, "there is one already")));
        }
        self.activations.insert(name, Registered::Definition(expression));
        Ok(())
    }

    /// The layer for a description of this class: by the name that it was registered with in Python, such as
    /// `Package>Name`, or by the bare name.
    pub fn find_layer(&self, description: &Value, class: &str) -> Option<FromConfig> {
        let registered = description.get("registered_name").and_then(Value::as_str);
        let names = [registered, Some(class), Some(bare(class))];
        names.into_iter().flatten().find_map(|name| self.layers.get(name)).copied()
    }

    /// The name under which an activation is known here, and the activation.
    pub fn find_activation(&self, name: &str, version: KerasVersion) -> Option<(&str, Result<Activation>)> {
        let found = [name, bare(name)].into_iter().find_map(|name| self.activations.get_key_value(name));
        let (name, registered) = found?;
        let activation = match registered {
            Registered::Function(function) => Ok(Activation::Custom(function.clone())),
            Registered::Definition(expression) => expression.activation(version),
        };
        Some((name, activation))
    }

    /// The error for definitions that are not among `used`; `named` are the activations of the model.
    pub fn left_over(&self, used: &BTreeSet<String>, named: &BTreeSet<String>) -> Option<Error> {
        let is_left = |(name, registered): &(&String, &Registered)| {
            matches!(registered, Registered::Definition(_)) && !used.contains(*name)
        };
        let left: Vec<String> =
            self.activations.iter().filter(is_left).map(|(name, _)| format!("{name:?}")).collect();
        if left.is_empty() {
            return None;
        }
        let named: Vec<String> = named.iter().map(|name| format!("{name:?}")).collect();
        let named = if named.is_empty() { "none".to_string() } else { named.join(", ") };
        let message = format!("no layer uses the activation {}, which was defined", left.join(" or "));
        Some(
            Error::new(ErrorKind::Input, message)
                .help(format!("the activations that the model names are: {named}")),
        )
    }
}

/// `Name` of `Package>Name`.
fn bare(name: &str) -> &str {
    name.rsplit_once('>').map_or(name, |(_, bare)| bare)
}
