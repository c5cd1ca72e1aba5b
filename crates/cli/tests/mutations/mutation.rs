//! Mutations by number: which fixture is changed, and how.

use crate::{bytes, config};
use fastrand::Rng;
use k2o_fixtures::root;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Files that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    /// The model or its config.
    pub model: PathBuf,
    /// Its weights, if they are in a file of their own.
    pub weights: Option<PathBuf>,
    /// Arrays for its inputs; if there are any, it is these that are changed.
    pub input: Option<PathBuf>,
}

/// Every file of the fixtures that is given to K2O, in the order of names.
pub fn fixtures() -> Vec<Fixture> {
    let mut found = Vec::new();
    for folder in folders(&root().join("models")) {
        let files = files(&folder);
        let is = |path: &&PathBuf, end: &str| path.to_string_lossy().ends_with(end);
        let models = || files.iter().filter(|path| name(path).starts_with("keras") && !is(path, ".npz"));
        for model in models().filter(|path| !is(path, "weights.h5")) {
            let keras = name(model).split('.').next().unwrap_or_default().to_owned();
            found.push(Fixture { model: model.clone(), weights: None, input: None });
            let weights = models().filter(|path| is(path, "weights.h5") && name(path).starts_with(&keras));
            for weights in weights.filter(|_| is(&model, ".json")) {
                found.push(Fixture { model: model.clone(), weights: Some(weights.clone()), input: None });
            }
        }
        let whole = models().find(|path| is(path, ".keras") || is(path, ".h5") && !is(path, "weights.h5"));
        let input = files.iter().find(|path| is(path, "inputs.npz")).cloned();
        found.extend(whole.map(|model| Fixture { model: model.clone(), weights: None, input }));
    }
    for folder in ["others", "invalid"] {
        let alone = |model| Fixture { model, weights: None, input: None };
        found.extend(files(&root().join(folder)).into_iter().map(alone));
    }
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn files(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_file()).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_dir()).collect()
}

/// Files of a fixture, one of them changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The model or its config.
    pub model: Vec<u8>,
    /// Its weights, if they are in a file of their own.
    pub weights: Option<Vec<u8>>,
    /// Arrays for its inputs.
    pub input: Option<Vec<u8>>,
    /// Which fixture was changed, and how.
    pub description: String,
}

impl Mutation {
    /// The mutation of this number; it depends on the number and the fixtures only.
    pub fn new(number: u64, fixtures: &[Fixture]) -> Mutation {
        let mut rng = Rng::with_seed(number);
        let fixture = &fixtures[rng.usize(0..fixtures.len())];
        let other = &fixtures[rng.usize(0..fixtures.len())];
        let other = read(other.input.as_ref().or(other.weights.as_ref()).unwrap_or(&other.model));
        let mut description =
            fixture.model.strip_prefix(root()).unwrap_or(&fixture.model).display().to_string();
        let mut model = read(&fixture.model);
        let mut weights = fixture.weights.as_deref().map(read);
        let mut input = fixture.input.as_deref().map(read);
        let changed = match (&mut input, &mut weights) {
            (Some(input), _) => input,
            // Configs alone are fixtures of their own.
            (None, Some(weights)) if rng.u8(0..4) > 0 => weights,
            _ => &mut model,
        };
        let paths = fixture.input.iter().chain(&fixture.weights);
        description.extend(paths.map(|path| format!(" + {}", name(path))));
        for _ in 0..if rng.bool() { 1 } else { rng.usize(2..5) } {
            description += ", ";
            description += &change(changed, &other, &mut rng);
        }
        Mutation { model, weights, input, description }
    }
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Changes a file in one way that suits what it is.
fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) -> String {
    let done = match bytes.first() {
        Some(b'{') if rng.u8(0..8) > 0 => change_text(bytes, rng),
        Some(b'P') if rng.u8(0..4) > 0 => change_member(bytes, other, rng),
        Some(0x89) if rng.bool() => config::change_embedded(bytes, rng),
        _ => None,
    };
    done.unwrap_or_else(|| bytes::change(bytes, other, rng))
}

fn change_text(bytes: &mut Vec<u8>, rng: &mut Rng) -> Option<String> {
    let mut root = serde_json::from_slice(bytes).ok()?;
    let done = config::change(&mut root, rng);
    *bytes = root.to_string().into_bytes();
    Some(done)
}

/// Changes a member of a zip archive, or which there are, and packs them anew with right checksums.
fn change_member(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) -> Option<String> {
    let mut archive = ZipArchive::new(Cursor::new(&*bytes)).ok()?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).ok()?;
        let mut content = Vec::new();
        member.read_to_end(&mut content).ok()?;
        members.push((member.name().ok()?.into_owned(), content));
    }
    if members.is_empty() {
        return None;
    }
    let at = rng.usize(0..members.len());
    let done = match rng.u8(0..16) {
        0 => format!("{} removed", members.remove(at).0),
        1 => {
            let name = std::mem::replace(&mut members[at].0, "another".to_owned());
            format!("{name} renamed")
        }
        _ => {
            let (name, content) = &mut members[at];
            format!("in {name}: {}", change(content, other, rng))
        }
    };
    let method = if rng.u8(0..4) > 0 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(name, options).ok()?;
        zip.write_all(&content).ok()?;
    }
    *bytes = zip.finish().ok()?.into_inner();
    Some(done)
}
