//! What is refused is refused in little memory, whatever a file says of sizes. Alone in its file, because what other tests
//! allocate would count.
//!
//! `cargo test --release -p k2o --test refusals -- --nocapture` prints the slowest and the largest refusal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

use k2o::{Error, ErrorKind, Limits, Model, OpenOptions};
use k2o_fixtures::{case, root};
use ndarray::Array3;
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What a refusal may take beside twice the file.
const ROOM: usize = 32 << 20;
const SMALL: usize = 64 << 10;

/// A model that was tried.
struct Tried {
    name: String,
    size: usize,
    peak: usize,
    time: Duration,
    outcome: Result<(), Error>,
}

/// Calls `open` and measures it.
fn try_out(name: &str, size: usize, open: impl FnOnce() -> Result<(), Error>) -> Tried {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let start = Instant::now();
    let outcome = open();
    let time = start.elapsed();
    Tried { name: name.to_string(), size, peak: ALLOCATED.peak_usage() - before, time, outcome }
}

/// Opens the model of `config` with the weights of `conv_only` and runs it on one example.
fn run(config: &Value, weights: &[u8], limits: &Limits) -> Tried {
    let config = serde_json::to_vec(config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [config_path, weights_path] = ["model.json", "model.weights.h5"].map(|name| folder.path().join(name));
    std::fs::write(&config_path, &config).unwrap();
    std::fs::write(&weights_path, weights).unwrap();
    let mut options = OpenOptions::default();
    (options.weights, options.limits) = (Some(weights_path), limits.clone());
    try_out("", config.len() + weights.len(), || {
        let model = Model::open_with(&config_path, &options)?;
        model.predict(&[Array3::<f32>::ones((1, 48, 2)).into()]).map(drop)
    })
}

/// `conv_only`, whose layers are `InputLayer`, four `Conv1D` and `GlobalMaxPooling1D`.
fn conv_only() -> (Value, Vec<u8>) {
    let case = case("conv_only");
    let config = std::fs::read(case.path("keras3.json")).unwrap();
    (serde_json::from_slice(&config).unwrap(), std::fs::read(case.path("keras3.weights.h5")).unwrap())
}

const CONV: &str = "/config/layers/1/config";
const LAST: &str = "/config/layers/5";

/// Configs that say that something is enormous. The weights do not.
fn enormous_configs() -> Vec<(String, Value)> {
    let huge = [1u64 << 31, 1 << 40, 1 << 53, 1 << 62, u64::MAX];
    let mut configs = Vec::new();
    for size in huge {
        let mut with = |name: &str, pointer: &str, value: Value| {
            let (mut config, _) = conv_only();
            *config.pointer_mut(pointer).unwrap() = value;
            configs.push((format!("{name} {size}"), config));
        };
        with("filters", &format!("{CONV}/filters"), json!(size));
        with("kernel_size", &format!("{CONV}/kernel_size"), json!([size]));
        with("groups", &format!("{CONV}/groups"), json!(size));
        with("steps", "/config/layers/0/config/batch_shape", json!([null, size, 2]));
        with("channels", "/config/layers/0/config/batch_shape", json!([null, 48, size]));
        let layers = [
            ("Dense", json!({"units": size})),
            ("LSTM", json!({"units": size})),
            ("ZeroPadding1D", json!({"padding": size})),
            ("UpSampling1D", json!({"size": size})),
            ("Reshape", json!({"target_shape": [size, size]})),
            ("Embedding", json!({"input_dim": size, "output_dim": size})),
        ];
        for (class, mut fields) in layers {
            fields["name"] = json!("last");
            with(class, LAST, json!({"class_name": class, "config": fields}));
        }
    }
    configs
}

/// The weights of `conv_only` whose first kernel, of shape `[5, 2, 6]`, says that it has `filters` filters.
fn weights_that_lie(weights: &[u8], filters: u64) -> Vec<u8> {
    let sizes = |last: u64| [5, 2, last].map(u64::to_le_bytes).concat();
    let (from, to) = (sizes(6), sizes(filters));
    let mut bytes = weights.to_vec();
    let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&from)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|&at| bytes[at..at + to.len()].copy_from_slice(&to));
    bytes
}

/// Every file below `folder` that a model may be given as.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.extension().is_none_or(|ending| ending != "txt" && ending != "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn refusals_take_little_memory() {
    let (config, weights) = conv_only();
    let defaults = Limits::default();
    assert!(run(&config, &weights, &defaults).outcome.is_ok());
    let mut all: Vec<Tried> = Vec::new();
    for (name, config) in enormous_configs() {
        all.push(Tried { name, ..run(&config, &weights, &defaults) });
    }
    // Config and file agree on the lie.
    for filters in [1u64 << 20, 1 << 40, 1 << 53] {
        let mut config = config.clone();
        *config.pointer_mut(&format!("{CONV}/filters")).unwrap() = json!(filters);
        let name = format!("weights and config of {filters} filters");
        all.push(Tried { name, ..run(&config, &weights_that_lie(&weights, filters), &defaults) });
    }
    // What is true and takes more than is allowed.
    let [quarter, whole] = [1 << 18, 1 << 20].map(|max_memory| Limits { max_memory, ..Limits::default() });
    let mut long = config.clone();
    *long.pointer_mut(LAST).unwrap() =
        json!({"class_name": "ZeroPadding1D", "config": {"name": "last", "padding": 1 << 20}});
    let mut options = OpenOptions::default();
    options.limits = quarter;
    let basic = case("basic").path("keras3.keras");
    let size = basic.metadata().unwrap().len() as usize;
    let tried = [
        try_out("weights", size, || Model::open_with(&basic, &options)?.plan().map(drop)),
        Tried { name: "values".to_string(), ..run(&long, &weights, &whole) },
    ];
    for (tried, words) in tried.into_iter().zip(["the weights take", "inputs of these sizes take"]) {
        let error = tried.outcome.as_ref().unwrap_err();
        assert!(error.kind() == ErrorKind::Limit && error.to_string().contains(words), "{error}");
        all.push(tried);
    }
    let layer = json!({"class_name": "Flatten", "config": {"name": "a"}});
    for (name, count) in [("100,000 layers", 100_000), ("a million layers", 1_000_000)] {
        let mut config = config.clone();
        *config.pointer_mut("/config/layers").unwrap() = vec![layer.clone(); count].into();
        all.push(Tried { name: name.to_string(), ..run(&config, &weights, &defaults) });
    }
    for tried in &all {
        assert!(tried.outcome.is_err(), "{} was accepted", tried.name);
    }
    // Of these some are models.
    let files = ["hostile", "invalid", "others"].map(|folder| files_below(&root().join(folder))).concat();
    assert!(files.len() > 30);
    for path in files {
        let size = path.metadata().unwrap().len() as usize;
        let name = path.display().to_string();
        all.push(try_out(&name, size, || Model::open(&path)?.plan().map(drop)));
    }
    all.retain(|tried| tried.outcome.is_err());
    for Tried { name, size, peak, .. } in &all {
        assert!(*peak <= ROOM + 2 * size, "{name}: {peak} bytes at most, for a file of {size}");
    }
    let small = all.iter().filter(|tried| tried.size <= SMALL);
    let slowest = small.max_by_key(|tried| tried.time).unwrap();
    let largest = all.iter().max_by_key(|tried| tried.peak.saturating_sub(2 * tried.size)).unwrap();
    println!("{} refusals", all.len());
    println!("slowest of at most 64 KiB: {:.1} ms, {}", slowest.time.as_secs_f64() * 1e3, slowest.name);
    println!(
        "most memory beside twice the file: {} of {} bytes, {}",
        largest.peak, largest.size, largest.name
    );
}
