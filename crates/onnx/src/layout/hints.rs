//! What is known of a value's readers before they are reached.

use crate::ops::{self, TakesFlat, Tie};
use k2o_core::{Graph, NodeId, PerValue, ValueId};
use std::collections::BTreeSet;

/// Per value, what its readers would like.
#[derive(Debug)]
pub(crate) struct Hints {
    channels_first: PerValue<bool>,
    feeds_channels_first: PerValue<bool>,
    feeds_recurrent: PerValue<bool>,
    flat: PerValue<bool>,
    sole_readers: PerValue<Option<NodeId>>,
    uses: PerValue<usize>,
    outputs: BTreeSet<ValueId>,
}

impl Hints {
    pub fn new(graph: &Graph) -> Hints {
        Hints {
            channels_first: channels_first(graph),
            feeds_channels_first: feeds_channels_first(graph),
            feeds_recurrent: feeds_recurrent(graph),
            flat: flat(graph),
            sole_readers: sole_readers(graph),
            outputs: graph.outputs().iter().map(|port| port.value).collect(),
            uses: graph.uses(),
        }
    }

    /// Whether a convolution or pooling reads or makes the value, or one that must have its layout.
    pub fn channels_first(&self, id: ValueId) -> bool {
        self.channels_first[id]
    }

    /// Whether a convolution or pooling reads the value, or what is made of it in the same layout.
    pub fn feeds_channels_first(&self, id: ValueId) -> bool {
        self.feeds_channels_first[id]
    }

    /// Whether a recurrent operator reads the value step by step.
    pub fn feeds_recurrent(&self, id: ValueId) -> bool {
        self.feeds_recurrent[id]
    }

    /// The node that reads the value, if no other does and it is no output of the model or of a layer.
    pub fn sole_reader(&self, id: ValueId) -> Option<NodeId> {
        self.sole_readers[id]
    }

    /// Whether a node reads the value, or it is an output of the model.
    pub fn used(&self, id: ValueId) -> bool {
        self.uses[id] > 0
    }

    /// Whether the value is an output of the model.
    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.contains(&id)
    }

    /// Whether every reader can do with the value flattened in another order of axes.
    pub fn flat(&self, id: ValueId) -> bool {
        self.flat[id]
    }
}

/// For each value that nothing but one node has to do with, that node.
fn sole_readers(graph: &Graph) -> PerValue<Option<NodeId>> {
    let mut readers = PerValue::new(graph, (0, None));
    for (at, node) in graph.nodes_with_ids() {
        for id in node.inputs.iter().filter_map(|operand| operand.value()) {
            let (count, reader) = &mut readers[id];
            *count += 1;
            *reader = Some(at);
        }
    }
    let ports = graph.outputs().iter().map(|port| port.value);
    for id in ports.chain(graph.taps().iter().filter_map(|tap| tap.value)) {
        readers[id].0 += 1;
    }
    PerValue::of(graph, |id| {
        let (count, reader) = readers[id];
        reader.filter(|_| count == 1)
    })
}

/// Values joined by operators that keep the layout form regions; a region with an anchor is channels-first.
fn channels_first(graph: &Graph) -> PerValue<bool> {
    let mut parents = PerValue::of(graph, |id| id);
    fn root(parents: &mut PerValue<ValueId>, mut at: ValueId) -> ValueId {
        while parents[at] != at {
            parents[at] = parents[parents[at]];
            at = parents[at];
        }
        at
    }
    let rank = |id: ValueId| graph.value(id).r#type.shape.rank();
    let mut anchors = Vec::new();
    for node in graph.nodes() {
        let Some(&output) = node.outputs.first() else {
            continue;
        };
        let inputs = node.inputs.iter().filter_map(|operand| operand.value());
        match ops::tie(&node.op) {
            Tie::Anchor => anchors.extend(inputs.take(1).chain([output])),
            Tie::Same => {
                for input in inputs.filter(|&input| rank(input) == rank(output) && rank(output) > 2) {
                    let (a, b) = (root(&mut parents, input), root(&mut parents, output));
                    parents[a] = b;
                }
            }
            Tie::Free => {}
        }
    }
    let mut anchored = PerValue::new(graph, false);
    for id in anchors {
        anchored[root(&mut parents, id)] = true;
    }
    PerValue::of(graph, |id| anchored[root(&mut parents, id)])
}

/// From the last node to the first.
fn feeds_channels_first(graph: &Graph) -> PerValue<bool> {
    let mut feeds = PerValue::new(graph, false);
    for node in graph.nodes().iter().rev() {
        let inputs = node.inputs.iter().filter_map(|operand| operand.value());
        let (wanted, count) = match ops::tie(&node.op) {
            Tie::Anchor => (true, 1),
            Tie::Same => (node.outputs.iter().any(|&id| feeds[id]), usize::MAX),
            Tie::Free => (false, 0),
        };
        inputs.take(count).for_each(|id| feeds[id] |= wanted);
    }
    feeds
}

fn feeds_recurrent(graph: &Graph) -> PerValue<bool> {
    let mut feeds = PerValue::new(graph, false);
    let recurrent = graph.nodes().iter().filter(|node| ops::recurrence::is_recurrent(&node.op));
    for id in recurrent.filter_map(|node| node.inputs.first()?.value()) {
        feeds[id] = true;
    }
    feeds
}

/// From the last node to the first: a value may be flat if it has readers and each takes it flat.
fn flat(graph: &Graph) -> PerValue<bool> {
    let (mut read, mut refused) = (PerValue::new(graph, false), PerValue::new(graph, false));
    for port in graph.outputs() {
        refused[port.value] = true;
    }
    for node in graph.nodes().iter().rev() {
        let passes = node.outputs.iter().all(|&id| read[id] && !refused[id]);
        for (operand, id) in node.inputs.iter().enumerate().filter_map(|(i, input)| Some((i, input.value()?)))
        {
            read[id] = true;
            refused[id] |= match ops::takes_flat(graph, node, operand) {
                TakesFlat::Absorbs => false,
                TakesFlat::Passes => !passes,
                TakesFlat::Refuses => true,
            };
        }
    }
    PerValue::of(graph, |id| read[id] && !refused[id])
}
