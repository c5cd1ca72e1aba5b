//! `Pool`: `MaxPool` or `AveragePool` over as many axes as there are windows. Padding is not counted.

use super::window::{steps, with_windows};
use super::{Emit, Layouts, Lower, Tie};
use crate::draft::{NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::{Error, Result};
use k2o_core::ops::{Pool, PoolKind};

impl Lower for Pool {
    fn tie(&self) -> Tie {
        Tie::Anchor
    }

    fn layouts(&self, _: &Site<'_>) -> Result<Layouts> {
        let layout = Layout::channels_first(self.windows.len() + 2);
        Ok(Layouts { inputs: vec![layout.clone()], output: layout })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let op_type = match self.kind {
            PoolKind::Max => "MaxPool",
            PoolKind::Average => "AveragePool",
        };
        if self.kind == PoolKind::Average
            && emit.opset() < 19
            && self.windows.iter().any(|w| w.dilation() != 1)
        {
            let opset = emit.opset();
            let text = format!("an average over a dilated window needs opset 19; {opset} was asked for");
            return Err(Error::unsupported(text));
        }
        let shape = emit.type_of(0)?.shape;
        let node = with_windows(NodeSpec::new(op_type, [x]), &self.windows, steps(&shape)?)?;
        Ok(emit.node(node))
    }
}
