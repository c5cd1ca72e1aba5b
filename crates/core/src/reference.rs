//! Runs a whole graph by the operators' references.

use crate::ops::Operator;
use crate::{Graph, Operand, Result, Tensor, ValueId};
use std::collections::BTreeMap;

/// What a reference run computed.
#[derive(Clone, Debug)]
pub struct ReferenceRun {
    /// The graph's outputs, in its order.
    pub outputs: Vec<Tensor>,
    /// The values that were asked for.
    pub kept: BTreeMap<ValueId, Tensor>,
}

/// The outputs of `graph` for `inputs`, in `f64`, one operator's reference after the other; the values in `keep`
/// are returned too.
///
/// # Errors
/// As [`Graph::bind`], and where a constant cannot be read.
#[expect(clippy::arithmetic_side_effects, reason = "each use is counted, and counted off once")]
#[expect(clippy::indexing_slicing, reason = "an output and a value that is kept live to the end")]
pub fn run_reference(graph: &Graph, inputs: &[Tensor], keep: &[ValueId]) -> Result<ReferenceRun> {
    let sizes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    graph.bind(&sizes)?;
    let mut remaining = graph.uses();
    for id in keep {
        remaining[*id] += 1;
    }
    let mut live: BTreeMap<ValueId, Tensor> = BTreeMap::new();
    for (port, tensor) in graph.inputs().iter().zip(inputs) {
        live.insert(port.value, tensor.clone());
    }
    for node in graph.nodes() {
        let outputs = {
            let constants = node.inputs.iter().map(|operand| match operand {
                Operand::Constant(id) => graph.constant(*id).evaluate().map(Some),
                Operand::Value(_) => Ok(None),
            });
            let constants = constants.collect::<Result<Vec<_>>>().map_err(|error| error.at(node.origin))?;
            let operands: Vec<&Tensor> = node
                .inputs
                .iter()
                .zip(&constants)
                .filter_map(|(operand, constant)| match operand {
                    Operand::Value(id) => live.get(id),
                    Operand::Constant(_) => constant.as_ref(),
                })
                .collect();
            node.op.reference(&operands).map_err(|error| error.at(node.origin))?
        };
        for (&id, tensor) in node.outputs.iter().zip(outputs) {
            if remaining[id] > 0 {
                live.insert(id, tensor);
            }
        }
        for id in node.inputs.iter().filter_map(|operand| operand.value()) {
            remaining[id] -= 1;
            if remaining[id] == 0 {
                live.remove(&id);
            }
        }
    }
    let outputs = graph.outputs().iter().map(|port| live[&port.value].clone()).collect();
    let kept = keep.iter().map(|id| (*id, live[id].clone())).collect();
    Ok(ReferenceRun { outputs, kept })
}
