//! Where models are written.

use crate::arrays::is_stdio;
use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// The file beside a model that is called as it is.
pub(super) fn beside(model: &Path) -> PathBuf {
    model.with_extension("onnx")
}

/// The file of each of several models, in `folder` or beside it; no two are the same.
pub(super) fn of_several(models: &[&Path], folder: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    if let Some(folder) = folder.filter(|folder| is_stdio(folder) || folder.exists() && !folder.is_dir()) {
        let text = format!("--output {}: several models need a folder", folder.display());
        return Err(Failure::Usage(text));
    }
    let mut targets: Vec<PathBuf> = Vec::new();
    let mut places: Vec<PathBuf> = Vec::new();
    for model in models {
        let target = match folder {
            None => beside(model),
            Some(folder) => match model.file_name() {
                Some(name) => folder.join(beside(Path::new(name))),
                None => return Err(Failure::Usage(format!("{}: no name for a file", model.display()))),
            },
        };
        let place = place(&target);
        if let Some(other) = places.iter().position(|other| *other == place) {
            return Err(Failure::Usage(format!(
                "{} and {} would both be written to {}",
                models[other].display(),
                model.display(),
                target.display()
            )));
        }
        targets.push(target);
        places.push(place);
    }
    Ok(targets)
}

/// Makes the folder of a file, and those that this is in.
pub(super) fn make_folder(target: &Path) -> Result<(), Failure> {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            std::fs::create_dir_all(folder).map_err(|error| Failure::io(folder, error))
        }
        _ => Ok(()),
    }
}

/// The same path for whatever leads to the folder of a file.
fn place(target: &Path) -> PathBuf {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    folder.join(target.file_name().unwrap_or_default())
}
