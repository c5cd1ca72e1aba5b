//! Scale and shift along one axis.

use super::broadcast::{ROOM, repeated};
use super::split::{Columns, in_groups, load_column, store_column};
use super::{Kernel, Operands};
use crate::Result;
use crate::simd::{Elementwise, Simd, Task};
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
        let [x, scale, shift] = [0, 1, 2].map(|index| operands.get::<f32>(index));
        let &AffineBound { channels: width, inner } = bound;
        if inner != 1 {
            return operands.isa().run(AffineBlocks { from: x, to: out, inner, scale, shift });
        }
        // As many rows as the nearest cache holds, which are visited several times if they are wide.
        let chunk = (2048 / width).max(1) * width;
        for (to, from) in out.chunks_mut(chunk).zip(x.chunks(chunk)) {
            operands.isa().run(AffineRows { from: Some(from), to, width, scale, shift });
        }
    }
}

/// Makes elements of `to` those of `from`, or themselves, times their channel's scale plus its shift.
pub(crate) struct AffineRows<'a> {
    /// As many elements as those of `to`.
    pub from: Option<&'a [f32]>,
    /// Rows of `width` channels.
    pub to: &'a mut [f32],
    pub width: usize,
    /// If there are fewer numbers than channels, elements of the last channels become anything.
    pub scale: &'a [f32],
    pub shift: &'a [f32],
}

impl Task for AffineRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AffineRows { from, to, width, scale, shift } = self;
        let channels = width.min(scale.len()).min(shift.len());
        let rows = to.len() / width;
        // Where rows leave vectors empty and are worth the copies.
        if channels == width && width % S::LANES != 0 && width < 4 * S::LANES && to.len() >= 2 * ROOM {
            let (mut scales, mut shifts) = ([0.0; ROOM], [0.0; ROOM]);
            let scale = repeated(&scale[..width], rows, &mut scales);
            let shift = repeated(&shift[..width], rows, &mut shifts);
            for first in (0..to.len()).step_by(scale.len()) {
                let end = (first + scale.len()).min(to.len());
                let from = from.map(|from| &from[first..end]);
                let (to, width) = (&mut to[first..end], end - first);
                in_groups(s, width, &mut AffineRows { from, to, width, scale, shift });
            }
            return;
        }
        in_groups(s, channels, &mut AffineRows { from, to, width, scale, shift });
    }
}

impl Columns for AffineRows<'_> {
    #[inline(always)]
    fn group<S: Simd, const G: usize>(&mut self, s: S, first: usize, last: usize) {
        let columns = (G - 1) * S::LANES + last;
        let [scale, shift] = [self.scale, self.shift].map(|values| values[first..][..columns].as_ptr());
        let (mut scales, mut shifts) = ([s.splat(0.0); G], [s.splat(0.0); G]);
        for g in 0..G {
            // SAFETY: the slices have numbers for the group's columns.
            unsafe {
                scales[g] = load_column::<S, G>(s, scale, g, last);
                shifts[g] = load_column::<S, G>(s, shift, g, last);
            }
        }
        for row in 0..self.to.len() / self.width {
            let at = row * self.width + first;
            let to = self.to[at..][..columns].as_mut_ptr();
            let from = match self.from {
                Some(from) => from[at..][..columns].as_ptr(),
                None => to.cast_const(),
            };
            for g in 0..G {
                // SAFETY: the slices have the columns of the group.
                unsafe {
                    let y = s.mul_add(load_column::<S, G>(s, from, g, last), scales[g], shifts[g]);
                    store_column::<S, G>(s, to, y, g, last);
                }
            }
        }
    }
}

/// Makes elements of `to` those of `from` times their channel's scale plus its shift, where each channel has `inner`
/// neighbouring elements.
struct AffineBlocks<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
    inner: usize,
    scale: &'a [f32],
    shift: &'a [f32],
}

impl Task for AffineBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.scale.iter().zip(self.shift).cycle();
        let blocks = self.to.chunks_exact_mut(self.inner).zip(self.from.chunks_exact(self.inner));
        for ((to, from), (&scale, &shift)) in blocks.zip(channels) {
            s.map_to(from, to, ScaleAndShift { scale, shift });
        }
    }
}

/// Each element times a number plus another.
#[derive(Clone, Copy)]
struct ScaleAndShift {
    scale: f32,
    shift: f32,
}

impl Elementwise for ScaleAndShift {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul_add(x, s.splat(self.scale), s.splat(self.shift))
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
