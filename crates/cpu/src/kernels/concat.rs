//! Arrays one after the other along an axis.

use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use k2o_core::ops;
use std::marker::PhantomData;

/// The first operands, joined; those after them are what follows the concat reads.
pub(crate) struct Concat<T> {
    op: ops::Concat,
    arrays: usize,
    element: PhantomData<T>,
}

impl<T> Concat<T> {
    /// The concat of the first `arrays` operands.
    pub fn new(op: ops::Concat, arrays: usize) -> Concat<T> {
        Concat { op, arrays, element: PhantomData }
    }
}

/// How many neighbours come from each operand before the next one's turn.
pub(crate) struct ConcatBound {
    runs: Vec<usize>,
}

impl<T: Element> Kernel for Concat<T> {
    type Out = T;
    type Bound = ConcatBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<ConcatBound> {
        let runs = operands[..self.arrays].iter().map(|shape| shape[self.op.axis..].iter().product());
        Ok(ConcatBound { runs: runs.collect() })
    }

    fn run(&self, bound: &ConcatBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [T]) {
        let total: usize = bound.runs.iter().sum();
        let mut first = 0;
        for (index, &run) in bound.runs.iter().enumerate().filter(|(_, run)| **run > 0) {
            let blocks = operands.get::<T>(index).chunks_exact(run);
            for (out, x) in out.chunks_exact_mut(total).zip(blocks) {
                out[first..first + run].copy_from_slice(x);
            }
            first += run;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::Concat;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn joins_are_the_reference(
            shape in prop::collection::vec(0usize..6, 1..4),
            sizes in prop::collection::vec(0usize..5, 1..5),
            axis in 0usize..3,
            seed in 0u64..1 << 40,
        ) {
            let axis = axis % shape.len();
            let operands = sizes.iter().map(|&size| {
                let mut shape = shape.clone();
                shape[axis] = size;
                values(&shape, seed + size as u64)
            });
            check_close(&Problem::new(Concat { axis }, operands), 0.0, 0.0);
        }
    }
}
