//! Ends a graph at a layer call: its outputs become the only ones, and what they do not need is gone.

use super::Rebuild;
use crate::{
    CallId, Constraint, Error, ErrorKind, Graph, GraphBuilder, LayerCall, Node, Outline, PerValue, Relation,
    Result, ValueId,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The part of `graph` that computes the outputs of `call`, which bear the layer's name, and the calls of `outline`
/// that are part of it. Inputs that are not read are gone; a call of which only a part is left has no shapes for the
/// outputs that are not computed.
///
/// # Errors
/// Of kind [`Input`](ErrorKind::Input) where `call` is not in the outline, or its outputs are not values of the graph
/// any more.
pub fn until(graph: &Graph, outline: &Outline, call: CallId) -> Result<(Graph, Outline)> {
    let gone = || Error::new(ErrorKind::Input, "the layer's outputs are not values of the graph");
    let target = outline.get(call).ok_or_else(gone)?;
    let mut taps: Vec<_> = graph.taps().iter().filter(|tap| tap.call == call).collect();
    taps.sort_by_key(|tap| tap.output);
    let outputs = taps.iter().map(|tap| tap.value.ok_or_else(gone)).collect::<Result<Vec<_>>>()?;
    if outputs.is_empty() {
        return Err(gone());
    }
    let live = Live::new(graph, &outputs);
    let calls = Calls::new(graph, outline, call, &live);

    let mut rebuild = Rebuild::of(graph, GraphBuilder::new());
    for port in graph.inputs().iter().filter(|port| live.value(port.value)) {
        let value = rebuild.new.input(port.name.clone(), graph.value(port.value).r#type.clone())?;
        rebuild.replace(port.value, value);
    }
    let symbols: BTreeSet<Arc<str>> = rebuild.new.graph().symbols().into_iter().collect();
    for constraint in graph.constraints() {
        let origin = constraint.origin.map(|id| calls.new_id(id));
        if origin != Some(None) && symbols_of(constraint).is_subset(&symbols) {
            rebuild.new.constraint(Constraint { origin: origin.flatten(), ..constraint.clone() });
        }
    }
    for node in graph.nodes().iter().filter(|node| live.node(node)) {
        rebuild.copy(&node.with_origin(&|id| calls.new_id(id)))?;
    }
    for (index, &value) in outputs.iter().enumerate() {
        let name = match index {
            0 => target.name.clone(),
            n => format!("{}_{n}", target.name),
        };
        if let Some(value) = rebuild.operand(value.into())?.value() {
            rebuild.new.output(name, value);
        }
    }
    for tap in graph.taps() {
        let value = tap.value.and_then(|value| rebuild.values[value]);
        if let (Some(call), Some(value)) = (calls.new_id(tap.call), value) {
            rebuild.new.tap(call, tap.output, Some(value));
        }
    }
    let outline = calls.outline(graph, outline, &live);
    Ok((rebuild.new.finish(), outline))
}

fn symbols_of(constraint: &Constraint) -> BTreeSet<Arc<str>> {
    let mut symbols = BTreeSet::new();
    let mut insert = |name: &Arc<str>| {
        symbols.insert(name.clone());
    };
    constraint.left.visit_symbols(&mut insert);
    match &constraint.relation {
        Relation::EqualTo(right) | Relation::MultipleOf(right) => right.visit_symbols(&mut insert),
        Relation::AtLeast(_) => {}
    }
    symbols
}

/// The values that some outputs need.
pub(super) struct Live(PerValue<bool>);

impl Live {
    pub fn new(graph: &Graph, outputs: &[ValueId]) -> Live {
        let mut live = Live(PerValue::new(graph, false));
        outputs.iter().for_each(|&id| live.0[id] = true);
        for node in graph.nodes().iter().rev() {
            if live.node(node) {
                node.inputs.iter().filter_map(|operand| operand.value()).for_each(|id| live.0[id] = true);
            }
        }
        live
    }

    fn value(&self, id: ValueId) -> bool {
        self.0[id]
    }

    pub fn node(&self, node: &Node) -> bool {
        node.outputs.iter().any(|&id| self.value(id))
    }
}

/// The ids that the calls get; `None` for those that are gone.
struct Calls(Vec<Option<CallId>>);

impl Calls {
    #[expect(
        clippy::indexing_slicing,
        reason = "one mark for each call, and ids of calls and values are of this graph and outline"
    )]
    fn new(graph: &Graph, outline: &Outline, target: CallId, live: &Live) -> Calls {
        let count = outline.calls.len();
        let parent = |id: usize| outline.calls[id].parent.map(|CallId(parent)| parent);
        let mut kept = vec![false; count];
        let mut has_nodes = vec![false; count];
        let mut keep = |id: CallId| {
            let mut next = Some(id.0);
            while let Some(id) = next.filter(|&id| id < count && !kept[id]) {
                kept[id] = true;
                next = parent(id);
            }
        };
        keep(target);
        for node in graph.nodes() {
            let inner = node.body().map(Graph::origins).unwrap_or_default();
            for origin in node.origin.into_iter().chain(inner).filter(|origin| origin.0 < count) {
                has_nodes[origin.0] = true;
                if live.node(node) {
                    keep(origin);
                }
            }
        }
        // Calls that add no operators, such as inputs, are part of it where their output is. Whatever was called after
        // the target, and lies not in it, only reads what the target needs as well.
        let mut inside = vec![false; count];
        for id in target.0..count {
            inside[id] = id == target.0 || parent(id).is_some_and(|parent| inside[parent]);
        }
        let mut has_live_tap = vec![false; count];
        for tap in graph.taps().iter().filter(|tap| tap.call.0 < count) {
            has_live_tap[tap.call.0] |= tap.value.is_some_and(|value| live.value(value));
        }
        for id in 0..count {
            let before = id < target.0 || inside[id];
            let parent_kept = parent(id).is_none_or(|parent| kept[parent]);
            kept[id] |= !has_nodes[id] && before && parent_kept && has_live_tap[id];
        }
        let mut ids = (0..count).map(CallId);
        Calls(kept.into_iter().map(|kept| if kept { ids.next() } else { None }).collect())
    }

    fn new_id(&self, old: CallId) -> Option<CallId> {
        self.0.get(old.0).copied().flatten()
    }

    fn outline(&self, graph: &Graph, outline: &Outline, live: &Live) -> Outline {
        let is_computed = |call: CallId, output: usize| {
            let mut taps = graph.taps().iter().filter(|tap| tap.call == call && tap.output == output);
            taps.any(|tap| tap.value.is_some_and(|value| live.value(value)))
        };
        let kept = |id: &usize| self.new_id(CallId(*id)).is_some();
        let mut calls: Vec<LayerCall> = Vec::new();
        let mut repetitions: Vec<usize> = Vec::new();
        for (id, old) in outline.calls.iter().enumerate().filter(|(id, _)| kept(id)) {
            // A shared layer's weights count at its first call, which may be gone.
            let earlier = calls.iter().zip(&repetitions).filter(|(call, repetition)| {
                call.name == old.name && call.class == old.class && **repetition < old.repetition
            });
            let repetition = earlier.count().min(old.repetition);
            let shape = |(output, shape): (usize, &Option<crate::Shape>)| {
                shape.clone().filter(|_| is_computed(CallId(id), output))
            };
            repetitions.push(old.repetition);
            calls.push(LayerCall {
                parent: old.parent.and_then(|parent| self.new_id(parent)),
                repetition,
                outputs: old.outputs.iter().enumerate().map(shape).collect(),
                inputs: old
                    .inputs
                    .iter()
                    .filter_map(|&(call, output)| Some((self.new_id(call)?, output)))
                    .collect(),
                ..old.clone()
            });
        }
        Outline { name: outline.name.clone(), calls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Concat, Unary};
    use crate::{DType, Dim, Shape, Tensor, TensorType, run_reference};

    /// Layer calls and their operators, written down one after the other.
    #[derive(Default)]
    struct Sketch {
        builder: GraphBuilder,
        outline: Outline,
    }

    impl Sketch {
        fn input(&mut self, name: &str, dims: [&str; 2]) -> ValueId {
            let shape = Shape::new(dims.map(Dim::symbol));
            let value = self.builder.input(name, TensorType::new(shape, DType::F32)).unwrap();
            self.call(name, None, 0, |_| vec![value]);
            value
        }

        fn call(
            &mut self,
            path: &str,
            parent: Option<usize>,
            repetition: usize,
            add: impl FnOnce(&mut Sketch) -> Vec<ValueId>,
        ) -> Vec<ValueId> {
            let id = CallId(self.outline.calls.len());
            self.outline.calls.push(LayerCall {
                path: path.to_string(),
                name: path.rsplit('/').next().unwrap().to_string(),
                class: "Layer".to_string(),
                parent: parent.map(CallId),
                object: id.0,
                repetition,
                outputs: Vec::new(),
                inputs: Vec::new(),
                weights: Vec::new(),
            });
            self.builder.within(Some(id));
            let outputs = add(self);
            for (index, &value) in outputs.iter().enumerate() {
                self.builder.tap(id, index, Some(value));
                let shape = self.builder.type_of(value).shape;
                self.outline.calls[id.0].outputs.push(Some(shape));
            }
            outputs
        }

        fn unary(&mut self, path: &str, parent: Option<usize>, repetition: usize, x: ValueId) -> ValueId {
            self.call(path, parent, repetition, |sketch| {
                sketch.builder.within(Some(CallId(sketch.outline.calls.len() - 1)));
                vec![sketch.builder.add(Unary::Relu, [x]).unwrap()]
            })[0]
        }
    }

    /// `x -> a -> block(input, b, c) -> d`, a side branch of `a`, and `join` of `d` and the other input.
    fn sketch() -> Sketch {
        let mut sketch = Sketch::default();
        let x = sketch.input("x", ["batch", "steps"]);
        let z = sketch.input("z", ["batch", "steps_1"]);
        let a = sketch.unary("a", None, 0, x);
        sketch.unary("side", None, 0, a);
        sketch.call("quiet", None, 0, |_| vec![a]);
        let block = sketch.outline.calls.len();
        let c = sketch.call("block", None, 0, |sketch| {
            sketch.call("block/input", Some(block), 0, |_| vec![a]);
            let b = sketch.unary("block/b", Some(block), 0, a);
            vec![sketch.unary("block/c", Some(block), 1, b), b]
        });
        let d = sketch.unary("d", None, 0, c[0]);
        sketch.call("late", None, 0, |_| vec![d]);
        let joined = sketch
            .call("join", None, 0, |sketch| vec![sketch.builder.add(Concat { axis: 1 }, [d, z]).unwrap()]);
        sketch.builder.output("join", joined[0]);
        sketch
    }

    fn id(outline: &Outline, path: &str) -> CallId {
        CallId(outline.calls.iter().position(|call| call.path == path).unwrap())
    }

    #[test]
    fn what_the_layer_does_not_need_is_gone() {
        let Sketch { builder, outline } = sketch();
        let graph = builder.finish();
        for (layer, inputs, outputs, paths, nodes) in [
            ("x", vec!["x"], vec!["x"], vec!["x"], 0),
            ("z", vec!["z"], vec!["z"], vec!["z"], 0),
            ("a", vec!["x"], vec!["a"], vec!["x", "a"], 1),
            ("side", vec!["x"], vec!["side"], vec!["x", "a", "side"], 2),
            ("quiet", vec!["x"], vec!["quiet"], vec!["x", "a", "quiet"], 1),
            ("block/input", vec!["x"], vec!["input"], vec!["x", "a", "quiet", "block", "block/input"], 1),
            ("block/b", vec!["x"], vec!["b"], vec!["x", "a", "quiet", "block", "block/input", "block/b"], 2),
            (
                "block",
                vec!["x"],
                vec!["block", "block_1"],
                vec!["x", "a", "quiet", "block", "block/input", "block/b", "block/c"],
                3,
            ),
            (
                "d",
                vec!["x"],
                vec!["d"],
                vec!["x", "a", "quiet", "block", "block/input", "block/b", "block/c", "d"],
                4,
            ),
        ] {
            let (cut, kept) = until(&graph, &outline, id(&outline, layer)).unwrap();
            let names =
                |ports: &[crate::Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
            assert_eq!(names(cut.inputs()), inputs, "{layer}");
            assert_eq!(names(cut.outputs()), outputs, "{layer}");
            let found: Vec<&str> = kept.calls.iter().map(|call| call.path.as_str()).collect();
            assert_eq!(found, paths, "{layer}");
            assert_eq!(cut.nodes().len(), nodes, "{layer}");
            for node in cut.nodes() {
                let origin = kept.get(node.origin.unwrap()).unwrap();
                assert!(
                    graph
                        .nodes()
                        .iter()
                        .any(|old| outline.get(old.origin.unwrap()).unwrap().path == origin.path)
                );
            }
            for tap in cut.taps() {
                let call = kept.get(tap.call).unwrap();
                let shape = cut.value(tap.value.unwrap()).r#type.shape.clone();
                assert_eq!(call.outputs[tap.output], Some(shape), "{layer}: {}", call.path);
            }
            for call in &kept.calls {
                let parent = call.parent.map(|parent| kept.get(parent).unwrap().path.as_str());
                assert_eq!(parent, call.path.rsplit_once('/').map(|(parent, _)| parent), "{layer}");
            }
        }
    }

    #[test]
    fn outputs_that_are_not_computed_have_no_shape_and_repetitions_count_from_what_is_left() {
        let Sketch { builder, outline } = sketch();
        let graph = builder.finish();
        let (_, kept) = until(&graph, &outline, id(&outline, "block/b")).unwrap();
        let block = kept.get(id(&kept, "block")).unwrap();
        assert_eq!(block.outputs.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
        let (_, kept) = until(&graph, &outline, id(&outline, "d")).unwrap();
        assert_eq!(kept.get(id(&kept, "block/c")).unwrap().repetition, 0);
    }

    #[test]
    fn only_the_conditions_of_what_is_left_are_demanded() {
        let mut sketch = Sketch::default();
        let mut last = sketch.input("x", ["batch", "steps"]);
        for (name, size) in [("first", 3), ("second", 9)] {
            last = sketch.unary(name, None, 0, last);
            sketch.builder.constraint(Constraint {
                left: Dim::symbol("steps"),
                relation: Relation::AtLeast(size),
                rule: format!("{name} needs steps"),
                origin: Some(CallId(sketch.outline.calls.len() - 1)),
            });
        }
        sketch.builder.output("second", last);
        let Sketch { builder, outline } = sketch;
        let graph = builder.finish();
        let problem = |graph: &Graph, steps: usize| graph.bind(&[&[1, steps]]).err();
        assert!(problem(&graph, 5).unwrap().message().starts_with("second needs steps"));
        let (cut, kept) = until(&graph, &outline, id(&outline, "first")).unwrap();
        assert_eq!(problem(&cut, 5), None);
        let problem = problem(&cut, 2).unwrap();
        assert!(problem.message().starts_with("first needs steps"));
        assert_eq!(kept.get(problem.origin().unwrap()).unwrap().path, "first");
    }

    #[test]
    fn the_values_are_those_of_the_whole() {
        let Sketch { builder, outline } = sketch();
        let graph = builder.finish();
        let tensor = |n: usize| Tensor::f64([1, n], (0..n).map(|i| i as f64 - 1.5).collect()).unwrap();
        for layer in ["a", "block", "d"] {
            let call = id(&outline, layer);
            let (cut, _) = until(&graph, &outline, call).unwrap();
            let taps: Vec<ValueId> =
                graph.taps().iter().filter(|tap| tap.call == call).map(|tap| tap.value.unwrap()).collect();
            let whole = run_reference(&graph, &[tensor(4), tensor(2)], &taps).unwrap();
            let part = run_reference(&cut, &[tensor(4)], &[]).unwrap();
            for (value, output) in taps.iter().zip(&part.outputs) {
                assert_eq!(&whole.kept[value], output, "{layer}");
            }
        }
    }

    #[test]
    fn calls_that_are_not_there_are_refused() {
        let Sketch { builder, outline } = sketch();
        let graph = builder.finish();
        assert_eq!(until(&graph, &outline, CallId(99)).unwrap_err().kind(), ErrorKind::Input);
        let folded = crate::rewrite(&graph).unwrap();
        assert!(until(&folded, &outline, id(&outline, "d")).is_ok());
        assert!(until(&Graph::default(), &outline, id(&outline, "d")).is_err());
    }
}
