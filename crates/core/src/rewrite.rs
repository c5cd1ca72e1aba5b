//! Rewrites: equal graphs, smaller. Each pass makes a new graph through [`GraphBuilder`], so that the result's
//! shapes are inferred again and taps and origins are carried along.

mod affine;
mod common;
mod concats;
mod dead;
mod identity;
mod inputs;
mod outputs;
mod rounding;
mod scans;

pub use concats::reduce_before_concat;
pub use inputs::substitute;
pub use outputs::until;
pub use rounding::round_weights;
pub use scans::to_scans;

use crate::{ConstantId, Graph, GraphBuilder, Node, Operand, PerValue, Result, ValueId};
use std::collections::BTreeMap;

/// The graph without identities, without what no output needs or what is computed a second time, and with affine maps
/// folded into convolutions and dense layers wherever that is exact but for rounding.
pub fn rewrite(graph: &Graph) -> Result<Graph> {
    let graph = dead::drop_dead(graph)?;
    let graph = identity::drop_identities(graph)?;
    let graph = common::join_equal(graph)?;
    let graph = affine::fold_affines(graph)?;
    // Folding makes constants, such as biases of zeros, that may be equal to others.
    common::join_equal(graph)
}

/// Copies a graph node by node, letting a pass replace some of them.
struct Rebuild<'a> {
    old: &'a Graph,
    new: GraphBuilder,
    values: PerValue<Option<ValueId>>,
    constants: BTreeMap<ConstantId, ConstantId>,
}

impl<'a> Rebuild<'a> {
    /// A copy of nothing yet.
    fn of(old: &'a Graph, new: GraphBuilder) -> Rebuild<'a> {
        Rebuild { old, new, values: PerValue::new(old, None), constants: BTreeMap::new() }
    }

    fn new(old: &'a Graph) -> Result<Rebuild<'a>> {
        let mut rebuild = Rebuild::of(old, GraphBuilder::with_room_for(old));
        for constraint in old.constraints() {
            rebuild.new.constraint(constraint.clone());
        }
        for port in old.inputs() {
            let value = rebuild.new.input(port.name.clone(), old.value(port.value).r#type.clone())?;
            rebuild.replace(port.value, value);
        }
        Ok(rebuild)
    }

    /// Lets the old value be the new one from here on.
    fn replace(&mut self, old: ValueId, new: ValueId) {
        self.values[old] = Some(new);
    }

    /// The new operand that stands for an old one.
    fn operand(&mut self, old: Operand) -> Result<Operand> {
        match old {
            Operand::Value(id) => {
                let missing = || crate::Error::shape("a value is used before it is computed");
                self.values[id].map(Operand::Value).ok_or_else(missing)
            }
            Operand::Constant(id) => {
                if let Some(&new) = self.constants.get(&id) {
                    return Ok(new.into());
                }
                let new = self.new.constant(self.old.constant(id).clone())?;
                self.constants.insert(id, new);
                Ok(new.into())
            }
        }
    }

    /// Adds the node as it is.
    fn copy(&mut self, node: &Node) -> Result<()> {
        let inputs = node.inputs.iter().map(|&operand| self.operand(operand)).collect::<Result<Vec<_>>>()?;
        self.new.within(node.origin);
        let old = self.old;
        // What shapes demand of operands of the same types is among the constraints already.
        let is_same =
            node.inputs.iter().zip(&inputs).all(|(&was, &is)| old.has_type_of(was, self.new.graph(), is));
        let outputs = match is_same {
            true => {
                let types = node.outputs.iter().map(|&id| old.value(id).r#type.clone());
                self.new.add_known(node.op.clone(), inputs, types)
            }
            false => self.new.add_all(node.op.clone(), inputs)?,
        };
        for (&old, &new) in node.outputs.iter().zip(&outputs) {
            self.replace(old, new);
        }
        Ok(())
    }

    /// The new graph, with the old one's outputs and taps; what was not replaced is folded away.
    fn finish(mut self) -> Result<Graph> {
        for port in self.old.outputs() {
            if let Operand::Value(value) = self.operand(port.value.into())? {
                self.new.output(port.name.clone(), value);
            }
        }
        for tap in self.old.taps() {
            let value = tap.value.and_then(|value| self.values[value]);
            self.new.tap(tap.call, tap.output, value);
        }
        Ok(self.new.finish())
    }
}
