//! What is drawn of a model: layer calls, its inputs and outputs, and what leads from one to the other.

use crate::text::shape_text;
use k2o_core::{CallId, Graph, NodeId, Operand, Outline, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Layer calls and the connections between them, in the order of execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagram {
    /// The model's name.
    pub title: String,
    /// What is drawn. Groups stand before what is in them.
    pub nodes: Vec<Node>,
    /// What leads from one to others.
    pub links: Vec<Link>,
}

/// One thing that is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// The layer's name, with `#2` behind it for its second call; the name of an input or output.
    pub name: String,
    /// The layer's class; `Input` or `Output` where there is no layer.
    pub class: String,
    /// The layer call, if it is one.
    pub call: Option<CallId>,
    /// The group that it lies in, as an index into the nodes.
    pub group: Option<usize>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An input of the model.
    Input,
    /// A layer call, of a nested model too where that is folded.
    Layer,
    /// The call of a nested model that is unfolded. No link leads to it or from it.
    Group,
    /// An output of the model.
    Output,
}

/// One output of a node and all that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The node.
    pub from: usize,
    /// Which of its outputs.
    pub output: usize,
    /// The output's shape as Keras prints it; empty if it is unknown.
    pub shape: String,
    /// The nodes that read it, as often as they do so.
    pub to: Vec<usize>,
}

/// How much of nested models is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Each is one node.
    #[default]
    Folded,
    /// Their layers are, in a box around them.
    Unfolded,
}

impl Diagram {
    /// What the model consists of. `graph` must be the one that `outline` was made with, and not rewritten.
    pub fn new(graph: &Graph, outline: &Outline, detail: Detail) -> Diagram {
        let mut builder = Builder::new(graph, outline, detail);
        builder.add_inputs();
        builder.add_calls();
        builder.link_inputs();
        builder.link_calls();
        builder.add_outputs();
        let links = builder.links.into_iter();
        let link = |((from, output), (shape, to))| Link { from, output, shape, to };
        Diagram { title: outline.name.clone(), nodes: builder.nodes, links: links.map(link).collect() }
    }

    /// The node at the level of `group` that `node` is or lies in, if there is one.
    pub(crate) fn at_level(&self, node: usize, group: Option<usize>) -> Option<usize> {
        let mut node = node;
        loop {
            let around = self.nodes.get(node)?.group;
            if around == group {
                return Some(node);
            }
            node = around.filter(|&outer| outer < node)?;
        }
    }
}

struct Builder<'a> {
    graph: &'a Graph,
    outline: &'a Outline,
    taps: BTreeMap<(CallId, usize), ValueId>,
    children: Vec<Vec<usize>>,
    /// The calls with operators of their own.
    busy: BTreeSet<usize>,
    /// Whether the layers inside a call are drawn.
    is_unfolded: Vec<bool>,
    /// The call that is drawn for each call: itself, or the outermost folded one that it lies in.
    shown: Vec<usize>,
    nodes: Vec<Node>,
    node_of_call: Vec<Option<usize>>,
    /// Inputs that no layer call stands for.
    bare_inputs: Vec<(usize, ValueId)>,
    links: BTreeMap<(usize, usize), (String, Vec<usize>)>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph, outline: &'a Outline, detail: Detail) -> Builder<'a> {
        let calls = &outline.calls;
        let taps: BTreeMap<(CallId, usize), ValueId> =
            graph.taps().iter().filter_map(|tap| Some(((tap.call, tap.output), tap.value?))).collect();
        let parent = |id: usize| calls[id].parent.map(|CallId(parent)| parent).filter(|&parent| parent < id);
        let mut children = vec![Vec::new(); calls.len()];
        for id in 0..calls.len() {
            if let Some(parent) = parent(id) {
                children[parent].push(id);
            }
        }
        let mut builder = Builder {
            graph,
            outline,
            taps,
            children,
            busy: graph.nodes().iter().filter_map(|node| Some(node.origin?.0)).collect(),
            is_unfolded: vec![false; calls.len()],
            shown: Vec::with_capacity(calls.len()),
            nodes: Vec::new(),
            node_of_call: vec![None; calls.len()],
            bare_inputs: Vec::new(),
            links: BTreeMap::new(),
        };
        for id in 0..calls.len() {
            let around = parent(id).map(|parent| (builder.shown[parent], builder.is_unfolded[parent]));
            let shown = match around {
                Some((outer, false)) => outer,
                _ => id,
            };
            builder.shown.push(shown);
            builder.is_unfolded[id] = detail == Detail::Unfolded && shown == id && builder.is_of_layers(id);
        }
        builder
    }

    /// Whether a call does nothing but call layers: no operator is its own, and each of its outputs is one of theirs.
    fn is_of_layers(&self, id: usize) -> bool {
        let outputs = self.outline.calls[id].outputs.len();
        let is_idle = !self.children[id].is_empty() && !self.busy.contains(&id);
        is_idle && outputs > 0 && (0..outputs).all(|output| self.inner(id, output).is_some())
    }

    /// The layer call directly inside `id` whose output is the given one of `id`.
    fn inner(&self, id: usize, output: usize) -> Option<(usize, usize)> {
        let value = self.taps.get(&(CallId(id), output))?;
        let outputs =
            |&child: &usize| (0..self.outline.calls[child].outputs.len()).map(move |output| (child, output));
        let mut inside = self.children[id].iter().rev().flat_map(outputs);
        inside.find(|&(child, output)| self.taps.get(&(CallId(child), output)) == Some(value))
    }

    /// The node, and which of its outputs, that draws an output of a call.
    fn source(&self, CallId(id): CallId, output: usize) -> Option<(usize, usize)> {
        let (mut id, mut output) = (id, output);
        let shown = *self.shown.get(id)?;
        if shown != id {
            // An inner layer of a folded model.
            let value = self.taps.get(&(CallId(id), output));
            let outputs = 0..self.outline.calls[shown].outputs.len();
            let same = |other: &usize| value.is_some() && self.taps.get(&(CallId(shown), *other)) == value;
            output = outputs.into_iter().find(same).unwrap_or(0);
            id = shown;
        }
        while self.is_unfolded[id] {
            (id, output) = self.inner(id, output)?;
        }
        Some((self.node_of_call[id]?, output))
    }

    fn add_inputs(&mut self) {
        for port in self.graph.inputs() {
            if self.input_layer(port.value).is_none() {
                self.bare_inputs.push((self.nodes.len(), port.value));
                self.nodes.push(Node {
                    kind: Kind::Input,
                    name: port.name.clone(),
                    class: "Input".to_string(),
                    call: None,
                    group: None,
                });
            }
        }
    }

    /// The layer call that stands for an input of the model.
    fn input_layer(&self, value: ValueId) -> Option<usize> {
        let mut calls = self.outline.calls.iter().enumerate();
        let is_input = |(id, call): &(usize, &k2o_core::LayerCall)| {
            call.class == "InputLayer"
                && call.parent.is_none()
                && self.taps.get(&(CallId(*id), 0)) == Some(&value)
        };
        calls.find(is_input).map(|(id, _)| id)
    }

    fn add_calls(&mut self) {
        let inputs: Vec<usize> =
            self.graph.inputs().iter().filter_map(|port| self.input_layer(port.value)).collect();
        for (id, call) in self.outline.calls.iter().enumerate().filter(|(id, _)| self.shown[*id] == *id) {
            let kind = match self.is_unfolded[id] {
                true => Kind::Group,
                false if inputs.contains(&id) => Kind::Input,
                false => Kind::Layer,
            };
            let name = match call.repetition {
                0 => call.name.clone(),
                n => format!("{}#{}", call.name, n.saturating_add(1)),
            };
            let group = call.parent.and_then(|CallId(parent)| *self.node_of_call.get(parent)?);
            self.node_of_call[id] = Some(self.nodes.len());
            self.nodes.push(Node { kind, name, class: call.class.clone(), call: Some(CallId(id)), group });
        }
    }

    /// The calls that are drawn as nodes, with these nodes.
    fn leaves(&self) -> impl Iterator<Item = (usize, usize)> {
        let node = |(id, node): (usize, &Option<usize>)| Some((id, (*node)?));
        self.node_of_call.iter().enumerate().filter_map(node).filter(|(id, _)| !self.is_unfolded[*id])
    }

    fn link_inputs(&mut self) {
        for (input, value) in self.bare_inputs.clone() {
            let reads = |node: &&k2o_core::Node| node.inputs.contains(&Operand::Value(value));
            let readers = self.graph.nodes().iter().filter(reads);
            let mut readers: Vec<usize> = readers.filter_map(|node| self.node_of(node.origin)).collect();
            readers.sort_unstable();
            readers.dedup();
            // Where the layers' connections begin: what comes later reads the input by way of what only passes it on.
            let passes = |id: usize| self.taps.get(&(CallId(id), 0)) == Some(&value);
            let first = self.leaves().filter(|&(id, node)| {
                self.outline.calls[id].inputs.is_empty() && (passes(id) || readers.contains(&node))
            });
            let first: Vec<usize> = first.map(|(_, node)| node).collect();
            for reader in if first.is_empty() { readers } else { first } {
                self.link((input, 0), reader, shape_text(&self.graph.value(value).r#type.shape));
            }
        }
    }

    /// The node that draws what a graph's node came from.
    fn node_of(&self, origin: Option<CallId>) -> Option<usize> {
        let node = self.node_of_call[*self.shown.get(origin?.0)?]?;
        Some(node).filter(|&node| self.nodes[node].kind != Kind::Group)
    }

    fn link_calls(&mut self) {
        let leaves: Vec<(usize, usize)> = self.leaves().collect();
        for (id, node) in leaves {
            for &(call, output) in &self.outline.calls[id].inputs {
                if let Some(source) = self.source(call, output).filter(|source| source.0 != node) {
                    self.link(source, node, self.shape(source));
                }
            }
        }
    }

    fn add_outputs(&mut self) {
        for port in self.graph.outputs() {
            let node = self.nodes.len();
            self.nodes.push(Node {
                kind: Kind::Output,
                name: port.name.clone(),
                class: "Output".to_string(),
                call: None,
                group: None,
            });
            if let Some(source) = self.output_source(&port.name, port.value) {
                self.link(source, node, shape_text(&self.graph.value(port.value).r#type.shape));
            }
        }
    }

    /// What gives the model's output: the layer that it is named after, if that is one of those that have this value.
    fn output_source(&self, name: &str, value: ValueId) -> Option<(usize, usize)> {
        let taps = self.taps.iter().filter(|(_, tapped)| **tapped == value);
        let rated = taps.filter_map(|(&(call, output), _)| {
            let described = self.outline.get(call)?;
            let is_outermost = described.parent.is_none();
            Some(((is_outermost, is_outermost && described.name == name, call), output))
        });
        if let Some(((.., call), output)) = rated.max() {
            return self.source(call, output);
        }
        let bare = self.bare_inputs.iter().find(|(_, input)| *input == value);
        let producer = || self.graph.value(value).producer.map(|NodeId(id)| &self.graph.nodes()[id as usize]);
        let node = bare.map(|&(node, _)| node).or_else(|| self.node_of(producer()?.origin));
        let node = node?;
        // A value that is none of the layer's outputs, as a state is.
        let outputs = self.nodes[node]
            .call
            .and_then(|call| self.outline.get(call))
            .map_or(0, |call| call.outputs.len());
        Some((node, outputs))
    }

    fn shape(&self, (node, output): (usize, usize)) -> String {
        let call = self.nodes[node].call.and_then(|call| self.outline.get(call));
        let shape = call.and_then(|call| call.outputs.get(output)?.as_ref());
        shape.map(shape_text).unwrap_or_default()
    }

    fn link(&mut self, source: (usize, usize), to: usize, shape: String) {
        self.links.entry(source).or_insert((shape, Vec::new())).1.push(to);
    }
}
