//! Elements along an axis, picked by their indices.

use super::{Infer, Operator, check_axis, exactly};
use crate::tensor::{element_count, for_each_index, strides};
use crate::{Cost, Error, ErrorKind, Relation, Result, Tensor, TensorType};

/// `y[i.., j.., k..] = x[i.., indices[j..], k..]`, where `i` runs over the axes before `axis` and `k` over those
/// behind. Inputs: `x` and whole-number `indices`, each from 0 up to the axis's size; another one is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The axis that is picked from, which the axes of `indices` replace.
    pub axis: usize,
}

impl Gather {
    /// The error for an index that is not there.
    pub fn out_of_range(index: i64, size: usize) -> Error {
        let last = (size as i64).saturating_sub(1);
        Error::new(ErrorKind::Input, format!("the index {index} is not one of 0 to {last}"))
    }
}

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x, indices] = exactly("gather", inputs)?;
        check_axis("gather", self.axis, x.shape.rank())?;
        if !indices.dtype.is_integer() {
            return Err(Error::shape(format!("gather by indices of {}", indices.dtype)));
        }
        infer.require(x.shape.dim(self.axis)?, Relation::AtLeast(1), || {
            format!("gather from axis {} of an input {}, which has no elements", self.axis, x.shape)
        })?;
        let (before, rest) = x.shape.split_at(self.axis);
        let dims = before.iter().chain(indices.shape.iter()).chain(rest.iter().skip(1));
        Ok(vec![TensorType::new(dims.cloned().collect(), x.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x, indices] = exactly("gather", inputs)?;
        let (before, rest) = x.shape().split_at(self.axis);
        let shape = [before, indices.shape(), &rest[1..]].concat();
        let picked = indices.as_i64()?;
        let inside = |&index: &i64| usize::try_from(index).is_ok_and(|index| index < rest[0]);
        if let Some(&index) = picked.iter().find(|index| !inside(index)) {
            return Err(Gather::out_of_range(index, rest[0]));
        }
        let step = strides(x.shape())[self.axis];
        let mut positions = Vec::with_capacity(element_count(&shape)?);
        let blocks = [before, &[picked.len(), step]].concat();
        for_each_index(&blocks, |index| {
            let [outer @ .., at, inner] = index else { return };
            let outer = outer.iter().zip(before).fold(0, |n, (i, size)| n * size + i);
            positions.push((outer * rest[0] + picked[*at] as usize) * step + inner);
        });
        Ok(vec![x.select(shape, &positions)?])
    }
}
