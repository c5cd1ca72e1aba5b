//! `Scan`: one node, whose body is written by the same rules. Weights and other tensors that every run is given are
//! read by the body where they are, in the graph around it.

use super::{Emit, Layouts, Lower, Tie, keras_layouts};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::{Error, Result};
use k2o_core::ops::Scan;

impl Lower for Scan {
    fn tie(&self) -> Tie {
        Tie::Free
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        keras_layouts(site)
    }

    fn emit_all(&self, emit: &mut Emit<'_>) -> Result<Vec<Option<TensorId>>> {
        let count = emit.node.outputs.len();
        let has: Vec<bool> = (0..count).map(|output| output < self.states || emit.uses(output)).collect();
        if !(0..count).any(|output| emit.uses(output)) {
            return Ok(vec![None; count]);
        }
        let graph = self.body_within(emit.graph, emit.node)?;
        let recurrent = self.states + self.sequences;
        let inputs = (0..recurrent).map(|operand| emit.input(operand)).collect::<Result<Vec<Arg>>>()?;
        let mut captured = Vec::new();
        for operand in recurrent..emit.node.inputs.len() {
            if emit.operand(operand)?.value().is_some() {
                match emit.input(operand)? {
                    Arg::Tensor(tensor) => captured.push(tensor),
                    _ => return Err(Error::shape("a computed operand that is a weight")),
                }
            }
        }
        let body = emit.body(&graph, &captured, &|output| has.get(output) == Some(&true))?;
        let written = has.iter().filter(|&&has| has).count();
        let sequences = written - self.states;
        let mut node = NodeSpec::new("Scan", inputs).int("num_scan_inputs", self.sequences as i64);
        node = node.ints("scan_input_axes", &vec![1; self.sequences]);
        if self.reverse {
            node = node.ints("scan_input_directions", &vec![1; self.sequences]);
        }
        if sequences > 0 {
            node = node.ints("scan_output_axes", &vec![1; sequences]);
            if self.reverse {
                node = node.ints("scan_output_directions", &vec![1; sequences]);
            }
        }
        let mut outputs = emit.node_with_body(node, body, written).into_iter();
        Ok(has.into_iter().map(|has| if has { outputs.next().flatten() } else { None }).collect())
    }
}
