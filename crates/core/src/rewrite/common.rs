//! Computes what is computed twice once.

use super::Rebuild;
use crate::{Constant, ConstantId, DType, Data, ExprKind, Graph, NodeId, Op, Operand, Result, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The graph with one node for all that apply the same operator to the same operands, and one constant for all that are
/// the same few numbers.
pub(super) fn join_equal(graph: Graph) -> Result<Graph> {
    if !has_equal(&graph) {
        return Ok(graph);
    }
    let mut rebuild = Rebuild::new(&graph)?;
    let mut literals: BTreeMap<Numbers, ConstantId> = BTreeMap::new();
    // By operands, of which few nodes share all; what of each is the operator is compared.
    let mut known: BTreeMap<Vec<Operand>, Vec<(NodeId, Vec<ValueId>)>> = BTreeMap::new();
    for (at, node) in graph.nodes_with_ids() {
        let mut operands = Vec::with_capacity(node.inputs.len());
        for &operand in &node.inputs {
            if let Operand::Constant(id) = operand
                && let Some(numbers) = numbers(graph.constant(id))
            {
                let first = *literals.entry(numbers).or_insert(id);
                if let Operand::Constant(new) = rebuild.operand(first.into())? {
                    rebuild.constants.insert(id, new);
                }
            }
            operands.push(rebuild.operand(operand)?);
        }
        let same = known
            .get(&operands)
            .and_then(|candidates| candidates.iter().find(|(other, _)| graph.node(*other).op == node.op));
        if let Some((_, outputs)) = same {
            node.outputs.iter().zip(outputs).for_each(|(&old, &new)| rebuild.replace(old, new));
            continue;
        }
        rebuild.copy(node)?;
        let outputs = node.outputs.iter().filter_map(|&id| rebuild.values[id]).collect();
        known.entry(operands).or_default().push((at, outputs));
    }
    rebuild.finish()
}

/// Whether two nodes, or two constants that nodes read, are the same.
fn has_equal(graph: &Graph) -> bool {
    let mut constants = BTreeSet::new();
    let mut literals = BTreeSet::new();
    let mut known: BTreeMap<&[Operand], Vec<&Op>> = BTreeMap::new();
    graph.nodes().iter().any(|node| {
        let mut new =
            node.inputs.iter().filter_map(|operand| operand.constant()).filter(|id| constants.insert(*id));
        let has_literal =
            new.any(|id| numbers(graph.constant(id)).is_some_and(|numbers| !literals.insert(numbers)));
        let ops = known.entry(&node.inputs).or_default();
        let has_node = ops.contains(&&node.op);
        ops.push(&node.op);
        has_literal || has_node
    })
}

/// The most elements of a literal that is compared with others.
const SMALL: usize = 16;

/// What two literals have in common if they are the same numbers; nothing for what is no small literal.
type Numbers = (DType, Vec<usize>, Vec<u64>);

/// Zeros of both signs are equal, but not the same.
fn numbers(constant: &Constant) -> Option<Numbers> {
    let ExprKind::Literal(tensor) = constant.expr.kind() else { return None };
    let bits = match tensor.data() {
        data if data.len() > SMALL => return None,
        Data::F64(data) => data.iter().map(|x| x.to_bits()).collect(),
        Data::I64(data) => data.iter().map(|&x| x as u64).collect(),
        Data::Bool(data) => data.iter().map(|&x| u64::from(x)).collect(),
    };
    Some((constant.dtype, tensor.shape().to_vec(), bits))
}
