//! Rewrites configs that Keras 1 wrote into the spelling of Keras 2, so that layers know one spelling only.
//!
//! The table is that of `keras/legacy/interfaces.py` of Keras 2.0, read against the `get_config` methods of
//! Keras 1.2.2. What is not in it is refused by name. Keras 2.0 to 2.2 still have `Merge`, and Sequential models
//! inside of others that have no name; both are rewritten in their files too.
//!
//! - `weights`: what Keras 1 stored otherwise; `gates`: what it stored in parts.

mod gates;
mod weights;

pub(crate) use gates::{Found, join_gates};
pub(crate) use weights::{in_todays_layout, name_in_keras1};

use crate::fields::{as_int, brief};
use crate::model::is_model_class;
use crate::{Error, KerasVersion, Result};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

const HELP: &str = "load it in Keras 2 and save it again";

/// Keys and classes that every config of Keras 1 has some of, and no other.
pub(crate) const WORDS: [&str; 12] = [
    "input_dtype",
    "nb_filter",
    "filter_length",
    "border_mode",
    "pool_length",
    "W_regularizer",
    "W_constraint",
    "inner_activation",
    "consume_less",
    "Convolution1D",
    "AtrousConvolution1D",
    "TimeDistributedDense",
];

/// Keys that configs of Keras 2 have some of, and none of Keras 1.
pub(crate) const WORDS_OF_KERAS2: [&str; 6] =
    ["dtype", "units", "filters", "use_bias", "kernel_initializer", "data_format"];

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
enum Becomes {
    /// This key, with the same value.
    Key(&'static str),
    /// Nothing: it says how the layer was made or trained.
    Nothing,
    /// Nothing where it is zero, what Keras 2 does; other values mean what Keras 2 cannot do.
    NothingIfZero,
    /// `padding`; `full` is of Theano only.
    Padding,
    /// Two numbers under this key, which may also be given as `{"left_pad": .., "right_pad": ..}`.
    Amounts(&'static str),
    /// A layer inside this one.
    Layer,
}

use Becomes::{Amounts, Key, Nothing, NothingIfZero, Padding};

/// One class of Keras 1.
struct Rule {
    classes: &'static [&'static str],
    keras2: &'static str,
    keys: &'static [&'static [(&'static str, Becomes)]],
}

/// Keys of every layer.
const LAYER: &[(&str, Becomes)] = &[
    ("name", Key("name")),
    ("trainable", Key("trainable")),
    ("batch_input_shape", Key("batch_input_shape")),
    ("input_dtype", Key("dtype")),
];

/// Keys of layers with a weight `W`, and mostly `b`.
const WEIGHTS: &[(&str, Becomes)] = &[
    ("init", Key("kernel_initializer")),
    ("W_regularizer", Key("kernel_regularizer")),
    ("b_regularizer", Key("bias_regularizer")),
    ("W_constraint", Key("kernel_constraint")),
    ("b_constraint", Key("bias_constraint")),
    ("activity_regularizer", Key("activity_regularizer")),
    ("bias", Key("use_bias")),
    ("activation", Key("activation")),
    ("input_dim", Nothing),
    ("input_length", Nothing),
];

const CONVOLUTION: &[(&str, Becomes)] = &[
    ("nb_filter", Key("filters")),
    ("filter_length", Key("kernel_size")),
    ("subsample_length", Key("strides")),
    ("border_mode", Padding),
];

const POOLING: &[(&str, Becomes)] =
    &[("pool_length", Key("pool_size")), ("stride", Key("strides")), ("border_mode", Padding)];

const DROPOUT: &[(&str, Becomes)] = &[("p", Key("rate"))];

const RECURRENT: &[(&str, Becomes)] = &[
    ("output_dim", Key("units")),
    ("inner_init", Key("recurrent_initializer")),
    ("forget_bias_init", Nothing),
    ("inner_activation", Key("recurrent_activation")),
    ("U_regularizer", Key("recurrent_regularizer")),
    ("dropout_W", Key("dropout")),
    ("dropout_U", Key("recurrent_dropout")),
    ("return_sequences", Key("return_sequences")),
    ("go_backwards", Key("go_backwards")),
    ("stateful", Key("stateful")),
    ("unroll", Key("unroll")),
    ("consume_less", Nothing),
];

macro_rules! rules {
    ($($($class:ident)|+ => $keras2:ident: [$($keys:expr),*];)*) => {
        &[$(Rule {
            classes: &[$(stringify!($class)),+],
            keras2: stringify!($keras2),
            keys: &[LAYER $(, $keys)*],
        }),*]
    };
}

/// Every class of Keras 1 that is read, but for models and `Merge`. `Lambda` is refused later, as in any version.
const RULES: &[Rule] = rules! {
    Activation => Activation: [&[("activation", Key("activation"))]];
    ActivityRegularization => ActivityRegularization: [&[("l1", Key("l1")), ("l2", Key("l2"))]];
    AtrousConvolution1D | AtrousConv1D => Conv1D: [WEIGHTS, CONVOLUTION, &[("atrous_rate", Key("dilation_rate"))]];
    AveragePooling1D => AveragePooling1D: [POOLING];
    BatchNormalization => BatchNormalization: [&[
        ("mode", NothingIfZero),
        ("axis", Key("axis")),
        ("epsilon", Key("epsilon")),
        ("momentum", Key("momentum")),
        ("gamma_init", Key("gamma_initializer")),
        ("beta_init", Key("beta_initializer")),
        ("gamma_regularizer", Key("gamma_regularizer")),
        ("beta_regularizer", Key("beta_regularizer"))
    ]];
    Bidirectional => Bidirectional: [&[("layer", Becomes::Layer), ("merge_mode", Key("merge_mode"))]];
    Convolution1D | Conv1D => Conv1D: [WEIGHTS, CONVOLUTION];
    Cropping1D => Cropping1D: [&[("cropping", Key("cropping"))]];
    Dense | TimeDistributedDense => Dense: [WEIGHTS, &[("output_dim", Key("units"))]];
    Dropout => Dropout: [DROPOUT];
    ELU => ELU: [&[("alpha", Key("alpha"))]];
    Embedding => Embedding: [&[
        ("input_dim", Key("input_dim")),
        ("output_dim", Key("output_dim")),
        ("input_length", Key("input_length")),
        ("mask_zero", Key("mask_zero")),
        ("init", Key("embeddings_initializer")),
        ("W_regularizer", Key("embeddings_regularizer")),
        ("W_constraint", Key("embeddings_constraint")),
        ("activity_regularizer", Key("activity_regularizer")),
        ("dropout", Nothing)
    ]];
    Flatten => Flatten: [];
    GRU => GRU: [WEIGHTS, RECURRENT];
    GaussianDropout => GaussianDropout: [DROPOUT];
    GaussianNoise => GaussianNoise: [&[("sigma", Key("stddev"))]];
    GlobalAveragePooling1D => GlobalAveragePooling1D: [];
    GlobalMaxPooling1D => GlobalMaxPooling1D: [];
    InputLayer => InputLayer: [&[("sparse", Key("sparse"))]];
    LSTM => LSTM: [WEIGHTS, RECURRENT];
    LeakyReLU => LeakyReLU: [&[("alpha", Key("alpha"))]];
    Masking => Masking: [&[("mask_value", Key("mask_value"))]];
    MaxPooling1D => MaxPooling1D: [POOLING];
    PReLU => PReLU: [&[("init", Key("alpha_initializer")), ("shared_axes", Key("shared_axes"))]];
    Permute => Permute: [&[("dims", Key("dims"))]];
    RepeatVector => RepeatVector: [&[("n", Key("n"))]];
    Reshape => Reshape: [&[("target_shape", Key("target_shape"))]];
    SimpleRNN => SimpleRNN: [WEIGHTS, RECURRENT];
    SpatialDropout1D => SpatialDropout1D: [DROPOUT];
    ThresholdedReLU => ThresholdedReLU: [&[("theta", Key("theta"))]];
    TimeDistributed => TimeDistributed: [&[("layer", Becomes::Layer)]];
    UpSampling1D => UpSampling1D: [&[("length", Key("size"))]];
    ZeroPadding1D => ZeroPadding1D: [&[("padding", Amounts("padding"))]];
};

/// The config of a model in the spelling of Keras 2; as it is where it already has that. Layers that are `known`,
/// given description and class, keep their configs too.
///
/// # Errors
/// Every class, key and value of Keras 1 that has no equivalent, each with the layer's name.
pub(crate) fn to_keras2<'a>(
    config: &'a Value,
    version: KerasVersion,
    known: &dyn Fn(&Value, &str) -> bool,
) -> Result<Cow<'a, Value>> {
    if version > KerasVersion::V1 && !(version == KerasVersion::V2 && is_of_early_keras2(config)) {
        return Ok(Cow::Borrowed(config));
    }
    let mut rewrite = Rewrite { version, known, nameless: 0, errors: Vec::new() };
    let rewritten = rewrite.description(config);
    match Error::all(rewrite.errors) {
        Some(error) => Err(error),
        None => Ok(Cow::Owned(rewritten)),
    }
}

/// Whether a `Merge` or a Sequential model that is a bare list is somewhere in `value`, whose depth the JSON reader
/// has limited.
fn is_of_early_keras2(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_of_early_keras2),
        Value::Object(map) => {
            let class = map.get("class_name").and_then(Value::as_str);
            class == Some("Merge")
                || (class == Some("Sequential") && map.get("config").is_some_and(Value::is_array))
                || map.values().any(is_of_early_keras2)
        }
        _ => false,
    }
}

struct Rewrite<'a> {
    version: KerasVersion,
    known: &'a dyn Fn(&Value, &str) -> bool,
    /// How many models without a name there were.
    nameless: usize,
    errors: Vec<Error>,
}

impl Rewrite<'_> {
    /// `{"class_name": .., "config": .., "name": .., "inbound_nodes": ..}`, rewritten.
    fn description(&mut self, description: &Value) -> Value {
        let Some(map) = description.as_object() else { return description.clone() };
        let mut map = map.clone();
        let Some(class) = map.get("class_name").and_then(Value::as_str).map(str::to_owned) else {
            if self.version == KerasVersion::V1 {
                let message = "a layer without `class_name`, as before Keras 1";
                self.errors.push(Error::unsupported(message).help(HELP));
            }
            return Value::Object(map);
        };
        if (self.known)(description, &class) {
            return Value::Object(map);
        }
        let config = map.remove("config").unwrap_or_default();
        let name = [map.get("name"), config.get("name")].into_iter().flatten().find_map(Value::as_str);
        if is_model_class(&class) || (self.version == KerasVersion::V1 && class == "Container") {
            if name.is_none() {
                // No name that Keras gives, so that it is not taken for that of another group of weights.
                let name = match self.nameless {
                    0 => class.clone(),
                    n => format!("{class}_{n}"),
                };
                self.nameless += 1;
                map.insert("name".to_owned(), Value::String(name));
            }
            if class != "Sequential" {
                map.insert("class_name".to_owned(), json!("Functional"));
            }
            map.insert("config".to_owned(), self.model(config));
            return Value::Object(map);
        }
        let place = format!("layer {:?} ({class})", name.unwrap_or(&class));
        match self.layer(&class, &config) {
            Ok((class, config)) => {
                map.insert("class_name".to_owned(), Value::String(class));
                map.insert("config".to_owned(), config);
            }
            Err(error) => self.errors.push(error.help(HELP).within(place)),
        }
        Value::Object(map)
    }

    /// The config of a model: a list of layers, or an object that has one.
    fn model(&mut self, mut config: Value) -> Value {
        let layers = match &mut config {
            Value::Array(layers) => Some(layers),
            Value::Object(map) => map.get_mut("layers").and_then(Value::as_array_mut),
            _ => None,
        };
        for layer in layers.into_iter().flatten() {
            *layer = self.description(layer);
        }
        config
    }

    /// Class and config in Keras 2.
    fn layer(&mut self, class: &str, config: &Value) -> Result<(String, Value)> {
        let map = config.as_object().cloned().unwrap_or_default();
        if class == "Merge" {
            return merge(map);
        }
        if self.version > KerasVersion::V1 || class == "Lambda" {
            return Ok((class.to_owned(), config.clone()));
        }
        let rule = RULES.iter().find(|rule| rule.classes.contains(&class));
        let rule = rule.ok_or_else(|| Error::unsupported("this layer class of Keras 1 is not supported"))?;
        let mut rewritten = Map::new();
        let mut unknown = Vec::new();
        for (key, value) in map {
            let mut keys = rule.keys.iter().copied().flatten();
            let becomes = keys.find(|(old, _)| *old == key).map(|(_, becomes)| *becomes);
            let (new, value) = match becomes {
                Some(Key(new)) => (new, value),
                Some(Nothing) => continue,
                Some(NothingIfZero) if as_int(&value) == Some(0) => continue,
                Some(NothingIfZero) => return Err(refused(&key, &value, "0")),
                Some(Padding) if ["valid", "same"].contains(&value.as_str().unwrap_or_default()) => {
                    ("padding", value)
                }
                Some(Padding) => return Err(refused(&key, &value, "\"valid\" or \"same\"")),
                Some(Amounts(new)) => (new, amounts(value)),
                Some(Becomes::Layer) => ("layer", self.description(&value)),
                None => {
                    unknown.push(format!("`{key}`"));
                    continue;
                }
            };
            rewritten.insert(new.to_owned(), value);
        }
        if !unknown.is_empty() {
            let keys = unknown.join(", ");
            return Err(Error::unsupported(format!("the config has {keys}, which Keras 1 does not have")));
        }
        if rule.keras2 == "GRU" {
            rewritten.insert("reset_after".to_owned(), json!(false));
        }
        Ok((rule.keras2.to_owned(), Value::Object(rewritten)))
    }
}

fn refused(key: &str, value: &Value, expected: &str) -> Error {
    Error::unsupported(format!("`{key}` is {}; expected {expected}", brief(value)))
}

/// `{"left_pad": 1, "right_pad": 2}` is `[1, 2]`, and what is missing 0.
fn amounts(value: Value) -> Value {
    match &value {
        Value::Object(map) if map.keys().all(|key| ["left_pad", "right_pad"].contains(&key.as_str())) => {
            let amount = |key| map.get(key).cloned().unwrap_or(json!(0));
            json!([amount("left_pad"), amount("right_pad")])
        }
        _ => value,
    }
}

/// The layer of Keras 2 that a `Merge` is.
fn merge(map: Map<String, Value>) -> Result<(String, Value)> {
    if map.contains_key("layers") {
        return Err(Error::unsupported(
            "a Merge of models at the start of a Sequential model is not supported",
        )
        .help("rebuild it with the functional API, or load it in Keras 2 and save it again"));
    }
    for key in ["mode_type", "output_shape_type", "output_mask_type"] {
        if map.get(key).is_some_and(|value| value != "raw") {
            return Err(Error::unsupported(format!(
                "`{key}` says that a part is Python code, which is never run here"
            ))
            .help("replace it by Keras layers that compute the same, and save the model again"));
        }
    }
    let mode = map.get("mode").cloned().unwrap_or(json!("sum"));
    let class = match mode.as_str() {
        Some("sum") => "Add",
        Some("mul") => "Multiply",
        Some("ave") => "Average",
        Some("max") => "Maximum",
        Some("concat") => "Concatenate",
        _ => {
            let expected = "\"sum\", \"mul\", \"ave\", \"max\" or \"concat\"";
            return Err(refused("mode", &mode, expected));
        }
    };
    let mut rewritten = Map::new();
    for key in ["name", "trainable"] {
        rewritten.extend(map.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    if class == "Concatenate" {
        let axis = map.get("concat_axis").cloned().unwrap_or(json!(-1));
        rewritten.insert("axis".to_owned(), axis);
    }
    Ok((class.to_owned(), Value::Object(rewritten)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn sequential(layers: Value) -> Value {
        json!({"class_name": "Sequential", "config": layers})
    }

    /// The only layer of a model, rewritten.
    fn rewritten(layer: &Value, version: KerasVersion) -> Result<Value> {
        Ok(to_keras2(&sequential(json!([layer])), version, &|_, class| class == "Known")?["config"][0]
            .clone())
    }

    #[track_caller]
    fn check(class: &str, config: Value, class2: &str, config2: Value) {
        let layer = json!({"class_name": class, "config": config});
        let expected = json!({"class_name": class2, "config": config2});
        assert_eq!(rewritten(&layer, KerasVersion::V1).unwrap(), expected);
    }

    /// Classes of which there is a fixture are not repeated here.
    #[test]
    fn keys_are_spelled_as_in_keras2() {
        check(
            "LSTM",
            json!({"name": "a", "trainable": true, "return_sequences": false, "go_backwards": false, "stateful": false,
                "unroll": false, "consume_less": "cpu", "input_dim": null, "input_length": null, "output_dim": 3,
                "init": "glorot_uniform", "inner_init": "orthogonal", "forget_bias_init": "one", "activation": "tanh",
                "inner_activation": "hard_sigmoid", "W_regularizer": null, "U_regularizer": null,
                "b_regularizer": null, "dropout_W": 0.1, "dropout_U": 0.2}),
            "LSTM",
            json!({"name": "a", "trainable": true, "return_sequences": false, "go_backwards": false, "stateful": false,
                "unroll": false, "units": 3, "kernel_initializer": "glorot_uniform",
                "recurrent_initializer": "orthogonal", "activation": "tanh", "recurrent_activation": "hard_sigmoid",
                "kernel_regularizer": null, "recurrent_regularizer": null, "bias_regularizer": null, "dropout": 0.1,
                "recurrent_dropout": 0.2}),
        );
        check("GRU", json!({"output_dim": 3}), "GRU", json!({"units": 3, "reset_after": false}));
        let inner = json!({"class_name": "SimpleRNN", "config": {"output_dim": 2}});
        check(
            "Bidirectional",
            json!({"layer": inner, "merge_mode": "concat"}),
            "Bidirectional",
            json!({"layer": {"class_name": "SimpleRNN", "config": {"units": 2}}, "merge_mode": "concat"}),
        );
        check("Masking", json!({"mask_value": 0.0}), "Masking", json!({"mask_value": 0.0}));
        check(
            "ActivityRegularization",
            json!({"l1": 0.1, "l2": 0.0}),
            "ActivityRegularization",
            json!({"l1": 0.1, "l2": 0.0}),
        );
        check("ZeroPadding1D", json!({"padding": 2}), "ZeroPadding1D", json!({"padding": 2}));
        check(
            "ZeroPadding1D",
            json!({"padding": {"right_pad": 2}}),
            "ZeroPadding1D",
            json!({"padding": [0, 2]}),
        );
        for (mode, class) in [("sum", "Add"), ("mul", "Multiply"), ("ave", "Average"), ("max", "Maximum")] {
            let config =
                json!({"name": "m", "mode": mode, "mode_type": "raw", "concat_axis": -1, "dot_axes": -1});
            check("Merge", config, class, json!({"name": "m"}));
        }
        check("Merge", json!({"mode": "concat", "concat_axis": 1}), "Concatenate", json!({"axis": 1}));
    }

    #[track_caller]
    fn check_refused(class: &str, config: Value, expected: &str, help: &str) {
        let layer = json!({"class_name": class, "config": config});
        let error = rewritten(&layer, KerasVersion::V1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), format!("layer \"l\" ({class}): {expected}\n  help: {help}"));
    }

    #[test]
    fn what_keras2_cannot_do_is_refused_by_name() {
        let not_supported = "this layer class of Keras 1 is not supported";
        for class in ["Highway", "MaxoutDense", "SReLU", "Convolution2D", "Mine"] {
            check_refused(class, json!({"name": "l"}), not_supported, HELP);
        }
        for (class, key, value, expected) in [
            ("BatchNormalization", "mode", json!(1), "`mode` is 1; expected 0"),
            ("BatchNormalization", "mode", json!("x"), "`mode` is \"x\"; expected 0"),
            (
                "Convolution1D",
                "border_mode",
                json!("full"),
                "`border_mode` is \"full\"; expected \"valid\" or \"same\"",
            ),
            ("MaxPooling1D", "border_mode", json!(3), "`border_mode` is 3; expected \"valid\" or \"same\""),
            ("Dense", "units", json!(3), "the config has `units`, which Keras 1 does not have"),
            (
                "Merge",
                "mode",
                json!("cos"),
                "`mode` is \"cos\"; expected \"sum\", \"mul\", \"ave\", \"max\" or \"concat\"",
            ),
        ] {
            check_refused(class, json!({"name": "l", key: value}), expected, HELP);
        }
        check_refused(
            "Merge",
            json!({"name": "l", "mode": "sum", "layers": []}),
            "a Merge of models at the start of a Sequential model is not supported",
            "rebuild it with the functional API, or load it in Keras 2 and save it again",
        );
        check_refused(
            "Merge",
            json!({"name": "l", "mode": "4wAA", "mode_type": "lambda"}),
            "`mode_type` says that a part is Python code, which is never run here",
            "replace it by Keras layers that compute the same, and save the model again",
        );
    }

    #[test]
    fn classes_that_the_caller_knows_keep_their_configs() {
        check("Known", json!({"nb_filter": 3}), "Known", json!({"nb_filter": 3}));
    }

    #[test]
    fn everything_that_is_refused_is_listed_at_once() {
        let inner = json!([{"class_name": "SReLU", "config": {"name": "b"}}]);
        let layers = json!([
            {"name": "Dense", "output_dim": 3},
            {"class_name": "Highway", "config": {"name": "a"}},
            {"class_name": "Sequential", "config": inner},
            {"class_name": "TimeDistributed", "config": {"name": "t",
                "layer": {"class_name": "MaxoutDense", "config": {"name": "c"}}}},
        ]);
        let error = to_keras2(&sequential(layers), KerasVersion::V1, &|_, _| false).unwrap_err();
        let places: Vec<&str> = error.problems().iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["", "layer \"a\" (Highway)", "layer \"b\" (SReLU)", "layer \"c\" (MaxoutDense)"]);
    }

    #[test]
    fn models_without_a_name_get_different_ones() {
        let dense = json!({"class_name": "Dense", "config": {"name": "d", "output_dim": 2}});
        let inner = sequential(json!([dense]));
        let config = sequential(json!([inner, inner]));
        for version in [KerasVersion::V1, KerasVersion::V2] {
            let rewritten = to_keras2(&config, version, &|_, _| false).unwrap();
            let names =
                [&rewritten["name"], &rewritten["config"][0]["name"], &rewritten["config"][1]["name"]];
            assert_eq!(names, ["Sequential", "Sequential_1", "Sequential_2"]);
        }
    }

    #[test]
    fn other_versions_keep_their_configs() {
        let dense = json!({"class_name": "Dense", "config": {"name": "d", "units": 2}});
        let config = json!({"class_name": "Sequential", "config": {"name": "s", "layers": [dense]}});
        for version in [KerasVersion::V2, KerasVersion::V3] {
            assert!(matches!(to_keras2(&config, version, &|_, _| false).unwrap(), Cow::Borrowed(_)));
        }
        // Of early Keras 2, only what it had from Keras 1.
        assert_eq!(rewritten(&dense, KerasVersion::V2).unwrap(), dense);
        let merge = json!({"class_name": "Merge", "config": {"name": "m", "mode": "sum"}});
        assert_eq!(
            rewritten(&merge, KerasVersion::V2).unwrap(),
            json!({"class_name": "Add", "config": {"name": "m"}})
        );
        assert_eq!(rewritten(&merge, KerasVersion::V3).unwrap(), merge);
    }
}
