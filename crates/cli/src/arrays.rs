//! Arrays in NumPy's files: `.npy` for one, `.npz` for several.

use crate::failure::Failure;
use k2o::{Array, Model};
use ndarray::{ArrayD, Zip};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyExt, WriteNpyExt};
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The magic bytes of a zip file, which an `.npz` is.
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// The model's inputs from a file: an `.npy` for a model of one input, or an `.npz` whose arrays are named by the
/// inputs; for a model of one input its only array may have any name.
pub(crate) fn read_inputs(path: &Path, model: &Model) -> Result<Vec<Array>, Failure> {
    let ports = model.inputs();
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    let arrays = read(path, &names)?;
    let convert = |(array, port): (Numbers, &k2o::Port)| {
        array.into_array(port.r#type.dtype).ok_or_else(|| {
            let (name, dtype) = (&port.name, port.r#type.dtype);
            Failure::Usage(format!(
                "{}: input {name:?} takes {dtype}; the array has numbers that are none",
                path.display()
            ))
        })
    };
    arrays.into_iter().zip(&ports).map(convert).collect()
}

/// The expected outputs from a file, in the model's order.
pub(crate) fn read_outputs(path: &Path, model: &Model) -> Result<Vec<ArrayD<f64>>, Failure> {
    let ports = model.outputs();
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    Ok(read(path, &names)?.into_iter().map(|array| array.0).collect())
}

/// Writes one array as `.npy`, or several, or any number if the file is called so, as `.npz`.
pub(crate) fn write(
    path: &Path,
    names: &[String],
    arrays: &[ArrayD<f32>],
    writer: &mut impl Write,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::io(path, error);
    match arrays {
        [array] if !is_npz(path) => array.write_npy(writer).map_err(|error| failed(&error)),
        _ => {
            // In memory, for the zip's writer goes back to what it wrote, which a pipe does not allow.
            let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
            for (name, array) in names.iter().zip(arrays) {
                npz.add_array(name.as_str(), array).map_err(|error| failed(&error))?;
            }
            let bytes = npz.finish().map_err(|error| failed(&error))?.into_inner();
            writer.write_all(&bytes).map_err(|error| failed(&error))
        }
    }
}

/// Whether a file called so holds several arrays.
pub(crate) fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}

/// Numbers of any type, exact as far as `f64` is.
struct Numbers(ArrayD<f64>);

impl Numbers {
    /// The array as a model's input; `None` where a number is no integer and one is needed.
    fn into_array(self, dtype: k2o::core::DType) -> Option<Array> {
        let whole = |bound: f64| self.0.iter().all(|x| x.fract() == 0.0 && x.abs() <= bound);
        Some(match dtype {
            k2o::core::DType::I32 if whole(f64::from(i32::MAX)) => Array::I32(self.0.mapv(|x| x as i32)),
            k2o::core::DType::I64 if whole(9e15) => Array::I64(self.0.mapv(|x| x as i64)),
            k2o::core::DType::F32 => Array::F32(self.0.mapv(|x| x as f32)),
            k2o::core::DType::Bool => Array::I32(self.0.mapv(|x| i32::from(x != 0.0))),
            _ => return None,
        })
    }
}

/// The arrays that bear `names`, in that order.
fn read(path: &Path, names: &[&str]) -> Result<Vec<Numbers>, Failure> {
    let open = || File::open(path).map_err(|error| Failure::io(path, error));
    let mut magic = [0; 4];
    let mut file = open()?;
    let is_zip = file.read_exact(&mut magic).is_ok() && magic == ZIP;
    file.seek(SeekFrom::Start(0)).map_err(|error| Failure::io(path, error))?;
    if !is_zip {
        if names.len() != 1 {
            let message =
                format!("the model has {} of them ({}): give an .npz", names.len(), names.join(", "));
            return Err(Failure::Usage(format!("{}: one array, but {message}", path.display())));
        }
        let mut bytes = Vec::new();
        BufReader::new(file).read_to_end(&mut bytes).map_err(|error| Failure::io(path, error))?;
        return Ok(vec![parse(path, "the file", &bytes)?]);
    }
    let malformed =
        |error: &dyn std::fmt::Display| Failure::Malformed(format!("{}: {error}", path.display()));
    let mut npz = NpzReader::new(file).map_err(|error| malformed(&error))?;
    let given = npz.names().map_err(|error| malformed(&error))?;
    let mut arrays = Vec::new();
    for &name in names {
        let found = match (given.iter().find(|other| *other == name), given.as_slice(), names.len()) {
            (Some(found), ..) => found.clone(),
            (None, [only], 1) => only.clone(),
            _ => {
                let given = given.join(", ");
                return Err(Failure::Usage(format!(
                    "{}: no array is called {name:?}; there are: {given}",
                    path.display()
                )));
            }
        };
        arrays.push(by_name(path, &mut npz, &found)?);
    }
    Ok(arrays)
}

/// Calls a macro with every element type that NumPy files are read in, most common first.
macro_rules! with_each_type {
    ($attempt:ident) => {
        $attempt! { f32, f64, i64, i32, i16, i8, u8, u16, u32, u64 }
    };
}

fn by_name(path: &Path, npz: &mut NpzReader<File>, name: &str) -> Result<Numbers, Failure> {
    macro_rules! attempt {
        ($($type:ty),*) => {$(
            if let Ok(array) = npz.by_name::<ndarray::OwnedRepr<$type>, ndarray::IxDyn>(name) {
                return Ok(numbers(&array));
            }
        )*};
    }
    with_each_type!(attempt);
    match npz.by_name::<ndarray::OwnedRepr<bool>, ndarray::IxDyn>(name) {
        Ok(array) => Ok(Numbers(array.mapv(|x| f64::from(u8::from(x))))),
        Err(error) => Err(Failure::Malformed(format!("{}: array {name:?}: {error}", path.display()))),
    }
}

fn parse(path: &Path, what: &str, bytes: &[u8]) -> Result<Numbers, Failure> {
    macro_rules! attempt {
        ($($type:ty),*) => {$(
            if let Ok(array) = ArrayD::<$type>::read_npy(Cursor::new(bytes)) {
                return Ok(numbers(&array));
            }
        )*};
    }
    with_each_type!(attempt);
    match ArrayD::<bool>::read_npy(Cursor::new(bytes)) {
        Ok(array) => Ok(Numbers(array.mapv(|x| f64::from(u8::from(x))))),
        Err(error) => {
            Err(Failure::Malformed(format!("{}: {what} is no NumPy array: {error}", path.display())))
        }
    }
}

/// A number as `f64`; what does not fit exactly is past every model's integers.
trait Number: Copy {
    fn to_f64(self) -> f64;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

with_each_type!(number);

fn numbers<T: Number>(array: &ArrayD<T>) -> Numbers {
    let mut out = ArrayD::zeros(array.raw_dim());
    Zip::from(&mut out).and(array).for_each(|out, x| *out = x.to_f64());
    Numbers(out)
}
