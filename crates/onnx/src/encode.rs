//! The file: everything but the initializers is encoded when the graph is exported, the initializers while it is
//! written.
//!
//! The lengths of initializers follow from their shapes, so that the sizes that protobuf puts before a message are
//! known without evaluating a weight. Fields are in the order of their tags, as protobuf's own writers have them.

use crate::choice::{Choice, choose};
use crate::draft::{Body, BodyPort, Content, Draft, DraftNode, Initializer, TensorId};
use crate::layout::Layout;
use crate::layout::assign::{Assigned, assign};
use crate::messages::{
    AttributeProto, AttributeType, DimensionProto, DimensionValue, GRAPH_INITIALIZER, GraphProto,
    MODEL_GRAPH, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TENSOR_RAW_DATA,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, data_type,
};
use crate::names::{Names, names};
use crate::view::View;
use crate::{Error, ErrorKind, ExportOptions, LayerName, Result};
use k2o_core::{Constant, DType, Data, Dim, ExprKind, Graph, Outline, ValueId};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::io::Write;

/// A graph as an ONNX file, of which the weights are read while it is written.
///
/// Made by [`export`]; cheap to keep, since it holds nothing of the weights but where they come from.
#[derive(Clone, Debug)]
pub struct Export {
    /// The model up to the graph's first initializer.
    head: Vec<u8>,
    initializers: Vec<Tensor>,
    /// The rest of the graph, and of the model.
    tail: Vec<u8>,
    len: u64,
    layer_names: Vec<LayerName>,
    input_names: Vec<String>,
    output_names: Vec<String>,
    node_count: usize,
    choices: Vec<Choice>,
}

/// An initializer: everything but its elements, and where those come from.
#[derive(Clone, Debug)]
struct Tensor {
    header: Vec<u8>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Constant { constant: Constant, view: View, bytes: usize },
    Bytes(Vec<u8>),
}

/// The graph as ONNX: what it needs of `outline` are the layers' names and classes.
///
/// The graph is best [rewritten](k2o_core::rewrite) before, or it has nodes that the rewrite would fold away.
///
/// # Errors
/// [`Input`](ErrorKind::Input) where an option is out of range or the model was opened without weights,
/// [`Unsupported`](ErrorKind::Unsupported) where the operator set has no way to say what the graph does.
pub fn export(graph: &Graph, outline: &Outline, options: &ExportOptions) -> Result<Export> {
    options.check()?;
    let (graph, choices) = choose(graph, options)?;
    let graph = graph.as_ref();
    let assigned = assign(graph, Draft::new(options))?;
    let names = names(graph, outline, &assigned)?;
    let draft = &assigned.draft;
    let initializers = draft.initializers.iter().zip(&names.initializers);
    let initializers: Vec<Tensor> =
        initializers.map(|(init, name)| tensor(graph, draft, init, name)).collect::<Result<_>>()?;

    let node = Nodes { outline, names: &names, next: names.nodes.iter() }.encode(&draft.nodes);
    let name = options.model_name.clone().unwrap_or_else(|| outline.name.clone());
    // A graph must have a name.
    let name = if name.is_empty() { "model".to_string() } else { name };
    let graph_head = GraphProto { node, name, ..GraphProto::default() }.encode_to_vec();
    let graph_tail = ports(graph, &assigned, &names, options.keep_taps)?;
    let model_head = ModelProto {
        ir_version: options.ir_version(),
        producer_name: "k2o".into(),
        producer_version: options.producer_version.clone(),
        doc_string: options.doc_string.clone(),
        ..ModelProto::default()
    };
    let metadata = options.metadata.iter().cloned();
    let model_tail = ModelProto {
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: options.opset }],
        metadata_props: metadata.map(|(key, value)| StringStringEntryProto { key, value }).collect(),
        ..ModelProto::default()
    };

    let sizes = initializers.iter().map(|tensor| tensor.len() as u64);
    let graph_len = sizes.fold((graph_head.len() + graph_tail.encoded_len()) as u64, u64::saturating_add);
    let mut head = model_head.encode_to_vec();
    encode_length(MODEL_GRAPH, graph_len, &mut head);
    head.extend(graph_head);
    let mut tail = graph_tail.encode_to_vec();
    tail.extend(model_tail.encode_to_vec());
    let model_len = head.len() as u64 + tail.len() as u64;
    let len = initializers.iter().fold(model_len, |len, tensor| len.saturating_add(tensor.len() as u64));
    let port_names = |tensors: &[TensorId]| {
        tensors.iter().map(|tensor| names.tensors[tensor.0].clone()).collect::<Vec<String>>()
    };
    let (input_names, output_names) = (port_names(&assigned.inputs), port_names(&assigned.outputs));
    Ok(Export {
        head,
        initializers,
        tail,
        len,
        layer_names: names.layers,
        input_names,
        output_names,
        node_count: names.nodes.len(),
        choices,
    })
}

/// Encodes nodes, giving them their names one after the other.
struct Nodes<'a> {
    outline: &'a Outline,
    names: &'a Names,
    next: std::slice::Iter<'a, String>,
}

impl Nodes<'_> {
    fn encode(&mut self, nodes: &[DraftNode]) -> Vec<NodeProto> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn node(&mut self, node: &DraftNode) -> NodeProto {
        let name = self.next.next().cloned().unwrap_or_default();
        let output =
            |id: &Option<TensorId>| id.map_or_else(String::new, |id| self.names.tensors[id.0].clone());
        let class = node.origin.and_then(|call| self.outline.get(call)).map(|call| call.class.clone());
        let mut proto = NodeProto {
            input: node.spec.inputs.iter().map(|&arg| self.names.arg(arg)).collect(),
            output: node.outputs.iter().map(output).collect(),
            name,
            op_type: node.spec.op_type.into(),
            attribute: node.spec.attributes.clone(),
            doc_string: class.unwrap_or_default(),
        };
        if let Some(body) = &node.body {
            let graph = self.body(body, proto.name.clone());
            proto.attribute.push(AttributeProto {
                name: "body".into(),
                g: Some(graph),
                r#type: AttributeType::Graph.into(),
                ..AttributeProto::default()
            });
        }
        proto
    }

    /// A body. Its inputs and outputs have no shapes: tract 0.23.9 takes a size that is a symbol there for another one
    /// than the size that the inputs have.
    fn body(&mut self, body: &Body, name: String) -> GraphProto {
        let names = self.names;
        let port = |port: &BodyPort| {
            let tensor_type = TensorTypeProto { elem_type: data_type(port.dtype), shape: None };
            ValueInfoProto {
                name: names.tensors[port.tensor.0].clone(),
                r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
            }
        };
        GraphProto {
            node: self.encode(&body.nodes),
            name,
            input: body.inputs.iter().map(port).collect(),
            output: body.outputs.iter().map(port).collect(),
        }
    }
}

/// The tag of a field with a length, and the length.
fn encode_length(tag: u32, len: u64, buffer: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(len, buffer);
}

/// The graph's inputs and outputs.
fn ports(graph: &Graph, assigned: &Assigned, names: &Names, keep_taps: bool) -> Result<GraphProto> {
    let keras = |id: ValueId| Layout::keras(graph.value(id).r#type.shape.rank());
    let mut proto = GraphProto::default();
    for (port, tensor) in graph.inputs().iter().zip(&assigned.inputs) {
        proto.input.push(value_info(graph, &names.tensors[tensor.0], port.value, &keras(port.value))?);
    }
    for (port, tensor) in graph.outputs().iter().zip(&assigned.outputs) {
        proto.output.push(value_info(graph, &names.tensors[tensor.0], port.value, &keras(port.value))?);
    }
    if keep_taps {
        for (tensor, id, layout) in &names.taps {
            proto.output.push(value_info(graph, &names.tensors[tensor.0], *id, layout)?);
        }
    }
    Ok(proto)
}

fn value_info(graph: &Graph, name: &str, id: ValueId, layout: &Layout) -> Result<ValueInfoProto> {
    let r#type = &graph.value(id).r#type;
    if !matches!(r#type.dtype, DType::F32 | DType::I32 | DType::I64 | DType::Bool) {
        return Err(Error::unsupported(format!("{name:?}, a tensor of {}", r#type.dtype)));
    }
    let dim = |dim: &Dim| DimensionProto {
        value: Some(match dim.as_fixed() {
            Some(n) => DimensionValue::DimValue(n),
            None => DimensionValue::DimParam(dim.to_string()),
        }),
    };
    let order = layout.axes().unwrap_or_default();
    let shape = TensorShapeProto { dim: order.iter().map(|&axis| dim(&r#type.shape[axis])).collect() };
    let tensor_type = Some(TensorTypeProto { elem_type: data_type(r#type.dtype), shape: Some(shape) });
    Ok(ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) })
}

/// A weight of the model.
fn stored(constant: Constant, view: View, name: &str) -> Result<Source> {
    if !constant.expr.is_bound() {
        return Err(Error::input(format!("weight {name:?}: the model was opened without weights")));
    }
    if !matches!(constant.dtype, DType::F32 | DType::I32 | DType::I64 | DType::Bool) {
        return Err(Error::unsupported(format!("weight {name:?} of {}", constant.dtype)));
    }
    let too_large = || Error::new(ErrorKind::Limit, format!("weight {name:?} does not fit memory"));
    let bytes = view.len().checked_mul(constant.dtype.size()).ok_or_else(too_large)?;
    Ok(Source::Constant { constant, view, bytes })
}

fn tensor(graph: &Graph, draft: &Draft, initializer: &Initializer, name: &str) -> Result<Tensor> {
    let source = match &initializer.content {
        Content::Constant(id, view) => stored(graph.constant(*id).clone(), view.clone(), name)?,
        Content::Derived(id, role) => {
            let missing = || Error::shape(format!("a weight {name:?} made of nothing"));
            let constant = draft.derived.get(&(*id, *role)).ok_or_else(missing)?;
            stored(constant.clone(), View::of(constant.shape()), name)?
        }
        Content::Literal(_, _, bytes) => Source::Bytes(bytes.clone()),
    };
    let proto = TensorProto {
        dims: initializer.dims.iter().map(|&n| n as i64).collect(),
        data_type: data_type(initializer.dtype),
        name: name.into(),
    };
    let mut body = proto.encode_to_vec();
    encode_length(TENSOR_RAW_DATA, source.len() as u64, &mut body);
    let mut header = Vec::with_capacity(body.len() + 11);
    encode_length(GRAPH_INITIALIZER, (body.len() as u64).saturating_add(source.len() as u64), &mut header);
    header.extend(body);
    Ok(Tensor { header, source })
}

impl Export {
    /// Writes the file, one weight at a time, and returns its length in bytes.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where `writer` or the storage behind a weight fails,
    /// [`Malformed`](ErrorKind::Malformed) where a weight cannot be decoded.
    pub fn write_to(&self, writer: &mut impl Write) -> Result<u64> {
        writer.write_all(&self.head)?;
        for tensor in &self.initializers {
            writer.write_all(&tensor.header)?;
            tensor.source.write_to(writer)?;
        }
        writer.write_all(&self.tail)?;
        writer.flush()?;
        Ok(self.len)
    }

    /// The file in memory.
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to), and [`Limit`](ErrorKind::Limit) where it does not fit memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reserved = usize::try_from(self.len).ok().and_then(|len| bytes.try_reserve_exact(len).ok());
        if reserved.is_none() {
            return Err(Error::new(ErrorKind::Limit, format!("{} bytes do not fit memory", self.len)));
        }
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// The length of the file in bytes.
    ///
    /// Readers that build on Google's protobuf, onnxruntime among them, refuse files of 2 GiB and more.
    // An ONNX file is never empty.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Where each layer's outputs are in the file, in the order of the graph's taps.
    pub fn layer_names(&self) -> &[LayerName] {
        &self.layer_names
    }

    /// What was chosen among several ways to write an operator, each choice once.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The number of nodes, those inside of others included.
    pub fn node_count(&self) -> usize {
        self.node_count
    }

    /// The names of the model's inputs, in the order of the graph's.
    pub fn input_names(&self) -> &[String] {
        &self.input_names
    }

    /// The names of the model's own outputs, in the order of the graph's.
    pub fn output_names(&self) -> &[String] {
        &self.output_names
    }
}

impl Tensor {
    fn len(&self) -> usize {
        self.header.len().saturating_add(self.source.len())
    }
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
        let (constant, view) = match self {
            Source::Bytes(bytes) => return Ok(writer.write_all(bytes)?),
            Source::Constant { constant, view, .. } => (constant, view),
        };
        match constant.dtype {
            DType::F32 => match constant.expr.kind() {
                // Passed on as they are, NaN payloads included, and never in memory twice.
                ExprKind::Stored(stored) if stored.dtype() == DType::F32 => {
                    let bytes = stored.read()?;
                    let (chunks, rest) = bytes.as_chunks::<4>();
                    if chunks.len() != view.len() || !rest.is_empty() {
                        let (name, expected, given) = (&constant.name, self.len(), bytes.len());
                        let text = format!("weight {name:?} takes {expected} bytes; {given} were read");
                        return Err(Error::new(ErrorKind::Malformed, text));
                    }
                    write_view(view, chunks, |bytes| bytes, writer)
                }
                _ => write_view(view, &constant.to_f32()?, |x| x.to_le_bytes(), writer),
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
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + N);
    view.for_each_run(|start, step, n| {
        for element in elements[start..].iter().step_by(step).take(n) {
            buffer.extend(to_bytes(*element));
            if buffer.len() >= CHUNK {
                writer.write_all(&buffer)?;
                buffer.clear();
            }
        }
        Ok::<(), Error>(())
    })?;
    writer.write_all(&buffer)?;
    Ok(())
}
