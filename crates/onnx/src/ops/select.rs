//! `Select`: `Where`, in any layout.

use super::broadcast::{layouts, operand, value_rank};
use super::{Emit, Layouts, Lower, Tie};
use crate::Result;
use crate::draft::{NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::Select;

impl Lower for Select {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        layouts(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let rank = value_rank(emit);
        let (condition, a, b) = (operand(emit, 0, rank)?, operand(emit, 1, rank)?, operand(emit, 2, rank)?);
        Ok(emit.node(NodeSpec::new("Where", [condition, a, b])))
    }
}
