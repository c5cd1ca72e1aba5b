//! Group normalization between channels-first tensors: `InstanceNormalization` of the groups.
//!
//! In the graph it is a `Reshape` that splits the channels into groups, a `Normalize` over all but batch and groups, and a
//! `Reshape` back. Channels-first, a group's elements are next to each other. ONNX's `GroupNormalization` (from opset 21
//! on) takes the mean of the squares less the square of the mean, which cancels; `InstanceNormalization` does not.

use super::Emit;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::hints::Hints;
use crate::{Error, Result};
use k2o_core::ops::{Normalize, NormalizeKind};
use k2o_core::{Graph, Node, NodeId, Op, Operand, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// A group normalization, without scale and shift.
#[derive(Clone, Debug)]
pub(crate) struct GroupNorm {
    /// What is normalized, `[batch, .., channels]`.
    pub x: ValueId,
    rank: usize,
    channels: i64,
    groups: i64,
    epsilon: f64,
    /// The sizes of the result, channels-first, with 0 for the batch and -1 for what is left.
    sizes: Vec<i64>,
}

/// What a node is to a group normalization.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role<'a> {
    /// A part of one.
    Part,
    /// The last part of this one.
    Last(&'a GroupNorm),
}

/// The group normalizations of a graph that are between channels-first tensors.
#[derive(Debug, Default)]
pub(crate) struct GroupNorms {
    parts: BTreeSet<NodeId>,
    last: BTreeMap<NodeId, GroupNorm>,
}

impl GroupNorms {
    pub fn new(graph: &Graph, hints: &Hints) -> GroupNorms {
        let mut found = GroupNorms::default();
        for (at, node) in graph.nodes_with_ids() {
            let Op::Normalize(normalize) = &node.op else { continue };
            if let Some(([before, behind], group)) = parts_of(graph, hints, at, node, normalize) {
                found.parts.extend([before, at]);
                found.last.insert(behind, group);
            }
        }
        found
    }

    pub fn role(&self, node: NodeId) -> Option<Role<'_>> {
        match self.last.get(&node) {
            Some(group) => Some(Role::Last(group)),
            None => self.parts.contains(&node).then_some(Role::Part),
        }
    }
}

/// The nodes before and behind a normalization of groups, and what they are together.
fn parts_of(
    graph: &Graph,
    hints: &Hints,
    at: NodeId,
    node: &Node,
    normalize: &Normalize,
) -> Option<([NodeId; 2], GroupNorm)> {
    let &[Operand::Value(grouped)] = node.inputs.as_slice() else { return None };
    let split = graph.value(grouped).producer?;
    let normal = *node.outputs.first()?;
    let join = hints.sole_reader(normal)?;
    if normalize.kind != NormalizeKind::Standard || hints.sole_reader(grouped)? != at {
        return None;
    }
    let [before, behind] = [split, join].map(|id| graph.node(id));
    if ![before, behind].iter().all(|node| matches!(node.op, Op::Reshape(_)) && node.inputs.len() == 1) {
        return None;
    }
    let (x, y) = (before.inputs.first()?.value()?, *behind.outputs.first()?);
    let shape = |id: ValueId| &graph.value(id).r#type.shape;
    let (from, inner) = (shape(x), shape(grouped));
    let rank = from.rank();
    let ([batch, steps @ .., channels], [outer @ .., groups, _]) = (&**from, &**inner) else { return None };
    let axes: Vec<usize> = (1..=rank).filter(|&axis| axis + 1 != rank).collect();
    let is_split = outer.split_first() == Some((batch, steps)) && normalize.axes == axes;
    let is_channels_first = hints.channels_first(x) || hints.channels_first(y);
    if steps.is_empty() || !is_split || shape(y) != from || !is_channels_first {
        return None;
    }
    let (channels, groups, epsilon) = (channels.as_fixed()?, groups.as_fixed()?, normalize.epsilon);
    let mut sizes = vec![channels];
    sizes.extend(steps.iter().map(|dim| dim.as_fixed().unwrap_or(-1)));
    if sizes.iter().filter(|&&size| size == -1).count() > 1 || sizes.contains(&0) {
        return None;
    }
    sizes.insert(0, 0);
    Some(([split, join], GroupNorm { x, rank, channels, groups, epsilon, sizes }))
}

impl GroupNorm {
    /// The layout in which `x` is read and the result is left.
    pub fn layout(&self) -> Layout {
        Layout::channels_first(self.rank)
    }

    /// Emits the nodes for `x` in that layout.
    pub fn emit(&self, emit: &mut Emit<'_>, x: TensorId) -> Result<TensorId> {
        let groups = usize::try_from(self.groups).map_err(|_| Error::shape("groups of no channels"))?;
        let is_each_channel = self.channels == self.groups;
        let mut x = Arg::Tensor(x);
        if !is_each_channel {
            let split = emit.ints("groups", &[0, self.groups, -1]);
            x = emit.call("Reshape", [x, split]);
        }
        let (ones, zeros) = (emit.filled("ones", vec![groups], 1.0), emit.filled("zeros", vec![groups], 0.0));
        let node = NodeSpec::new("InstanceNormalization", [x, ones, zeros]);
        let normal = emit.node(super::unary::with_float(node, "epsilon", self.epsilon, 1e-5));
        if is_each_channel {
            return Ok(normal);
        }
        let sizes = emit.ints("shape", &self.sizes);
        Ok(emit.node(NodeSpec::new("Reshape", [Arg::Tensor(normal), sizes])))
    }
}
