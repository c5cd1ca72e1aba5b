//! Exported files as another protobuf library reads them.

use crate::net::Case;
use k2o_onnx::{ExportOptions, export};
use onnx_protobuf::tensor_shape_proto::dimension::Value as DimValue;
use onnx_protobuf::type_proto::Value as TypeValue;
use onnx_protobuf::{GraphProto, Message, ModelProto, NodeProto, ValueInfoProto};

/// The exported case, decoded.
pub fn decode(case: &Case, options: &ExportOptions) -> ModelProto {
    let bytes = export(&case.graph, &case.outline, options).unwrap().to_bytes().unwrap();
    ModelProto::parse_from_bytes(&bytes).unwrap()
}

pub fn at(opset: i64) -> ExportOptions {
    ExportOptions::default().with_opset(opset)
}

/// The types of the nodes, in order.
pub fn op_types(case: &Case, opset: i64) -> String {
    let model = decode(case, &at(opset));
    model.graph.node.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>().join(" ")
}

/// `Conv conv1d/conv (x, kernel) -> conv1d/conv kernel_shape=[3]`; what a node runs stands behind it in braces.
pub fn text(node: &NodeProto) -> String {
    let (inputs, outputs) = (node.input.join(", "), node.output.join(", "));
    let mut text = format!("{} {} ({inputs}) -> {outputs}", node.op_type, node.name);
    for attribute in &node.attribute {
        use onnx_protobuf::AttributeValue::{
            Float32, Float32s, Graph, Integer64, Integer64s, String as Text, Strings,
        };
        text += &match attribute.as_value() {
            Float32(f) => format!(" {}={f}", attribute.name),
            Float32s(floats) => format!(" {}={floats:?}", attribute.name),
            Integer64(i) => format!(" {}={i}", attribute.name),
            Integer64s(ints) => format!(" {}={ints:?}", attribute.name),
            Text(s) => format!(" {}={}", attribute.name, String::from_utf8_lossy(s)),
            Strings(strings) => {
                let strings = strings.iter().map(|s| String::from_utf8_lossy(s)).collect::<Vec<_>>();
                format!(" {}=[{}]", attribute.name, strings.join(", "))
            }
            Graph(graph) => format!(" {}={{{}}}", attribute.name, body(graph)),
            _ => format!(" {}=?", attribute.name),
        };
    }
    text
}

/// `(inputs) -> (outputs): nodes`
fn body(graph: &GraphProto) -> String {
    let names =
        |ports: &[ValueInfoProto]| ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
    let nodes = graph.node.iter().map(text).collect::<Vec<_>>().join("; ");
    format!("({}) -> ({}): {nodes}", names(&graph.input), names(&graph.output))
}

/// `name: 1 [batch, 3]`, where 1 is the element type.
pub fn port(info: &ValueInfoProto) -> String {
    let Some(TypeValue::TensorType(tensor)) = &info.type_.value else { panic!("{} is no tensor", info.name) };
    let dims = tensor.shape.dim.iter().map(|dim| match &dim.value {
        Some(DimValue::DimValue(n)) => n.to_string(),
        Some(DimValue::DimParam(name)) => name.clone(),
        _ => "?".into(),
    });
    format!("{}: {} [{}]", info.name, tensor.elem_type, dims.collect::<Vec<_>>().join(", "))
}
