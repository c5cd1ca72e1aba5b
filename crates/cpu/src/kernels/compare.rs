//! Whether elements of two arrays stand in a relation.

use super::broadcast::Broadcast;
use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use k2o_core::ops::{self, CompareKind};
use std::marker::PhantomData;

/// Whether the elements of operand 0 stand in a relation to those of operand 1.
pub(crate) struct Compare<T> {
    op: ops::Compare,
    element: PhantomData<T>,
}

impl<T> Compare<T> {
    pub fn new(op: ops::Compare) -> Compare<T> {
        Compare { op, element: PhantomData }
    }
}

impl<T: Element + PartialOrd> Kernel for Compare<T> {
    type Out = i64;
    type Bound = Broadcast<2>;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<Broadcast<2>> {
        Ok(Broadcast::new(operands, output))
    }

    fn run(&self, bound: &Broadcast<2>, operands: &Operands<'_>, _: &mut [f32], out: &mut [i64]) {
        let (isa, arrays) = (operands.isa(), (operands.get::<T>(0), operands.get::<T>(1)));
        match self.op.kind {
            CompareKind::Equal => bound.map(isa, arrays, out, |a, b| i64::from(a == b)),
            CompareKind::NotEqual => bound.map(isa, arrays, out, |a, b| i64::from(a != b)),
            CompareKind::Less => bound.map(isa, arrays, out, |a, b| i64::from(a < b)),
            CompareKind::LessOrEqual => bound.map(isa, arrays, out, |a, b| i64::from(a <= b)),
            CompareKind::Greater => bound.map(isa, arrays, out, |a, b| i64::from(a > b)),
            CompareKind::GreaterOrEqual => bound.map(isa, arrays, out, |a, b| i64::from(a >= b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_exact, kinds, shapes_that_meet, values};
    use k2o_core::Tensor;
    use k2o_core::ops::{Compare, CompareKind};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comparisons_are_the_reference(
            [a, b] in shapes_that_meet::<2>(),
            kind in 0usize..6,
            seed in 0u64..1 << 40,
        ) {
            // Few different numbers, so that many are equal.
            let coarse = |shape: &[usize], seed| {
                let (shape, data) = values(shape, seed);
                (shape, data.into_iter().map(f32::round).collect())
            };
            for (a, b) in kinds(&coarse(&a, seed)).into_iter().zip(kinds(&coarse(&b, seed + 1))) {
                check_exact(&Problem::of(Compare { kind: CompareKind::ALL[kind] }, [a, b]));
            }
        }
    }

    #[test]
    fn nan_stands_in_no_relation_but_inequality() {
        let all = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0];
        for kind in CompareKind::ALL {
            let operands = [[6, 1], [1, 6]].map(|shape| Tensor::f64(shape, all.clone()).unwrap());
            check_exact(&Problem::of(Compare { kind }, operands));
        }
    }
}
