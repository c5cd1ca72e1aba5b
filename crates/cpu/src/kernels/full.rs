//! One value everywhere.

use super::{Kernel, Operands};
use crate::Result;
use crate::arena::Element;

/// An array of this element. It reads no operand.
pub(crate) struct Full<T>(pub T);

impl<T: Element> Kernel for Full<T> {
    type Out = T;
    type Bound = ();

    fn bind(&self, _: &[&[usize]], _: &[usize]) -> Result<()> {
        Ok(())
    }

    fn run(&self, (): &(), _: &Operands<'_>, _: &mut [f32], out: &mut [T]) {
        out.fill(self.0);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_exact, kinds, values};
    use k2o_core::DType;
    use k2o_core::ops::{Full, FullDim};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn filled_arrays_are_the_reference(
            shape in prop::collection::vec(0usize..7, 1..4),
            dims in prop::collection::vec((any::<bool>(), 0usize..4), 0..4),
            value in prop_oneof![Just(0.0), Just(-3.0), Just(f64::INFINITY)],
            kind in 0usize..3,
        ) {
            let dim = |&(fixed, n): &(bool, usize)| match fixed {
                true => FullDim::Fixed(n as i64),
                false => FullDim::Of(n % shape.len()),
            };
            let dims: Vec<FullDim> = dims.iter().map(dim).collect();
            let like = &kinds(&values(&shape, 1))[kind];
            for dtype in [DType::F32, DType::I32, DType::I64, DType::Bool] {
                if value.is_finite() || dtype != DType::I32 {
                    let op = Full { dims: dims.clone(), value, dtype };
                    check_exact(&Problem::of(op, [like.clone()]));
                }
            }
        }
    }
}
