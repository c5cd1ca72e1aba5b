//! An ONNX file as text, from what another protobuf library than the exporter's reads in it.
//!
//! ```text
//! graph "sequential": opset 17, IR version 8, by k2o
//! inputs
//!   x: float[batch, 9, 3]
//! outputs
//!   conv1d: float[batch, 7, 4]
//! initializers
//!   conv1d/kernel: float[4, 3, 3] = 0.5 -0.25 1.0 0.0 .. #8a1f0c55e1d2b790
//! nodes
//!   conv1d/conv = Conv(x, conv1d/kernel) {kernel_shape=[3]} # Conv1D
//! ```
//!
//! An initializer of many elements is shown by the first ones and a hash of all. A node has its name before it, in
//! brackets, where that is not the name of its first output, and the class of its layer behind it. What a `Scan` runs
//! stands below it. Missing are what other releases and other sources of the same model would change: the producer's
//! version and the metadata.

use onnx_protobuf::tensor_shape_proto::dimension::Value as DimValue;
use onnx_protobuf::type_proto::Value as TypeValue;
use onnx_protobuf::{AttributeProto, AttributeValue, GraphProto, ModelProto, NodeProto};
use onnx_protobuf::{TensorProto, ValueInfoProto};
use std::fmt::Debug;

/// The text of a file.
pub fn text(model: &ModelProto) -> String {
    let graph = &model.graph;
    let opsets = model.opset_import.iter().map(|set| format!("opset {}{}", set.domain, set.version));
    let (opsets, ir, producer) = (join(opsets), model.ir_version, &model.producer_name);
    let mut lines = vec![format!("graph {:?}: {opsets}, IR version {ir}, by {producer}", graph.name)];
    let mut section = |title: &str, entries: Vec<String>| {
        lines.push(title.to_string());
        lines.extend(entries.into_iter().map(|entry| format!("  {entry}")));
    };
    section("inputs", graph.input.iter().map(port).collect());
    section("outputs", graph.output.iter().map(port).collect());
    section("initializers", graph.initializer.iter().map(initializer).collect());
    section("nodes", graph.node.iter().flat_map(node).collect());
    lines.join("\n")
}

fn join(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

/// The name of an element type, or its number where an exported file has no business with it.
fn element_type(number: i32) -> String {
    match number {
        1 => "float".into(),
        6 => "int32".into(),
        7 => "int64".into(),
        9 => "bool".into(),
        other => format!("type {other}"),
    }
}

/// `name: float[batch, 3]`; in a body, where ports have no shapes, `name: float`.
fn port(info: &ValueInfoProto) -> String {
    let Some(TypeValue::TensorType(tensor)) = &info.type_.value else {
        return format!("{}: no tensor", info.name);
    };
    let dims = tensor.shape.as_ref().map(|shape| {
        let dim = |value: &Option<DimValue>| match value {
            Some(DimValue::DimValue(n)) => n.to_string(),
            Some(DimValue::DimParam(symbol)) => symbol.clone(),
            _ => "?".into(),
        };
        format!("[{}]", join(shape.dim.iter().map(|dimension| dim(&dimension.value))))
    });
    format!("{}: {}{}", info.name, element_type(tensor.elem_type), dims.unwrap_or_default())
}

/// As many elements are shown whole.
const SHOWN: usize = 8;

fn initializer(tensor: &TensorProto) -> String {
    let bytes = &tensor.raw_data;
    let elements = match tensor.data_type {
        1 => shown(bytes, f32::from_le_bytes),
        6 => shown(bytes, i32::from_le_bytes),
        7 => shown(bytes, i64::from_le_bytes),
        _ => shown(bytes, u8::from_le_bytes),
    };
    let dims = join(tensor.dims.iter().map(i64::to_string));
    format!("{}: {}[{dims}] = {elements}", tensor.name, element_type(tensor.data_type))
}

fn shown<T: Debug, const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> String {
    let (elements, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty(), "{} bytes of elements of {N}", bytes.len());
    let some = |n: usize| {
        let texts = elements.iter().take(n).map(|bytes| format!("{:?}", element(*bytes)));
        texts.collect::<Vec<_>>().join(" ")
    };
    match elements.len() {
        ..=SHOWN => some(SHOWN),
        _ => format!("{} .. #{:016x}", some(SHOWN / 2), fnv1a(bytes)),
    }
}

/// The hash FNV-1a of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// A line, and where the node runs a graph, one for each part of it.
fn node(node: &NodeProto) -> Vec<String> {
    let list =
        |names: &[String]| join(names.iter().map(|name| if name.is_empty() { "_" } else { name }.into()));
    let own_name = node.output.first() != Some(&node.name);
    let name = if own_name { format!("[{}] ", node.name) } else { String::new() };
    let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
    let mut line = format!("{name}{} = {domain}{}({})", list(&node.output), node.op_type, list(&node.input));
    let attributes: Vec<String> = node.attribute.iter().map(attribute).collect();
    if !attributes.is_empty() {
        line += &format!(" {{{}}}", attributes.join(", "));
    }
    if !node.doc_string.is_empty() {
        line += &format!(" # {}", node.doc_string);
    }
    let graphs = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
    std::iter::once(line).chain(graphs.flat_map(body)).collect()
}

fn attribute(attribute: &AttributeProto) -> String {
    use AttributeValue::{Float32, Float32s, Graph, Integer64, Integer64s, String as Bytes, Strings};
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let value = match attribute.as_value() {
        Float32(x) => format!("{x:?}"),
        Float32s(x) => format!("{x:?}"),
        Integer64(n) => n.to_string(),
        Integer64s(n) => format!("{n:?}"),
        Bytes(bytes) => format!("{:?}", lossy(bytes)),
        Strings(strings) => format!("[{}]", join(strings.iter().map(|bytes| format!("{:?}", lossy(bytes))))),
        Graph(_) => "below".into(),
        _ => format!("of type {:?}", attribute.type_),
    };
    format!("{}={value}", attribute.name)
}

/// What a node runs, indented.
fn body(graph: &GraphProto) -> Vec<String> {
    let ports = |ports: &[ValueInfoProto]| join(ports.iter().map(port));
    let mut lines = vec![format!("  in {}", ports(&graph.input)), format!("  out {}", ports(&graph.output))];
    lines.extend(graph.initializer.iter().map(|tensor| format!("  {}", initializer(tensor))));
    lines.extend(graph.node.iter().flat_map(node).map(|line| format!("  {line}")));
    lines
}
