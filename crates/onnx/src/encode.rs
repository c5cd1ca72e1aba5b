//! The messages of a file: nodes, ports and metadata with their names.

use crate::choice::choose;
use crate::draft::{Body, BodyPort, Draft, DraftNode, TensorId};
use crate::export::{Contents, Encoded, Export};
use crate::initializer;
use crate::layout::Layout;
use crate::layout::assign::{Assigned, assign};
use crate::messages::{
    AttributeProto, AttributeType, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    data_type,
};
use crate::names::{Names, names};
use crate::options::LAYERS;
use crate::sizes::bindings;
use crate::{Error, ExportOptions, LayerName, Place, Result};
use k2o_core::{DType, Dim, Graph, Outline, ValueId, rewrite, round_weights, substitute};
use prost::Message;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The graph as ONNX: what it needs of `outline` are the layers' names and classes.
///
/// The graph is best [rewritten](k2o_core::rewrite) before, or it has nodes that the rewrite would fold away.
///
/// # Errors
/// [`Input`](crate::ErrorKind::Input) where an option is out of range or does not fit the graph's inputs, or the model was
/// opened without weights, [`Shape`](crate::ErrorKind::Shape) where the graph cannot be for inputs of the options' sizes,
/// [`Unsupported`](crate::ErrorKind::Unsupported) where the operator set has no way to say what the graph does.
pub fn export(graph: &Graph, outline: &Outline, options: &ExportOptions) -> Result<Export> {
    options.check()?;
    let graph = prepare(graph, options)?;
    let (graph, choices) = choose(&graph, options)?;
    let graph = graph.as_ref();
    let assigned = assign(graph, options.io_layout, Draft::new(options, graph, outline))?;
    let names = names(graph, outline, &assigned)?;
    let draft = &assigned.draft;
    let initializers = draft.initializers.iter().zip(&names.initializers);
    let initializers = initializers.map(|(init, name)| initializer::Tensor::new(graph, draft, init, name));
    let initializers = initializers.collect::<Result<Vec<_>>>()?;

    let node = Nodes { outline, names: &names, next: names.nodes.iter() }.encode(&draft.nodes);
    let name = options.model_name.clone().unwrap_or_else(|| outline.name.clone());
    // A graph must have a name.
    let name = if name.is_empty() { "model".to_string() } else { name };
    let model_head = ModelProto {
        ir_version: options.ir_version(),
        producer_name: "k2o".into(),
        producer_version: options.producer_version.clone(),
        doc_string: options.doc_string.clone(),
        ..ModelProto::default()
    };
    let metadata = options.metadata.iter().cloned();
    let metadata = metadata.chain([(LAYERS.to_string(), layers(outline, &names.layers))]);
    let model_tail = ModelProto {
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: options.opset }],
        metadata_props: metadata.map(|(key, value)| StringStringEntryProto { key, value }).collect(),
        ..ModelProto::default()
    };
    let encoded = Encoded {
        model_head: model_head.encode_to_vec(),
        graph_head: GraphProto { node, name, ..GraphProto::default() }.encode_to_vec(),
        initializers,
        graph_tail: ports(graph, &assigned, &names, options)?.encode_to_vec(),
        model_tail: model_tail.encode_to_vec(),
        late_metadata: options.late_metadata.clone(),
    };
    let port_names = |tensors: &[TensorId]| {
        tensors.iter().map(|&tensor| names.tensor(tensor).to_string()).collect::<Vec<String>>()
    };
    let contents = Contents {
        input_names: port_names(&assigned.inputs),
        output_names: port_names(&assigned.outputs),
        node_count: names.nodes.len(),
        layer_names: names.layers,
        choices,
    };
    Ok(Export::new(encoded, options.external_data, contents))
}

/// The graph for the sizes and with the weights that were asked for.
fn prepare<'a>(graph: &'a Graph, options: &ExportOptions) -> Result<Cow<'a, Graph>> {
    let mut graph = Cow::Borrowed(graph);
    let bindings = bindings(&graph, options)?;
    if !bindings.is_empty() {
        // What was kept apart by an unknown size can be folded now.
        graph = Cow::Owned(rewrite(&substitute(&graph, &bindings)?)?);
    }
    if let Some(narrow) = options.weights_type.narrow() {
        graph = Cow::Owned(round_weights(&graph, narrow)?);
    }
    Ok(graph)
}

/// The layers as JSON, in the order of execution.
fn layers(outline: &Outline, names: &[LayerName]) -> String {
    let layer = |name: &LayerName| {
        let call = outline.get(name.call)?;
        let path = match name.output {
            0 => call.path.clone(),
            output => format!("{}:{output}", call.path),
        };
        let mut layer = Map::from_iter([("name".into(), json!(path)), ("class".into(), json!(call.class))]);
        if let Place::Named { name, permutation } = &name.place {
            layer.insert("tensor".into(), json!(name));
            if let Some(permutation) = permutation {
                layer.insert("permutation".into(), json!(permutation));
            }
        }
        Some(Value::Object(layer))
    };
    Value::Array(names.iter().filter_map(layer).collect()).to_string()
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
            |id: &Option<TensorId>| id.map_or_else(String::new, |id| self.names.tensor(id).to_string());
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
                name: names.tensor(port.tensor).to_string(),
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

/// The graph's inputs and outputs.
fn ports(graph: &Graph, assigned: &Assigned, names: &Names, options: &ExportOptions) -> Result<GraphProto> {
    let layout = |id: ValueId| Layout::of_port(options.io_layout, graph.value(id).r#type.shape.rank());
    let mut proto = GraphProto::default();
    for (port, &tensor) in graph.inputs().iter().zip(&assigned.inputs) {
        proto.input.push(value_info(graph, names.tensor(tensor), port.value, &layout(port.value))?);
    }
    for (port, &tensor) in graph.outputs().iter().zip(&assigned.outputs) {
        proto.output.push(value_info(graph, names.tensor(tensor), port.value, &layout(port.value))?);
    }
    if options.keep_taps {
        for (tensor, id, layout) in &names.taps {
            proto.output.push(value_info(graph, names.tensor(*tensor), *id, layout)?);
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
    let dims = order.iter().map(|&axis| Ok(dim(r#type.shape.dim(axis)?))).collect::<Result<_>>()?;
    let shape = TensorShapeProto { dim: dims };
    let tensor_type = Some(TensorTypeProto { elem_type: data_type(r#type.dtype), shape: Some(shape) });
    Ok(ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) })
}
