//! What kind of file this is, told by its content and never by its name.

use super::foreign::{checkpoint, identify, refusal, saved_model};
use super::source::Source;
use crate::archive::shown;
use crate::{Error, Result};
use serde_json::Value;

/// The signature of HDF5, at 0, 512, 1024, ...
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
const MAX_USER_BLOCK: u64 = 1 << 20;

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const METADATA: &str = "metadata.json";
pub(crate) const WEIGHTS: &str = "model.weights.h5";
const NPZ_WEIGHTS: &str = "model.weights.npz";
const SHARDED_WEIGHTS: &str = "model.weights.json";

const NEEDS_CONFIG: &str = "write its configuration with model.to_json() and give that JSON, with the weights beside it \
                            as `--weights`";
const SAVE_WHOLE: &str = "save the model in one file: model.save(\"model.keras\")";

/// The containers that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// Perhaps a `.keras` archive.
    Zip,
    /// Perhaps a whole model, perhaps weights.
    Hdf5,
    /// Perhaps a configuration.
    Json,
}

/// The container that the bytes are, or an error that says what they are instead.
pub(crate) fn recognise(source: &Source) -> Result<Container> {
    let prefix = source.prefix(4096)?;
    if prefix.is_empty() {
        return Err(Error::malformed("the file is empty").help("fetch or save it again"));
    }
    if prefix.starts_with(b"PK\x03\x04") || prefix.starts_with(b"PK\x05\x06") {
        return Ok(Container::Zip);
    }
    if is_hdf5(source)? {
        return Ok(Container::Hdf5);
    }
    if HDF5.starts_with(&prefix) || b"PK\x03\x04".starts_with(prefix.as_slice()) {
        return Err(Error::malformed(format!("only {} bytes of the file are there", prefix.len()))
            .help("the file was cut off: fetch or save it again"));
    }
    let text = prefix.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&prefix);
    if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return Ok(Container::Json);
    }
    Err(identify(source, &prefix)?)
}

fn is_hdf5(source: &Source) -> Result<bool> {
    let len = source.len()?;
    let mut offset = 0;
    while offset + HDF5.len() as u64 <= len && offset <= MAX_USER_BLOCK {
        if source.read(offset, HDF5.len() as u64)? == HDF5 {
            return Ok(true);
        }
        offset = (offset * 2).max(512);
    }
    Ok(false)
}

/// Checks that the names in a zip archive are those of a `.keras` archive whose weights can be read.
pub(crate) fn check_members(names: &[String]) -> Result<()> {
    let has = |name: &str| names.iter().any(|other| other == name);
    let ends = |suffix: &str| names.iter().find(|name| name.ends_with(suffix));
    if has(CONFIG) && has(WEIGHTS) {
        return Ok(());
    }
    if has(CONFIG) || has(METADATA) || has(WEIGHTS) {
        if has(NPZ_WEIGHTS) || has(SHARDED_WEIGHTS) {
            return Err(other_weights(has(SHARDED_WEIGHTS)));
        }
        let missing = if has(CONFIG) { WEIGHTS } else { CONFIG };
        let given = listed(names);
        return Err(Error::malformed(format!(
            "a .keras archive holds {CONFIG} and {WEIGHTS}; {missing} is missing from this one, which holds {given}"
        ))
        .help(SAVE_WHOLE));
    }
    if ends("data.pkl").is_some() || ends("constants.pkl").is_some() {
        return Err(refusal("a PyTorch model", "PyTorch models cannot be read"));
    }
    if !names.is_empty() && names.iter().all(|name| name.ends_with(".npy")) {
        return Err(refusal("a NumPy .npz archive", SAVE_WHOLE));
    }
    if ends("saved_model.pb").is_some() {
        return Err(saved_model());
    }
    if let Some(config) = ends("/config.json").filter(|_| ends("/model.weights.h5").is_some()) {
        return Err(Error::unsupported(format!(
            "the parts of a .keras archive lie in a folder inside of this zip archive: {}",
            shown(config)
        ))
        .help("unpack it, and give the folder that holds config.json"));
    }
    if let Some(model) = ends(".keras").or(ends(".h5")).or(ends(".hdf5")) {
        return Err(Error::unsupported(format!("this is a zip archive around a model: {}", shown(model)))
            .help("unpack it, and give the file inside"));
    }
    let message = format!("this zip archive is no Keras model: it holds {}", listed(names));
    Err(Error::unsupported(message).help(SAVE_WHOLE))
}

fn other_weights(sharded: bool) -> Error {
    let message = match sharded {
        true => "weights that are split over several files, which a .weights.json lists, cannot be read"
            .to_owned(),
        false => format!("weights in NumPy's format, {NPZ_WEIGHTS}, cannot be read"),
    };
    Error::unsupported(message)
        .help("load the model in Keras and save it with weights in one file: model.save(\"model.keras\")")
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => {
            let shown: Vec<String> = names.iter().take(4).map(|name| shown(name)).collect();
            let more = if names.len() > 4 { ", ..." } else { "" };
            format!("{}{more}", shown.join(", "))
        }
    }
}

/// Checks that a JSON value is the configuration of a Keras model.
pub(crate) fn check_config(config: &Value) -> Result<()> {
    let has = |key: &str| config.get(key).is_some();
    let format = config.get("format").and_then(Value::as_str);
    if config.get("class_name").is_some_and(Value::is_string) {
        return match config.get("config") {
            Some(Value::Object(_) | Value::Array(_)) => Ok(()),
            _ => {
                Err(Error::malformed("a model has a \"config\" beside its \"class_name\"; this one has none"))
            }
        };
    }
    if has("modelTopology") || matches!(format, Some("layers-model" | "graph-model")) {
        let help = "convert it with `tensorflowjs_converter --input_format tfjs_layers_model --output_format keras`, \
                    and save the result as .keras";
        return Err(Error::unsupported("a TensorFlow.js model cannot be read yet").help(help));
    }
    if has("weight_map") {
        return Err(other_weights(true));
    }
    if has("keras_version") && has("date_saved") {
        let message =
            "this is metadata.json of an unpacked .keras archive; the configuration is in config.json";
        return Err(Error::unsupported(message).help("give the folder, or config.json and model.weights.h5"));
    }
    let given = match config {
        Value::Object(map) => listed(&map.keys().cloned().collect::<Vec<_>>()),
        Value::Array(_) => "a list".to_owned(),
        _ => "a single value".to_owned(),
    };
    let message =
        format!("this JSON is no Keras model: \"class_name\" and \"config\" were expected, it has {given}");
    Err(Error::unsupported(message).help("a model's configuration is what model.to_json() gives"))
}

/// The error for weights that come without a configuration.
pub(crate) fn weights_without_config() -> Error {
    Error::unsupported("this HDF5 file holds the weights of a Keras model, but not its configuration")
        .help(NEEDS_CONFIG)
}

/// The error for a whole-model file that has lost its configuration.
pub(crate) fn model_without_config() -> Error {
    Error::malformed("this HDF5 file has the weights of a whole model, but no attribute model_config")
        .help(NEEDS_CONFIG)
}

/// The error for HDF5 that Keras did not write.
pub(crate) fn other_hdf5(names: &[String]) -> Error {
    if names.iter().any(|name| name == "layer_0") {
        let message = "this HDF5 file seems to hold weights as Keras saved them before version 1, in groups that are only \
                       numbered; they cannot be read";
        return Error::unsupported(message).help("load them in Keras 1 and save the model again");
    }
    let message = format!("this HDF5 file was not written by Keras: it holds {}", listed(names));
    Error::unsupported(message).help(SAVE_WHOLE)
}

/// Why a folder that holds `names` is no model that can be read, if that is known.
///
/// `None` for an unpacked `.keras` archive, whose parts [`Archive::read_parts`](crate::Archive::read_parts)
/// takes, and for a folder of which nothing is known.
pub fn describe_folder(names: &[&str]) -> Option<Error> {
    let has = |name: &str| names.contains(&name);
    if has("saved_model.pb") || has("saved_model.pbtxt") {
        return Some(saved_model());
    }
    if has("checkpoint") || names.iter().any(|name| name.contains(".data-00000-of-")) {
        return Some(checkpoint());
    }
    if has(CONFIG) && !has(WEIGHTS) && (has(SHARDED_WEIGHTS) || has(NPZ_WEIGHTS)) {
        return Some(other_weights(has(SHARDED_WEIGHTS)));
    }
    if has("model.json") && names.iter().any(|name| name.starts_with("group1-shard")) {
        return check_config(&serde_json::json!({"format": "layers-model"})).err();
    }
    if names.iter().any(|name| name.ends_with(".safetensors") || name.starts_with("pytorch_model")) {
        return Some(refusal("a folder of Hugging Face's transformers", SAVE_WHOLE));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use serde_json::json;

    #[track_caller]
    fn check_bytes(bytes: &[u8], expected: Container) {
        assert_eq!(recognise(&Source::from_bytes("file", bytes.to_vec())).unwrap(), expected);
    }

    #[track_caller]
    fn check_error(result: Result<impl std::fmt::Debug>, kind: ErrorKind, expected: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[track_caller]
    fn check_names(names: &[&str], kind: ErrorKind, expected: &str) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        check_error(check_members(&names), kind, expected);
    }

    #[test]
    fn containers_are_told_by_content() {
        check_bytes(b"PK\x03\x04rest", Container::Zip);
        check_bytes(b"\x89HDF\r\n\x1a\n", Container::Hdf5);
        check_bytes(&[&[1u8; 1024][..], HDF5].concat(), Container::Hdf5);
        check_bytes(b"\xef\xbb\xbf \n{", Container::Json);
        check_bytes(b"[1]", Container::Json);
        let cut = |bytes: &'static [u8]| recognise(&Source::from_bytes("file", bytes));
        check_error(cut(b"\x89HDF"), ErrorKind::Malformed, "only 4 bytes");
        check_error(cut(b"PK"), ErrorKind::Malformed, "only 2 bytes");
        check_error(cut(b""), ErrorKind::Malformed, "empty");
        check_error(cut(b"\x89PNG\r\n\x1a\n"), ErrorKind::Unsupported, "PNG");
    }

    #[test]
    fn zip_archives_are_told_by_their_members() {
        assert!(check_members(&[CONFIG.to_owned(), WEIGHTS.to_owned()]).is_ok());
        check_names(&[CONFIG, NPZ_WEIGHTS], ErrorKind::Unsupported, NPZ_WEIGHTS);
        check_names(&[CONFIG, SHARDED_WEIGHTS], ErrorKind::Unsupported, "several files");
        check_names(&[CONFIG, METADATA], ErrorKind::Malformed, "model.weights.h5 is missing");
        check_names(&[METADATA, WEIGHTS], ErrorKind::Malformed, "config.json is missing");
        check_names(&["m/data.pkl", "m/version"], ErrorKind::Unsupported, "PyTorch");
        check_names(&["a.npy", "b.npy"], ErrorKind::Unsupported, "NumPy");
        check_names(&["m/saved_model.pb"], ErrorKind::Unsupported, "SavedModel");
        check_names(&["m/config.json", "m/model.weights.h5"], ErrorKind::Unsupported, "in a folder");
        check_names(&["x/model.keras"], ErrorKind::Unsupported, "around a model");
        check_names(&["a", "b", "c", "d", "e"], ErrorKind::Unsupported, "\"d\", ...");
        check_names(&[], ErrorKind::Unsupported, "holds nothing");
    }

    #[test]
    fn configurations_are_told_by_their_keys() {
        assert!(check_config(&json!({"class_name": "Sequential", "config": []})).is_ok());
        check_error(check_config(&json!({"class_name": "Model"})), ErrorKind::Malformed, "this one has none");
        check_error(check_config(&json!({"modelTopology": {}})), ErrorKind::Unsupported, "TensorFlow.js");
        check_error(check_config(&json!({"weight_map": {}})), ErrorKind::Unsupported, "several files");
        let metadata = json!({"keras_version": "3.0.0", "date_saved": ""});
        check_error(check_config(&metadata), ErrorKind::Unsupported, "metadata.json");
        check_error(check_config(&json!({"name": 1})), ErrorKind::Unsupported, "it has \"name\"");
        check_error(check_config(&json!([])), ErrorKind::Unsupported, "it has a list");
    }

    #[test]
    fn folders_are_told_by_their_files() {
        let check = |names: &[&str], expected: &str| {
            let error = describe_folder(names).unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&["assets", "saved_model.pb", "variables"], "SavedModel");
        check(&["checkpoint", "ckpt.index"], "TensorFlow checkpoint");
        check(&["ckpt.data-00000-of-00001", "ckpt.index"], "TensorFlow checkpoint");
        check(&["model.json", "group1-shard1of1.bin"], "TensorFlow.js");
        check(&[CONFIG, SHARDED_WEIGHTS], "several files");
        check(&[CONFIG, "model.safetensors"], "Hugging Face");
        assert_eq!(describe_folder(&[CONFIG, METADATA, WEIGHTS]), None);
        assert_eq!(describe_folder(&["notes.txt"]), None);
    }

    #[test]
    fn hdf5_of_others_is_told_from_weights_that_are_too_old() {
        let error =
            |names: &[&str]| other_hdf5(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let (old, other) = (error(&["layer_0", "layer_1"]).to_string(), error(&["x"]).to_string());
        assert!(old.contains("before version 1"), "{old}");
        assert!(other.contains("not written by Keras: it holds \"x\""), "{other}");
    }
}
