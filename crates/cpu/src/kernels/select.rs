//! Elements of one array or another.

use super::broadcast::Broadcast;
use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use std::marker::PhantomData;

/// The elements of operand 1 where operand 0 holds, else those of operand 2.
pub(crate) struct Select<T>(PhantomData<T>);

impl<T> Select<T> {
    pub fn new() -> Select<T> {
        Select(PhantomData)
    }
}

impl<T: Element> Kernel for Select<T> {
    type Out = T;
    type Bound = Broadcast<3>;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<Broadcast<3>> {
        Ok(Broadcast::new(operands, output))
    }

    fn run(&self, bound: &Broadcast<3>, operands: &Operands<'_>, _: &mut [f32], out: &mut [T]) {
        bound.select(operands.isa(), operands.get::<i64>(0), (operands.get(1), operands.get(2)), out);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_exact, kinds, shapes_that_meet, tensor, values};
    use k2o_core::ops::Select;
    use k2o_core::{Data, Tensor};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn selections_are_the_reference([condition, a, b] in shapes_that_meet::<3>(), seed in 0u64..1 << 40) {
            let condition = &kinds(&values(&condition, seed))[2];
            for (a, b) in kinds(&values(&a, seed + 1)).into_iter().zip(kinds(&values(&b, seed + 2))) {
                check_exact(&Problem::of(Select, [condition.clone(), a, b]));
            }
        }
    }

    #[test]
    fn what_is_not_selected_spoils_nothing() {
        let condition = Tensor::new([4], Data::Bool(vec![true, false, true, false])).unwrap();
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let operands =
            [(vec![4], vec![1., nan, 2., inf]), (vec![4], vec![nan, 3., inf, 4.])].map(|x| tensor(&x));
        check_exact(&Problem::of(Select, [condition].into_iter().chain(operands)));
    }
}
