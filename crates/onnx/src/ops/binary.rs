//! `Binary`: one node in any layout; weights are put in the tensors' order of axes.
//!
//! `PRelu` lets its slopes repeat, but not what they are for; where that must repeat, the formula is written.

use super::broadcast::{layouts, operand, value_rank};
use super::{Emit, Layouts, Lower, TakesFlat, Tie};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::{Binary, BinaryKind};
use k2o_core::{Dim, Graph, Node, Operand, Shape};

impl Lower for Binary {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn takes_flat(&self, graph: &Graph, node: &Node, operand: usize) -> TakesFlat {
        // Against a weight per element or a single number, where neither adds an axis.
        let other = node.inputs.iter().enumerate().find(|&(i, _)| i != operand).map(|(_, other)| *other);
        match other {
            Some(Operand::Constant(id))
                if graph.constant(id).shape().iter().rev().skip(1).all(|&n| n == 1) =>
            {
                let rank = graph.constant(id).shape().len();
                if rank <= 2 { TakesFlat::Passes } else { TakesFlat::Refuses }
            }
            _ => TakesFlat::Refuses,
        }
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        layouts(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let rank = value_rank(emit);
        let args = [operand(emit, 0, rank)?, operand(emit, 1, rank)?];
        let op_type = match self.kind {
            BinaryKind::Add => "Add",
            BinaryKind::Sub => "Sub",
            BinaryKind::Mul => "Mul",
            BinaryKind::Div => "Div",
            BinaryKind::Max => "Max",
            BinaryKind::Min => "Min",
            BinaryKind::And => "And",
            BinaryKind::Or => "Or",
            BinaryKind::Prelu if repeats(&emit.type_of(1)?.shape, &emit.type_of(0)?.shape) => "PRelu",
            BinaryKind::Prelu => return prelu(emit, args),
        };
        Ok(emit.node(NodeSpec::new(op_type, args)))
    }
}

/// Whether only `slopes` have to be repeated to have the shape of `x`.
fn repeats(slopes: &Shape, x: &Shape) -> bool {
    let mut pairs = slopes.iter().rev().zip(x.iter().rev());
    slopes.rank() <= x.rank() && pairs.all(|(slope, dim)| *slope == Dim::ONE || *dim != Dim::ONE)
}

/// `max(x, 0) + min(x, 0) * slope`
fn prelu(emit: &mut Emit<'_>, [x, slope]: [Arg; 2]) -> Result<TensorId> {
    let zero = emit.scalar("zero", emit.type_of(0)?.dtype, 0.0)?;
    let (above, below) = (emit.call("Max", [x, zero]), emit.call("Min", [x, zero]));
    let below = emit.call("Mul", [below, slope]);
    Ok(emit.node(NodeSpec::new("Add", [above, below])))
}
