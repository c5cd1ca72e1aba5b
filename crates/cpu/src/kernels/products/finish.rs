//! What happens to a sum before it is stored.

use super::tile::load_columns;
use crate::kernels::Operands;
use crate::kernels::chain::{Chain, Pointwise};
use crate::kernels::unary::Function;
use crate::simd::Simd;

/// The most links of a chain that are computed in registers.
pub(crate) const MOST_LINKS: usize = 4;

/// Bias and functions that follow a product.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    pub bias: Option<&'a [f32]>,
    pub chain: &'a Chain,
    pub operands: &'a Operands<'a>,
}

/// A link of a chain that is computed in registers.
#[derive(Clone, Copy)]
enum Link<'a> {
    Relu,
    /// Times the channel's scale, plus its shift.
    Affine(&'a [f32], &'a [f32]),
    /// Plus the element at the same place of an array as large as the results.
    Add(&'a [f32]),
}

/// The part of a [`Finish`] that is computed while sums are in registers.
pub(super) struct Epilogue<'a> {
    bias: Option<&'a [f32]>,
    links: [Link<'a>; MOST_LINKS],
    count: usize,
}

impl<'a> Epilogue<'a> {
    /// As many links as can be; the others come later, on the stored sums.
    ///
    /// # Panics
    /// Where bias, scale or shift have fewer than `channels` elements, or what is added fewer than there are `results`.
    pub fn new(finish: &Finish<'a>, channels: usize, results: usize) -> Epilogue<'a> {
        let vector = |operand: usize| &finish.operands.get::<f32>(operand)[..channels];
        let mut epilogue = Epilogue {
            bias: finish.bias.map(|bias| &bias[..channels]),
            links: [Link::Relu; MOST_LINKS],
            count: 0,
        };
        for link in finish.chain.links.iter().take(MOST_LINKS) {
            epilogue.links[epilogue.count] = match *link {
                Pointwise::Function(Function::Relu { .. }) => Link::Relu,
                Pointwise::Affine { scale, shift } => Link::Affine(vector(scale), vector(shift)),
                Pointwise::Add { other } => Link::Add(&finish.operands.get::<f32>(other)[..results]),
                Pointwise::Function(_) => break,
            };
            epilogue.count += 1;
        }
        epilogue
    }

    /// How many of the chain's links are computed in registers.
    pub fn links(&self) -> usize {
        self.count
    }

    /// Replaces sums of `columns` channels, of which the first is `channel`. Each row's go to `rows` among the results.
    ///
    /// # Safety
    /// There must be as many channels and results as [`new`](Epilogue::new) was told.
    #[inline(always)]
    pub unsafe fn apply<S: Simd, const M: usize, const V: usize>(
        &self,
        s: S,
        sums: &mut [[S::F; V]; M],
        [channel, columns]: [usize; 2],
        rows: &[usize; M],
    ) {
        if let Some(bias) = self.bias {
            for v in 0..V {
                // SAFETY: the caller's.
                let bias = unsafe { load_columns(s, bias.as_ptr().add(channel), v, columns) };
                for m in 0..M {
                    sums[m][v] = s.add(sums[m][v], bias);
                }
            }
        }
        for link in &self.links[..self.count] {
            match *link {
                Link::Relu => {
                    for m in 0..M {
                        for v in 0..V {
                            // The second where either is NaN.
                            sums[m][v] = s.max(s.splat(0.0), sums[m][v]);
                        }
                    }
                }
                Link::Add(other) => {
                    for m in 0..M {
                        for v in 0..V {
                            // SAFETY: the caller's.
                            let other = unsafe { load_columns(s, other.as_ptr().add(rows[m]), v, columns) };
                            sums[m][v] = s.add(sums[m][v], other);
                        }
                    }
                }
                Link::Affine(scale, shift) => {
                    for v in 0..V {
                        // SAFETY: the caller's.
                        let (scale, shift) = unsafe {
                            let (scale, shift) = (scale.as_ptr().add(channel), shift.as_ptr().add(channel));
                            (load_columns(s, scale, v, columns), load_columns(s, shift, v, columns))
                        };
                        for m in 0..M {
                            sums[m][v] = s.mul_add(sums[m][v], scale, shift);
                        }
                    }
                }
            }
        }
    }
}
