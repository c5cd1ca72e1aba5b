//! Drops what changes nothing: identities and reshapes to the shape that is there.

use super::Rebuild;
use crate::{Graph, Node, Op, Operand, Result};

/// The graph without nodes whose output is their input.
pub(super) fn drop_identities(graph: Graph) -> Result<Graph> {
    if graph.nodes().iter().all(|node| same_value(&graph, node).is_none()) {
        return Ok(graph);
    }
    let mut rebuild = Rebuild::new(&graph)?;
    for node in graph.nodes() {
        match same_value(&graph, node) {
            Some(input) => {
                if let Operand::Value(value) = rebuild.operand(input)? {
                    rebuild.replace(node.output()?, value);
                }
            }
            None => rebuild.copy(node)?,
        }
    }
    rebuild.finish()
}

/// The operand that the node's only output equals.
fn same_value(graph: &Graph, node: &Node) -> Option<Operand> {
    let input = *node.inputs.first()?;
    input.value()?;
    let unchanged = match &node.op {
        Op::Identity(_) => true,
        Op::Reshape(_) => graph.type_of(input).shape == graph.value(*node.outputs.first()?).r#type.shape,
        Op::Transpose(op) => op.permutation.iter().enumerate().all(|(i, &axis)| i == axis),
        Op::Pad(op) => op.amounts.iter().all(|&amounts| amounts == (0, 0)),
        _ => false,
    };
    unchanged.then_some(input)
}
