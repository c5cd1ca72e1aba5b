//! `Softmax`, and with its logarithm `LogSoftmax`: one node over one axis, in any layout; over several axes the
//! formula. (`ReduceLogSumExp` would make the logarithm shorter, but in tract it overflows.)

use super::reduce::reduce;
use super::{Emit, Layouts, Lower, Tie, same_axes};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::{ReduceKind, Softmax};

impl Lower for Softmax {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        same_axes(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let axes = emit.layouts.output.positions(&self.axes);
        if let [axis] = axes.as_slice() {
            let op_type = if self.log { "LogSoftmax" } else { "Softmax" };
            return Ok(emit.node(NodeSpec::new(op_type, [x]).int("axis", *axis as i64)));
        }
        let max = Arg::Tensor(reduce(emit, ReduceKind::Max, x, &axes, true)?);
        let shifted = emit.call("Sub", [x, max]);
        let powers = emit.call("Exp", [shifted]);
        let sum = Arg::Tensor(reduce(emit, ReduceKind::Sum, powers, &axes, true)?);
        if self.log {
            let logarithm = emit.call("Log", [sum]);
            return Ok(emit.node(NodeSpec::new("Sub", [shifted, logarithm])));
        }
        Ok(emit.node(NodeSpec::new("Div", [powers, sum])))
    }
}
