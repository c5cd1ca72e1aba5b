//! Scale and shift along one axis.

use super::chain::affine_row;
use super::{Kernel, Operands};
use crate::Result;
use k2o_core::ops;

/// Operand 0 times operand 1 plus operand 2, the latter two along an axis.
pub(crate) struct Affine(pub ops::Affine);

pub(crate) struct AffineBound {
    channels: usize,
    /// Elements of one channel that are neighbours.
    inner: usize,
}

impl Kernel for Affine {
    type Out = f32;
    type Bound = AffineBound;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<AffineBound> {
        let (channels, inner) = (operands[1], &operands[0][self.0.axis + 1..]);
        Ok(AffineBound { channels: channels.iter().product(), inner: inner.iter().product() })
    }

    fn run(&self, bound: &AffineBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let (x, scale, shift) = (operands.get::<f32>(0), operands.get::<f32>(1), operands.get::<f32>(2));
        let block = bound.channels * bound.inner;
        for (out, x) in out.chunks_exact_mut(block).zip(x.chunks_exact(block)) {
            out.copy_from_slice(x);
            match bound.inner {
                1 => affine_row(out, scale, shift),
                inner => {
                    for ((out, scale), shift) in out.chunks_exact_mut(inner).zip(scale).zip(shift) {
                        out.iter_mut().for_each(|x| *x = *x * scale + shift);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::Affine;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn maps_are_the_reference(
            shape in prop::collection::vec(0usize..20, 1..4),
            axis in 0usize..3,
            seed in 0u64..1 << 40,
        ) {
            let axis = axis % shape.len();
            let vector = |seed| values(&[shape[axis]], seed);
            let operands = [values(&shape, seed), vector(seed + 1), vector(seed + 2)];
            check_close(&Problem::new(Affine { axis }, operands), 4.0, 4.0);
        }
    }
}
