//! Which Keras wrote a config: some names mean different functions in different versions.

use crate::keras1;
use serde_json::Value;

/// A major version of Keras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KerasVersion {
    /// 1.x.
    V1,
    /// 2.x, tf.keras and tf-keras.
    V2,
    /// 3.x.
    V3,
}

impl KerasVersion {
    /// The version named in the file, or, where none is, the one whose spelling the config has.
    pub fn detect(named: Option<&str>, config: &Value) -> KerasVersion {
        match named.and_then(|version| version.split('.').next()) {
            Some("3") => KerasVersion::V3,
            Some("2") => KerasVersion::V2,
            Some("0" | "1") => KerasVersion::V1,
            // `Model.to_json` of Keras 3 names no version. Its configs give dtypes as policies and inputs as
            // `batch_shape`; no earlier version did.
            _ if mentions(config, &["DTypePolicy", "batch_shape"]) => KerasVersion::V3,
            // Keras 1 and early Keras 2 may not name it either.
            _ if mentions(config, &keras1::WORDS) && !mentions(config, &keras1::WORDS_OF_KERAS2) => {
                KerasVersion::V1
            }
            _ => KerasVersion::V2,
        }
    }
}

/// Whether any of `words` is a key or a class name somewhere in `value`, whose depth the JSON reader has limited.
fn mentions(value: &Value, words: &[&str]) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| mentions(item, words)),
        Value::Object(map) => map.iter().any(|(key, item)| {
            words.contains(&key.as_str())
                || (key == "class_name" && item.as_str().is_some_and(|name| words.contains(&name)))
                || mentions(item, words)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_named_version_wins_over_the_spelling() {
        let keras3 =
            json!({"class_name": "Sequential", "config": {"layers": [{"config": {"batch_shape": [null]}}]}});
        assert_eq!(KerasVersion::detect(Some("2.15.0"), &keras3), KerasVersion::V2);
        assert_eq!(KerasVersion::detect(None, &keras3), KerasVersion::V3);
        assert_eq!(KerasVersion::detect(None, &json!({"class_name": "Sequential"})), KerasVersion::V2);
        assert_eq!(KerasVersion::detect(Some("1.2.2"), &keras3), KerasVersion::V1);
    }

    #[test]
    fn keras1_is_known_by_its_spelling() {
        let with = |class: &str, config: Value| json!({"class_name": "Sequential", "config": [{"class_name": class, "config": config}]});
        for (class, config, expected) in [
            ("Convolution1D", json!({"name": "c"}), KerasVersion::V1),
            ("Dense", json!({"input_dtype": "float32"}), KerasVersion::V1),
            ("Conv1D", json!({"nb_filter": 3}), KerasVersion::V1),
            ("Dense", json!({"input_dtype": "float32", "units": 3}), KerasVersion::V2),
            ("Dense", json!({"units": 3}), KerasVersion::V2),
            ("Flatten", json!({}), KerasVersion::V2),
        ] {
            assert_eq!(KerasVersion::detect(None, &with(class, config)), expected, "{class}");
        }
    }
}
