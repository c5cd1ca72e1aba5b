//! Two arrays, element by element; a missing or 1-sized axis repeats.

use super::grid::{Grid, strides};
use super::{Kernel, Operands};
use crate::Result;
use k2o_core::ops::{self, BinaryKind};

/// A function of the elements of operands 0 and 1.
pub(crate) struct Binary(pub ops::Binary);

pub(crate) struct BinaryBound {
    /// All but the innermost axis.
    rows: Grid<2>,
    /// The innermost axis.
    size: usize,
    steps: [usize; 2],
}

/// The steps of an array of sizes `shape` when it is broadcast to `target`.
pub(crate) fn broadcast(shape: &[usize], target: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let axis = |axis: usize| (axis + shape.len()).checked_sub(target.len()).filter(|&at| shape[at] != 1);
    (0..target.len()).map(|at| axis(at).map_or(0, |at| own[at])).collect()
}

impl Kernel for Binary {
    type Out = f32;
    type Bound = BinaryBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<BinaryBound> {
        let (a, b) = (broadcast(operands[0], output), broadcast(operands[1], output));
        let mut rows = Grid::new((0..output.len()).map(|axis| (output[axis], [a[axis], b[axis]])));
        let (size, steps) = rows.split_innermost();
        Ok(BinaryBound { rows, size, steps })
    }

    fn run(&self, bound: &BinaryBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let arrays = [operands.get::<f32>(0), operands.get::<f32>(1)];
        match self.0.kind {
            BinaryKind::Add => apply(bound, arrays, out, |a, b| a + b),
            BinaryKind::Sub => apply(bound, arrays, out, |a, b| a - b),
            BinaryKind::Mul => apply(bound, arrays, out, |a, b| a * b),
            BinaryKind::Div => apply(bound, arrays, out, |a, b| a / b),
            BinaryKind::Max | BinaryKind::Or => {
                apply(bound, arrays, out, |a, b| if a.is_nan() || a > b { a } else { b })
            }
            BinaryKind::Min | BinaryKind::And => {
                apply(bound, arrays, out, |a, b| if a.is_nan() || a < b { a } else { b })
            }
            BinaryKind::Prelu => apply(bound, arrays, out, |a, b| if a > 0.0 { a } else { a * b }),
        }
    }
}

#[inline(always)]
fn apply(bound: &BinaryBound, [a, b]: [&[f32]; 2], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    let mut rows = out.chunks_exact_mut(bound.size);
    bound.rows.visit(|[at_a, at_b]| {
        let Some(out) = rows.next() else { return };
        let (a, b) = (&a[at_a..], &b[at_b..]);
        match bound.steps {
            [1, 1] => out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = f(a, b)),
            [1, 0] => out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b[0])),
            [0, 1] => out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a[0], b)),
            [sa, sb] => out.iter_mut().enumerate().for_each(|(i, out)| *out = f(a[i * sa], b[i * sb])),
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::{Binary, BinaryKind};
    use proptest::prelude::*;

    const KINDS: [BinaryKind; 7] = [
        BinaryKind::Add,
        BinaryKind::Sub,
        BinaryKind::Mul,
        BinaryKind::Div,
        BinaryKind::Max,
        BinaryKind::Min,
        BinaryKind::Prelu,
    ];

    proptest! {
        #[test]
        fn broadcasts_are_the_reference(
            axes in prop::collection::vec((0usize..20, 0u8..3), 0..5),
            (drop_a, drop_b) in (0usize..5, 0usize..5),
            kind in 0usize..7,
            seed in 0u64..1 << 40,
        ) {
            // Axis by axis: both have it, or one has size 1 there; leading axes may be missing.
            if axes.iter().map(|axis| axis.0).product::<usize>() > 1 << 14 {
                return Ok(());
            }
            let shape = |one: u8, drop: usize| -> Vec<usize> {
                let sizes = axes.iter().map(|&(size, which)| if which == one { 1 } else { size });
                let droppable = axes.iter().take_while(|axis| axis.1 == one).count();
                sizes.skip(drop.min(droppable)).collect()
            };
            let operands = [values(&shape(1, drop_a), seed), values(&shape(2, drop_b), seed + 1)];
            check_close(&Problem::new(Binary { kind: KINDS[kind] }, operands), 2.0, 0.0);
        }
    }

    #[test]
    fn nan_and_infinity_follow_the_reference() {
        let all = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0, 2.0];
        for kind in KINDS {
            let operands = [(vec![6, 1], all.to_vec()), (vec![6], all.to_vec())];
            let y = Problem::new(Binary { kind }, operands).run();
            for (i, y) in y.iter().enumerate() {
                let expected = kind.apply(f64::from(all[i / 6]), f64::from(all[i % 6]));
                let same = f64::from(*y) == expected || y.is_nan() && expected.is_nan();
                assert!(same, "{kind:?} {} {}: {y}", all[i / 6], all[i % 6]);
            }
        }
    }
}
