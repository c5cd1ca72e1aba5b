//! `Pad`: one node in any layout, its amounts in the order of the tensor's axes.

use super::{Emit, Layouts, Lower, Tie, same_axes};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::layout::permuted;
use crate::{Error, Result};
use k2o_core::ops::Pad;

impl Lower for Pad {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        same_axes(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let order =
            emit.layouts.output.axes().ok_or_else(|| Error::shape("padding of a flattened tensor"))?;
        let (before, after): (Vec<i64>, Vec<i64>) = permuted(&self.amounts, order).into_iter().unzip();
        let pads = emit.ints("pads", &[before, after].concat());
        let value = match self.value {
            0.0 => Arg::Absent,
            value => {
                let dtype = emit.type_of(0)?.dtype;
                emit.scalar("constant_value", dtype, value)?
            }
        };
        Ok(emit.node(NodeSpec::new("Pad", [x, pads, value])))
    }
}
