//! `Concat`: one node, all inputs in one layout.

use super::{Emit, Layouts, Lower, Tie};
use crate::Result;
use crate::draft::{NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use k2o_core::ops::Concat;

/// The layout in which the fewest of `operands` need to be transposed, among those that the operands have.
pub(super) fn common_layout(site: &Site<'_>, operands: &[usize], rank: usize) -> Result<Layout> {
    let mut candidates = Vec::new();
    if site.feeds_channels_first() {
        candidates.push(Layout::channels_first(rank));
    }
    for &operand in operands {
        let layout = site.layout(operand)?;
        if !site.is_constant(operand) && layout.axes().is_some_and(|order| order.len() == rank) {
            candidates.push(layout);
        }
    }
    candidates.push(Layout::keras(rank));
    Ok(site.cheapest(candidates, operands).unwrap_or_else(|| Layout::keras(rank)))
}

impl Lower for Concat {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let operands: Vec<usize> = (0..site.node.inputs.len()).collect();
        let layout = common_layout(site, &operands, site.output()?.shape.rank())?;
        Ok(Layouts { inputs: vec![layout.clone(); operands.len()], output: layout })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let inputs =
            (0..emit.node.inputs.len()).map(|operand| emit.input(operand)).collect::<Result<Vec<_>>>()?;
        let axis = emit.layouts.output.position(self.axis);
        Ok(emit.node(NodeSpec::new("Concat", inputs).int("axis", axis as i64)))
    }
}
