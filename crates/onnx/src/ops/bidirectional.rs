//! Two recurrent operators that read the same steps, one forwards and one backwards, as one node of two directions.
//!
//! The node's results have an axis of directions: its steps are `[steps, 2, batch, units]`, its last states
//! `[2, batch, units]`. Where both are read as one, joined or added, that axis is moved or summed over.

use super::recurrence::{Form, cell, form};
use super::reduce::reduce;
use super::{Emit, derived};
use crate::draft::{Arg, Draft, NodeSpec, TensorId};
use crate::layout::{Layout, permuted};
use crate::{Error, Result};
use k2o_core::ops::{BinaryKind, Recurrence, ReduceKind};
use k2o_core::{CallId, Constant, ConstantExpr, DType, Graph, Node, NodeId, Op, Operand, PerValue, ValueId};
use std::collections::BTreeMap;

/// A forward and a backward node.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    nodes: [NodeId; 2],
}

/// What a node is to a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The first of this pair's nodes: both are emitted here.
    First(usize),
    /// The second of a pair's nodes.
    Second,
    /// Reads this output of both nodes of this pair as one.
    Merge { pair: usize, output: usize, how: Merge },
}

/// How an output of both directions becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// One after the other along the last axis.
    Concat,
    Sum,
}

/// The pairs of a graph.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub pairs: Vec<Pair>,
    roles: BTreeMap<NodeId, Role>,
    /// How often the outputs of pairs are read by nodes that merge them.
    merged: BTreeMap<ValueId, usize>,
    uses: PerValue<usize>,
}

impl Pairs {
    pub fn new(graph: &Graph, draft: &Draft) -> Pairs {
        let (pairs, uses) = (Vec::new(), graph.uses());
        let mut pairs = Pairs { pairs, roles: BTreeMap::new(), merged: BTreeMap::new(), uses };
        let mut forward: BTreeMap<Operand, Vec<NodeId>> = BTreeMap::new();
        let mut backward = Vec::new();
        for (at, node) in graph.nodes_with_ids() {
            let Some(cell) = cell(&node.op) else { continue };
            let Recurrence { reverse, has_states, has_mask, .. } = cell.recurrence;
            let native = form(graph, node, draft.target, draft.right_padded) == Some(Form::Native);
            match node.inputs.first() {
                Some(&x) if native && !has_states && !has_mask && !reverse => {
                    forward.entry(x).or_default().push(at);
                }
                Some(&x) if native && !has_states && !has_mask => backward.push((at, x)),
                _ => {}
            }
        }
        if backward.is_empty() {
            return pairs;
        }
        let merges = merges(graph);
        for (back, x) in backward {
            let candidates = forward.entry(x).or_default();
            let fits = |&ahead: &NodeId| {
                let [a, b] = [ahead, back].map(|at| graph.node(at));
                let merged = a.outputs.iter().zip(&b.outputs).any(|(&a, &b)| merges.contains_key(&(a, b)));
                are_alike(graph, a, b) && (merged || draft.common_call(a.origin, b.origin).is_some())
            };
            let Some(place) = candidates.iter().position(fits) else { continue };
            pairs.add([candidates.remove(place), back], graph, &merges);
        }
        pairs
    }

    fn add(&mut self, nodes: [NodeId; 2], graph: &Graph, merges: &Merges) {
        let pair = self.pairs.len();
        let [ahead, back] = nodes;
        self.roles.insert(ahead.min(back), Role::First(pair));
        self.roles.insert(ahead.max(back), Role::Second);
        let [ahead, back] = nodes.map(|at| &graph.node(at).outputs);
        for (output, (&ahead, &back)) in ahead.iter().zip(back).enumerate() {
            for &(at, how) in merges.get(&(ahead, back)).into_iter().flatten() {
                self.roles.insert(at, Role::Merge { pair, output, how });
                for id in [ahead, back] {
                    *self.merged.entry(id).or_default() += 1;
                }
            }
        }
        self.pairs.push(Pair { nodes });
    }

    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.roles.get(&node).copied()
    }

    /// Whether anything but a merge reads an output of a pair.
    fn is_read_alone(&self, id: ValueId) -> bool {
        self.uses[id] > self.merged.get(&id).copied().unwrap_or(0)
    }
}

/// Nodes that read two values as one, by these.
type Merges = BTreeMap<(ValueId, ValueId), Vec<(NodeId, Merge)>>;

fn merges(graph: &Graph) -> Merges {
    let mut merges = Merges::new();
    for (at, node) in graph.nodes_with_ids() {
        let &[Operand::Value(a), Operand::Value(b)] = node.inputs.as_slice() else { continue };
        let how = match &node.op {
            Op::Concat(concat) if concat.axis + 1 == graph.value(a).r#type.shape.rank() => Merge::Concat,
            Op::Binary(binary) if binary.kind == BinaryKind::Add => Merge::Sum,
            _ => continue,
        };
        merges.entry((a, b)).or_default().push((at, how));
        if how == Merge::Sum && a != b {
            merges.entry((b, a)).or_default().push((at, how));
        }
    }
    merges
}

/// Whether two recurrent operators differ in nothing but their direction and the numbers of their weights.
fn are_alike(graph: &Graph, a: &Node, b: &Node) -> bool {
    let same_op = match (cell(&a.op), cell(&b.op)) {
        (Some(a), Some(b)) => {
            a.op_type == b.op_type
                && a.functions == b.functions
                && a.linear_before_reset == b.linear_before_reset
                && a.recurrence.has_bias == b.recurrence.has_bias
        }
        _ => false,
    };
    let types = |node: &Node| node.inputs.iter().map(|&operand| graph.type_of(operand)).collect::<Vec<_>>();
    same_op && types(a) == types(b)
}

impl Pair {
    /// The layer call that both nodes are parts of, or the forward node's.
    pub fn origin(&self, graph: &Graph, draft: &Draft) -> Option<CallId> {
        let [ahead, back] = self.nodes.map(|at| graph.node(at).origin);
        draft.common_call(ahead, back).or(ahead)
    }

    /// The layout in which the steps are read.
    pub fn layout() -> Layout {
        Layout::Axes(vec![1, 0, 2])
    }

    /// Emits the node that reads `x`, and returns its results.
    pub fn emit(&self, emit: &mut Emit<'_>, x: TensorId) -> Result<Vec<Option<TensorId>>> {
        let nodes = self.nodes.map(|at| emit.graph.node(at));
        let [ahead, _] = nodes;
        let cell = cell(&ahead.op).ok_or_else(|| Error::shape("a pair of what is not recurrent"))?;
        let kernel = joined(emit, nodes, 1, cell.op_type, &|kernel| cell.kernel(kernel))?;
        let recurrent_kernel = joined(emit, nodes, 2, cell.op_type, &|kernel| cell.kernel(kernel))?;
        let bias = match cell.recurrence.has_bias {
            true => joined(emit, nodes, 3, cell.op_type, &|bias| cell.both_biases(bias))?,
            false => Arg::Absent,
        };
        let units = super::recurrence::units(emit.graph, ahead)?;
        let node = NodeSpec::new(cell.op_type, [Arg::Tensor(x), kernel, recurrent_kernel, bias]);
        let node = node.int("hidden_size", super::int(units)?).string("direction", "bidirectional");
        let node = cell.with_options(node, 2)?;
        let [ahead, back] = nodes.map(|node| node.outputs.iter().map(|&id| emit.hints.used(id)));
        let used: Vec<bool> = ahead.zip(back).map(|(ahead, back)| ahead || back).collect();
        Ok(emit.node_of_used(node, &used))
    }

    /// Emits each output that is read by itself, from the `results` of the pair's node: which value it is, the tensor, and
    /// its layout.
    pub fn separate(
        &self,
        emit: &mut Emit<'_>,
        pairs: &Pairs,
        results: &[Option<TensorId>],
    ) -> Result<Vec<(ValueId, TensorId, Layout)>> {
        let mut separate = Vec::new();
        for (direction, at) in self.nodes.into_iter().enumerate() {
            let outputs = &emit.graph.node(at).outputs;
            for (output, (&id, result)) in outputs.iter().zip(results).enumerate() {
                let Some(result) = result.filter(|_| pairs.is_read_alone(id)) else { continue };
                let index = emit.scalar("direction", DType::I64, direction as f64)?;
                let axis = i64::from(output == 0);
                let node = NodeSpec::new("Gather", [Arg::Tensor(result), index]);
                let tensor = emit.node(if axis == 0 { node } else { node.int("axis", axis) });
                separate.push((id, tensor, if output == 0 { Pair::layout() } else { Layout::keras(2) }));
            }
        }
        Ok(separate)
    }
}

/// The weights of both directions, one after the other along a first axis.
fn joined(
    emit: &mut Emit<'_>,
    nodes: [&Node; 2],
    operand: usize,
    op_type: &'static str,
    make: &dyn Fn(&ConstantExpr) -> k2o_core::Result<ConstantExpr>,
) -> Result<Arg> {
    let computed = || Error::unsupported("a bidirectional node with computed weights");
    let ids = nodes.map(|node| node.inputs.get(operand).and_then(|id| id.constant()));
    let [Some(ahead), Some(back)] = ids else { return Err(computed()) };
    let [a, b] = [ahead, back].map(|id| emit.graph.constant(id));
    let both = derived([a, b], |exprs| {
        let made = exprs.into_iter().map(make).collect::<k2o_core::Result<Vec<_>>>()?;
        ConstantExpr::concat(&made, 0)
    })?;
    let constant = Constant { name: common_name(&a.name, &b.name), ..both };
    Ok(emit.derived_of(vec![ahead, back], op_type, constant))
}

/// `bidirectional/kernel` for `bidirectional/forward_lstm/kernel` and `bidirectional/backward_lstm/kernel`.
fn common_name(a: &str, b: &str) -> String {
    let parts = a.split('/').zip(b.split('/'));
    let common: Vec<&str> = parts.take_while(|(a, b)| a == b).map(|(part, _)| part).collect();
    match a.rsplit('/').next() {
        Some(last) if !common.is_empty() && a != b => format!("{}/{last}", common.join("/")),
        _ => a.to_string(),
    }
}

/// Emits `output` of both directions as one, from the node's `result`. Steps that are joined are left in the layout
/// `wanted`; the layout of what is made is returned with it.
pub(crate) fn merge(
    emit: &mut Emit<'_>,
    how: Merge,
    output: usize,
    result: TensorId,
    wanted: Layout,
) -> Result<(TensorId, Layout)> {
    let y = Arg::Tensor(result);
    match (how, output) {
        (Merge::Sum, 0) => Ok((reduce(emit, ReduceKind::Sum, y, &[1], false)?, Pair::layout())),
        (Merge::Sum, _) => Ok((reduce(emit, ReduceKind::Sum, y, &[0], false)?, Layout::keras(2))),
        (Merge::Concat, 0) => {
            let order = wanted.axes().ok_or_else(|| Error::shape("flattened steps"))?;
            // Of [steps, directions, batch, units], those that are the batch, the steps and the features.
            let parts: [&[i64]; 3] = [&[2], &[0], &[1, 3]];
            let perm = permuted(&parts, order).concat();
            let moved = emit.call_with(NodeSpec::new("Transpose", [y]).ints("perm", &perm));
            let features = emit.output_type()?.shape.dim(2)?.as_fixed().unwrap_or(-1);
            let features_at = wanted.position(2);
            let size = |at: usize| match at {
                _ if at == features_at => features,
                _ if at < features_at => 0,
                _ => -1,
            };
            let sizes: Vec<i64> = (0..3).map(size).collect();
            let shape = emit.ints("shape", &sizes);
            Ok((emit.node(NodeSpec::new("Reshape", [moved, shape])), wanted))
        }
        (Merge::Concat, _) => {
            let moved = emit.call_with(NodeSpec::new("Transpose", [y]).ints("perm", &[1, 0, 2]));
            Ok((emit.node(NodeSpec::new("Flatten", [moved])), Layout::keras(2)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::common_name;

    #[test]
    fn joined_weights_are_called_like_what_both_are_part_of() {
        for (a, b, expected) in [
            ("m/bi/forward/cell/kernel", "m/bi/backward/cell/kernel", "m/bi/kernel"),
            ("lstm/kernel", "lstm_1/kernel", "lstm/kernel"),
            ("bi/kernel", "bi/kernel", "bi/kernel"),
            ("", "", ""),
        ] {
            assert_eq!(common_name(a, b), expected);
        }
    }
}
