//! One weight in a file: its shape and element type are known, its elements are read when they are needed.

use super::element_type::element_type;
use super::hdf5::{Hdf5, convert};
use super::source::{Source, zeros};
use crate::archive::shown;
use crate::{Error, ErrorKind, Result};
use hdf5_reader::Dataset;
use hdf5_reader::error::ByteOrder;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use k2o_core::{DType, StoredTensor};
use std::fmt;
use std::sync::Arc;

/// How many bytes one byte of deflate, the densest of the filters that Keras's users have, can stand for.
pub(crate) const MOST_INFLATED: u64 = 1032;

/// A weight that lies in a file; cheap to clone.
#[derive(Clone)]
pub struct StoredWeight(Arc<Inner>);

struct Inner {
    path: String,
    file: String,
    shape: Vec<usize>,
    dtype: DType,
    order: ByteOrder,
    /// The number of bytes of all elements.
    size: u64,
    max_read: u64,
    elements: Elements,
}

enum Elements {
    /// None.
    Empty,
    /// In the header.
    Compact(Vec<u8>),
    /// One after another from an offset on.
    Contiguous(Source, u64),
    /// In pieces, perhaps compressed.
    Chunked(Box<Dataset>),
}

impl StoredWeight {
    /// The dataset's path in the file, such as `layers/conv1d/vars/0`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Looks at the header of `dataset`.
    pub(crate) fn open(file: &Hdf5, dataset: Dataset, path: String) -> Result<StoredWeight> {
        StoredWeight::inspect(file, dataset, &path).map_err(|error| error.within(shown(&path)))
    }

    fn inspect(file: &Hdf5, dataset: Dataset, path: &str) -> Result<StoredWeight> {
        let (dtype, order) = element_type(file, &dataset)?;
        let count = element_count(&dataset)?;
        let sizes = dataset.shape().iter().map(|&size| usize::try_from(size).ok());
        let shape: Option<Vec<usize>> = sizes.collect();
        let size = count.checked_mul(dtype.size() as u64).filter(|&size| size <= isize::MAX as u64);
        let (Some(shape), Some(size)) = (shape, size) else {
            return Err(Error::limit(format!(
                "a dataset of shape {:?} does not fit in memory",
                dataset.shape()
            )));
        };
        let elements = if size == 0 { Elements::Empty } else { locate(file, dataset, size)? };
        Ok(StoredWeight(Arc::new(Inner {
            path: path.to_owned(),
            file: file.source().name().to_owned(),
            shape,
            dtype,
            order,
            size,
            max_read: file.max_read(),
            elements,
        })))
    }

    fn check_limit(&self) -> Result<()> {
        let Inner { shape, dtype, size, max_read, .. } = &*self.0;
        match size > max_read {
            true => Err(Error::limit(format!(
                "{dtype} {shape:?} takes {size} bytes; {max_read} bytes of memory are allowed"
            ))),
            false => Ok(()),
        }
    }

    fn read_bytes(&self) -> Result<Vec<u8>> {
        self.check_limit()?;
        let Inner { dtype, order, size, elements, .. } = &*self.0;
        let mut bytes = match elements {
            Elements::Empty => Vec::new(),
            Elements::Compact(bytes) => bytes.clone(),
            Elements::Contiguous(source, offset) => {
                let mut bytes = zeros(*size)?;
                source.read_at(*offset, &mut bytes)?;
                bytes
            }
            Elements::Chunked(dataset) => read_chunks(dataset)?,
        };
        if *order == ByteOrder::BigEndian && dtype.size() > 1 {
            bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }

    /// Reads a range of what lies in the file as it is wanted; `false` for anything else.
    fn read_part(&self, start: usize, out: &mut [u8]) -> Result<bool> {
        let Inner { dtype, order, size, elements, .. } = &*self.0;
        let Elements::Contiguous(source, offset) = elements else { return Ok(false) };
        if *order == ByteOrder::BigEndian && dtype.size() > 1 {
            return Ok(false);
        }
        self.check_limit()?;
        let (start, len) = (start as u64, out.len() as u64);
        if start.checked_add(len).is_none_or(|end| end > *size) {
            return Err(Error::malformed(format!("{len} bytes from {start} on, of {size}")));
        }
        source.read_at(offset + start, out)?;
        Ok(true)
    }

    /// The error for the importer's user, with the place.
    fn placed(&self, error: Error) -> k2o_core::Error {
        let kind = match error.kind() {
            ErrorKind::Unsupported => k2o_core::ErrorKind::Unsupported,
            ErrorKind::Limit => k2o_core::ErrorKind::Limit,
            ErrorKind::Io => k2o_core::ErrorKind::Io,
            _ => k2o_core::ErrorKind::Malformed,
        };
        let place = format!("{}: {}", self.0.file, shown(&self.0.path));
        k2o_core::Error::new(kind, error.within(place).to_string())
    }
}

impl StoredTensor for StoredWeight {
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn dtype(&self) -> DType {
        self.0.dtype
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        self.read_bytes().map_err(|error| self.placed(error))
    }

    fn read_range(&self, start: usize, out: &mut [u8]) -> k2o_core::Result<bool> {
        self.read_part(start, out).map_err(|error| self.placed(error))
    }
}

impl fmt::Debug for StoredWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredWeight({:?}, {} {:?})", self.0.path, self.0.dtype, self.0.shape)
    }
}

/// The number of elements of `dataset`.
pub(crate) fn element_count(dataset: &Dataset) -> Result<u64> {
    let count = dataset.num_elements().map_err(convert)?;
    if count == 0 && dataset.shape().is_empty() {
        return Err(Error::malformed("the dataset has no shape"));
    }
    Ok(count)
}

/// Where the elements lie, which take `size` bytes.
fn locate(file: &Hdf5, dataset: Dataset, size: u64) -> Result<Elements> {
    let header = file.header(&dataset)?;
    let messages = &header.messages;
    if messages.iter().any(|message| matches!(message, HdfMessage::ExternalFiles(_))) {
        return Err(Error::unsupported("the elements lie in another file"));
    }
    let missing = || Error::malformed("the elements were never written");
    let wrong_size =
        |given: u64| Error::malformed(format!("the elements take {size} bytes; {given} are stored"));
    let layout = messages.iter().rev().find_map(|message| match message {
        HdfMessage::DataLayout(message) => Some(&message.layout),
        _ => None,
    });
    let is_undefined = |address| hdf5_reader::io::Cursor::is_undefined_offset(address, file.offset_size());
    match layout.ok_or_else(missing)? {
        DataLayout::Compact { data } if data.len() as u64 != size => Err(wrong_size(data.len() as u64)),
        DataLayout::Compact { data } => Ok(Elements::Compact(data.clone())),
        &DataLayout::Contiguous { address, .. } | &DataLayout::Chunked { address, .. }
            if is_undefined(address) =>
        {
            Err(missing())
        }
        &DataLayout::Contiguous { size: given, .. } if given != size => Err(wrong_size(given)),
        &DataLayout::Contiguous { address, .. } => {
            let start = address.checked_add(file.base_address());
            let end = start.and_then(|start| start.checked_add(size));
            let len = file.source().len()?;
            match (start, end) {
                (Some(start), Some(end)) if end <= len => {
                    Ok(Elements::Contiguous(file.source().clone(), start))
                }
                _ => Err(Error::malformed(format!(
                    "the elements take {size} bytes from {address} on, but the file ends at {len}"
                ))),
            }
        }
        DataLayout::Chunked { .. } => {
            let is_filtered = messages.iter().any(|message| matches!(message, HdfMessage::FilterPipeline(_)));
            check_chunks(&dataset, size, is_filtered, file.source().len()?)?;
            Ok(Elements::Chunked(Box::new(dataset)))
        }
    }
}

/// Refuses more elements than a file of `stored` bytes can hold, and more chunks, each of which takes a byte at least.
fn check_chunks(dataset: &Dataset, size: u64, is_filtered: bool, stored: u64) -> Result<()> {
    let most = stored.saturating_mul(if is_filtered { MOST_INFLATED } else { 1 });
    if size > most {
        return Err(Error::malformed(format!(
            "the elements take {size} bytes, but a file of {stored} bytes holds at most {most} of them"
        )));
    }
    let chunks = chunk_count(dataset);
    if chunks > stored {
        return Err(Error::malformed(format!(
            "the elements lie in {chunks} chunks, more than the file has bytes: {stored}"
        )));
    }
    Ok(())
}

/// The number of chunks that hold all elements.
fn chunk_count(dataset: &Dataset) -> u64 {
    let sides = dataset.chunks().unwrap_or_default();
    let counts =
        dataset.shape().iter().zip(&sides).map(|(&size, &side)| size.div_ceil(u64::from(side.max(1))));
    counts.fold(1u64, u64::saturating_mul)
}

/// All elements in order. The reader would fill in chunks that are missing.
fn read_chunks(dataset: &Dataset) -> Result<Vec<u8>> {
    let expected = chunk_count(dataset);
    let mut given = 0u64;
    for chunk in dataset.iter_chunks().map_err(convert)? {
        chunk.map_err(convert)?;
        given += 1;
    }
    if given != expected {
        return Err(Error::malformed(format!("the elements lie in {expected} chunks; {given} were written")));
    }
    dataset.read_raw_bytes().map_err(convert)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::hdf5_writer::{self, enumeration, float32, integer, opaque, string_attribute};
    use crate::archive::{Limits, source::ReadAt};
    use k2o_core::Tensor;

    fn stored(dataset: hdf5_writer::Dataset, limits: &Limits) -> Result<StoredWeight> {
        let bytes = hdf5_writer::Group::default().dataset("w", dataset).file();
        let file = Hdf5::open(&Source::from_bytes("model.h5", bytes), limits)?;
        let dataset = file.dataset(&file.root()?, "w")?.unwrap();
        StoredWeight::open(&file, dataset, "layers/x/vars/0".to_owned())
    }

    #[track_caller]
    fn check(dataset: hdf5_writer::Dataset, dtype: DType, expected: &[u8]) {
        let weight = stored(dataset, &Limits::default()).unwrap();
        assert_eq!(weight.dtype(), dtype);
        assert_eq!(weight.read().unwrap(), expected);
    }

    #[track_caller]
    fn check_error(dataset: hdf5_writer::Dataset, kind: ErrorKind, expected: &str) {
        let error = stored(dataset, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.problems()[0].place, "\"layers/x/vars/0\"");
    }

    #[test]
    fn elements_come_out_little_endian() {
        let weight = stored(hdf5_writer::Dataset::f32(&[2, 1], &[1.0, -2.5]), &Limits::default()).unwrap();
        assert_eq!(weight.shape(), [2, 1]);
        let tensor = Tensor::from_le_bytes(weight.shape(), weight.dtype(), &weight.read().unwrap()).unwrap();
        assert_eq!(tensor.as_f64().unwrap(), [1.0, -2.5]);
        let mut big = float32();
        big[1] |= 1;
        check(
            hdf5_writer::Dataset::new(big, &[2], &[1, 2, 3, 4, 5, 6, 7, 8]),
            DType::F32,
            &[4, 3, 2, 1, 8, 7, 6, 5],
        );
        check(hdf5_writer::Dataset::new(integer(16), &[2], &[1, 2, 3, 4]), DType::I16, &[1, 2, 3, 4]);
        check(hdf5_writer::Dataset::f32(&[], &[1.0]), DType::F32, &1f32.to_le_bytes());
        check(hdf5_writer::Dataset::f32(&[0, 7], &[]), DType::F32, &[]);
    }

    #[test]
    fn a_range_holds_what_the_whole_does() {
        let numbers: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let weight = stored(hdf5_writer::Dataset::f32(&[2, 3], &numbers), &Limits::default()).unwrap();
        let whole = weight.read().unwrap();
        for (start, len) in [(0, 24), (4, 8), (24, 0), (0, 0), (23, 1)] {
            let mut out = vec![0; len];
            assert!(weight.read_range(start, &mut out).unwrap());
            assert_eq!(out, whole[start..start + len]);
        }
        for (start, len) in [(0, 25), (24, 1), (usize::MAX, 1)] {
            let error = weight.read_range(start, &mut vec![0; len]).unwrap_err();
            assert_eq!(error.kind(), k2o_core::ErrorKind::Malformed);
        }
        // Swapped, or in pieces, they can only be had as a whole.
        let mut big = float32();
        big[1] |= 1;
        let big = hdf5_writer::Dataset::new(big, &[2], &[1, 2, 3, 4, 5, 6, 7, 8]);
        for dataset in [big, chunked(2)] {
            let weight = stored(dataset, &Limits::default()).unwrap();
            assert!(!weight.read_range(0, &mut []).unwrap());
        }
    }

    #[test]
    fn types_of_python_are_told_from_their_lookalikes() {
        check(hdf5_writer::Dataset::new(enumeration(["FALSE", "TRUE"]), &[2], &[0, 1]), DType::Bool, &[0, 1]);
        let colours = hdf5_writer::Dataset::new(enumeration(["RED", "TRUE"]), &[2], &[0, 1]);
        check_error(colours, ErrorKind::Unsupported, "not an enumeration");
        let swapped = hdf5_writer::Dataset::new(enumeration(["TRUE", "FALSE"]), &[2], &[0, 1]);
        check_error(swapped, ErrorKind::Unsupported, "not an enumeration");
        let mut brain = hdf5_writer::Dataset::new(opaque(), &[2], &[0x80, 0x3f, 0, 0xc0]);
        check_error(brain.clone(), ErrorKind::Unsupported, "not opaque elements of 2 bytes");
        brain.attributes.push(string_attribute("dtype", &["bfloat16"]));
        check(brain, DType::BF16, &[0x80, 0x3f, 0, 0xc0]);
        let mut narrow = integer(32);
        narrow[10] = 24;
        check_error(
            hdf5_writer::Dataset::new(narrow, &[1], &[0; 4]),
            ErrorKind::Unsupported,
            "integers of 4 bytes",
        );
    }

    #[test]
    fn elements_that_are_not_there_are_errors() {
        let whole = hdf5_writer::Dataset::f32(&[2], &[1.0, 2.0]);
        let with_layout =
            |layout: &[u8]| hdf5_writer::Dataset { layout: Some(layout.to_vec()), ..whole.clone() };
        let contiguous = |address: u64, size: u64| {
            with_layout(&[&[3, 1][..], &address.to_le_bytes(), &size.to_le_bytes()].concat())
        };
        check_error(contiguous(48, 7), ErrorKind::Malformed, "take 8 bytes; 7 are stored");
        check_error(contiguous(1 << 20, 8), ErrorKind::Malformed, "8 bytes from 1048576 on");
        check_error(contiguous(u64::MAX - 1, 8), ErrorKind::Malformed, "the file ends at");
        check_error(contiguous(u64::MAX, 8), ErrorKind::Malformed, "never written");
        check_error(
            with_layout(&[3, 0, 4, 0, 1, 2, 3, 4]),
            ErrorKind::Malformed,
            "take 8 bytes; 4 are stored",
        );
        check(with_layout(&[3, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8]), DType::F32, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let huge = |shape: &[u64]| hdf5_writer::Dataset { shape: shape.to_vec(), ..whole.clone() };
        check_error(huge(&[1 << 40, 1 << 40]), ErrorKind::Malformed, "overflows");
        check_error(huge(&[1 << 62]), ErrorKind::Limit, "does not fit in memory");
    }

    #[test]
    fn addresses_count_from_the_superblock() {
        let file = hdf5_writer::Group::default().dataset("w", hdf5_writer::Dataset::f32(&[1], &[2.0])).file();
        let bytes = [vec![7; 1024], file].concat();
        let file = Hdf5::open(&Source::from_bytes("file", bytes), &Limits::default()).unwrap();
        let dataset = file.dataset(&file.root().unwrap(), "w").unwrap().unwrap();
        let weight = StoredWeight::open(&file, dataset, "w".to_owned()).unwrap();
        assert_eq!(weight.read().unwrap(), 2f32.to_le_bytes());
    }

    /// Four elements in chunks of two, of which `count` are listed; the elements begin at 48.
    fn chunked(count: u8) -> hdf5_writer::Dataset {
        let mut tree = b"TREE\x01\0".to_vec();
        tree.extend([count, 0]);
        tree.extend([0xff; 16]);
        for chunk in 0..u64::from(count) {
            tree.extend([8, 0, 0, 0, 0, 0, 0, 0]);
            tree.extend([chunk * 2, 0, 48 + chunk * 8].map(u64::to_le_bytes).concat());
        }
        tree.extend([0; 24]);
        let whole = hdf5_writer::Dataset::f32(&[4], &[1.0, 2.0, 3.0, 4.0]);
        let layout = [&[3, 2, 2][..], &(48u64 + 16).to_le_bytes(), &[2, 0, 0, 0, 4, 0, 0, 0]].concat();
        let elements = [&whole.elements[..], &tree].concat();
        hdf5_writer::Dataset { elements, layout: Some(layout), ..whole }
    }

    #[test]
    fn chunks_are_put_together_and_none_may_be_missing() {
        check(chunked(2), DType::F32, &[1f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
        let weight = stored(chunked(1), &Limits::default()).unwrap();
        let error = weight.read().unwrap_err();
        assert_eq!(error.kind(), k2o_core::ErrorKind::Malformed);
        assert!(error.message().contains("lie in 2 chunks; 1 were written"), "{}", error.message());
    }

    #[test]
    fn more_than_a_file_can_hold_is_refused_before_it_is_read() {
        // As much as one chunk says in the file of four elements, of which there is no room for 1,000.
        let layout =
            |side: u32| [&[3, 2, 2][..], &64u64.to_le_bytes(), &side.to_le_bytes(), &[4, 0, 0, 0]].concat();
        let with = |count: u64, side: u32| hdf5_writer::Dataset {
            shape: vec![count],
            layout: Some(layout(side)),
            ..chunked(2)
        };
        check_error(with(1 << 20, 1 << 20), ErrorKind::Malformed, "take 4194304 bytes, but a file of");
        // A filter might have inflated so many, each in a chunk of its own: there are more than the file has bytes.
        let filter = |dataset| hdf5_writer::Dataset { is_deflated: true, ..dataset };
        check_error(filter(with(1 << 14, 1)), ErrorKind::Malformed, "lie in 16384 chunks, more than");
        check_error(
            filter(with(1 << 30, 1 << 20)),
            ErrorKind::Malformed,
            "take 4294967296 bytes, but a file of",
        );
    }

    #[test]
    fn a_read_is_limited() {
        let limits = Limits { max_memory: 1000, ..Limits::default() };
        let weight = stored(hdf5_writer::Dataset::f32(&[300], &[0.0; 300]), &limits).unwrap();
        let error = weight.read().unwrap_err();
        assert_eq!(error.kind(), k2o_core::ErrorKind::Limit);
        assert!(error.message().starts_with("model.h5: \"layers/x/vars/0\": float32 [300] takes 1200 bytes"));
    }

    #[test]
    fn nothing_is_read_before_it_is_asked_for() {
        struct Headers(Vec<u8>);
        impl ReadAt for Headers {
            fn len(&self) -> std::io::Result<u64> {
                Ok(self.0.len() as u64)
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
                // The elements are the first thing after the superblock.
                if offset == 48 {
                    Err(std::io::Error::other("no elements"))
                } else {
                    self.0.read_at(offset, buf)
                }
            }
        }
        let bytes =
            hdf5_writer::Group::default().dataset("w", hdf5_writer::Dataset::f32(&[1], &[1.0])).file();
        let file = Hdf5::open(&Source::from_bytes("file", Headers(bytes)), &Limits::default()).unwrap();
        let dataset = file.dataset(&file.root().unwrap(), "w").unwrap().unwrap();
        let weight = StoredWeight::open(&file, dataset, "w".to_owned()).unwrap();
        assert_eq!(weight.read().unwrap_err().kind(), k2o_core::ErrorKind::Io);
    }
}
