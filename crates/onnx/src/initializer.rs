//! Initializers: everything but their elements, which are read while the file is written.
//!
//! Their lengths follow from their shapes, so that the sizes that protobuf puts before a message are known without
//! evaluating a weight.

use crate::draft::{Content, Draft, Initializer};
use crate::messages::{
    DataLocation, GRAPH_INITIALIZER, StringStringEntryProto, TENSOR_RAW_DATA, TensorProto, data_type,
    encode_length,
};
use crate::view::View;
use crate::{Error, ErrorKind, Result};
use half::{bf16, f16};
use k2o_core::{Constant, DType, Data, ExprKind, Graph, StoredTensor};
use prost::Message;
use std::io::Write;

/// A weight of fewer bytes is always in the model itself, as are the sizes and axes that nodes read.
const MIN_EXTERNAL: u64 = 1 << 10;
/// Where a weight in a file of its own starts is a multiple of a page, and for a large one of the 64 KiB at multiples
/// of which Windows maps files.
const PAGE: u64 = 1 << 12;
const GRANULE: u64 = 1 << 16;

/// An initializer of the file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    proto: TensorProto,
    source: Source,
    /// Where its elements start in the file of weights, if they are there.
    offset: Option<u64>,
}

#[derive(Clone, Debug)]
enum Source {
    Constant { constant: Constant, view: View, storage: DType, bytes: usize },
    Bytes(Vec<u8>),
}

impl Tensor {
    pub fn new(graph: &Graph, draft: &Draft, initializer: &Initializer, name: &str) -> Result<Tensor> {
        let stored = |constant, view| stored(constant, view, initializer.storage, name);
        let source = match &initializer.content {
            Content::Constant(id, view) => stored(graph.constant(*id).clone(), view.clone())?,
            Content::Derived(sources, role) => {
                let missing = || Error::shape(format!("a weight {name:?} made of nothing"));
                let constant = draft.derived.get(&(sources.clone(), *role)).ok_or_else(missing)?;
                stored(constant.clone(), View::of(constant.shape()))?
            }
            Content::Literal(_, _, bytes) => Source::Bytes(bytes.clone()),
        };
        let proto = TensorProto {
            dims: initializer.dims.iter().map(|&n| n as i64).collect(),
            data_type: data_type(initializer.storage),
            name: name.into(),
            ..TensorProto::default()
        };
        Ok(Tensor { proto, source, offset: None })
    }

    /// The number of bytes of the elements.
    pub fn data_len(&self) -> u64 {
        self.source.len() as u64
    }

    /// Where the elements start in the file of weights, if they are there.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// Puts the elements, if they are many, into the file of weights, which is `end` bytes long so far, and returns how
    /// long it is then.
    pub fn place(&mut self, end: u64) -> u64 {
        let len = self.data_len();
        if len < MIN_EXTERNAL || matches!(self.source, Source::Bytes(_)) {
            return end;
        }
        let alignment = if len < GRANULE { PAGE } else { GRANULE };
        let offset = end.next_multiple_of(alignment);
        self.offset = Some(offset);
        offset.saturating_add(len)
    }

    /// The message up to the elements, if these are in it, of a model whose file of weights is `location`.
    fn header(&self, location: &str) -> Vec<u8> {
        let mut body = match self.offset {
            None => self.proto.encode_to_vec(),
            Some(offset) => {
                let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
                let external_data = vec![
                    entry("location", location.into()),
                    entry("offset", offset.to_string()),
                    entry("length", self.data_len().to_string()),
                ];
                let data_location = DataLocation::External.into();
                TensorProto { external_data, data_location, ..self.proto.clone() }.encode_to_vec()
            }
        };
        let inside = self.inside();
        if self.offset.is_none() {
            encode_length(TENSOR_RAW_DATA, inside, &mut body);
        }
        let mut header = Vec::with_capacity(body.len() + 11);
        encode_length(GRAPH_INITIALIZER, (body.len() as u64).saturating_add(inside), &mut header);
        header.extend(body);
        header
    }

    /// How many bytes of elements are in the message.
    fn inside(&self) -> u64 {
        if self.offset.is_some() { 0 } else { self.data_len() }
    }

    /// The number of bytes that [`write_to`](Self::write_to) writes.
    pub fn len(&self, location: &str) -> u64 {
        (self.header(location).len() as u64).saturating_add(self.inside())
    }

    /// Writes the message, with the elements if they are in it.
    pub fn write_to(&self, location: &str, writer: &mut impl Write) -> Result<()> {
        writer.write_all(&self.header(location))?;
        match self.offset {
            None => self.source.write_to(writer),
            Some(_) => Ok(()),
        }
    }

    /// Writes the elements.
    pub fn write_data_to(&self, writer: &mut impl Write) -> Result<()> {
        self.source.write_to(writer)
    }
}

/// A weight of the model.
fn stored(constant: Constant, view: View, storage: DType, name: &str) -> Result<Source> {
    if !constant.expr.is_bound() {
        return Err(Error::input(format!("weight {name:?}: the model was opened without weights")));
    }
    if !matches!(constant.dtype, DType::F32 | DType::I32 | DType::I64 | DType::Bool) {
        return Err(Error::unsupported(format!("weight {name:?} of {}", constant.dtype)));
    }
    let too_large = || Error::new(ErrorKind::Limit, format!("weight {name:?} does not fit memory"));
    let bytes = view.len().checked_mul(storage.size()).ok_or_else(too_large)?;
    Ok(Source::Constant { constant, view, storage, bytes })
}

/// Bytes gathered before they are written.
const CHUNK: usize = 1 << 16;

impl Source {
    fn len(&self) -> usize {
        match self {
            Source::Constant { bytes, .. } => *bytes,
            Source::Bytes(bytes) => bytes.len(),
        }
    }

    fn write_to(&self, writer: &mut impl Write) -> Result<()> {
        let (constant, view, storage) = match self {
            Source::Bytes(bytes) => return Ok(writer.write_all(bytes)?),
            Source::Constant { constant, view, storage, .. } => (constant, view, *storage),
        };
        let named = |error: Error| match error.kind() {
            ErrorKind::Limit => {
                Error::new(error.kind(), format!("weight {:?}: {}", constant.name, error.message()))
            }
            _ => error,
        };
        match storage {
            DType::F16 => {
                write_floats(constant, view, |x| f16::from_f32(x).to_le_bytes(), writer).map_err(named)
            }
            DType::BF16 => {
                write_floats(constant, view, |x| bf16::from_f32(x).to_le_bytes(), writer).map_err(named)
            }
            DType::F32 => match constant.expr.kind() {
                // Passed on as they are, NaN payloads included, and never in memory twice.
                ExprKind::Stored(stored) if stored.dtype() == DType::F32 => {
                    if write_ranges(stored.as_ref(), view, writer)? {
                        return Ok(());
                    }
                    let bytes = stored.read()?;
                    let (chunks, rest) = bytes.as_chunks::<4>();
                    if chunks.len() != view.len() || !rest.is_empty() {
                        let (name, expected, given) = (&constant.name, self.len(), bytes.len());
                        let text = format!("weight {name:?} takes {expected} bytes; {given} were read");
                        return Err(Error::new(ErrorKind::Malformed, text));
                    }
                    write_view(view, chunks, |bytes| bytes, writer)
                }
                _ => write_floats(constant, view, f32::to_le_bytes, writer).map_err(named),
            },
            DType::I32 => {
                let wide = constant.evaluate()?;
                let narrow = wide.as_i64()?.iter().map(|&n| i32::try_from(n));
                let error =
                    || Error::new(ErrorKind::Malformed, format!("{} is past an int32", constant.name));
                let narrow: Vec<i32> = narrow.collect::<Result<_, _>>().map_err(|_| error())?;
                write_view(view, &narrow, |n| n.to_le_bytes(), writer)
            }
            DType::I64 => write_view(view, constant.evaluate()?.as_i64()?, |n| n.to_le_bytes(), writer),
            _ => match constant.evaluate()?.data() {
                Data::Bool(data) => write_view(view, data, |b| [u8::from(b)], writer),
                _ => Err(Error::shape(format!("{} holds numbers, not truth values", constant.name))),
            },
        }
    }
}

/// Runs of fewer elements are not worth reading and computing one at a time.
const MIN_RUN: usize = 1 << 8;

/// Writes single-precision elements in storage in the view's order, run by run, so that they are not in memory as a whole;
/// `false` and nothing where runs are too short or storage cannot be read in ranges.
fn write_ranges(stored: &dyn StoredTensor, view: &View, writer: &mut impl Write) -> Result<bool> {
    let has_runs = view.run_len().is_some_and(|len| len >= MIN_RUN);
    let is_whole = stored.shape().iter().product::<usize>() == view.len();
    if !has_runs || !is_whole || !stored.read_range(0, &mut [])? {
        return Ok(false);
    }
    let read = |start: usize, _, out: &mut [[u8; 4]]| {
        stored.read_range(start * 4, out.as_flattened_mut())?;
        Ok(())
    };
    write_runs(view, read, writer)?;
    Ok(true)
}

/// Writes a computed weight in the view's order: run by run where runs lie in one piece, so that it is not in memory as a
/// whole.
fn write_floats<const N: usize>(
    constant: &Constant,
    view: &View,
    to_bytes: impl Fn(f32) -> [u8; N],
    writer: &mut impl Write,
) -> Result<()> {
    let ranges = if view.run_len().is_some_and(|len| len >= MIN_RUN) { constant.ranges()? } else { None };
    let Some(mut ranges) = ranges else {
        return write_view(view, &constant.to_f32()?, to_bytes, writer);
    };
    let mut numbers = vec![0.0; CHUNK / N];
    let read = |start, _, out: &mut [[u8; N]]| {
        let numbers = numbers.get_mut(..out.len()).ok_or_else(too_few)?;
        ranges.read(start, numbers)?;
        out.iter_mut().zip(numbers).for_each(|(out, x)| *out = to_bytes(*x));
        Ok(())
    };
    write_runs(view, read, writer)
}

/// Writes `elements` in the view's order.
fn write_view<T: Copy, const N: usize>(
    view: &View,
    elements: &[T],
    to_bytes: impl Fn(T) -> [u8; N],
    writer: &mut impl Write,
) -> Result<()> {
    if elements.len() != view.len() {
        let (expected, given) = (view.len(), elements.len());
        return Err(Error::shape(format!("{given} elements of a weight where its shape says {expected}")));
    }
    let read = |start: usize, step, out: &mut [[u8; N]]| {
        let elements = elements.get(start..).ok_or_else(too_few)?;
        // The same either way, but known to be next to each other.
        if step == 1 {
            out.iter_mut().zip(elements).for_each(|(out, &x)| *out = to_bytes(x));
        } else {
            let elements = elements.iter().step_by(step);
            out.iter_mut().zip(elements).for_each(|(out, &x)| *out = to_bytes(x));
        }
        Ok(())
    };
    write_runs(view, read, writer)
}

/// Writes elements of `N` bytes in the view's order, gathered before they are written. `read` is given the place of an
/// element and how far others are behind it, and fills a slice with them.
fn write_runs<const N: usize>(
    view: &View,
    mut read: impl FnMut(usize, usize, &mut [[u8; N]]) -> Result<()>,
    writer: &mut impl Write,
) -> Result<()> {
    let mut buffer = vec![[0; N]; CHUNK / N];
    let mut used = 0;
    view.for_each_run(|start, step, n| {
        let (mut at, mut left) = (start, n);
        while left > 0 {
            if used == buffer.len() {
                writer.write_all(buffer.as_flattened())?;
                used = 0;
            }
            let now = left.min(buffer.len() - used);
            read(at, step, buffer.get_mut(used..used + now).ok_or_else(too_few)?)?;
            (used, at, left) = (used + now, at + now * step, left - now);
        }
        Ok::<(), Error>(())
    })?;
    buffer.truncate(used);
    Ok(writer.write_all(buffer.as_flattened())?)
}

fn too_few() -> Error {
    Error::shape("a weight has fewer elements than its view")
}
