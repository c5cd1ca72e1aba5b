//! Reads a layer's config key by key, so that every key is consumed, known to be irrelevant, or an error.

use crate::archive::shown;
use crate::build::Build;
use crate::layer::LayerObject;
use crate::{Error, KerasVersion, Layer, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A layer's config while it is being read.
pub struct Fields<'a, 'b> {
    class: &'a str,
    map: &'a Map<String, Value>,
    used: BTreeSet<&'a str>,
    build: &'b mut Build,
    store: String,
}

/// Keys that say how a layer is trained, made or saved, and nothing of what it computes.
const IRRELEVANT: [&str; 11] = [
    "name",
    "trainable",
    "batch_input_shape",
    "input_shape",
    "batch_shape",
    "batch_size",
    "activity_regularizer",
    "autocast",
    "seed",
    "quantization_config",
    "supports_masking",
];

impl<'a, 'b> Fields<'a, 'b> {
    pub(crate) fn new(
        class: &'a str,
        map: &'a Map<String, Value>,
        build: &'b mut Build,
        store: String,
    ) -> Fields<'a, 'b> {
        Fields { class, map, used: BTreeSet::new(), build, store }
    }

    /// The class name as Keras 3 spells it.
    pub fn class(&self) -> &str {
        self.class
    }

    /// The version of Keras that wrote the config.
    pub fn version(&self) -> KerasVersion {
        self.build.version
    }

    /// The value of the first of `keys` that is there and not `null`; all of them count as read.
    pub fn take(&mut self, keys: &[&'static str]) -> Option<&'a Value> {
        let mut found = None;
        for key in keys {
            if let Some((key, value)) = self.map.get_key_value(*key) {
                self.used.insert(key);
                if found.is_none() && !value.is_null() {
                    found = Some(value);
                }
            }
        }
        found
    }

    /// Counts these keys as read: they do not matter at inference.
    pub fn ignore(&mut self, keys: &[&'static str]) {
        self.take(keys);
    }

    /// Refuses a key whose value is anything but `null`, `false`, or one of `harmless`.
    pub fn refuse(&mut self, key: &'static str, harmless: &[Value]) -> Result<()> {
        match self.take(&[key]) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(value) if harmless.contains(value) => Ok(()),
            Some(value) => Err(Error::unsupported(format!("`{key}` = {} is not supported", brief(value)))),
        }
    }

    /// A whole number.
    pub fn int(&mut self, keys: &[&'static str]) -> Result<Option<i64>> {
        let key = spelling(keys);
        self.take(keys)
            .map(|value| as_int(value).ok_or_else(|| expected(key, "a whole number", value)))
            .transpose()
    }

    /// A whole number that must be there and above zero.
    pub fn positive(&mut self, keys: &[&'static str]) -> Result<i64> {
        match self.int(keys)? {
            Some(n) if n > 0 => Ok(n),
            Some(n) => Err(Error::malformed(format!("`{}` is {n}; it must be above zero", spelling(keys)))),
            None => Err(missing(spelling(keys))),
        }
    }

    /// One or more whole numbers, given as a number for all or as a list of `rank`.
    pub fn ints(&mut self, keys: &[&'static str], rank: usize) -> Result<Option<Vec<i64>>> {
        let key = spelling(keys);
        let Some(value) = self.take(keys) else { return Ok(None) };
        let list = match value {
            Value::Array(items) => items.iter().map(as_int).collect(),
            one => as_int(one).map(|n| vec![n; rank]),
        };
        let fits = list.filter(|list: &Vec<i64>| list.len() == rank);
        fits.map(Some).ok_or_else(|| expected(key, &format!("{rank} whole numbers"), value))
    }

    /// A number.
    pub fn float(&mut self, keys: &[&'static str]) -> Result<Option<f64>> {
        let key = spelling(keys);
        self.take(keys)
            .map(|value| as_float(value).ok_or_else(|| expected(key, "a number", value)))
            .transpose()
    }

    /// `true` or `false`; `default` where the key is missing.
    pub fn bool(&mut self, keys: &[&'static str], default: bool) -> Result<bool> {
        match self.take(keys) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(value) => as_int(value)
                .filter(|n| (0..=1).contains(n))
                .map(|n| n == 1)
                .ok_or_else(|| expected(spelling(keys), "true or false", value)),
        }
    }

    /// A text.
    pub fn text(&mut self, keys: &[&'static str]) -> Result<Option<&'a str>> {
        let key = spelling(keys);
        self.take(keys).map(|value| value.as_str().ok_or_else(|| expected(key, "a text", value))).transpose()
    }

    /// A choice of words; the error lists them.
    pub fn choice<T: Copy>(&mut self, keys: &[&'static str], choices: &[(&str, T)], default: T) -> Result<T> {
        let Some(text) = self.text(keys)? else { return Ok(default) };
        let found = choices.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            Error::unsupported(format!(
                "`{}` is {}; expected {}",
                spelling(keys),
                shown(text),
                words.join(" or ")
            ))
        })
    }

    /// What is known of the model that the layer is part of.
    pub(crate) fn build(&mut self) -> &mut Build {
        self.build
    }

    /// A layer inside this one, whose weights are saved under `segment`.
    pub fn layer(&mut self, value: &Value, segment: &str) -> Result<LayerObject> {
        let store = format!("{}/{segment}", self.store);
        self.build.object(value, store)
    }

    /// A part of this layer that Keras keeps as a layer of its own, whose weights are saved under `segment`.
    pub(crate) fn part(&mut self, class: &str, segment: &str, layer: Box<dyn Layer>) -> Result<LayerObject> {
        let store = format!("{}/{segment}", self.store);
        self.build.part(class, store, layer)
    }

    /// Demands that every key was read.
    pub(crate) fn finish(self) -> Result<()> {
        let relevant = |key: &&String| {
            !self.used.contains(key.as_str())
                && !IRRELEVANT.contains(&key.as_str())
                && !["_initializer", "_regularizer", "_constraint"].iter().any(|end| key.ends_with(end))
        };
        let mut unknown = self.map.keys().filter(relevant);
        let named: Vec<String> = unknown.by_ref().take(10).map(|key| format!("`{}`", bare(key))).collect();
        if named.is_empty() {
            return Ok(());
        }
        let more = if unknown.next().is_some() { ", .." } else { "" };
        Err(Error::unsupported(format!("the config has {}, which is not known", named.join(", ") + more)))
    }
}

/// What errors call a key that has these spellings, of which there is one at least: the first.
fn spelling(keys: &[&'static str]) -> &'static str {
    keys.first().copied().unwrap_or_default()
}

/// The error for a key that must be there.
pub(crate) fn missing(key: &str) -> Error {
    Error::malformed(format!("the config has no `{key}`"))
}

/// The error for a key with a value of the wrong kind.
pub(crate) fn expected(key: &str, what: &str, given: &Value) -> Error {
    Error::malformed(format!("`{key}` is {}; expected {what}", brief(given)))
}

/// A key as messages show it: without what does not print, shortened.
fn bare(key: &str) -> String {
    shown(key).replace('"', "")
}

/// A value as JSON, shortened.
pub(crate) fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// What is under `key` in the config of a description.
pub(crate) fn in_config<'a>(description: &'a Value, key: &str) -> Option<&'a Value> {
    description.get("config")?.get(key)
}

/// The number, also where Keras wrapped a NumPy scalar or Python wrote a whole float.
pub(crate) fn as_int(value: &Value) -> Option<i64> {
    let unwrapped = numpy_scalar(value);
    unwrapped.as_i64().or_else(|| {
        let float = unwrapped.as_f64()?;
        (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
    })
}

/// The number, also where Keras wrapped a NumPy scalar or Python wrote a bare NaN or infinity.
pub(crate) fn as_float(value: &Value) -> Option<f64> {
    let value = numpy_scalar(value);
    value.as_f64().or_else(|| match value.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    })
}

/// `{"class_name": "__numpy__", "config": {"value": 0.3, ..}}` is 0.3.
fn numpy_scalar(value: &Value) -> &Value {
    match value.get("class_name").and_then(Value::as_str) {
        Some("__numpy__") => in_config(value, "value").unwrap_or(value),
        _ => value,
    }
}
