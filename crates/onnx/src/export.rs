//! A file ready to be written: everything but the initializers is encoded, their elements are read one weight at a time
//! while it is written.

use crate::choice::Choice;
use crate::initializer::Tensor;
use crate::messages::{MODEL_GRAPH, ModelProto, StringStringEntryProto, encode_length};
use crate::{Error, ErrorKind, ExportOptions, LateText, LayerName, Result};
use prost::Message;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// A graph as an ONNX file, of which the weights are read while it is written.
///
/// Made by [`export`](crate::export); cheap to keep, since it holds nothing of the weights but where they come from.
///
/// Weights may go to a file of their own, next to the model ([`has_external_data`](Export::has_external_data)):
///
/// ```
/// # fn write(
/// #     export: &k2o_onnx::Export,
/// #     mut create: impl FnMut(&str) -> Vec<u8>,
/// #     mut rename: impl FnMut(&str, &str),
/// # ) -> Result<(), k2o_onnx::Error> {
/// if export.has_external_data() {
///     let name = export.write_data_to(&mut create("weights.part"))?;
///     rename("weights.part", &name);
///     export.write_model_to(&name, &mut create("model.onnx"))?;
/// } else {
///     export.write_to(&mut create("model.onnx"))?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Export {
    encoded: Encoded,
    /// The length of the file of weights, if there is one.
    data_len: Option<u64>,
    contents: Contents,
}

/// What is known of a file besides its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub layer_names: Vec<LayerName>,
    pub input_names: Vec<String>,
    pub output_names: Vec<String>,
    pub node_count: usize,
    pub choices: Vec<Choice>,
}

/// The parts of a model in their order. Fields are in the order of their tags, as protobuf's own writers have them.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// The model up to the graph.
    pub model_head: Vec<u8>,
    /// The graph up to its first initializer.
    pub graph_head: Vec<u8>,
    pub initializers: Vec<Tensor>,
    /// The rest of the graph.
    pub graph_tail: Vec<u8>,
    /// The rest of the model, but for the last of its metadata.
    pub model_tail: Vec<u8>,
    pub late_metadata: Vec<(String, LateText)>,
}

impl Encoded {
    fn graph_len(&self, location: &str) -> u64 {
        let ends = (self.graph_head.len() + self.graph_tail.len()) as u64;
        self.initializers.iter().fold(ends, |sum, tensor| sum.saturating_add(tensor.len(location)))
    }

    /// What stands before a graph of this length, the length included.
    fn head(&self, graph_len: u64) -> Vec<u8> {
        let mut head = self.model_head.clone();
        encode_length(MODEL_GRAPH, graph_len, &mut head);
        head
    }

    /// What stands behind the graph.
    fn tail(&self) -> Result<Vec<u8>> {
        let mut tail = self.model_tail.clone();
        for (key, value) in &self.late_metadata {
            let value = value.get().map_err(|error| {
                let text = format!("the metadata {key:?} could not be had: {error}");
                Error::new(ErrorKind::Io, text)
            })?;
            let entry = StringStringEntryProto { key: key.clone(), value };
            let rest = ModelProto { metadata_props: vec![entry], ..ModelProto::default() };
            tail.extend(rest.encode_to_vec());
        }
        Ok(tail)
    }

    /// The length of the model but for what stands behind the graph.
    fn len_without_tail(&self, location: &str) -> u64 {
        let graph_len = self.graph_len(location);
        graph_len.saturating_add(self.head(graph_len).len() as u64)
    }

    /// Writes the model and returns its length.
    fn write_to(&self, location: &str, writer: &mut impl Write) -> Result<u64> {
        let graph_len = self.graph_len(location);
        let head = self.head(graph_len);
        writer.write_all(&head)?;
        writer.write_all(&self.graph_head)?;
        for tensor in &self.initializers {
            tensor.write_to(location, writer)?;
        }
        writer.write_all(&self.graph_tail)?;
        let tail = self.tail()?;
        writer.write_all(&tail)?;
        writer.flush()?;
        Ok(graph_len.saturating_add((head.len() + tail.len()) as u64))
    }
}

impl Export {
    pub(crate) fn new(mut encoded: Encoded, external_data: bool, contents: Contents) -> Export {
        let external = external_data || encoded.len_without_tail("") > ExportOptions::MAX_MODEL_BYTES;
        let data_len = external
            .then(|| encoded.initializers.iter_mut().fold(0, |end, tensor| tensor.place(end)))
            .filter(|&len| len > 0);
        Export { encoded, data_len, contents }
    }

    /// Whether weights lie in a file of their own, next to the model: because that was asked for, or the model is too
    /// large for one file. A model without large weights has none either way.
    pub fn has_external_data(&self) -> bool {
        self.data_len.is_some()
    }

    /// The length of the [file of weights](Export::has_external_data) in bytes; 0 where there is none.
    pub fn external_data_len(&self) -> u64 {
        self.data_len.unwrap_or(0)
    }

    /// Writes the file, one weight at a time, and returns its length in bytes.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where `writer` or the storage behind a weight fails,
    /// [`Malformed`](ErrorKind::Malformed) where a weight cannot be decoded, [`Limit`](ErrorKind::Limit) where one is
    /// past the type in which it is to be stored, [`Input`](ErrorKind::Input) where weights lie in a
    /// [file of their own](Export::has_external_data).
    pub fn write_to(&self, writer: &mut impl Write) -> Result<u64> {
        if self.has_external_data() {
            let text = "the model's weights go to a file of their own: it is written in two parts";
            return Err(Error::input(text));
        }
        self.write_model_to("", writer)
    }

    /// Writes the weights that lie in a [file of their own](Export::has_external_data), and returns the name that it
    /// should have next to the model: it comes from the content, so that a file of this name never holds other weights.
    ///
    /// # Errors
    /// As [`write_to`](Export::write_to); [`Input`](ErrorKind::Input) where no weights do.
    pub fn write_data_to(&self, writer: &mut impl Write) -> Result<String> {
        if !self.has_external_data() {
            return Err(Error::input("the model's weights are in the model itself"));
        }
        let mut writer = Hashing { writer, hash: Sha256::new() };
        let mut end = 0;
        for tensor in &self.encoded.initializers {
            let Some(offset) = tensor.offset() else { continue };
            io::copy(&mut io::Read::take(io::repeat(0), offset - end), &mut writer)?;
            tensor.write_data_to(&mut writer)?;
            end = offset + tensor.data_len();
        }
        writer.flush()?;
        Ok(data_name(&writer.hash.finalize()))
    }

    /// Writes the model, whose weights lie in the file `location`: its path relative to the model's folder. Returns the
    /// length in bytes.
    ///
    /// # Errors
    /// As [`write_to`](Export::write_to).
    pub fn write_model_to(&self, location: &str, writer: &mut impl Write) -> Result<u64> {
        self.encoded.write_to(location, writer)
    }

    /// The file in memory.
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to), and [`Limit`](ErrorKind::Limit) where it does not fit memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let len = self.len()?;
        let mut bytes = Vec::new();
        let reserved = usize::try_from(len).ok().and_then(|len| bytes.try_reserve_exact(len).ok());
        if reserved.is_none() {
            return Err(Error::new(ErrorKind::Limit, format!("{len} bytes do not fit memory")));
        }
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// The length of the file in bytes; where weights lie in a file of their own, of both together.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where late metadata cannot be had.
    // An ONNX file is never empty.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> Result<u64> {
        let (location, data_len) = match self.data_len {
            None => (String::new(), 0),
            Some(data_len) => (data_name(&[0; 32]), data_len),
        };
        let model_len = self.encoded.len_without_tail(&location) + self.encoded.tail()?.len() as u64;
        Ok(model_len.saturating_add(data_len))
    }

    /// Where each layer's outputs are in the file, in the order of the graph's taps.
    pub fn layer_names(&self) -> &[LayerName] {
        &self.contents.layer_names
    }

    /// What was chosen among several ways to write an operator, each choice once.
    pub fn choices(&self) -> &[Choice] {
        &self.contents.choices
    }

    /// The number of nodes, those inside of others included.
    pub fn node_count(&self) -> usize {
        self.contents.node_count
    }

    /// The names of the model's inputs, in the order of the graph's.
    pub fn input_names(&self) -> &[String] {
        &self.contents.input_names
    }

    /// The names of the model's own outputs, in the order of the graph's.
    pub fn output_names(&self) -> &[String] {
        &self.contents.output_names
    }
}

/// `weights-<32 hexadecimal digits>.onnx_data`
fn data_name(hash: &[u8]) -> String {
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("weights-{digits}.onnx_data")
}

/// Passes on what it is given, and hashes it.
struct Hashing<W> {
    writer: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        let passed_on =
            bytes.get(..written).ok_or_else(|| io::Error::other("more was written than there is"))?;
        self.hash.update(passed_on);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
