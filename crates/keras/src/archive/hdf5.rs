//! HDF5 files: groups by path, attributes that hold strings, and what of HDF5 is refused.
//!
//! Other files are never opened: external links, external storage and virtual datasets are errors.

use super::source::Source;
use crate::archive::{Limits, shown};
use crate::{Error, Result};
use hdf5_reader::error::{Error as Hdf5Error, Result as Hdf5Result};
use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::storage::{Storage, StorageBuffer};
use hdf5_reader::{
    Dataset, Datatype, ExternalFileResolver, ExternalLinkResolver, Hdf5File, OpenOptions, RawAttribute,
    StringPadding, StringSize, VarLenKind,
};
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Attributes lie in object headers, at most 64 KiB each; Keras splits longer lists.
const MAX_OBJECT_HEADER: usize = 16 << 20;
/// How much may be read to open a file, beside 16 times its length: parts of a file may overlap.
const METADATA_READS: u64 = 1 << 30;

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
        let budget = len
            .saturating_mul(16)
            .saturating_add(METADATA_READS)
            .min(limits.max_memory);
        let reads_left = Arc::new(AtomicU64::new(budget));
        let storage = Positioned {
            source: source.clone(),
            len,
            reads_left: reads_left.clone(),
        };
        let max_read = usize::try_from(limits.max_memory).unwrap_or(usize::MAX);
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_read_bytes(max_read)
            .with_max_chunk_bytes(max_read)
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
        Ok(Hdf5 {
            file,
            source: source.clone(),
            reads_left,
            text_left,
            max_read: limits.max_memory,
        })
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
                other => other.map_err(|error| convert(error).within(shown(path)))?,
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
            other => other
                .map(Some)
                .map_err(|error| convert(error).within(shown(path))),
        }
    }

    /// The groups and datasets in `group`.
    pub fn members(&self, group: &Group) -> Result<(Vec<Group>, Vec<Dataset>)> {
        group.members().map_err(convert)
    }

    /// The names of the groups and datasets in `group`.
    pub fn names(&self, group: &Group) -> Result<Vec<String>> {
        let (groups, datasets) = group.member_names().map_err(convert)?;
        Ok(groups.into_iter().chain(datasets).collect())
    }

    /// The messages in the header of `dataset`.
    pub fn messages(&self, dataset: &Dataset) -> Result<Vec<HdfMessage>> {
        let header = self
            .file
            .get_or_parse_header(dataset.address())
            .map_err(convert)?;
        Ok(header.messages.clone())
    }

    pub fn attributes<'a>(&'a self, group: &'a Group) -> Result<Attributes<'a>> {
        let raw = group.raw_attributes().map_err(convert)?;
        let resolve = |reference: &[u8]| group.resolve_vlen_reference_bytes(reference, 1);
        Ok(Attributes {
            raw,
            resolve: Box::new(resolve),
            file: self,
        })
    }

    pub fn attributes_of_dataset<'a>(&'a self, dataset: &'a Dataset) -> Result<Attributes<'a>> {
        let raw = dataset.raw_attributes().map_err(convert)?;
        let resolve = |reference: &[u8]| dataset.resolve_vlen_reference_bytes(reference, 1);
        Ok(Attributes {
            raw,
            resolve: Box::new(resolve),
            file: self,
        })
    }
}

impl Drop for Hdf5 {
    fn drop(&mut self) {
        // Datasets that are read later go through the same storage.
        self.reads_left.store(u64::MAX, Ordering::Relaxed);
    }
}

type Resolve<'a> = Box<dyn Fn(&[u8]) -> Hdf5Result<Vec<u8>> + 'a>;

/// The attributes of one object, of which those that are asked for are decoded.
pub(crate) struct Attributes<'a> {
    raw: Vec<RawAttribute>,
    resolve: Resolve<'a>,
    file: &'a Hdf5,
}

impl Attributes<'_> {
    /// The one string in the attribute `name`; `None` if there is no such attribute.
    pub fn string(&self, name: &str) -> Result<Option<String>> {
        let Some(strings) = self.decode(name)? else {
            return Ok(None);
        };
        match <[String; 1]>::try_from(strings) {
            Ok([string]) => Ok(Some(string)),
            Err(strings) => {
                let message = format!("one string was expected, {} are there", strings.len());
                Err(Error::malformed(message).within(format!("attribute {name}")))
            }
        }
    }

    /// The strings in the attribute `name`, which Keras splits into `name0`, `name1`, .. if they are many;
    /// `None` if there is no such attribute.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        if let Some(strings) = self.decode(name)? {
            return Ok(Some(strings));
        }
        let mut all = Vec::new();
        for part in 0usize.. {
            match self.decode(&format!("{name}{part}"))? {
                Some(strings) => all.extend(strings),
                None if part == 0 => return Ok(None),
                None => break,
            }
        }
        Ok(Some(all))
    }

    fn decode(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(attribute) = self.raw.iter().find(|attribute| attribute.name() == name) else {
            return Ok(None);
        };
        self.decode_strings(attribute)
            .map(Some)
            .map_err(|error| error.within(format!("attribute {name}")))
    }

    fn decode_strings(&self, attribute: &RawAttribute) -> Result<Vec<String>> {
        let message = attribute.message();
        let count = message
            .dataspace
            .num_elements()
            .map_err(|error| convert(error.into()))?;
        let (width, padding, is_reference) = match &message.datatype {
            // NumPy makes an empty list one of floats.
            _ if count == 0 => return Ok(Vec::new()),
            Datatype::String {
                size: StringSize::Fixed(width),
                padding,
                ..
            } => (*width as usize, *padding, false),
            Datatype::VarLen {
                base,
                kind: VarLenKind::String,
                padding,
                ..
            } if base.is_vlen_string_base() => (8 + usize::from(self.file.offset_size()), *padding, true),
            other => {
                return Err(Error::malformed(format!(
                    "strings were expected, not {}",
                    describe(other)
                )));
            }
        };
        let mut strings = Vec::new();
        for element in message.raw_data.chunks_exact(width.max(1)) {
            if strings.len() as u64 == count {
                break;
            }
            let resolved = if is_reference {
                Some((self.resolve)(element).map_err(convert)?)
            } else {
                None
            };
            let bytes = trim(resolved.as_deref().unwrap_or(element), padding);
            let Some(left) = self.file.text_left.get().checked_sub(bytes.len() as u64) else {
                return Err(Error::limit(
                    "the attributes of the file hold more text than is allowed",
                ));
            };
            self.file.text_left.set(left);
            let text = str::from_utf8(bytes).map_err(|error| {
                Error::malformed(format!(
                    "text is UTF-8, but byte {} begins no character",
                    error.valid_up_to()
                ))
            })?;
            strings.push(text.to_owned());
        }
        if strings.len() as u64 != count {
            return Err(Error::malformed(format!(
                "{count} strings were expected, {} are there",
                strings.len()
            )));
        }
        Ok(strings)
    }
}

/// The text without what fills it up.
fn trim(bytes: &[u8], padding: StringPadding) -> &[u8] {
    let end = match padding {
        StringPadding::NullTerminate => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
        StringPadding::NullPad => bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1),
        StringPadding::SpacePad => bytes
            .iter()
            .rposition(|&byte| byte != b' ')
            .map_or(0, |at| at + 1),
    };
    bytes.get(..end).unwrap_or(bytes)
}

/// An HDF5 datatype in words.
pub(crate) fn describe(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FixedPoint { size, signed, .. } => {
            format!(
                "{} integers of {size} bytes",
                if *signed { "signed" } else { "unsigned" }
            )
        }
        Datatype::FloatingPoint { size, .. } => format!("floating-point numbers of {size} bytes"),
        Datatype::String { .. } => "strings".to_owned(),
        Datatype::Compound { .. } => "compound elements".to_owned(),
        Datatype::Array { .. } => "arrays as elements".to_owned(),
        Datatype::Enum { .. } => "an enumeration".to_owned(),
        Datatype::VarLen {
            kind: VarLenKind::String,
            ..
        } => "strings of variable length".to_owned(),
        Datatype::VarLen { .. } => "elements of variable length".to_owned(),
        Datatype::Opaque { size, .. } => format!("opaque elements of {size} bytes"),
        Datatype::Reference { .. } => "references".to_owned(),
        Datatype::Bitfield { size, .. } => format!("bit fields of {size} bytes"),
    }
}

/// Refuses every other file.
struct Refusal;

impl ExternalFileResolver for Refusal {
    fn resolve_external_file(&self, name: &str) -> Hdf5Result<Option<Arc<dyn Storage>>> {
        Err(Hdf5Error::UnsupportedEncoding(format!(
            "the elements lie in another file, {}",
            shown(name)
        )))
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
    reads_left: Arc<AtomicU64>,
}

impl Storage for Positioned {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_range(&self, offset: u64, len: usize) -> Hdf5Result<StorageBuffer> {
        let needed = len as u64;
        if offset.checked_add(needed).is_none_or(|end| end > self.len) {
            let available = self.len.saturating_sub(offset);
            return Err(Hdf5Error::UnexpectedEof {
                offset,
                needed,
                available,
            });
        }
        let spend = |left: u64| match left {
            u64::MAX => Some(left),
            left => left.checked_sub(needed),
        };
        if self
            .reads_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_err()
        {
            return Err(Hdf5Error::ResourceLimit(
                "the HDF5 file takes too much reading to open".to_owned(),
            ));
        }
        let bytes = self
            .source
            .read(offset, needed)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(StorageBuffer::from_vec(bytes))
    }
}

/// The error of the HDF5 reader as one of this crate's.
pub(crate) fn convert(error: Hdf5Error) -> Error {
    match error {
        Hdf5Error::Context { path, source } => convert(*source).within(shown(&path)),
        Hdf5Error::Io(error) => error.into(),
        Hdf5Error::ResourceLimit(message) => Error::limit(message),
        Hdf5Error::UnsupportedEncoding(message) => Error::unsupported(message),
        Hdf5Error::UnsupportedLayoutClass(3) => {
            Error::unsupported("a virtual dataset, whose elements lie in other datasets")
        }
        Hdf5Error::UnsupportedFilter(filter) => Error::unsupported(format!(
            "a dataset is compressed with a filter that is not known: {filter}"
        )),
        error => Error::malformed(format!("damaged HDF5: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn padding_is_taken_off() {
        assert_eq!(trim(b"ab\0c\0\0", StringPadding::NullTerminate), b"ab");
        assert_eq!(trim(b"ab\0c\0\0", StringPadding::NullPad), b"ab\0c");
        assert_eq!(trim(b"ab  ", StringPadding::SpacePad), b"ab");
        assert_eq!(trim(b"\0\0", StringPadding::NullPad), b"");
        assert_eq!(trim(b"full", StringPadding::NullTerminate), b"full");
    }

    #[test]
    fn reads_while_opening_are_counted() {
        let storage = Positioned {
            source: Source::from_bytes("file", vec![0; 100]),
            len: 100,
            reads_left: Arc::new(AtomicU64::new(150)),
        };
        assert!(storage.read_range(0, 100).is_ok());
        assert!(matches!(
            storage.read_range(50, 51),
            Err(Hdf5Error::UnexpectedEof { .. })
        ));
        assert!(matches!(
            storage.read_range(u64::MAX, 2),
            Err(Hdf5Error::UnexpectedEof { .. })
        ));
        let error = storage.read_range(0, 51).err().unwrap();
        assert_eq!(convert(error).kind(), ErrorKind::Limit);
        storage.reads_left.store(u64::MAX, Ordering::Relaxed);
        assert!(storage.read_range(0, 100).is_ok() && storage.read_range(0, 100).is_ok());
    }
}
