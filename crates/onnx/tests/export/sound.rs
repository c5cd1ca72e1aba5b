//! What every file must be: names that are unique wherever they are, everything computed before it is read, nothing
//! that is not read, and nothing that the decoder does not know.

use onnx_protobuf::type_proto::Value as TypeValue;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use protobuf::SpecialFields;
use std::collections::BTreeSet;

/// Checks a decoded file, which is called `what`, and returns the names of its tensors outside of bodies.
#[track_caller]
pub fn check<'a>(model: &'a ModelProto, what: &str) -> BTreeSet<&'a str> {
    let graph = &model.graph;
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let weights = graph.initializer.iter().map(|tensor| &tensor.name);
    for name in graph.input.iter().map(|info| &info.name).chain(weights) {
        assert!(!name.is_empty(), "{what}: a tensor without a name");
        assert!(known.insert(name), "{what}: {name} is there twice");
    }
    let mut scope = Scope { what, all: known.clone(), nodes: BTreeSet::new(), used: BTreeSet::new() };
    scope.nodes(&graph.node, &mut known);
    for tensor in &graph.initializer {
        let elements: i64 = tensor.dims.iter().product();
        let size = match tensor.data_type {
            7 => 8,
            9 => 1,
            _ => 4,
        };
        assert_eq!(tensor.raw_data.len() as i64, elements * size, "{what}: {}", tensor.name);
        assert!(scope.used.contains(tensor.name.as_str()), "{what}: {} is not used", tensor.name);
    }
    for output in &graph.output {
        assert!(known.contains(output.name.as_str()), "{what}: {} is not computed", output.name);
    }
    let unknown = unknown_fields(model);
    assert!(unknown.is_empty(), "{what}: {unknown:?}");
    known
}

/// The names in a file, of which no two are the same wherever they are.
struct Scope<'a, 'b> {
    what: &'b str,
    /// The tensors.
    all: BTreeSet<&'a str>,
    nodes: BTreeSet<&'a str>,
    /// The tensors that nodes read.
    used: BTreeSet<&'a str>,
}

impl<'a> Scope<'a, '_> {
    /// Checks nodes that may read the tensors `known`, to which it adds their outputs.
    fn nodes(&mut self, nodes: &'a [NodeProto], known: &mut BTreeSet<&'a str>) {
        let what = self.what;
        for node in nodes {
            assert!(self.nodes.insert(&node.name), "{what}: the node {} is there twice", node.name);
            for input in node.input.iter().filter(|name| !name.is_empty()) {
                assert!(known.contains(input.as_str()), "{what}: {input} is read before it is computed");
                self.used.insert(input);
            }
            for body in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
                let mut inner = known.clone();
                for input in &body.input {
                    assert!(self.all.insert(&input.name), "{what}: {} is there twice", input.name);
                    inner.insert(&input.name);
                }
                self.nodes(&body.node, &mut inner);
                let computed = body.node.iter().flat_map(|node| &node.output).collect::<BTreeSet<_>>();
                for output in &body.output {
                    assert!(computed.contains(&output.name), "{what}: {} is not computed", output.name);
                }
                assert_eq!(body.output.len(), node.output.len(), "{what}: outputs of {}", node.name);
            }
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                assert!(self.all.insert(output), "{what}: {output} is computed twice");
                known.insert(output);
            }
        }
    }
}

/// The parts of a model, bodies included, that have fields which the decoder does not know.
fn unknown_fields(model: &ModelProto) -> Vec<&str> {
    let mut parts: Vec<(&str, &SpecialFields)> = vec![("model", &model.special_fields)];
    parts.extend(model.opset_import.iter().map(|set| (set.domain.as_str(), &set.special_fields)));
    parts.extend(model.metadata_props.iter().map(|entry| (entry.key.as_str(), &entry.special_fields)));
    graph_parts(&model.graph, &mut parts);
    parts.retain(|(_, fields)| fields.unknown_fields().iter().next().is_some());
    parts.into_iter().map(|(name, _)| name).collect()
}

fn graph_parts<'a>(graph: &'a GraphProto, parts: &mut Vec<(&'a str, &'a SpecialFields)>) {
    parts.push((&graph.name, &graph.special_fields));
    parts.extend(graph.initializer.iter().map(|tensor| (tensor.name.as_str(), &tensor.special_fields)));
    graph.input.iter().chain(&graph.output).for_each(|info| port_parts(info, parts));
    for node in &graph.node {
        parts.push((&node.name, &node.special_fields));
        for attribute in &node.attribute {
            parts.push((&attribute.name, &attribute.special_fields));
            attribute.g.iter().for_each(|body| graph_parts(body, parts));
        }
    }
}

fn port_parts<'a>(info: &'a ValueInfoProto, parts: &mut Vec<(&'a str, &'a SpecialFields)>) {
    let name = info.name.as_str();
    parts.push((name, &info.special_fields));
    for r#type in info.type_.iter() {
        parts.push((name, &r#type.special_fields));
        let Some(TypeValue::TensorType(tensor)) = &r#type.value else { continue };
        parts.push((name, &tensor.special_fields));
        for shape in tensor.shape.iter() {
            parts.push((name, &shape.special_fields));
            parts.extend(shape.dim.iter().map(|dim| (name, &dim.special_fields)));
        }
    }
}
