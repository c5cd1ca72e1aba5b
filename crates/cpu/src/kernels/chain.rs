//! Functions joined to the operator before them: what happens to each element before it is stored.

use super::affine::AffineRows;
use super::unary::Function;
use super::{Kernel, Operands};
use crate::Result;

/// What happens to one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pointwise {
    Function(Function),
    /// Times the channel's element of one operand, plus that of another.
    Affine {
        scale: usize,
        shift: usize,
    },
    /// Plus the element at the same place of an operand of the same shape; only while the results of a product are in
    /// registers.
    Add {
        other: usize,
    },
}

/// Functions of single elements, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chain {
    pub links: Vec<Pointwise>,
    /// After how many of them neighbouring rows of a product become one, the largest of theirs, if they do; only while
    /// the results are in registers.
    pub pools_after: Option<usize>,
}

impl Chain {
    /// Replaces each element of `values`: rows of `width` channels, of which the first is `channel`. Elements past the
    /// last channel become anything.
    pub fn apply(&self, operands: &Operands<'_>, values: &mut [f32], width: usize, channel: usize) {
        self.apply_from(0, operands, values, width, channel);
    }

    /// As [`apply`](Chain::apply), without the first `skip` links.
    pub fn apply_from(
        &self,
        skip: usize,
        operands: &Operands<'_>,
        values: &mut [f32],
        width: usize,
        channel: usize,
    ) {
        let isa = operands.isa();
        for link in &self.links[skip..] {
            match *link {
                Pointwise::Function(function) => function.apply(isa, values),
                Pointwise::Affine { scale, shift } => {
                    let [scale, shift] = [scale, shift].map(|index| &operands.get::<f32>(index)[channel..]);
                    isa.run(AffineRows { from: None, to: values, width, scale, shift });
                }
                Pointwise::Add { .. } => debug_assert!(false, "a sum of something that was stored"),
            }
        }
    }
}

/// A kernel whose output goes through a [`Chain`] in place.
pub(crate) struct Then<K> {
    pub kernel: K,
    pub chain: Chain,
}

pub(crate) struct ThenBound<B> {
    kernel: B,
    width: usize,
}

impl<K: Kernel<Out = f32>> Kernel for Then<K> {
    type Out = f32;
    type Bound = ThenBound<K::Bound>;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<Self::Bound> {
        let width = output.last().copied().unwrap_or(1);
        Ok(ThenBound { kernel: self.kernel.bind(operands, output)?, width })
    }

    fn scratch(&self, bound: &Self::Bound) -> usize {
        self.kernel.scratch(&bound.kernel)
    }

    fn check(&self, bound: &Self::Bound, operands: &Operands<'_>) -> Result<()> {
        self.kernel.check(&bound.kernel, operands)
    }

    fn run(&self, bound: &Self::Bound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        self.kernel.run(&bound.kernel, operands, scratch, out);
        let rows = (2048 / bound.width).max(1);
        for chunk in out.chunks_mut(rows.saturating_mul(bound.width)) {
            self.chain.apply(operands, chunk, bound.width, 0);
        }
    }
}
