//! `Gather`: one node, in the graph's order of axes. What an index that is not there does is up to the runtime.

use super::{Emit, Layouts, Lower, Tie, keras_layouts};
use crate::Result;
use crate::draft::{NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::Gather;

impl Lower for Gather {
    fn tie(&self) -> Tie {
        Tie::Free
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        keras_layouts(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let mut node = NodeSpec::new("Gather", [emit.input(0)?, emit.input(1)?]);
        if self.axis != 0 {
            node = node.int("axis", self.axis as i64);
        }
        Ok(emit.node(node))
    }
}
