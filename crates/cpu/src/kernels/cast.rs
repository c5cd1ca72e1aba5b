//! The same numbers as another kind of element.

use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;
use k2o_core::DType;
use std::marker::PhantomData;

/// Operand 0, whose elements are of kind `A`, as elements of kind `B`.
pub(crate) struct Cast<A, B> {
    /// The range of integers that the result is kept in.
    range: (i64, i64),
    kinds: PhantomData<(A, B)>,
}

impl<A, B> Cast<A, B> {
    /// The cast to `dtype`, which has elements of kind `B`.
    pub fn new(dtype: DType) -> Cast<A, B> {
        let range = match dtype {
            DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        Cast { range, kinds: PhantomData }
    }
}

/// Elements that become elements of kind `B`.
pub(crate) trait Become<B>: Element {
    /// The nearest number of kind `B` towards zero, or the nearest if that is no integer; NaN becomes 0.
    fn cast(self, range: (i64, i64)) -> B;
}

impl Become<i64> for f32 {
    #[inline(always)]
    fn cast(self, (min, max): (i64, i64)) -> i64 {
        (self as i64).clamp(min, max)
    }
}

impl Become<i64> for i64 {
    #[inline(always)]
    fn cast(self, (min, max): (i64, i64)) -> i64 {
        self.clamp(min, max)
    }
}

impl Become<f32> for i64 {
    #[inline(always)]
    fn cast(self, _: (i64, i64)) -> f32 {
        self as f32
    }
}

impl<A: Become<B>, B: Element> Kernel for Cast<A, B> {
    type Out = B;
    type Bound = ();

    fn bind(&self, _: &[&[usize]], _: &[usize]) -> Result<()> {
        Ok(())
    }

    fn run(&self, (): &(), operands: &Operands<'_>, _: &mut [f32], out: &mut [B]) {
        out.iter_mut().zip(operands.get::<A>(0)).for_each(|(out, x)| *out = x.cast(self.range));
    }
}

/// Whether the elements of operand 0 differ from 0.
pub(crate) struct IsTrue<A>(PhantomData<A>);

impl<A> IsTrue<A> {
    pub fn new() -> IsTrue<A> {
        IsTrue(PhantomData)
    }
}

impl<A: Element> Kernel for IsTrue<A> {
    type Out = i64;
    type Bound = ();

    fn bind(&self, _: &[&[usize]], _: &[usize]) -> Result<()> {
        Ok(())
    }

    fn run(&self, (): &(), operands: &Operands<'_>, _: &mut [f32], out: &mut [i64]) {
        out.iter_mut().zip(operands.get::<A>(0)).for_each(|(out, x)| *out = i64::from(*x != A::default()));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Problem;
    use k2o_core::ops::Cast;
    use k2o_core::{DType, Data, Tensor};
    use proptest::prelude::*;

    /// The cast and its reference, whose floating-point numbers are rounded to single precision.
    #[track_caller]
    fn check(x: Data, to: DType) {
        let problem = Problem::of(Cast { to }, [Tensor::new([x.len()], x).unwrap()]);
        let reference = match problem.reference().data() {
            Data::F64(exact) => Data::F64(exact.iter().map(|&y| f64::from(y as f32)).collect()),
            other => other.clone(),
        };
        for constants in 0..=1 {
            assert_eq!(problem.run_with(constants).unwrap().data(), &reference, "to {to}");
        }
    }

    const TYPES: [DType; 4] = [DType::F32, DType::I32, DType::I64, DType::Bool];

    proptest! {
        #[test]
        fn casts_are_the_reference(
            floats in prop::collection::vec(-5e9f32..5e9, 0..20),
            integers in prop::collection::vec(any::<i64>(), 0..20),
            shift in 0u32..60,
        ) {
            for to in TYPES {
                check(Data::F64(floats.iter().map(|&x| f64::from(x / (1u64 << (shift / 2)) as f32)).collect()), to);
                check(Data::I64(integers.iter().map(|x| x >> shift).collect()), to);
                check(Data::Bool(integers.iter().map(|&x| x > 0).collect()), to);
            }
        }
    }

    #[test]
    fn what_is_past_the_range_becomes_its_end_and_nan_zero() {
        let ends = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.99, -0.99, -1.5];
        for to in [DType::I32, DType::I64, DType::Bool] {
            check(Data::F64(ends.map(|x| f64::from(x as f32)).to_vec()), to);
        }
        for to in TYPES {
            check(Data::I64(vec![i64::MIN, i64::MAX, 0, -1, i64::from(i32::MAX) + 1]), to);
        }
    }
}
