//! Elements along an axis, picked by their indices.

use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use k2o_core::ops;
use std::marker::PhantomData;

/// The elements of operand 0 at the indices in operand 1.
pub(crate) struct Gather<T> {
    op: ops::Gather,
    element: PhantomData<T>,
}

impl<T> Gather<T> {
    pub fn new(op: ops::Gather) -> Gather<T> {
        Gather { op, element: PhantomData }
    }
}

pub(crate) struct GatherBound {
    /// Elements along the axis.
    size: usize,
    /// How many neighbours are picked together.
    run: usize,
}

impl<T: Element> Kernel for Gather<T> {
    type Out = T;
    type Bound = GatherBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<GatherBound> {
        let (x, axis) = (operands[0], self.op.axis);
        Ok(GatherBound { size: x[axis], run: x[axis + 1..].iter().product() })
    }

    fn check(&self, bound: &GatherBound, operands: &Operands<'_>) -> Result<()> {
        let inside = |index: i64| usize::try_from(index).is_ok_and(|index| index < bound.size);
        match operands.get::<i64>(1).iter().find(|index| !inside(**index)) {
            Some(&index) => Err(ops::Gather::out_of_range(index, bound.size).into()),
            None => Ok(()),
        }
    }

    fn run(&self, bound: &GatherBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [T]) {
        let (GatherBound { size, run }, indices) = (bound, operands.get::<i64>(1));
        let blocks = operands.get::<T>(0).chunks_exact(size * run);
        for (out, x) in out.chunks_exact_mut(indices.len() * run).zip(blocks) {
            for (out, &index) in out.chunks_exact_mut(*run).zip(indices) {
                out.copy_from_slice(&x[index as usize * run..][..*run]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ErrorKind;
    use crate::testing::{Problem, check_moves, values};
    use k2o_core::ops::Gather;
    use k2o_core::{Data, Tensor};
    use proptest::prelude::*;

    fn integers(shape: &[usize], data: Vec<i64>) -> Tensor {
        Tensor::new(shape, Data::I64(data)).unwrap()
    }

    proptest! {
        #[test]
        fn picks_are_the_reference(
            mut shape in prop::collection::vec(0usize..6, 1..4),
            size in 1usize..9,
            axis in 0usize..3,
            (rows, picked) in (0usize..4, prop::collection::vec(0i64..1000, 0..6)),
            seed in 0u64..1 << 40,
        ) {
            let axis = axis % shape.len();
            shape[axis] = size;
            let data = (0..rows as i64).flat_map(|i| picked.iter().map(move |at| (at + i * 7) % size as i64));
            let indices = integers(&[rows, picked.len()], data.collect());
            check_moves(Gather { axis }, &values(&shape, seed), &[indices]);
        }
    }

    #[test]
    fn an_index_that_is_not_there_is_an_error() {
        for (index, text) in [
            (-1, "the index -1 is not one of 0 to 4"),
            (5, "the index 5 is not one of 0 to 4"),
            (i64::MAX, "the index 9223372036854775807 is not one of 0 to 4"),
            (i64::MIN, "the index -9223372036854775808 is not one of 0 to 4"),
        ] {
            let x = Tensor::f64([1, 5, 2], vec![0.5; 10]).unwrap();
            let problem = Problem::of(Gather { axis: 1 }, [x, integers(&[3], vec![0, index, 1])]);
            for constants in 0..=2 {
                let error = problem.run_with(constants).unwrap_err();
                assert_eq!((error.kind(), error.message()), (ErrorKind::Input, text));
            }
        }
    }
}
