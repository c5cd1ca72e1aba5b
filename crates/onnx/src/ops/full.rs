//! `Full`: `Expand` of one element to a shape, which is an initializer where all sizes are known. The tensor that lends
//! its shape is read in any layout.

use super::target::{Size, joined};
use super::{Emit, Layouts, Lower, Tie, any_axes};
use crate::draft::{NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::{Error, Result};
use k2o_core::ops::{Full, FullDim};

impl Lower for Full {
    fn tie(&self) -> Tie {
        Tie::Free
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        Ok(Layouts { inputs: vec![any_axes(site)?], output: Layout::keras(self.dims.len()) })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let like = emit.type_of(0)?.shape;
        let mut sizes = Vec::with_capacity(self.dims.len());
        for dim in &self.dims {
            let axis = match *dim {
                FullDim::Fixed(n) => {
                    sizes.push(Size::Number(n));
                    continue;
                }
                FullDim::Of(axis) => axis,
            };
            let missing = || Error::shape(format!("a size of axis {axis} of {like}"));
            sizes.push(match like.get(axis).ok_or_else(missing)?.as_fixed() {
                Some(n) => Size::Number(n),
                None => {
                    let of = emit.input(0)?;
                    Size::Axis { of, axis: emit.layout(0)?.position(axis), rank: like.rank() }
                }
            });
        }
        let shape = joined(emit, sizes);
        let value = emit.scalar("value", self.dtype, self.value)?;
        Ok(emit.node(NodeSpec::new("Expand", [value, shape])))
    }
}
