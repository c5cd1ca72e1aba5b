//! `Transpose`: no node either. The output is the input's tensor, in a layout that says which axis is which; whoever
//! needs the axes in their places has them moved, and two transpositions that cancel leave nothing.

use super::{Emit, Layouts, Lower, Tie, any_axes};
use crate::Result;
use crate::draft::TensorId;
use crate::layout::assign::Site;
use crate::layout::{Layout, inverse, permuted};
use k2o_core::ops::Transpose;

impl Lower for Transpose {
    fn tie(&self) -> Tie {
        Tie::Free
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let input = any_axes(site)?;
        let to = inverse(&self.permutation);
        let output = Layout::Axes(permuted(&to, input.axes().unwrap_or_default()));
        Ok(Layouts { inputs: vec![input], output })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        Ok(emit.pass(x))
    }
}
