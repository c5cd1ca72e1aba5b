//! `MatMul`: one node, in the graph's order of axes.

use super::{Emit, Layouts, Lower, Tie, keras_layouts};
use crate::Result;
use crate::draft::{NodeSpec, TensorId};
use crate::layout::assign::Site;
use k2o_core::ops::MatMul;

impl Lower for MatMul {
    fn tie(&self) -> Tie {
        Tie::Free
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        keras_layouts(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let inputs = [emit.input(0)?, emit.input(1)?];
        Ok(emit.node(NodeSpec::new("MatMul", inputs)))
    }
}
