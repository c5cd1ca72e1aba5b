//! Converts every Keras model below a folder to ONNX, into another folder of the same structure.
//!
//! ```text
//! cargo run --release --example convert_folder -- MODELS OUT
//! ```
//!
//! Each model gets a line: what it became, or why it could not be converted. One that fails does not stop the others, but
//! the exit status tells that there was one. A file has its whole content or does not exist: it is written under another
//! name first.

use k2o::{Export, ExportOptions, Model};
use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many models could not be converted.
fn run() -> Result<usize, Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = arguments.as_slice() else { return Err("usage: convert_folder MODELS OUT".into()) };
    let mut models = Vec::new();
    find_models(from, &mut models)?;
    models.sort();

    let options = ExportOptions::default().with_opset(18);
    let mut failed = 0;
    for path in &models {
        let name = path.strip_prefix(from)?;
        // `model.keras` and `model.h5` may lie side by side: what is added keeps them apart.
        let out = to.join(format!("{}.onnx", name.display()));
        match convert(path, &out, &options) {
            Ok(export) => println!("{}: {} nodes -> {}", name.display(), export.node_count(), out.display()),
            Err(error) => {
                failed += 1;
                println!("{}: FAILED: {}", name.display(), on_one_line(&error.to_string(), path));
            }
        }
    }
    println!("{} converted, {failed} failed", models.len() - failed);
    Ok(failed)
}

/// Adds every file below `folder` that is named like a model; symbolic links are not followed.
fn find_models(folder: &Path, models: &mut Vec<PathBuf>) -> Result<(), String> {
    let error = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_model = name.ends_with(".keras") || name.ends_with(".h5");
        if entry.file_type().map_err(error)?.is_dir() {
            find_models(&path, models)?;
        } else if is_model && !name.ends_with("weights.h5") {
            models.push(path);
        }
    }
    Ok(())
}

fn convert(model: &Path, out: &Path, options: &ExportOptions) -> Result<Export, Box<dyn Error>> {
    let export = Model::open(model)?.to_onnx(options)?;
    let folder = out.parent().ok_or("no folder to write to")?;
    fs::create_dir_all(folder)?;
    let part = out.with_extension("part");
    let location = if export.has_external_data() {
        // More than fits one file: the weights lie beside the model, named by their content.
        let name = export.write_data_to(&mut BufWriter::new(File::create(&part)?))?;
        fs::rename(&part, folder.join(&name))?;
        name
    } else {
        String::new()
    };
    export.write_model_to(&location, &mut BufWriter::new(File::create(&part)?))?;
    fs::rename(&part, out)?;
    Ok(export)
}

/// An error without the path, which stands in front of it already; shapes and help are on lines of their own in it.
fn on_one_line(error: &str, path: &Path) -> String {
    let error = error.strip_prefix(&format!("{}:", path.display())).unwrap_or(error);
    error.trim().lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
