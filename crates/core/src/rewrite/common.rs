//! Computes what is computed twice once.

use super::Rebuild;
use crate::{Constant, ConstantId, Data, ExprKind, Graph, Operand, Result, Tensor, ValueId};
use std::collections::BTreeMap;

/// The graph with one node for all that apply the same operator to the same operands, and one constant for all that are
/// the same few numbers.
pub(super) fn join_equal(graph: &Graph) -> Result<Graph> {
    let mut rebuild = Rebuild::new(graph)?;
    let mut literals: Vec<ConstantId> = Vec::new();
    // By operands, of which few nodes share all; what of each is the operator is compared.
    let mut known: BTreeMap<Vec<Operand>, Vec<(usize, Vec<ValueId>)>> = BTreeMap::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        for id in node.inputs.iter().filter_map(|operand| operand.constant()) {
            let first =
                literals.iter().find(|&&known| same_literal(graph.constant(known), graph.constant(id)));
            match first {
                Some(&first) => {
                    if let Operand::Constant(new) = rebuild.operand(first.into())? {
                        rebuild.constants[id.0 as usize] = Some(new);
                    }
                }
                None if is_small_literal(graph.constant(id)) => literals.push(id),
                None => {}
            }
        }
        let operands =
            node.inputs.iter().map(|&operand| rebuild.operand(operand)).collect::<Result<Vec<_>>>()?;
        let same = known
            .get(&operands)
            .and_then(|candidates| candidates.iter().find(|(other, _)| graph.nodes()[*other].op == node.op));
        if let Some((_, outputs)) = same {
            node.outputs.iter().zip(outputs).for_each(|(&old, &new)| rebuild.replace(old, new));
            continue;
        }
        rebuild.copy(node)?;
        let outputs = node.outputs.iter().filter_map(|id| rebuild.values[id.0 as usize]).collect();
        known.entry(operands).or_default().push((at, outputs));
    }
    rebuild.finish()
}

/// The most elements of a literal that is compared with others.
const SMALL: usize = 16;

fn is_small_literal(constant: &Constant) -> bool {
    matches!(constant.expr.kind(), ExprKind::Literal(tensor) if tensor.data().len() <= SMALL)
}

/// Zeros of both signs are equal, but not the same.
fn same_bits(x: &Tensor, y: &Tensor) -> bool {
    match (x.data(), y.data()) {
        (Data::F64(a), Data::F64(b)) => {
            x.shape() == y.shape() && a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
        }
        _ => x == y,
    }
}

fn same_literal(a: &Constant, b: &Constant) -> bool {
    match (a.expr.kind(), b.expr.kind()) {
        (ExprKind::Literal(x), ExprKind::Literal(y)) => a.dtype == b.dtype && same_bits(x, y),
        _ => false,
    }
}
