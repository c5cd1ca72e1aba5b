//! A file that has no name, or a temporary one, until it is whole.

use super::interrupts;
use std::fs::{File, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile, TempPath};

/// A file in a folder, to be written and then put in its place there. Dropped, it is gone.
pub(super) enum Staged {
    /// Without a name: the system removes it, however the process ends.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// With a temporary name.
    Named(NamedTempFile),
}

/// A file that has been put in its place, and goes again unless it is kept.
pub(super) struct Placed(Option<TempPath>);

impl Placed {
    /// Leaves the file where it is.
    pub fn keep(self) {
        if let Some(mut path) = self.0 {
            path.disable_cleanup(true);
        }
    }
}

impl Staged {
    /// An empty file in the folder of `target`, with these permissions or those that new files have.
    pub fn beside(target: &Path, permissions: Option<Permissions>) -> io::Result<Staged> {
        let folder = folder_of(target);
        let staged = Staged::unnamed(folder).or_else(|_| Staged::named(folder))?;
        if let Some(permissions) = permissions {
            staged.file().set_permissions(permissions)?;
        }
        Ok(staged)
    }

    /// A file without a name; fails where system or file system has none.
    pub(super) fn unnamed(folder: &Path) -> io::Result<Staged> {
        #[cfg(target_os = "linux")]
        return unnamed(folder).map(Staged::Unnamed);
        #[cfg(not(target_os = "linux"))]
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("{}: all files have names", folder.display())))
    }

    /// A file with a temporary name.
    pub(super) fn named(folder: &Path) -> io::Result<Staged> {
        named(folder).map(Staged::Named)
    }

    pub fn file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Staged::Unnamed(file) => file,
            Staged::Named(file) => file.as_file(),
        }
    }

    /// Waits until what was written is on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file().sync_all()
    }

    /// Makes the file the one at `target`, in the folder that it is in, whatever is there.
    pub fn replace(self, target: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Staged::Unnamed(file) => match link(&file, target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // No system call gives a file a name that is taken: rename does, for one that has a name.
                    let named = temporary().make_in(folder_of(target), |path| link(&file, path))?;
                    named.into_temp_path().persist(target)?;
                }
                linked => linked?,
            },
            Staged::Named(file) => file.persist(target).map(drop)?,
        }
        sync_folder(target)
    }

    /// Makes the file the one at `target`, unless one of the same length is there already, which is taken for the same.
    pub fn place(self, target: &Path) -> io::Result<Placed> {
        let len = self.file().metadata()?.len();
        match target.metadata() {
            Ok(found) if found.is_file() && found.len() == len => Ok(Placed(None)),
            Ok(found) if found.is_file() => self.replace(target).map(|()| Placed(None)),
            Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "is no file")),
            Err(_) => {
                let path = TempPath::try_from_path(target)?;
                self.replace(target)?;
                Ok(Placed(Some(path)))
            }
        }
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn temporary() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".k2o-").suffix(".tmp");
    builder
}

fn named(folder: &Path) -> io::Result<NamedTempFile> {
    let create = |names: &mut Vec<PathBuf>| {
        let mut builder = temporary();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder)?;
        // Never taken off the list: the name is used once.
        names.push(file.path().to_path_buf());
        Ok(file)
    };
    interrupts::deferred(create).flatten()
}

#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(open(folder, flags, Mode::from_raw_mode(0o666))?);
    // Without /proc it could never be given a name.
    by_descriptor(&file).symlink_metadata()?;
    Ok(file)
}

/// Gives a file without a name this one, if it is free.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, by_descriptor(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(target_os = "linux")]
fn by_descriptor(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Waits until the name of a file is on disk, where folders can be waited for.
#[cfg(unix)]
fn sync_folder(file: &Path) -> io::Result<()> {
    let Ok(folder) = File::open(folder_of(file)) else { return Ok(()) };
    match folder.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
