//! HDF5 files: groups and datasets by path, and what of HDF5 is refused.
//!
//! Other files are never opened: external links, external storage and virtual datasets are errors. `structure` refuses
//! them, and soft links, wherever they are; here they only lead nowhere else.

use super::links::{Link, links};
use super::source::Source;
use crate::archive::stored::MOST_INFLATED;
use crate::archive::{Limits, shown};
use crate::{Error, Result};
use hdf5_reader::error::{Error as Hdf5Error, Result as Hdf5Result};
use hdf5_reader::group::Group;
use hdf5_reader::object_header::ObjectHeader;
use hdf5_reader::storage::{BlockCacheStorage, Storage, StorageBuffer};
use hdf5_reader::{Dataset, ExternalFileResolver, ExternalLinkResolver, Hdf5File, OpenOptions};
use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Attributes lie in object headers, at most 64 KiB each; Keras splits longer lists.
const MAX_OBJECT_HEADER: usize = 16 << 20;
/// How much may be read to open a file, beside [`READS_PER_BYTE`] times its length: parts of a file may overlap, and the
/// table of a group is read anew for each of its members.
const METADATA_READS: u64 = 64 << 20;
const READS_PER_BYTE: u64 = 256;
/// Headers and tables are some dozens of bytes each, many of which lie beside each other: they are read in blocks.
const BLOCK: usize = 4 << 10;
/// How many blocks stay in memory.
const MOST_BLOCKS: usize = 256;

/// An HDF5 file that is being opened.
pub(crate) struct Hdf5 {
    file: Hdf5File,
    source: Source,
    reads_left: Arc<AtomicU64>,
    text_left: Cell<u64>,
    max_read: u64,
}

impl Hdf5 {
    pub fn open(source: &Source, limits: &Limits) -> Result<Hdf5> {
        let len = source.len()?;
        let budget = len.saturating_mul(READS_PER_BYTE).saturating_add(METADATA_READS);
        let reads_left = Arc::new(AtomicU64::new(budget));
        let storage = Counted::new(source, len, reads_left.clone());
        let max_read = usize::try_from(limits.max_memory).unwrap_or(usize::MAX);
        // A chunk may be larger than the dataset, of which it is then a part, but not than what it can be inflated from.
        let max_chunk =
            usize::try_from(len.saturating_mul(MOST_INFLATED)).unwrap_or(usize::MAX).min(max_read);
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_read_bytes(max_read)
            .with_max_chunk_bytes(max_chunk)
            .with_max_object_header_bytes(MAX_OBJECT_HEADER)
            .with_external_file_resolver(Arc::new(Refusal))
            .with_external_link_resolver(Arc::new(Refusal));
        let file = Hdf5File::from_storage_with_options(Arc::new(storage), options).map_err(convert)?;
        let end = file.superblock().eof_address;
        if end > len && end != u64::MAX {
            return Err(Error::malformed(format!(
                "the HDF5 file is cut off: it should be {end} bytes long, and is {len}"
            ))
            .help("fetch or save it again"));
        }
        let text_left = Cell::new(limits.max_config_bytes);
        Ok(Hdf5 { file, source: source.clone(), reads_left, text_left, max_read: limits.max_memory })
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The most bytes that one dataset may take.
    pub fn max_read(&self) -> u64 {
        self.max_read
    }

    /// Where in the source the address 0 lies.
    pub fn base_address(&self) -> u64 {
        self.file.superblock().base_address
    }

    pub fn offset_size(&self) -> u8 {
        self.file.superblock().offset_size
    }

    pub fn root(&self) -> Result<Group> {
        self.file.root_group().map_err(convert)
    }

    /// The group at `path` below `from`; `None` if there is none.
    pub fn group(&self, from: &Group, path: &str) -> Result<Option<Group>> {
        let mut group = from.clone();
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            group = match group.group(part) {
                Err(Hdf5Error::GroupNotFound(_)) => return Ok(None),
                other => other.map_err(|error| convert(error).within(shown(part)))?,
            };
        }
        Ok(Some(group))
    }

    /// The dataset at `path` below `from`; `None` if there is none.
    pub fn dataset(&self, from: &Group, path: &str) -> Result<Option<Dataset>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(group) = self.group(from, folder)? else {
            return Ok(None);
        };
        match group.dataset(name) {
            Err(Hdf5Error::DatasetNotFound(_)) => Ok(None),
            other => other.map(Some).map_err(|error| convert(error).within(shown(path))),
        }
    }

    /// The groups and datasets in `group`.
    pub fn members(&self, group: &Group) -> Result<(Vec<Group>, Vec<Dataset>)> {
        group.members().map_err(convert_member)
    }

    /// The names of all links in `group`, wherever they lead.
    pub fn names(&self, group: &Group) -> Result<Vec<String>> {
        Ok(self.links(group.address())?.into_iter().map(|link| link.name).collect())
    }

    /// All links of the group whose header is at `address`, none of them followed.
    pub fn links(&self, address: u64) -> Result<Vec<Link>> {
        let links = links(&self.file, address).map_err(convert)?;
        let mut seen = HashSet::new();
        for Link { name, .. } in &links {
            if matches!(name.as_str(), "" | ".") || name.contains(['/', '\0']) {
                return Err(Error::malformed(format!("{} is no name of a link", shown(name))));
            }
            if !seen.insert(name) {
                return Err(Error::malformed(format!("two links are called {}", shown(name))));
            }
        }
        Ok(links)
    }

    /// The object header at `address`.
    pub fn header_at(&self, address: u64) -> Result<Arc<ObjectHeader>> {
        self.file.get_or_parse_header(address).map_err(convert)
    }

    /// The header of `dataset`.
    pub fn header(&self, dataset: &Dataset) -> Result<Arc<ObjectHeader>> {
        self.header_at(dataset.address())
    }

    /// Counts `bytes` of text that are taken out of attributes and names.
    pub fn spend_text(&self, bytes: usize) -> Result<()> {
        let left = self.text_left.get().checked_sub(bytes as u64);
        let error = || Error::limit("the names and attributes of the file hold more text than is allowed");
        self.text_left.set(left.ok_or_else(error)?);
        Ok(())
    }
}

impl Drop for Hdf5 {
    fn drop(&mut self) {
        // Datasets that are read later go through the same storage.
        self.reads_left.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Refuses every other file.
struct Refusal;

impl ExternalFileResolver for Refusal {
    fn resolve_external_file(&self, name: &str) -> Hdf5Result<Option<Arc<dyn Storage>>> {
        Err(Hdf5Error::UnsupportedEncoding(format!("the elements lie in another file, {}", shown(name))))
    }
}

impl ExternalLinkResolver for Refusal {
    fn resolve_external_link(&self, name: &str) -> Hdf5Result<Option<Hdf5File>> {
        Err(Hdf5Error::UnsupportedEncoding(format!(
            "an external link leads to another file, {}",
            shown(name)
        )))
    }
}

/// A source, as the reader of HDF5 sees it.
struct Positioned {
    source: Source,
    len: u64,
}

impl Storage for Positioned {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_range(&self, offset: u64, len: usize) -> Hdf5Result<StorageBuffer> {
        let bytes = self.source.read(offset, len as u64);
        bytes.map(StorageBuffer::from_vec).map_err(|error| io::Error::other(error.to_string()).into())
    }
}

/// The same, as much of it as may be read; small ranges by way of blocks that stay in memory.
struct Counted {
    blocks: BlockCacheStorage,
    direct: Arc<Positioned>,
    reads_left: Arc<AtomicU64>,
}

impl Counted {
    fn new(source: &Source, len: u64, reads_left: Arc<AtomicU64>) -> Counted {
        let direct = Arc::new(Positioned { source: source.clone(), len });
        let blocks = BlockCacheStorage::new(direct.clone(), BLOCK, MOST_BLOCKS);
        Counted { blocks, direct, reads_left }
    }
}

impl Storage for Counted {
    fn len(&self) -> u64 {
        self.direct.len
    }

    fn read_range(&self, offset: u64, len: usize) -> Hdf5Result<StorageBuffer> {
        let needed = len as u64;
        if offset.checked_add(needed).is_none_or(|end| end > self.direct.len) {
            let available = self.direct.len.saturating_sub(offset);
            return Err(Hdf5Error::UnexpectedEof { offset, needed, available });
        }
        let spend = |left: u64| match left {
            u64::MAX => Some(left),
            left => left.checked_sub(needed),
        };
        if self.reads_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            return Err(Hdf5Error::ResourceLimit("the HDF5 file takes too much reading to open".to_owned()));
        }
        match len < BLOCK {
            true => self.blocks.read_range(offset, len),
            false => self.direct.read_range(offset, len),
        }
    }
}

/// [`convert`] for an error in listing a group, which one of its members may be the reason of.
fn convert_member(error: Hdf5Error) -> Error {
    let member = match &error {
        Hdf5Error::Context { path, .. } => {
            path.strip_prefix("child '").and_then(|rest| Some(rest.rsplit_once("' at ")?.0)).map(shown)
        }
        _ => None,
    };
    match member {
        Some(member) => convert(error).within(member),
        None => convert(error),
    }
}

/// The error of the HDF5 reader as one of this crate's. The caller says where it was.
pub(crate) fn convert(error: Hdf5Error) -> Error {
    match error {
        Hdf5Error::Context { source, .. } => convert(*source),
        Hdf5Error::Io(error) => error.into(),
        Hdf5Error::ResourceLimit(message) => Error::limit(message),
        Hdf5Error::UnsupportedEncoding(message) => Error::unsupported(message),
        Hdf5Error::UnsupportedLayoutClass(3) => {
            Error::unsupported("a virtual dataset, whose elements lie in other datasets")
        }
        Hdf5Error::UnsupportedLinkType(kind) => Error::unsupported(format!(
            "it has a link of type {kind}, which only the program knows that made it; Keras makes none"
        )),
        Hdf5Error::UnsupportedFilter(filter) => Error::unsupported(format!(
            "the elements are compressed with a filter that is not known: {filter}"
        )),
        error => match error.to_string() {
            reason if reason.starts_with("unsupported") => Error::unsupported(format!("HDF5: {reason}")),
            reason => Error::malformed(format!("damaged HDF5: {reason}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::archive::hdf5_writer;

    fn open(root: &hdf5_writer::Group) -> Hdf5 {
        Hdf5::open(&Source::from_bytes("file", root.file()), &Limits::default()).unwrap()
    }

    #[track_caller]
    fn check_error<T>(result: Result<T>, kind: ErrorKind, expected: &str) {
        let error = result.err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn links_stay_in_the_file_and_are_all_listed() {
        let inner = hdf5_writer::Group::default().strings("here", &["yes"]);
        let root = hdf5_writer::Group::default()
            .group("a", hdf5_writer::Group::default().group("b", inner))
            .soft_link("short", "/a/b")
            .soft_link("loop", "/loop")
            .soft_link("loop_1", "/loop_2")
            .soft_link("loop_2", "/loop_1/x")
            .external_link("out", "other.h5");
        let file = open(&root);
        let root = file.root().unwrap();
        assert!(file.group(&root, "/a//./b").unwrap().is_some());
        assert!(file.group(&root, "short").unwrap().is_some());
        assert!(file.group(&root, "a/c").unwrap().is_none());
        for name in ["loop", "loop_1", "loop_2"] {
            assert!(file.group(&root, name).unwrap().is_none());
        }
        check_error(file.group(&root, "out"), ErrorKind::Unsupported, "\"out\": an external link leads");
        check_error(file.members(&root), ErrorKind::Unsupported, "another file, \"other.h5\"");
        assert_eq!(file.names(&root).unwrap(), ["a", "short", "loop", "loop_1", "loop_2", "out"]);
    }

    #[test]
    fn a_file_that_is_cut_off_says_so() {
        let mut bytes = hdf5_writer::Group::default().strings("a", &["b"]).file();
        bytes.truncate(bytes.len() - 1);
        let file = Hdf5::open(&Source::from_bytes("file", bytes), &Limits::default());
        check_error(file, ErrorKind::Malformed, "cut off");
    }

    #[test]
    fn reads_while_opening_are_counted() {
        let source = Source::from_bytes("file", vec![0; 100]);
        let storage = Counted::new(&source, 100, Arc::new(AtomicU64::new(150)));
        assert!(storage.read_range(0, 100).is_ok());
        assert!(matches!(storage.read_range(50, 51), Err(Hdf5Error::UnexpectedEof { .. })));
        assert!(matches!(storage.read_range(u64::MAX, 2), Err(Hdf5Error::UnexpectedEof { .. })));
        let error = storage.read_range(0, 51).err().unwrap();
        assert_eq!(convert(error).kind(), ErrorKind::Limit);
        storage.reads_left.store(u64::MAX, Ordering::Relaxed);
        assert!(storage.read_range(0, 100).is_ok() && storage.read_range(0, 100).is_ok());
    }
}
