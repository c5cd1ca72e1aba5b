//! `Reduce`: one node in any layout; dropped axes leave the others in the order they were.
//!
//! The axes are an input of `ReduceSum` from opset 13 on, of the others from 18 on, and an attribute before.

use super::{Emit, Layouts, Lower, Tie, any_axes, ints};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::{Reduce, ReduceKind};

impl Lower for Reduce {
    fn tie(&self) -> Tie {
        if self.keep_dims { Tie::Same } else { Tie::Free }
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let input = any_axes(site)?;
        let output = if self.keep_dims { input.clone() } else { input.without(&self.axes) };
        Ok(Layouts { inputs: vec![input], output })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        if self.axes.is_empty() {
            return Ok(emit.pass(x));
        }
        let axes = emit.layout(0)?.positions(&self.axes);
        reduce(emit, self.kind, x, &axes, self.keep_dims)
    }
}

/// One node that reduces `x` over its `axes`, of which there must be one or more.
pub(super) fn reduce(
    emit: &mut Emit<'_>,
    kind: ReduceKind,
    x: Arg,
    axes: &[usize],
    keep_dims: bool,
) -> Result<TensorId> {
    let op_type = match kind {
        ReduceKind::Max => "ReduceMax",
        ReduceKind::Min => "ReduceMin",
        ReduceKind::Sum => "ReduceSum",
        ReduceKind::Mean => "ReduceMean",
    };
    let axes = ints(axes)?;
    let mut node = if kind == ReduceKind::Sum || emit.opset() >= 18 {
        NodeSpec::new(op_type, [x, emit.ints("axes", &axes)])
    } else {
        NodeSpec::new(op_type, [x]).ints("axes", &axes)
    };
    if !keep_dims {
        node = node.int("keepdims", 0);
    }
    Ok(emit.node(node))
}
