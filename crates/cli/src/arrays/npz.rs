//! NumPy's `.npz`: a zip archive of `.npy` files, named by their arrays.

use super::{Numbers, npy};
use crate::failure::Failure;
use k2o::Model;
use ndarray::ArrayD;
use std::borrow::Cow;
use std::io::{self, Cursor, Read, Seek};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// What the names of members end with and those of arrays do not.
const EXTENSION: &str = ".npy";

/// The arrays that bear `names`, in that order; a single one may have any name if it is the only array.
pub(super) fn read<R: Read + Seek>(
    file: &str,
    reader: R,
    names: &[&str],
    model: &Model,
) -> Result<Vec<Numbers>, Failure> {
    let malformed = |error: zip::result::ZipError| Failure::Malformed(format!("{file}: {error}"));
    let mut archive = ZipArchive::new(reader).map_err(malformed)?;
    let called = |member: Cow<'_, str>| member.strip_suffix(EXTENSION).unwrap_or(&member).to_string();
    let given: Vec<String> =
        archive.file_names().map(|member| member.map(called)).collect::<Result<_, _>>().map_err(malformed)?;
    let mut arrays = Vec::new();
    for &name in names {
        let at = match (given.iter().position(|given| given == name), given.len(), names.len()) {
            (Some(at), ..) => at,
            (None, 1, 1) => 0,
            _ => {
                let given = given.join(", ");
                return Err(Failure::Usage(format!(
                    "{file}: no array is called {name:?}; there are: {given}"
                )));
            }
        };
        let mut member = archive.by_index(at).map_err(malformed)?;
        let what = format!("{file}: array {:?}", given[at]);
        arrays.push(npy::read(&what, member.size(), &mut member, model)?);
    }
    Ok(arrays)
}

/// The bytes of a file of arrays with names.
pub(super) fn to_bytes(names: &[String], arrays: &[ArrayD<f32>]) -> io::Result<Vec<u8>> {
    // In memory, for the archive's writer goes back to what it wrote, which a pipe does not allow.
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in names.iter().zip(arrays) {
        let is_large = array.len().saturating_mul(size_of::<f32>()) > u32::MAX as usize / 2;
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(is_large);
        archive.start_file(format!("{name}{EXTENSION}"), options)?;
        npy::write(array, &mut archive)?;
    }
    Ok(archive.finish()?.into_inner())
}
