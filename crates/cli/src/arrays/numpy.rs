//! NumPy's files: `.npy` for one array, `.npz` for several.

use super::Numbers;
use crate::failure::Failure;
use ndarray::{ArrayD, Zip};
use ndarray_npy::{NpzReader, ReadNpyExt};
use std::io::{Cursor, Read, Seek};

/// The arrays of an `.npz` that bear `names`, in that order; a single one may have any name if it is the only array.
pub(super) fn read_npz<R: Read + Seek>(
    file: &str,
    reader: R,
    names: &[&str],
) -> Result<Vec<Numbers>, Failure> {
    let malformed = |error: &dyn std::fmt::Display| Failure::Malformed(format!("{file}: {error}"));
    let mut npz = NpzReader::new(reader).map_err(|error| malformed(&error))?;
    let given = npz.names().map_err(|error| malformed(&error))?;
    let mut arrays = Vec::new();
    for &name in names {
        let found = match (given.iter().find(|other| *other == name), given.as_slice(), names.len()) {
            (Some(found), ..) => found.clone(),
            (None, [only], 1) => only.clone(),
            _ => {
                let given = given.join(", ");
                return Err(Failure::Usage(format!(
                    "{file}: no array is called {name:?}; there are: {given}"
                )));
            }
        };
        arrays.push(by_name(file, &mut npz, &found)?);
    }
    Ok(arrays)
}

/// Calls a macro with every element type that NumPy files are read in, most common first.
macro_rules! with_each_type {
    ($attempt:ident) => {
        $attempt! { f32, f64, i64, i32, i16, i8, u8, u16, u32, u64 }
    };
}

/// The array called `name` in an `.npz`, which is called `file`.
fn by_name<R: Read + Seek>(file: &str, npz: &mut NpzReader<R>, name: &str) -> Result<Numbers, Failure> {
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
        Err(error) => Err(Failure::Malformed(format!("{file}: array {name:?}: {error}"))),
    }
}

/// The array in the bytes of an `.npy`, which is called `file`.
pub(super) fn read_npy(file: &str, bytes: &[u8]) -> Result<Numbers, Failure> {
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
        Err(error) => Err(Failure::Malformed(format!("{file}: the file is no NumPy array: {error}"))),
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
