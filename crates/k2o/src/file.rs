//! The only place that opens files for reading.

use crate::{Error, ErrorKind, Result};
use k2o_keras::{ReadAt, Source};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file that is read at positions.
#[derive(Debug)]
struct PositionedFile {
    file: Positioned,
    len: u64,
}

/// Reads by several threads do not wait for each other where the system has positioned reads.
#[cfg(unix)]
type Positioned = File;
#[cfg(unix)]
fn positioned(file: File) -> Positioned {
    file
}

#[cfg(not(unix))]
type Positioned = std::sync::Mutex<File>;
#[cfg(not(unix))]
fn positioned(file: File) -> Positioned {
    file.into()
}

impl ReadAt for PositionedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buf, offset)
    }

    #[cfg(not(unix))]
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buf)
    }
}

/// The file at `path`, opened but not read.
pub(crate) fn open(path: &Path) -> Result<Source> {
    let error = |error: io::Error| Error::io(path, &error);
    let file = File::open(path).map_err(error)?;
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::Io, format!("{}: not a regular file", path.display())));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Source::new(name, Arc::new(PositionedFile { file: positioned(file), len: metadata.len() })))
}

/// The names of the files in a folder.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let error = |error: io::Error| Error::io(folder, &error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        names.push(entry.map_err(error)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
