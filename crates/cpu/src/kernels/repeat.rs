//! Every element along an axis several times in a row.

use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use k2o_core::ops;
use std::marker::PhantomData;

/// Operand 0 with its elements repeated.
pub(crate) struct Repeat<T> {
    op: ops::Repeat,
    element: PhantomData<T>,
}

impl<T> Repeat<T> {
    pub fn new(op: ops::Repeat) -> Repeat<T> {
        Repeat { op, element: PhantomData }
    }
}

/// How many neighbours are repeated together.
pub(crate) struct RepeatBound {
    run: usize,
}

impl<T: Element> Kernel for Repeat<T> {
    type Out = T;
    type Bound = RepeatBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<RepeatBound> {
        Ok(RepeatBound { run: operands[0][self.op.axis + 1..].iter().product() })
    }

    fn run(&self, bound: &RepeatBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [T]) {
        let runs = operands.get::<T>(0).chunks_exact(bound.run);
        for (out, x) in out.chunks_exact_mut(bound.run * self.op.times).zip(runs) {
            match x {
                [x] => out.fill(*x),
                x => out.chunks_exact_mut(bound.run).for_each(|out| out.copy_from_slice(x)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_moves, values};
    use k2o_core::ops::Repeat;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn repetitions_are_the_reference(
            shape in prop::collection::vec(0usize..7, 1..5),
            axis in 0usize..4,
            times in 1usize..5,
            seed in 0u64..1 << 40,
        ) {
            let axis = axis % shape.len();
            check_moves(Repeat { axis, times }, &values(&shape, seed), &[]);
        }
    }
}
