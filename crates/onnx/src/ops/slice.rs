//! `Slice`: one node in any layout, and none where nothing is dropped. What is dropped at the end is counted from
//! there, so that the axis may have any size.

use super::{Emit, Layouts, Lower, Tie, same_axes};
use crate::Result;
use crate::draft::{NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::Slice;

impl Lower for Slice {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        same_axes(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        if self.before == 0 && self.after == 0 {
            return Ok(emit.pass(x));
        }
        let axis = emit.layouts.output.position(self.axis) as i64;
        // An end past the last element means the last.
        let end = if self.after == 0 { i64::MAX } else { -self.after };
        let (starts, ends) = (emit.ints("starts", &[self.before]), emit.ints("ends", &[end]));
        let axes = emit.ints("axes", &[axis]);
        Ok(emit.node(NodeSpec::new("Slice", [x, starts, ends, axes])))
    }
}
