//! What is known of a value's readers before they are reached.

use crate::ops::{self, TakesFlat, Tie};
use k2o_core::{Graph, NodeId, ValueId};
use std::collections::BTreeSet;

/// Per value, what its readers would like.
#[derive(Debug)]
pub(crate) struct Hints {
    channels_first: Vec<bool>,
    feeds_channels_first: Vec<bool>,
    feeds_recurrent: Vec<bool>,
    flat: Vec<bool>,
    sole_readers: Vec<Option<NodeId>>,
    used: Vec<bool>,
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
            used: graph.uses().into_iter().map(|uses| uses > 0).collect(),
        }
    }

    /// Whether a convolution or pooling reads or makes the value, or one that must have its layout.
    pub fn channels_first(&self, id: ValueId) -> bool {
        self.channels_first[id.0 as usize]
    }

    /// Whether a convolution or pooling reads the value, or what is made of it in the same layout.
    pub fn feeds_channels_first(&self, id: ValueId) -> bool {
        self.feeds_channels_first[id.0 as usize]
    }

    /// Whether a recurrent operator reads the value step by step.
    pub fn feeds_recurrent(&self, id: ValueId) -> bool {
        self.feeds_recurrent[id.0 as usize]
    }

    /// The node that reads the value, if no other does and it is no output of the model or of a layer.
    pub fn sole_reader(&self, id: ValueId) -> Option<NodeId> {
        self.sole_readers[id.0 as usize]
    }

    /// Whether a node reads the value, or it is an output of the model.
    pub fn used(&self, id: ValueId) -> bool {
        self.used[id.0 as usize]
    }

    /// Whether the value is an output of the model.
    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.contains(&id)
    }

    /// Whether every reader can do with the value flattened in another order of axes.
    pub fn flat(&self, id: ValueId) -> bool {
        self.flat[id.0 as usize]
    }
}

/// For each value that nothing but one node has to do with, that node.
fn sole_readers(graph: &Graph) -> Vec<Option<NodeId>> {
    let mut readers = vec![(0, None); graph.values().len()];
    for (at, node) in graph.nodes().iter().enumerate() {
        for id in node.inputs.iter().filter_map(|operand| operand.value()) {
            let (count, reader) = &mut readers[id.0 as usize];
            *count += 1;
            *reader = u32::try_from(at).ok().map(NodeId);
        }
    }
    let ports = graph.outputs().iter().map(|port| port.value);
    for id in ports.chain(graph.taps().iter().filter_map(|tap| tap.value)) {
        readers[id.0 as usize].0 += 1;
    }
    readers.into_iter().map(|(count, reader)| reader.filter(|_| count == 1)).collect()
}

/// Values joined by operators that keep the layout form regions; a region with an anchor is channels-first.
fn channels_first(graph: &Graph) -> Vec<bool> {
    let n = graph.values().len();
    let mut parents: Vec<usize> = (0..n).collect();
    fn root(parents: &mut [usize], mut at: usize) -> usize {
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
                    let (a, b) =
                        (root(&mut parents, input.0 as usize), root(&mut parents, output.0 as usize));
                    parents[a] = b;
                }
            }
            Tie::Free => {}
        }
    }
    let mut anchored = vec![false; n];
    for id in anchors {
        let at = root(&mut parents, id.0 as usize);
        anchored[at] = true;
    }
    (0..n).map(|at| anchored[root(&mut parents, at)]).collect()
}

/// From the last node to the first.
fn feeds_channels_first(graph: &Graph) -> Vec<bool> {
    let mut feeds = vec![false; graph.values().len()];
    for node in graph.nodes().iter().rev() {
        let inputs = node.inputs.iter().filter_map(|operand| operand.value());
        let (wanted, count) = match ops::tie(&node.op) {
            Tie::Anchor => (true, 1),
            Tie::Same => (node.outputs.iter().any(|id| feeds[id.0 as usize]), usize::MAX),
            Tie::Free => (false, 0),
        };
        inputs.take(count).for_each(|id| feeds[id.0 as usize] |= wanted);
    }
    feeds
}

fn feeds_recurrent(graph: &Graph) -> Vec<bool> {
    let mut feeds = vec![false; graph.values().len()];
    let recurrent = graph.nodes().iter().filter(|node| ops::recurrence::is_recurrent(&node.op));
    for id in recurrent.filter_map(|node| node.inputs.first()?.value()) {
        feeds[id.0 as usize] = true;
    }
    feeds
}

/// From the last node to the first: a value may be flat if it has readers and each takes it flat.
fn flat(graph: &Graph) -> Vec<bool> {
    let n = graph.values().len();
    let (mut read, mut refused) = (vec![false; n], vec![false; n]);
    for port in graph.outputs() {
        refused[port.value.0 as usize] = true;
    }
    for node in graph.nodes().iter().rev() {
        let passes = node.outputs.iter().all(|id| read[id.0 as usize] && !refused[id.0 as usize]);
        for (operand, id) in node.inputs.iter().enumerate().filter_map(|(i, input)| Some((i, input.value()?)))
        {
            read[id.0 as usize] = true;
            refused[id.0 as usize] |= match ops::takes_flat(graph, node, operand) {
                TakesFlat::Absorbs => false,
                TakesFlat::Passes => !passes,
                TakesFlat::Refuses => true,
            };
        }
    }
    read.iter().zip(&refused).map(|(&read, &refused)| read && !refused).collect()
}
