//! Files are written whole or not at all, and never over an input.
//!
//! What is written has no name, or a temporary one, until it is on disk; then it takes the place of the target, which
//! keeps its permissions. A target that is a symbolic link stays one: the file that it leads to is replaced, or made.
//! Whoever may not write to an existing target may not replace it either. What is no file (a device, a pipe, standard
//! output by whatever name) is written to as it stands.
//!
//! An error or a signal leaves nothing behind. `SIGKILL` does so too on Linux, where the file system has files without
//! a name, except between the two system calls that replace an existing target: the new file, whole, then stays beside
//! the old one under a temporary name.

mod interrupts;
mod staged;

use crate::arrays::is_stdio;
use crate::failure::Failure;
use staged::Staged;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a command writes its result to.
pub(crate) type Writer<'a> = BufWriter<&'a mut dyn Write>;

/// Writes `target`, which then is on disk, and returns what `write` does.
///
/// Refuses a target that is one of `inputs`, by whatever path or link.
pub(crate) fn write_whole<T>(
    target: &Path,
    inputs: &[PathBuf],
    write: impl FnOnce(&mut Writer<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error| Failure::io(target, error);
    refuse_overwriting(target, inputs)?;
    match Place::of(target)? {
        Place::Stdout if is_stdio(target) => fill(&mut UntilClosed(io::stdout().lock()), target, write),
        Place::Stdout => fill(&mut io::stdout().lock(), target, write),
        Place::Device => {
            let mut device = File::options().write(true).open(target).map_err(failed)?;
            fill(&mut device, target, write)
        }
        Place::File { path, permissions } => {
            let staged = Staged::beside(&path, permissions).map_err(failed)?;
            let result = fill(&mut staged.file(), target, write)?;
            staged.sync().map_err(failed)?;
            interrupts::deferred(|_| staged.replace(&path)).flatten().map_err(failed)?;
            Ok(result)
        }
    }
}

/// Writes `target` and, beside it, a file of data that `target` refers to.
///
/// `write_data` returns the name of the data, which says what is in it: a file that is there under this name with this
/// length is left as it is. `write` is given that name. The data is on disk before `target` is; if `target` cannot be
/// written, the data is removed again unless it was there before.
pub(crate) fn write_with_data<T>(
    target: &Path,
    inputs: &[PathBuf],
    write_data: impl FnOnce(&mut Writer<'_>) -> Result<String, Failure>,
    write: impl FnOnce(&mut Writer<'_>, &str) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error| Failure::io(target, error);
    refuse_overwriting(target, inputs)?;
    let Place::File { path, permissions } = Place::of(target)? else {
        let text = format!("{}: a model and its data are two files, and this is none", target.display());
        return Err(Failure::Usage(text));
    };
    let data = Staged::beside(&path, None).map_err(failed)?;
    let name = fill(&mut data.file(), target, write_data)?;
    let data_path = path.with_file_name(&name);
    refuse_overwriting(&data_path, inputs)?;
    if data_path == path {
        return Err(Failure::Usage(format!("the output {} has the name of its data", target.display())));
    }
    let model = Staged::beside(&path, permissions).map_err(failed)?;
    let result = fill(&mut model.file(), target, |writer| write(writer, &name))?;
    data.sync().map_err(|error| Failure::io(&data_path, error))?;
    model.sync().map_err(failed)?;
    let placed = interrupts::deferred(|_| {
        let data = data.place(&data_path).map_err(|error| Failure::io(&data_path, error))?;
        model.replace(&path).map_err(failed)?;
        data.keep();
        Ok(result)
    });
    placed.map_err(failed)?
}

/// What a command prints once `target` is written: `text`, unless standard output is the target. The text goes to
/// standard error then.
pub(crate) fn answer(target: &Path, text: String) -> String {
    if is_stdio(target) || target.metadata().is_ok_and(|found| is_stdout(&found)) {
        let _ = io::stderr().write_all(text.as_bytes());
        return String::new();
    }
    text
}

/// Has `sink` written by `write` through a buffer, down to its last byte.
fn fill<T>(
    sink: &mut dyn Write,
    target: &Path,
    write: impl FnOnce(&mut Writer<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut writer = BufWriter::new(sink);
    let result = write(&mut writer)?;
    writer.flush().map_err(|error| Failure::io(target, error))?;
    Ok(result)
}

/// A pipe whose reader has what it wanted when it closes its end, as `head` does: what comes after goes nowhere.
struct UntilClosed<W>(W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Where a target leads.
enum Place {
    /// A file, and the permissions of the one that is there.
    File { path: PathBuf, permissions: Option<Permissions> },
    /// `-`, or a pipe or file that is this process's standard output.
    Stdout,
    /// Another pipe, or a device.
    Device,
}

impl Place {
    fn of(target: &Path) -> Result<Place, Failure> {
        if is_stdio(target) {
            return Ok(Place::Stdout);
        }
        let failed = |error| Failure::io(target, error);
        let found = match target.metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = follow(target).map_err(failed)?;
                let folder = staged::folder_of(&path);
                if !folder.is_dir() {
                    return Err(Failure::io(target, format_args!("there is no folder {}", folder.display())));
                }
                let is_name = path.file_name().is_some() && !ends_as_folder(&path);
                return match is_name {
                    true => Ok(Place::File { path, permissions: None }),
                    false => Err(Failure::io(target, "not the name of a file")),
                };
            }
            Err(error) => return Err(failed(error)),
        };
        if found.is_dir() {
            return Err(Failure::io(target, "is a folder"));
        }
        if is_stdout(&found) {
            return Ok(Place::Stdout);
        }
        if !found.is_file() {
            return Ok(Place::Device);
        }
        // Asks for the right to write, and changes nothing.
        File::options().write(true).open(target).map_err(failed)?;
        Ok(Place::File { path: follow(target).map_err(failed)?, permissions: Some(found.permissions()) })
    }
}

/// Whether `found` is what standard output leads to. Compared without opening it, for which a pipe would wait; terminals
/// and `/dev/null`, where what is printed damages nothing, do not count.
#[cfg(unix)]
fn is_stdout(found: &Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let stdout = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned().map(File::from);
    let stdout = stdout.and_then(|stdout| stdout.metadata());
    let is_same = |stdout: Metadata| (stdout.dev(), stdout.ino()) == (found.dev(), found.ino());
    !found.file_type().is_char_device() && stdout.is_ok_and(is_same)
}

#[cfg(not(unix))]
fn is_stdout(_: &Metadata) -> bool {
    false
}

/// Whether a path ends in a separator, which [`Path`] does not show.
fn ends_as_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_some_and(|&byte| std::path::is_separator(byte.into()))
}

/// The path without symbolic links at its end; what it leads to need not exist.
fn follow(target: &Path) -> io::Result<PathBuf> {
    let mut path = target.to_path_buf();
    // As many as Linux follows.
    for _ in 0..40 {
        match path.symlink_metadata() {
            Ok(found) if found.is_symlink() => path = path.with_file_name(path.read_link()?),
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(not(unix))]
use same_file::is_same_file;

/// Whether both paths, which are followed, lead to one file.
#[cfg(unix)]
fn is_same_file(a: &Path, b: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (a, b) = (a.metadata()?, b.metadata()?);
    Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
}

fn refuse_overwriting(target: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
    // A target that does not exist is no input. A pipe or device is none to protect, and opening it might wait.
    let may_be_input =
        !is_stdio(target) && target.metadata().is_ok_and(|found| found.is_file() || found.is_dir());
    for input in inputs.iter().filter(|_| may_be_input) {
        if is_same_file(target, input).unwrap_or(false) {
            let (target, input) = (target.display(), input.display());
            return Err(Failure::Usage(format!("the output {target} is the input {input}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
