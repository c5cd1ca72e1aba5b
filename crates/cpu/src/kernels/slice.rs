//! Arrays without their first and last elements along an axis.

use super::grid::{Grid, strides};
use super::{Kernel, Operands};
use crate::arena::Element;
use crate::{Error, Result};
use k2o_core::ops;
use std::marker::PhantomData;

/// What is left of operand 0.
pub(crate) struct Slice<T> {
    op: ops::Slice,
    element: PhantomData<T>,
}

impl<T> Slice<T> {
    pub fn new(op: ops::Slice) -> Slice<T> {
        Slice { op, element: PhantomData }
    }
}

pub(crate) struct SliceBound {
    /// Where the rows of the output start in the input, without its first element's offset.
    rows: Grid<1>,
    /// The size of a row.
    run: usize,
    /// Where the output's first element is in the input.
    first: usize,
}

impl<T: Element> Kernel for Slice<T> {
    type Out = T;
    type Bound = SliceBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<SliceBound> {
        let steps = strides(operands[0]);
        let mut rows = Grid::new((0..output.len()).map(|axis| (output[axis], [steps[axis]])));
        let run = rows.split_run();
        let before = usize::try_from(self.op.before);
        let before = before.map_err(|_| Error::limit("the slice does not fit memory"))?;
        Ok(SliceBound { rows, run, first: before * steps[self.op.axis] })
    }

    fn run(&self, bound: &SliceBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [T]) {
        let x = &operands.get::<T>(0)[bound.first..];
        let mut rows = out.chunks_exact_mut(bound.run);
        bound.rows.visit(|[start]| {
            if let Some(out) = rows.next() {
                out.copy_from_slice(&x[start..start + bound.run]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_moves, values};
    use k2o_core::ops::Slice;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_are_the_reference(
            mut shape in prop::collection::vec(0usize..7, 1..5),
            axis in 0usize..4,
            (before, left, after) in (0i64..4, 0usize..5, 0i64..4),
            seed in 0u64..1 << 40,
        ) {
            let axis = axis % shape.len();
            shape[axis] = before as usize + left + after as usize;
            check_moves(Slice { axis, before, after }, &values(&shape, seed), &[]);
        }
    }
}
