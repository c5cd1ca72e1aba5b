//! `Conv`: one node, bias included, over as many axes as there are windows.
//!
//! ONNX: `x` `[batch, channels, steps..]`, kernel `[filters, channels / groups, taps..]`.

use super::window::{steps, with_windows};
use super::{Emit, Layouts, Lower, Tie};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use k2o_core::ops::Conv;

impl Lower for Conv {
    fn tie(&self) -> Tie {
        Tie::Anchor
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let rank = self.windows.len();
        let x = Layout::channels_first(rank + 2);
        // From [taps.., channels, filters].
        let kernel = Layout::Axes([rank + 1, rank].into_iter().chain(0..rank).collect());
        let mut inputs = vec![x.clone(), kernel, Layout::keras(1)];
        inputs.truncate(site.node.inputs.len());
        Ok(Layouts { inputs, output: x })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let (x, kernel) = (emit.input(0)?, emit.input(1)?);
        let bias = if emit.has(2) { emit.input(2)? } else { Arg::Absent };
        let shape = emit.type_of(0)?.shape;
        let mut node = with_windows(NodeSpec::new("Conv", [x, kernel, bias]), &self.windows, steps(&shape)?)?;
        if self.groups != 1 {
            node = node.int("group", super::int(self.groups)?);
        }
        Ok(emit.node(node))
    }
}
