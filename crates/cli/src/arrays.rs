//! Arrays from files and standard input, and to files and standard output.
//!
//! Three formats: NumPy's `.npy` for one array and `.npz` for any number of them, and CSV, whose lines are examples.

mod csv;
mod npy;
mod npz;

use crate::failure::Failure;
use k2o::core::DType;
use k2o::{Array, Model, Port};
use ndarray::ArrayD;
use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The magic bytes of zip files, which an `.npz` is: with members, and without.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// How arrays are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One array, as NumPy's `save` writes it
    Npy,
    /// Any number of arrays by name, as NumPy's `savez` writes them
    Npz,
    /// One array: an example is a line of numbers with commas between them, in row-major order
    Csv,
}

impl Format {
    /// The format that a target asks for by its name or by being a terminal; `.npy` where it asks for none.
    pub fn of(target: &Path) -> Format {
        let is_called = |name: &str| target.extension().is_some_and(|given| given.eq_ignore_ascii_case(name));
        match () {
            () if is_stdio(target) && io::stdout().is_terminal() => Format::Csv,
            () if is_called("npz") => Format::Npz,
            () if is_called("csv") => Format::Csv,
            () => Format::Npy,
        }
    }

    /// What the option calls it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Npy => "npy",
            Format::Npz => "npz",
            Format::Csv => "csv",
        }
    }

    /// Refuses a format that cannot hold the arrays called `names`.
    pub fn check(self, names: &[String]) -> Result<(), Failure> {
        match (self, names) {
            (Format::Npz, _) | (_, [_]) => Ok(()),
            _ => Err(Failure::Usage(format!(
                "the model has {} outputs ({}): --output must be an .npz, or --format npz",
                names.len(),
                names.join(", ")
            ))),
        }
    }
}

/// Whether a path means standard input or output.
pub(crate) fn is_stdio(path: &Path) -> bool {
    path == Path::new("-")
}

/// The model's inputs from a file or, for `-`, standard input: an `.npy` or CSV for a model of one input, or an `.npz`
/// whose arrays are named by the inputs; for a model of one input its only array may have any name.
pub(crate) fn read_inputs(path: &Path, model: &Model) -> Result<Vec<Array>, Failure> {
    let ports = model.inputs();
    let convert = |(array, port): (Numbers, &Port)| {
        array.into_array(port.r#type.dtype).ok_or_else(|| {
            let (name, dtype) = (&port.name, port.r#type.dtype);
            Failure::Usage(format!(
                "{}: input {name:?} takes {dtype}; the array has numbers that are none",
                shown(path)
            ))
        })
    };
    read(path, model, &ports, "input")?.into_iter().zip(&ports).map(convert).collect()
}

/// The expected outputs from a file or standard input in one of these formats, in the model's order.
pub(crate) fn read_outputs(path: &Path, model: &Model) -> Result<Vec<ArrayD<f64>>, Failure> {
    Ok(read(path, model, &model.outputs(), "output")?.into_iter().map(|array| array.0).collect())
}

/// Writes one array, or several as `.npz`; more than one in another format is an error.
pub(crate) fn write(
    format: Format,
    path: &Path,
    names: &[String],
    arrays: &[ArrayD<f32>],
    writer: &mut impl Write,
) -> Result<(), Failure> {
    format.check(names)?;
    let written = match (format, arrays) {
        (Format::Npy, [array]) => npy::write(array, writer),
        (Format::Csv, [array]) => csv::write(array, writer),
        _ => npz::to_bytes(names, arrays).and_then(|bytes| writer.write_all(&bytes)),
    };
    written.map_err(|error| Failure::io(path, error))
}

/// Numbers of any type, exact as far as `f64` is.
struct Numbers(ArrayD<f64>);

impl Numbers {
    /// The array as a model's input; `None` where a number is no integer and one is needed.
    fn into_array(self, dtype: DType) -> Option<Array> {
        let whole = |bound: f64| self.0.iter().all(|x| x.fract() == 0.0 && x.abs() <= bound);
        Some(match dtype {
            DType::I32 if whole(f64::from(i32::MAX)) => Array::I32(self.0.mapv(|x| x as i32)),
            DType::I64 if whole(9e15) => Array::I64(self.0.mapv(|x| x as i64)),
            DType::F32 => Array::F32(self.0.mapv(|x| x as f32)),
            DType::Bool => Array::I32(self.0.mapv(|x| i32::from(x != 0.0))),
            _ => return None,
        })
    }
}

/// What a path is called in errors.
fn shown(path: &Path) -> String {
    match is_stdio(path) {
        true => "standard input".to_string(),
        false => path.display().to_string(),
    }
}

/// The arrays for `ports`, the model's inputs or outputs as `role` says, in that order. The content decides the format.
fn read(path: &Path, model: &Model, ports: &[Port], role: &str) -> Result<Vec<Numbers>, Failure> {
    let name = shown(path);
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    let failed = |error: io::Error| Failure::Io(format!("{name}: {error}"));
    let mut bytes = Vec::new();
    if is_stdio(path) {
        io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        if is_zip(&bytes) {
            return npz::read(&name, Cursor::new(bytes), &names, model);
        }
    } else {
        let mut file = File::open(path).map_err(failed)?;
        (&mut file).take(ZIP[0].len() as u64).read_to_end(&mut bytes).map_err(failed)?;
        if is_zip(&bytes) {
            // Its members are read one at a time.
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            return npz::read(&name, file, &names, model);
        }
        file.read_to_end(&mut bytes).map_err(failed)?;
    }
    let [port] = ports else {
        let message = format!(
            "one array, but the model has {} {role}s ({}): give an .npz",
            names.len(),
            names.join(", ")
        );
        return Err(Failure::Usage(format!("{name}: {message}")));
    };
    let array = match bytes.starts_with(npy::MAGIC) {
        true => npy::read(&name, bytes.len() as u64, &mut bytes.as_slice(), model)?,
        false => csv::read(&name, &bytes, port, role)?,
    };
    Ok(vec![array])
}

fn is_zip(bytes: &[u8]) -> bool {
    ZIP.iter().any(|magic| bytes.starts_with(magic))
}
