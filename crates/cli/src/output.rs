//! Files are written whole or not at all, and never over an input.

use crate::failure::Failure;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Writes `target` through a temporary file beside it, which takes its place when everything is on disk.
///
/// Refuses a target that is one of `inputs`, by whatever path or link.
pub(crate) fn write_whole<T>(
    target: &Path,
    inputs: &[PathBuf],
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    refuse_overwriting(target, inputs)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = NamedTempFile::new_in(folder).map_err(|error| Failure::io(target, error))?;
    let mut writer = BufWriter::new(file.as_file());
    let result = write(&mut writer)?;
    let flushed = writer.flush();
    drop(writer);
    flushed
        .and_then(|()| make_readable(file.as_file()))
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| Failure::io(target, error))?;
    file.persist(target).map_err(|error| Failure::io(target, error.error))?;
    Ok(result)
}

fn refuse_overwriting(target: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
    for input in inputs {
        // A target that does not exist is no input.
        if same_file::is_same_file(target, input).unwrap_or(false) {
            let (target, input) = (target.display(), input.display());
            return Err(Failure::Usage(format!("the output {target} is the input {input}")));
        }
    }
    Ok(())
}

/// Temporary files are private; a result has the permissions that a file has by default, as far as that is known
/// without changing the process's mask: what its owner may read, all may.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}
