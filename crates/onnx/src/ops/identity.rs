//! `Identity`: no node at all; the output is the input.

use super::{Emit, Layouts, Lower, TakesFlat, Tie, any_layout};
use crate::Result;
use crate::draft::TensorId;
use crate::layout::assign::Site;
use k2o_core::ops::Identity;
use k2o_core::{Graph, Node};

impl Lower for Identity {
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
        Ok(emit.pass(x))
    }
}
