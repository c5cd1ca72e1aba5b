//! One weight in a file: its shape and element type are known, its elements are read when they are needed.

use super::hdf5::{Hdf5, convert, describe};
use super::source::{Source, zeros};
use crate::archive::shown;
use crate::{Error, ErrorKind, Result};
use hdf5_reader::error::ByteOrder;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{Dataset, Datatype};
use k2o_core::{DType, StoredTensor};
use std::fmt;
use std::sync::Arc;

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
        let place = shown(&path);
        StoredWeight::inspect(file, dataset, path).map_err(|error| error.within(place))
    }

    fn inspect(file: &Hdf5, dataset: Dataset, path: String) -> Result<StoredWeight> {
        let (dtype, order) = element_type(file, &dataset)?;
        let count = element_count(&dataset)?;
        let sizes = dataset.shape().iter().map(|&size| usize::try_from(size).ok());
        let shape: Option<Vec<usize>> = sizes.collect();
        let size = count
            .checked_mul(dtype.size() as u64)
            .filter(|&size| size <= isize::MAX as u64);
        let (Some(shape), Some(size)) = (shape, size) else {
            return Err(Error::limit(format!(
                "a dataset of shape {:?} does not fit in memory",
                dataset.shape()
            )));
        };
        let elements = if size == 0 {
            Elements::Empty
        } else {
            locate(file, dataset, size)?
        };
        Ok(StoredWeight(Arc::new(Inner {
            path,
            file: file.source().name().to_owned(),
            shape,
            dtype,
            order,
            size,
            max_read: file.max_read(),
            elements,
        })))
    }

    fn read_bytes(&self) -> Result<Vec<u8>> {
        let Inner {
            shape,
            dtype,
            order,
            size,
            max_read,
            elements,
            ..
        } = &*self.0;
        if size > max_read {
            return Err(Error::limit(format!(
                "{dtype} {shape:?} takes {size} bytes; {max_read} bytes of memory are allowed"
            )));
        }
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
}

impl StoredTensor for StoredWeight {
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn dtype(&self) -> DType {
        self.0.dtype
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        self.read_bytes().map_err(|error| {
            let kind = match error.kind() {
                ErrorKind::Unsupported => k2o_core::ErrorKind::Unsupported,
                ErrorKind::Limit => k2o_core::ErrorKind::Limit,
                ErrorKind::Io => k2o_core::ErrorKind::Io,
                _ => k2o_core::ErrorKind::Malformed,
            };
            let place = format!("{}: {}", self.0.file, shown(&self.0.path));
            k2o_core::Error::new(kind, error.within(place).to_string())
        })
    }
}

impl fmt::Debug for StoredWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoredWeight({:?}, {} {:?})",
            self.0.path, self.0.dtype, self.0.shape
        )
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
    let messages = file.messages(&dataset)?;
    if messages
        .iter()
        .any(|message| matches!(message, HdfMessage::ExternalFiles(_)))
    {
        return Err(Error::unsupported("the elements lie in another file"));
    }
    let missing = || Error::malformed("the elements were never written");
    let wrong_size =
        |given: u64| Error::malformed(format!("the elements take {size} bytes; {given} are stored"));
    let layout = messages.into_iter().rev().find_map(|message| match message {
        HdfMessage::DataLayout(message) => Some(message.layout),
        _ => None,
    });
    let is_undefined = |address| hdf5_reader::io::Cursor::is_undefined_offset(address, file.offset_size());
    match layout.ok_or_else(missing)? {
        DataLayout::Compact { data } if data.len() as u64 != size => Err(wrong_size(data.len() as u64)),
        DataLayout::Compact { data } => Ok(Elements::Compact(data)),
        DataLayout::Contiguous { address, .. } | DataLayout::Chunked { address, .. }
            if is_undefined(address) =>
        {
            Err(missing())
        }
        DataLayout::Contiguous { size: given, .. } if given != size => Err(wrong_size(given)),
        DataLayout::Contiguous { address, .. } => {
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
        DataLayout::Chunked { .. } => Ok(Elements::Chunked(Box::new(dataset))),
    }
}

/// All elements in order. The reader would fill in chunks that are missing.
fn read_chunks(dataset: &Dataset) -> Result<Vec<u8>> {
    let sides = dataset.chunks().unwrap_or_default();
    let counts = dataset
        .shape()
        .iter()
        .zip(&sides)
        .map(|(&size, &side)| size.div_ceil(u64::from(side.max(1))));
    let expected = counts.fold(1u64, u64::saturating_mul);
    let mut given = 0u64;
    for chunk in dataset.iter_chunks().map_err(convert)? {
        chunk.map_err(convert)?;
        given += 1;
    }
    if given != expected {
        return Err(Error::malformed(format!(
            "the elements lie in {expected} chunks; {given} were written"
        )));
    }
    dataset.read_raw_bytes().map_err(convert)
}

/// The type and byte order of the elements.
fn element_type(file: &Hdf5, dataset: &Dataset) -> Result<(DType, ByteOrder)> {
    let refused = || {
        let given = describe(dataset.dtype());
        Error::unsupported(format!("numbers of Keras's types were expected, not {given}"))
    };
    match dataset.dtype() {
        Datatype::FixedPoint {
            byte_order,
            size,
            signed,
        } => {
            let raw = dataset.raw_datatype().map_err(convert)?;
            let whole = raw.get(8..12) == Some(&[0, 0, size.saturating_mul(8), 0]);
            integer(*size, *signed)
                .filter(|_| whole)
                .map(|dtype| (dtype, *byte_order))
                .ok_or_else(refused)
        }
        Datatype::FloatingPoint { byte_order, .. } => {
            let raw = dataset.raw_datatype().map_err(convert)?;
            float(&raw).map(|dtype| (dtype, *byte_order)).ok_or_else(refused)
        }
        Datatype::Enum { base, members } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => {
            let value = |name: &str| {
                let mut found = members.iter().filter(|member| member.name == name);
                found.next().map(|member| member.value.as_slice())
            };
            let is_bool = members.len() == 2 && value("FALSE") == Some(&[0]) && value("TRUE") == Some(&[1]);
            is_bool
                .then_some((DType::Bool, ByteOrder::LittleEndian))
                .ok_or_else(refused)
        }
        Datatype::Opaque { size: 2, .. } => {
            let name = file.attributes_of_dataset(dataset)?.string("dtype")?;
            let is_bfloat16 = name.as_deref() == Some("bfloat16");
            is_bfloat16
                .then_some((DType::BF16, ByteOrder::LittleEndian))
                .ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

fn integer(size: u8, signed: bool) -> Option<DType> {
    Some(match (size, signed) {
        (1, true) => DType::I8,
        (1, false) => DType::U8,
        (2, true) => DType::I16,
        (2, false) => DType::U16,
        (4, true) => DType::I32,
        (4, false) => DType::U32,
        (8, true) => DType::I64,
        (8, false) => DType::U64,
        _ => return None,
    })
}

/// The floating-point type that an HDF5 datatype message lays out bit by bit.
///
/// The reader tells only the size, so that any other format of two bytes would pass for `float16`.
fn float(raw: &[u8]) -> Option<DType> {
    let [
        _,
        flags,
        sign,
        _,
        size,
        0,
        0,
        0,
        0,
        0,
        precision,
        0,
        exponent,
        exponent_size,
        0,
        mantissa,
        b0,
        b1,
        b2,
        b3,
    ] = *raw.first_chunk::<20>()?
    else {
        return None;
    };
    // Bit 6 is set for the byte order of the VAX; bits 4 and 5 are 2 where the leading one is implied.
    if flags & 0x70 != 0x20 || precision.checked_div(8) != Some(size) || sign != precision.checked_sub(1)? {
        return None;
    }
    let bias = u32::from_le_bytes([b0, b1, b2, b3]);
    match (size, exponent, exponent_size, mantissa, bias) {
        (2, 10, 5, 10, 15) => Some(DType::F16),
        (2, 7, 8, 7, 127) => Some(DType::BF16),
        (4, 23, 8, 23, 127) => Some(DType::F32),
        (8, 52, 11, 52, 1023) => Some(DType::F64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_told_by_their_bits() {
        let f32 = [
            0x11, 0x20, 0x1f, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0,
        ];
        let f16 = [
            0x11, 0x20, 0x0f, 0, 2, 0, 0, 0, 0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0,
        ];
        let bf16 = [
            0x11, 0x20, 0x0f, 0, 2, 0, 0, 0, 0, 0, 16, 0, 7, 8, 0, 7, 127, 0, 0, 0,
        ];
        assert_eq!(float(&f32), Some(DType::F32));
        assert_eq!(float(&f16), Some(DType::F16));
        assert_eq!(float(&bf16), Some(DType::BF16));
        let with = |at: usize, value: u8| {
            let mut changed = f32;
            changed[at] = value;
            float(&changed)
        };
        assert_eq!(with(1, 0x21), Some(DType::F32), "big-endian");
        assert_eq!(with(1, 0x61), None, "the byte order of the VAX");
        assert_eq!(with(2, 0x1e), None, "the sign elsewhere");
        assert_eq!(with(16, 126), None, "another bias");
        assert_eq!(float(&f32[..19]), None);
    }
}
