//! Arrays from the last element of an axis to the first.

use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use k2o_core::ops;
use std::marker::PhantomData;

/// Operand 0 with the elements along an axis in the opposite order.
pub(crate) struct Reverse<T> {
    op: ops::Reverse,
    element: PhantomData<T>,
}

impl<T> Reverse<T> {
    pub fn new(op: ops::Reverse) -> Reverse<T> {
        Reverse { op, element: PhantomData }
    }
}

pub(crate) struct ReverseBound {
    /// Elements along the axis.
    size: usize,
    /// How many neighbours move together.
    run: usize,
}

impl<T: Element> Kernel for Reverse<T> {
    type Out = T;
    type Bound = ReverseBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<ReverseBound> {
        let (x, axis) = (operands[0], self.op.axis);
        Ok(ReverseBound { size: x[axis], run: x[axis + 1..].iter().product() })
    }

    fn run(
        &self,
        &ReverseBound { size, run }: &ReverseBound,
        operands: &Operands<'_>,
        _: &mut [f32],
        out: &mut [T],
    ) {
        let blocks = operands.get::<T>(0).chunks_exact(size * run);
        for (out, x) in out.chunks_exact_mut(size * run).zip(blocks) {
            match run {
                1 => out.iter_mut().zip(x.iter().rev()).for_each(|(out, x)| *out = *x),
                _ => {
                    let runs = x.chunks_exact(run).rev();
                    out.chunks_exact_mut(run).zip(runs).for_each(|(out, x)| out.copy_from_slice(x));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_moves, values};
    use k2o_core::ops::Reverse;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reversals_are_the_reference(
            shape in prop::collection::vec(0usize..7, 1..5),
            axis in 0usize..4,
            seed in 0u64..1 << 40,
        ) {
            check_moves(Reverse { axis: axis % shape.len() }, &values(&shape, seed), &[]);
        }
    }
}
