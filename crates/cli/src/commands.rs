//! One file per command.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod man;
pub(crate) mod plot;
pub(crate) mod predict;
pub(crate) mod report;
pub(crate) mod summary;
mod table;
pub(crate) mod verify;
pub(crate) mod what_if;

use crate::failure::Failure;
use clap::Args;
pub(crate) use k2o::core::grouped;
use k2o::{Importer, Limits, Model, OpenOptions};
use std::path::{Path, PathBuf};

/// The model that a command works on.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelArgs {
    /// A .keras archive or folder, an .h5 model, or a JSON config
    pub model: PathBuf,
    /// The weights of a JSON config [default, where they are needed: .weights.h5, .h5 or .hdf5 of the same name beside it]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// What an activation function of your own computes: one of Keras's with its arguments, such as
    /// '<lambda>=relu(negative_slope=0.1, max_value=20)'; may be given several times
    #[arg(long, value_name = "NAME=EXPR")]
    pub define: Vec<String>,
    /// Ends the model at this layer, whose output becomes the only one: its name, its path such as block/conv1d, or
    /// NAME#2 for its second call
    #[arg(long, value_name = "LAYER")]
    pub until: Option<String>,
    /// Makes the states of stateful recurrent layers inputs (LAYER/state_0, ..) and outputs (LAYER/next_state_0, ..) of
    /// the model; else they begin as zeros in each run
    #[arg(long)]
    pub states: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What a model's file may make a command do.
#[derive(Clone, Debug, Args)]
struct LimitArgs {
    /// The memory that a model may take, of what is read or inflated at once and of all that running it needs: bytes, or with
    /// K, M or G, 1024 to the power of 1, 2 or 3 [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
    /// The number of layers that a model may have
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_layers)]
    max_layers: usize,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        let default = Limits::default();
        let max_memory = self.max_memory.or_else(|| machine_memory().map(|bytes| bytes / 2));
        Limits {
            max_memory: max_memory.unwrap_or(default.max_memory),
            max_layers: self.max_layers,
            ..default
        }
    }
}

/// The memory of this machine in bytes, where it can be asked for.
#[cfg(target_os = "linux")]
fn machine_memory() -> Option<u64> {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).checked_mul(info.totalram)
}

#[cfg(not(target_os = "linux"))]
fn machine_memory() -> Option<u64> {
    None
}

/// `4096`, `512M`, `2G`.
fn parse_size(text: &str) -> Result<u64, String> {
    let (number, power) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 1),
        None => match (text.strip_suffix(['M', 'm']), text.strip_suffix(['G', 'g'])) {
            (Some(number), _) => (number, 2),
            (_, Some(number)) => (number, 3),
            _ => (text, 0),
        },
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << (10 * power)));
    bytes.ok_or_else(|| "expected a number of bytes such as 4096, 512M or 2G".to_owned())
}

/// How a command answers. Read where arguments are: an error may come before there are options.
#[derive(Clone, Debug, Args)]
pub(crate) struct JsonArgs {
    /// Answers with JSON, an object with all that the text says; an error is an object on standard error
    #[arg(long)]
    json: bool,
}

/// A model with its weights, and the files that were read, which no output may replace.
pub(crate) struct Opened {
    pub model: Model,
    pub paths: Vec<PathBuf>,
    /// The file of the weights, if they are in one of their own.
    pub weights: Option<PathBuf>,
}

impl ModelArgs {
    /// The model, without weights if they are not named.
    pub fn open(&self) -> Result<Model, Failure> {
        self.open_as(&self.options()?)
    }

    /// The model, or the part that is wanted of it, opened with these options.
    pub fn open_as(&self, options: &OpenOptions) -> Result<Model, Failure> {
        self.part(Model::open_with(&self.model, options)?)
    }

    /// The model with its weights, which for a config that stands alone may lie beside it.
    pub fn open_with_weights(&self) -> Result<Opened, Failure> {
        let mut options = self.options()?;
        let mut model = Model::open_with(&self.model, &options)?;
        if !model.provenance().has_weights {
            let beside = weights_beside(&self.model);
            let Some(found) = beside.iter().find(|path| path.is_file()) else {
                let names: Vec<String> = beside.iter().map(|path| path.display().to_string()).collect();
                return Err(Failure::Usage(format!(
                    "{}: the model was opened without weights\n  help: name them with --weights; there is none of {}",
                    self.model.display(),
                    names.join(", ")
                )));
            };
            crate::note(&format!("weights from {}", found.display()));
            options.weights = Some(found.clone());
            model = Model::open_with(&self.model, &options)?;
        }
        let parts = FOLDER.map(|name| self.model.join(name)).into_iter().filter(|path| path.is_file());
        let paths = std::iter::once(self.model.clone()).chain(parts).chain(options.weights.clone()).collect();
        Ok(Opened { model: self.part(model)?, paths, weights: options.weights })
    }

    /// How the arguments say that it is to be opened.
    pub fn options(&self) -> Result<OpenOptions, Failure> {
        let mut options = OpenOptions::default();
        options.weights = self.weights.clone();
        options.expose_states = self.states;
        options.limits = self.limits.limits();
        for definition in &self.define {
            let (name, expression) = definition.split_once('=').ok_or_else(|| {
                Failure::Usage(format!(
                    "--define {definition:?}: expected NAME=EXPR, such as '<lambda>=relu(max_value=20)'"
                ))
            })?;
            let importer: Importer = std::mem::take(&mut options.importer);
            options.importer = importer.define(name, expression).map_err(k2o::Error::from)?;
        }
        Ok(options)
    }

    fn part(&self, model: Model) -> Result<Model, Failure> {
        match &self.until {
            Some(layer) => Ok(model.until(layer)?),
            None => Ok(model),
        }
    }
}

/// The files of a model that is a folder.
const FOLDER: [&str; 3] = ["config.json", "metadata.json", "model.weights.h5"];

/// Where Keras would have put the weights of a config, in the order in which they are looked for.
fn weights_beside(config: &Path) -> Vec<PathBuf> {
    let stem = config.file_stem().unwrap_or_default();
    let beside = |ending: &str| {
        let mut name = stem.to_os_string();
        name.push(ending);
        config.with_file_name(name)
    };
    [".weights.h5", ".h5", ".hdf5"].map(beside).into_iter().filter(|path| path != config).collect()
}

/// `1 step`, `1,024 steps`.
pub(crate) fn number_of_steps(n: u64) -> String {
    format!("{} step{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// A number of bytes with its unit.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}
