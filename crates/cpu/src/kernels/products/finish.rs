//! What happens to a sum before it is stored.

use super::tile::{load_columns, store_columns};
use crate::kernels::Operands;
use crate::kernels::chain::{Chain, Pointwise};
use crate::kernels::unary::Function;
use crate::simd::Simd;

/// The most neighbouring rows that become one in registers.
pub(crate) const MOST_POOLED: usize = 4;

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
    /// The links before rows are pooled.
    before: usize,
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
            before: 0,
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
        epilogue.before = finish.chain.pools_after.unwrap_or(epilogue.count);
        epilogue
    }

    /// How many of the chain's links are computed in registers.
    pub fn links(&self) -> usize {
        self.count
    }

    /// Finishes sums of `columns` channels, of which the first is `channel`, and stores them among the results `y`: each
    /// row's at its place in `rows`, or at the first places the largest of every `pool` rows.
    ///
    /// # Safety
    /// There must be as many channels and results as [`new`](Epilogue::new) was told.
    #[inline(always)]
    pub unsafe fn store<S: Simd, const M: usize, const V: usize>(
        &self,
        s: S,
        mut sums: [[S::F; V]; M],
        channels: [usize; 2],
        (y, rows, pool): (*mut f32, &[usize; M], usize),
    ) {
        // SAFETY: the caller's.
        unsafe {
            self.apply(s, &mut sums, channels, rows);
            match pool {
                2 => self.store_largest::<S, M, V, 2>(s, &sums, channels, (y, rows)),
                3 => self.store_largest::<S, M, V, 3>(s, &sums, channels, (y, rows)),
                MOST_POOLED => self.store_largest::<S, M, V, MOST_POOLED>(s, &sums, channels, (y, rows)),
                _ => store(s, &sums, channels[1], (y, rows)),
            }
        }
    }

    /// Stores the largest of every `P` rows that [`apply`](Epilogue::apply) has replaced.
    #[inline(always)]
    unsafe fn store_largest<S: Simd, const M: usize, const V: usize, const P: usize>(
        &self,
        s: S,
        sums: &[[S::F; V]; M],
        channels: [usize; 2],
        (y, rows): (*mut f32, &[usize; M]),
    ) {
        // Decided when this is compiled, so that there is no code for tiles that are never used.
        if !M.is_multiple_of(P) {
            return;
        }
        for result in 0..M / P {
            let mut largest = [sums[result * P]];
            for m in result * P + 1..(result + 1) * P {
                larger(s, &mut largest[0], &sums[m]);
            }
            // SAFETY: the caller's.
            unsafe {
                let row = &[rows[result]];
                self.follow(s, &mut largest, channels, row);
                store(s, &largest, channels[1], (y, row));
            }
        }
    }

    /// Replaces sums of `columns` channels, of which the first is `channel`, by what they are before rows are pooled. Each
    /// row's go to `rows` among the results.
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
        // SAFETY: the caller's.
        unsafe { apply_links(s, &self.links[..self.before], sums, [channel, columns], rows) };
    }

    /// Replaces the largest of rows by what they are in the end.
    ///
    /// # Safety
    /// As for [`apply`](Epilogue::apply).
    #[inline(always)]
    pub unsafe fn follow<S: Simd, const M: usize, const V: usize>(
        &self,
        s: S,
        largest: &mut [[S::F; V]; M],
        channels: [usize; 2],
        rows: &[usize; M],
    ) {
        // SAFETY: the caller's.
        unsafe { apply_links(s, &self.links[self.before..self.count], largest, channels, rows) };
    }
}

/// Replaces sums by what links make of them.
#[inline(always)]
unsafe fn apply_links<S: Simd, const M: usize, const V: usize>(
    s: S,
    links: &[Link<'_>],
    sums: &mut [[S::F; V]; M],
    [channel, columns]: [usize; 2],
    rows: &[usize; M],
) {
    for link in links {
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

/// Stores rows of `columns` channels each at its place.
///
/// # Safety
/// The places must be writable.
#[inline(always)]
pub(super) unsafe fn store<S: Simd, const M: usize, const V: usize>(
    s: S,
    sums: &[[S::F; V]; M],
    columns: usize,
    (y, rows): (*mut f32, &[usize; M]),
) {
    for m in 0..M {
        for v in 0..V {
            // SAFETY: the caller's.
            unsafe { store_columns(s, y.add(rows[m]), v, columns, sums[m][v]) };
        }
    }
}

/// Replaces numbers by others where those are larger or NaN.
#[inline(always)]
pub(super) fn larger<S: Simd, const V: usize>(s: S, largest: &mut [S::F; V], others: &[S::F; V]) {
    for v in 0..V {
        largest[v] = s.larger(others[v], largest[v]);
    }
}
