//! The containers that Keras writes: recognised by content, taken apart, nothing interpreted and no weight read.
//!
//! An [`Archive`] is the configuration of a model as JSON, and a [`WeightStore`] that knows the shape, type and
//! place of every weight. Bytes come from a [`Source`], so that weights stay where they are until they are needed.
//! What may be read into memory is bounded by [`Limits`], whatever the file says of itself.
//!
//! - `source`: positioned reads.
//! - `recognise`, `foreign`: what a file is, and what it is if it is no Keras model.
//! - `members`: zip archives.
//! - `json`: JSON as Python writes it.
//! - `hdf5`, `links`, `attributes`, `element_type`, `stored`: HDF5 files, and the datasets in them.
//! - `structure`: what an HDF5 file may consist of.
//! - `weights`: Keras's two layouts of weights.

mod attributes;
mod element_type;
mod foreign;
mod hdf5;
#[cfg(test)]
pub(crate) mod hdf5_writer;
mod json;
mod links;
mod members;
mod recognise;
mod source;
mod stored;
mod structure;
mod weights;

pub use recognise::describe_folder;
pub use source::{ReadAt, Source};
pub use stored::StoredWeight;
pub use weights::{Layout, NamedLayer, WeightStore};

use crate::{Error, Result};
use attributes::Attributes;
use hdf5::Hdf5;
use members::Members;
use recognise::{CONFIG, Container, METADATA, WEIGHTS};
use serde_json::Value;
use std::fmt;

const MODEL_CONFIG: &str = "model_config";

/// What a file may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes that a file may make this process hold: of what is inflated or read at once, and, where the model is run, of
    /// all its weights and of the values between its layers; 8 GiB unless told otherwise.
    pub max_memory: u64,
    /// Layers of a model; 20,000 unless told otherwise.
    pub max_layers: usize,
    /// Bytes of the configuration; 256 MiB unless told otherwise.
    pub max_config_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_memory: 8 << 30, max_layers: 20_000, max_config_bytes: 256 << 20 }
    }
}

/// What a model came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A zip archive of configuration and weights, Keras 2.12 and later.
    KerasZip,
    /// A whole model in one HDF5 file.
    Hdf5,
    /// The configuration as JSON and the weights in another file.
    JsonAndWeights,
    /// Only the configuration.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::KerasZip => ".keras archive",
            Format::Hdf5 => "HDF5 model",
            Format::JsonAndWeights => "JSON configuration with weights",
            Format::Json => "JSON configuration without weights",
        })
    }
}

/// A model's configuration and weights, as they lie in their files.
#[derive(Clone, Debug)]
pub struct Archive {
    /// What the model came in.
    pub format: Format,
    /// The version of Keras that wrote it, if it says so.
    pub keras_version: Option<String>,
    /// The backend of the Keras that wrote it, if it says so.
    pub backend: Option<String>,
    /// The model's configuration, `{"class_name": .., "config": ..}`, exactly as in the file, but for Python's
    /// `NaN` and `Infinity`, which are strings.
    pub config: Value,
    /// Where the configuration comes from, for messages: `config.json`, `attribute model_config`.
    pub config_part: String,
    /// The weights; `None` if only a configuration was given.
    pub weights: Option<WeightStore>,
}

impl Archive {
    /// Opens a `.keras` archive, a whole-model `.h5` file, or the JSON of a configuration.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for anything else that is known, with what to do about it;
    /// [`Malformed`](crate::ErrorKind::Malformed) for a damaged file; [`Limit`](crate::ErrorKind::Limit) for one
    /// that asks for too much.
    pub fn read(source: &Source, limits: &Limits) -> Result<Archive> {
        let archive = match recognise::recognise(source) {
            Ok(Container::Zip) => read_zip(source, limits),
            Ok(Container::Hdf5) => read_hdf5(source, limits),
            Ok(Container::Json) => read_json(source, limits),
            Err(error) => Err(error),
        };
        archive.map_err(|error| error.within(source.name()))
    }

    /// Opens a configuration as JSON with weights from another file, in either layout. `metadata` is the file
    /// `metadata.json` of an unpacked `.keras` archive.
    ///
    /// # Errors
    /// Those of [`read`](Archive::read).
    pub fn read_parts(
        config: &Source,
        metadata: Option<&Source>,
        weights: Option<&Source>,
        limits: &Limits,
    ) -> Result<Archive> {
        let archive = match recognise::recognise(config) {
            Ok(Container::Json) => read_json(config, limits),
            Ok(Container::Zip | Container::Hdf5) => Err(Error::unsupported(
                "the JSON of a configuration was expected here, as model.to_json() gives it",
            )
            .help("a whole model in one file is given alone")),
            Err(error) => Err(error),
        };
        let mut archive = archive.map_err(|error| error.within(config.name()))?;
        if let Some(metadata) = metadata {
            let version = read_text(metadata, limits).and_then(|bytes| written_by(&bytes, limits));
            archive.keras_version =
                version.map_err(|error| error.within(metadata.name()))?.or(archive.keras_version);
        }
        if let Some(source) = weights {
            let weights = read_weights(source, limits).map_err(|error| error.within(source.name()))?;
            archive.format = Format::JsonAndWeights;
            archive.keras_version = archive.keras_version.or(weights.keras_version());
            archive.backend = archive.backend.or(weights.backend());
            archive.weights = Some(weights);
        }
        Ok(archive)
    }
}

fn read_zip(source: &Source, limits: &Limits) -> Result<Archive> {
    let mut members = Members::open(source)?;
    recognise::check_members(members.names())?;
    let config = members.read(CONFIG, limits.max_config_bytes)?.unwrap_or_default();
    let config = parse_config(&config, limits).map_err(|error| error.within(CONFIG))?;
    let metadata = members.read(METADATA, limits.max_config_bytes)?;
    let version = metadata.map(|bytes| written_by(&bytes, limits)).transpose();
    let keras_version = version.map_err(|error| error.within(METADATA))?.flatten();
    let weights = read_weights_member(&mut members, limits)?;
    Ok(Archive {
        format: Format::KerasZip,
        keras_version,
        backend: text(&config, "backend"),
        config,
        config_part: CONFIG.to_owned(),
        weights: Some(weights),
    })
}

fn read_weights_member(members: &mut Members, limits: &Limits) -> Result<WeightStore> {
    let missing = || Error::malformed(format!("{WEIGHTS} is missing"));
    let source = members.source(WEIGHTS, limits.max_memory)?.ok_or_else(missing)?;
    let weights =
        Hdf5::open(&source, limits).and_then(|file| WeightStore::read(&file, limits)?.ok_or_else(missing));
    weights.map_err(|error| error.within(WEIGHTS))
}

fn read_hdf5(source: &Source, limits: &Limits) -> Result<Archive> {
    let file = Hdf5::open(source, limits)?;
    let root = file.root()?;
    let attributes = Attributes::of_group(&file, &root)?;
    let config_part = format!("attribute {MODEL_CONFIG}");
    let Some(config) = attributes.string(MODEL_CONFIG)? else {
        let names = file.names(&root)?;
        return Err(match WeightStore::read(&file, limits)? {
            Some(_) if names.iter().any(|name| name == "model_weights") => recognise::model_without_config(),
            Some(_) => recognise::weights_without_config(),
            None => recognise::other_hdf5(&names),
        });
    };
    let config = parse_config(config.as_bytes(), limits).map_err(|error| error.within(&config_part))?;
    let weights = WeightStore::read(&file, limits)?
        .ok_or_else(|| Error::malformed("the file has a configuration, but no group model_weights"))?;
    Ok(Archive {
        format: Format::Hdf5,
        keras_version: attributes.string("keras_version")?.or(weights.keras_version()),
        backend: attributes.string("backend")?.or(weights.backend()),
        config,
        config_part,
        weights: Some(weights),
    })
}

fn read_json(source: &Source, limits: &Limits) -> Result<Archive> {
    let config = parse_config(&read_text(source, limits)?, limits)?;
    Ok(Archive {
        format: Format::Json,
        keras_version: text(&config, "keras_version"),
        backend: text(&config, "backend"),
        config,
        config_part: source.name().to_owned(),
        weights: None,
    })
}

/// The weights in a file of their own, in a whole-model `.h5`, or in a `.keras` archive.
fn read_weights(source: &Source, limits: &Limits) -> Result<WeightStore> {
    match recognise::recognise(source)? {
        Container::Hdf5 => {
            let file = Hdf5::open(source, limits)?;
            match WeightStore::read(&file, limits)? {
                Some(weights) => Ok(weights),
                None => Err(recognise::other_hdf5(&file.names(&file.root()?)?)),
            }
        }
        Container::Zip => {
            let mut members = Members::open(source)?;
            recognise::check_members(members.names())?;
            read_weights_member(&mut members, limits)
        }
        Container::Json => Err(Error::unsupported("weights were expected here, in HDF5; this is JSON")
            .help("save them with model.save_weights(\"model.weights.h5\")")),
    }
}

fn read_text(source: &Source, limits: &Limits) -> Result<Vec<u8>> {
    let (len, allowed) = (source.len()?, limits.max_config_bytes);
    if len > allowed {
        return Err(Error::limit(format!("the JSON is {len} bytes long; {allowed} are allowed")));
    }
    source.read(0, len)
}

fn parse_config(bytes: &[u8], limits: &Limits) -> Result<Value> {
    let config = json::parse(bytes, limits)?;
    recognise::check_config(&config)?;
    Ok(config)
}

/// The version of Keras that `metadata.json` names.
fn written_by(metadata: &[u8], limits: &Limits) -> Result<Option<String>> {
    Ok(text(&json::parse(metadata, limits)?, "keras_version"))
}

fn text(object: &Value, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(str::to_owned)
}

/// A name out of a file as messages show it: in quotes, and not longer than a line.
pub(crate) fn shown(name: &str) -> String {
    const MOST: usize = 100;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}...", name.get(..end).unwrap_or_default()),
        None => format!("{name:?}"),
    }
}
