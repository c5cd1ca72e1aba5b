//! `Cast`: one node in any layout, and none where the type is the same.

use super::{Emit, Layouts, Lower, TakesFlat, Tie, any_layout};
use crate::Result;
use crate::draft::{NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::messages::data_type;
use k2o_core::ops::Cast;
use k2o_core::{Graph, Node};

impl Lower for Cast {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn takes_flat(&self, _: &Graph, _: &Node, _: usize) -> TakesFlat {
        TakesFlat::Passes
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        any_layout(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        if emit.type_of(0)?.dtype == self.to {
            return Ok(emit.pass(x));
        }
        Ok(emit.node(NodeSpec::new("Cast", [x]).int("to", data_type(self.to).into())))
    }
}
