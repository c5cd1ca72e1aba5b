//! The same elements with axes in another order.

use super::grid::{Grid, strides};
use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use k2o_core::ops;
use std::marker::PhantomData;

/// Operand 0 with its axes permuted.
pub(crate) struct Transpose<T> {
    op: ops::Transpose,
    element: PhantomData<T>,
}

impl<T> Transpose<T> {
    pub fn new(op: ops::Transpose) -> Transpose<T> {
        Transpose { op, element: PhantomData }
    }
}

pub(crate) struct TransposeBound {
    /// All but the innermost axis of the output.
    rows: Grid<1>,
    /// The innermost axis, and the step in the input along it.
    size: usize,
    step: usize,
}

impl<T: Element> Kernel for Transpose<T> {
    type Out = T;
    type Bound = TransposeBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<TransposeBound> {
        let steps = strides(operands[0]);
        let mut rows = Grid::new(self.op.permutation.iter().map(|&axis| (operands[0][axis], [steps[axis]])));
        let (size, [step]) = rows.split_innermost();
        Ok(TransposeBound { rows, size, step })
    }

    fn run(&self, bound: &TransposeBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [T]) {
        let x = operands.get::<T>(0);
        let mut rows = out.chunks_exact_mut(bound.size);
        bound.rows.visit(|[start]| {
            let Some(out) = rows.next() else { return };
            match bound.step {
                1 => out.copy_from_slice(&x[start..start + bound.size]),
                step => out.iter_mut().enumerate().for_each(|(i, out)| *out = x[start + i * step]),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::Transpose;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn permutations_are_the_reference(
            (shape, permutation) in prop::collection::vec(0usize..7, 0..5).prop_flat_map(|shape| {
                let axes: Vec<usize> = (0..shape.len()).collect();
                (Just(shape), Just(axes).prop_shuffle())
            }),
            seed in 0u64..1 << 40,
        ) {
            check_close(&Problem::new(Transpose { permutation }, [values(&shape, seed)]), 0.0, 0.0);
        }
    }
}
