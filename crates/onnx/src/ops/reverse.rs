//! `Reverse`: `Slice` from the last element to before the first, in any layout.

use super::{Emit, Layouts, Lower, Tie, same_axes};
use crate::Result;
use crate::draft::{NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::Reverse;

impl Lower for Reverse {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        same_axes(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let axis = emit.layouts.output.position(self.axis) as i64;
        let (starts, ends) = (emit.ints("starts", &[-1]), emit.ints("ends", &[i64::MIN]));
        let (axes, steps) = (emit.ints("axes", &[axis]), emit.ints("steps", &[-1]));
        Ok(emit.node(NodeSpec::new("Slice", [x, starts, ends, axes, steps])))
    }
}
