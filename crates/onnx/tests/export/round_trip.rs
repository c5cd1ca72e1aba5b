//! Whatever the graph, its names and its weights: the file says what the graph says.

use crate::decode::port;
use crate::random_graphs::make;
use crate::recipes::{Recipe, name, recipe};
use crate::sound;
use k2o_core::ops::{Conv, ConvTranspose, Pool, PoolKind, Spread, Unary};
use k2o_core::{DType, ExprKind, Graph, Op, Outline, Port, Shape, ValueId, Window};
use k2o_onnx::{ErrorKind, Export, ExportOptions, Place, Target, export};
use onnx_protobuf::{AttributeProto, AttributeValue, GraphProto, Message, ModelProto, NodeProto};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn options() -> impl Strategy<Value = ExportOptions> {
    let opset = ExportOptions::MIN_OPSET..=ExportOptions::MAX_OPSET;
    let target = select(vec![None, Some(Target::OnnxRuntime), Some(Target::Tract)]);
    let texts = (prop::option::of(name()), name(), name());
    let metadata = prop::collection::btree_map(name(), name(), 0..4);
    (opset, target, any::<[bool; 2]>(), texts, metadata).prop_map(
        |(opset, target, [taps, right_padded], (model, doc, version), metadata)| {
            let mut options = ExportOptions::default().with_opset(opset).with_taps(taps);
            options.target = target;
            options.assume_right_padded = right_padded;
            options.model_name = model;
            options.doc_string = doc;
            options.producer_version = version;
            options.metadata = metadata.into_iter().collect();
            options
        },
    )
}

/// The export, unless the operator set or a runtime lacks what the graph needs.
fn exported(recipe: &Recipe, options: &ExportOptions) -> Option<(Graph, Outline, Export)> {
    let (graph, outline) = make(recipe);
    match export(&graph, &outline, options) {
        Ok(export) => Some((graph, outline, export)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            None
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn another_library_reads_the_same_graph(recipe in recipe(), options in options()) {
        let Some((graph, outline, export)) = exported(&recipe, &options) else { return Ok(()) };
        let bytes = export.to_bytes().unwrap();
        let model = ModelProto::parse_from_bytes(&bytes).unwrap();
        let known = sound::check(&model, "the file");
        // Not the same bytes: this library writes the fields of an attribute in the order of their declaration, and
        // leaves out a number that is 0 and a weight's elements where there are none, which in the file are there.
        let encoded = model.write_to_bytes().unwrap();
        prop_assert_eq!(&ModelProto::parse_from_bytes(&encoded).unwrap(), &model);
        prop_assert!(encoded.len() == bytes.len() || encoded.len() < bytes.len() && has_nothing(&model.graph));

        check_model(&model, &outline, &options);
        check_ports(&model, &graph, &export);
        check_taps(&model, &known, &graph, &export, &options);
        check_weights(&model, &graph);
        check_nodes(&model, &graph, &outline, &export);
    }

    #[test]
    fn the_bytes_do_not_depend_on_how_they_are_taken(
        recipe in recipe(), options in options(), sizes in vec(0..70usize, 1..5),
    ) {
        let Some((_, _, export)) = exported(&recipe, &options) else { return Ok(()) };
        let bytes = export.to_bytes().unwrap();
        prop_assert_eq!(bytes.len() as u64, export.len().unwrap());
        let mut slow = Slow { bytes: Vec::new(), sizes, calls: 0 };
        prop_assert_eq!(export.write_to(&mut slow).unwrap(), export.len().unwrap());
        prop_assert!(slow.bytes == bytes);
    }
}

/// Whether an attribute is 0 or a weight has no elements.
fn has_nothing(graph: &GraphProto) -> bool {
    let is_zero = |attribute: &AttributeProto| match attribute.as_value() {
        AttributeValue::Integer64(n) => n == 0,
        AttributeValue::Float32(x) => x == 0.0,
        AttributeValue::Graph(body) => has_nothing(body),
        _ => false,
    };
    graph.node.iter().flat_map(|node| &node.attribute).any(is_zero)
        || graph.initializer.iter().any(|tensor| tensor.raw_data.is_empty())
}

/// Takes some bytes at a time; where it should take none, it is interrupted.
struct Slow {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
    calls: usize,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        let n = self.sizes[self.calls % self.sizes.len()].min(bytes.len());
        // Sometimes even if all sizes are 0.
        let n = if self.calls.is_multiple_of(7) { bytes.len().min(1) } else { n };
        if n == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.bytes.extend(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fields that the options say.
fn check_model(model: &ModelProto, outline: &Outline, options: &ExportOptions) {
    let imports: Vec<(&str, i64)> =
        model.opset_import.iter().map(|set| (set.domain.as_str(), set.version)).collect();
    assert_eq!(imports, [("", options.opset)]);
    let texts = [&model.producer_name, &model.producer_version, &model.doc_string];
    assert_eq!(texts, ["k2o", &options.producer_version, &options.doc_string]);
    let name = options.model_name.as_deref().unwrap_or(&outline.name);
    assert_eq!(model.graph.name, if name.is_empty() { "model" } else { name });
    let metadata = model.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
    assert!(metadata.take(options.metadata.len()).eq(options.metadata.iter().cloned()));
}

/// `1 [batch, 3]`, where 1 is the element type.
fn type_text(graph: &Graph, value: ValueId, order: Option<&[usize]>) -> String {
    let r#type = &graph.value(value).r#type;
    let number = match r#type.dtype {
        DType::F32 => 1,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        other => panic!("{other}"),
    };
    let shape = match order {
        Some(order) => Shape::new(order.iter().map(|&axis| r#type.shape[axis].clone()).collect::<Vec<_>>()),
        None => r#type.shape.clone(),
    };
    format!("{number} {shape}")
}

/// Ports have the graph's types, in its order, and its names, the first of the same ones as it is; others, and
/// empty ones, with a number.
fn check_ports(model: &ModelProto, graph: &Graph, export: &Export) {
    let ports: Vec<&Port> = graph.inputs().iter().chain(graph.outputs()).collect();
    let outputs = &model.graph.output[..graph.outputs().len()];
    let infos = model.graph.input.iter().chain(outputs);
    assert_eq!(infos.clone().count(), ports.len());
    for (at, (given, info)) in ports.iter().zip(infos.clone()).enumerate() {
        assert_eq!(port(info), format!("{}: {}", info.name, type_text(graph, given.value, None)));
        if given.name.is_empty() || ports[..at].iter().any(|earlier| earlier.name == given.name) {
            let rest = info.name.strip_prefix(&given.name).unwrap();
            assert!(!rest.is_empty(), "{:?} is called {:?}", given.name, info.name);
        } else if !infos.clone().take(at).any(|earlier| earlier.name == given.name) {
            assert_eq!(given.name, info.name);
        }
    }
    let names: Vec<&String> = infos.map(|info| &info.name).collect();
    assert!(names.into_iter().eq(export.input_names().iter().chain(export.output_names())));
}

/// Layers' outputs are where the export says, of the types that the graph says.
fn check_taps(
    model: &ModelProto,
    known: &BTreeSet<&str>,
    graph: &Graph,
    export: &Export,
    options: &ExportOptions,
) {
    assert_eq!(export.layer_names().len(), graph.taps().len());
    if !options.keep_taps {
        assert_eq!(model.graph.output.len(), graph.outputs().len());
    }
    for (layer, tap) in export.layer_names().iter().zip(graph.taps()) {
        assert_eq!((layer.call, layer.output), (tap.call, tap.output));
        let Place::Named { name, permutation } = &layer.place else { continue };
        assert!(known.contains(name.as_str()), "{name} is not computed");
        let ports = model.graph.input.iter().chain(&model.graph.output);
        let info = ports.clone().find(|info| info.name == *name);
        assert!(info.is_some() || !options.keep_taps, "{name} is no output");
        if let Some(info) = info {
            let expected = type_text(graph, tap.value.unwrap(), permutation.as_deref());
            assert_eq!(port(info), format!("{name}: {expected}"));
        }
    }
}

/// The bits of each element, sorted.
fn sorted_bits(bytes: &[u8]) -> Vec<u32> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    let mut bits: Vec<u32> = chunks.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    bits.sort_unstable();
    bits
}

/// Every weight's elements are those of one initializer, bit for bit and in whatever order; of a recurrence, whose
/// weights are put together and apart, they are among those of all.
fn check_weights(model: &ModelProto, graph: &Graph) {
    let initializers: Vec<Vec<u32>> =
        model.graph.initializer.iter().map(|tensor| sorted_bits(&tensor.raw_data)).collect();
    let mut all: BTreeMap<u32, usize> = BTreeMap::new();
    initializers.iter().flatten().for_each(|bits| *all.entry(*bits).or_default() += 1);
    for node in graph.nodes() {
        let in_parts = matches!(node.op, Op::Gru(_) | Op::Lstm(_) | Op::Rnn(_));
        for id in node.inputs.iter().filter_map(|operand| operand.constant()) {
            let constant = graph.constant(id);
            let ExprKind::Stored(stored) = constant.expr.kind() else { panic!("{constant:?}") };
            let bits = sorted_bits(&stored.read().unwrap());
            let found = match in_parts {
                true => bits.iter().all(|bits| all.contains_key(bits)),
                false => initializers.contains(&bits),
            };
            assert!(found, "{:?} of {:?} is not in the file", constant.name, node.op);
        }
    }
}

/// What a node that says all of an operator is called and has for attributes.
fn expected_node(op: &Op) -> Option<String> {
    let windows = |name: &str, sizes: Vec<[i64; 3]>, groups: usize| {
        let list = |at: usize| sizes.iter().map(|sizes| sizes[at]).collect::<Vec<i64>>();
        format!("{name} {:?} {:?} {:?} {groups}", list(0), list(1), list(2))
    };
    let plain = |window: &Window| [window.size(), window.stride(), window.dilation()];
    let spread = |spread: &Spread| [spread.size(), spread.stride(), spread.dilation()];
    Some(match op {
        Op::Conv(Conv { windows: all, groups }) => windows("Conv", all.iter().map(plain).collect(), *groups),
        Op::ConvTranspose(ConvTranspose { windows: all }) => {
            windows("ConvTranspose", all.iter().map(spread).collect(), 1)
        }
        Op::Pool(Pool { kind, windows: all }) => {
            let name = if *kind == PoolKind::Max { "MaxPool" } else { "AveragePool" };
            windows(name, all.iter().map(plain).collect(), 1)
        }
        Op::Unary(Unary::LeakyRelu { slope }) => format!("LeakyRelu {}", *slope as f32),
        Op::Unary(Unary::Elu { alpha }) => format!("Elu {}", *alpha as f32),
        Op::Unary(Unary::Relu) => "Relu".into(),
        Op::Unary(Unary::Tanh) => "Tanh".into(),
        Op::Unary(Unary::Sigmoid) => "Sigmoid".into(),
        Op::Unary(Unary::Exp) => "Exp".into(),
        Op::Concat(_) => "Concat".into(),
        _ => return None,
    })
}

/// The same of a node in the file, with what ONNX assumes where it says nothing.
fn node_text(node: &NodeProto) -> String {
    let find = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let ints = |name: &str| find(name).map(|attribute| attribute.ints.clone());
    match node.op_type.as_str() {
        "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" => {
            let sizes = ints("kernel_shape").unwrap();
            let [strides, dilations] =
                ["strides", "dilations"].map(|name| ints(name).unwrap_or_else(|| vec![1; sizes.len()]));
            let groups = find("group").map_or(1, |attribute| attribute.i);
            format!("{} {sizes:?} {strides:?} {dilations:?} {groups}", node.op_type)
        }
        name @ "LeakyRelu" => format!("{name} {}", find("alpha").map_or(0.01, |attribute| attribute.f)),
        name @ "Elu" => format!("{name} {}", find("alpha").map_or(1.0, |attribute| attribute.f)),
        name => name.into(),
    }
}

/// Every operator that is one node is there, of the class of its layer; and as many nodes as the export says.
fn check_nodes(model: &ModelProto, graph: &Graph, outline: &Outline, export: &Export) {
    fn all<'a>(nodes: &'a [NodeProto], found: &mut Vec<&'a NodeProto>) {
        for node in nodes {
            found.push(node);
            let bodies = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
            bodies.for_each(|body| all(&body.node, found));
        }
    }
    let mut nodes = Vec::new();
    all(&model.graph.node, &mut nodes);
    assert_eq!(nodes.len(), export.node_count());
    let there: Vec<(String, &str)> =
        model.graph.node.iter().map(|node| (node_text(node), node.doc_string.as_str())).collect();
    let mut wanted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for node in graph.nodes() {
        let class = node.origin.and_then(|call| outline.get(call)).map_or("", |call| &call.class);
        wanted.entry(expected_node(&node.op).unwrap_or_default()).or_default().push(class);
    }
    wanted.remove("");
    for (text, classes) in wanted {
        let found: Vec<&str> =
            there.iter().filter(|(own, _)| *own == text).map(|(_, class)| *class).collect();
        // What looks alike may compute the same, and be one node, of the class of either; a function may be a part of the
        // formula of another.
        let is_alone = classes.len() == 1 && text.contains(" [");
        let of_class = |found: &&str| !is_alone || classes.contains(found);
        assert!(found.iter().any(of_class), "no node is {text:?} of {classes:?}");
    }
}

/// Without this the properties could hold for want of graphs.
#[test]
fn most_random_graphs_are_exported() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut files, mut nodes, mut scans, mut weights) = (0, 0, 0, 0);
    for _ in 0..200 {
        let recipe = recipe().new_tree(&mut runner).unwrap().current();
        let options = options().new_tree(&mut runner).unwrap().current();
        let Some((_, _, export)) = exported(&recipe, &options) else { continue };
        let model = ModelProto::parse_from_bytes(&export.to_bytes().unwrap()).unwrap();
        files += 1;
        nodes += export.node_count();
        scans += model.graph.node.iter().filter(|node| node.op_type == "Scan").count();
        weights += model.graph.initializer.len();
    }
    let counts = [files, nodes, scans, weights];
    assert!(files > 120 && nodes > 10 * files && scans > 20 && weights > 5 * files, "{counts:?}");
}
