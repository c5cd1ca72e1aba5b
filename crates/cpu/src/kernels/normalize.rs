//! Division by a measure of the elements along some axes: in double precision from the first sum to the rounded
//! result, because a mean may be far larger than what is left of the elements without it.

use super::reduce::{LANES, Split, totals};
use super::{Kernel, Operands};
use crate::Result;
use k2o_core::ops::{self, NormalizeKind};

/// Normalization of operand 0, with the scale and the bias in operands 1 and 2.
pub(crate) struct Normalize {
    pub op: ops::Normalize,
    /// Scale and bias, as far as there are any.
    pub parameters: usize,
}

impl Kernel for Normalize {
    type Out = f32;
    type Bound = Split;

    fn bind(&self, operands: &[&[usize]], _: &[usize]) -> Result<Split> {
        Ok(Split::new(operands[0], &self.op.axes))
    }

    fn run(&self, split: &Split, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let x = operands.get::<f32>(0);
        let parameter = |index: usize| (self.parameters >= index).then(|| operands.get::<f32>(index));
        let (scale, bias) = (parameter(1), parameter(2));
        split.kept.visit(|[start]| {
            for first in (0..split.lanes).step_by(LANES) {
                let lanes = LANES.min(split.lanes - first);
                let (mut means, mut factors) = ([0.0; LANES], [0.0; LANES]);
                let (means, factors) = (&mut means[..lanes], &mut factors[..lanes]);
                self.statistics(x, start + first, split, means, factors);
                lanes_at(x, start + first, split, (means, factors), (scale, bias), out);
            }
        });
    }
}

impl Normalize {
    /// What is taken off the elements of each lane and what they are then multiplied by.
    fn statistics(&self, x: &[f32], start: usize, split: &Split, means: &mut [f64], factors: &mut [f64]) {
        let count = split.count() as f64;
        if self.op.kind != NormalizeKind::RootMeanSquare {
            totals(x, start, split, means, |x, _| x);
            means.iter_mut().for_each(|mean| *mean /= count);
        }
        totals(x, start, split, factors, |x, lane| (x - means[lane]) * (x - means[lane]));
        factors.iter_mut().for_each(|square| *square = 1.0 / (*square / count + self.op.epsilon).sqrt());
        if self.op.kind == NormalizeKind::Deviation {
            means.fill(0.0);
        }
    }
}

/// The normalized elements of neighbouring lanes from `start`. One of the number of lanes and the split's run is 1.
fn lanes_at(
    x: &[f32],
    start: usize,
    split: &Split,
    (means, factors): (&[f64], &[f64]),
    (scale, bias): (Option<&[f32]>, Option<&[f32]>),
    y: &mut [f32],
) {
    let width = means.len().max(split.run);
    // Which of the elements that become one comes next.
    let mut next = 0;
    split.reduced.visit(|[offset]| {
        let (x, y) = (&x[start + offset..][..width], &mut y[start + offset..][..width]);
        let at = next;
        next += split.run;
        if split.run == 1 {
            let scale = scale.map_or(1.0, |scale| f64::from(scale[at]));
            let bias = bias.map_or(0.0, |bias| f64::from(bias[at]));
            for ((y, x), (mean, factor)) in y.iter_mut().zip(x).zip(means.iter().zip(factors)) {
                *y = ((f64::from(*x) - mean) * factor * scale + bias) as f32;
            }
            return;
        }
        let ([mean, ..], [factor, ..]) = (means, factors) else { return };
        let normalized = x.iter().map(|x| (f64::from(*x) - mean) * factor);
        let weights = [scale, bias].map(|weights| weights.map(|weights| &weights[at..][..width]));
        match weights {
            [Some(scale), Some(bias)] => {
                for ((y, x), (scale, bias)) in y.iter_mut().zip(normalized).zip(scale.iter().zip(bias)) {
                    *y = (x * f64::from(*scale) + f64::from(*bias)) as f32;
                }
            }
            [Some(scale), None] => {
                y.iter_mut().zip(normalized).zip(scale).for_each(|((y, x), scale)| {
                    *y = (x * f64::from(*scale)) as f32;
                });
            }
            _ => y.iter_mut().zip(normalized).for_each(|(y, x)| *y = x as f32),
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::{Normalize, NormalizeKind};
    use proptest::prelude::*;

    const KINDS: [NormalizeKind; 3] =
        [NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation];

    proptest! {
        #[test]
        fn normalizations_are_the_reference(
            kind in 0usize..3,
            shape in prop::collection::vec(prop_oneof![Just(1), 1usize..6, 60usize..70], 1..5),
            batch in 0usize..3,
            mask in 1usize..32,
            parameters in 0usize..3,
            seed in 0u64..1 << 40,
        ) {
            let mut shape = shape;
            shape.insert(0, batch);
            let axes: Vec<usize> = (1..shape.len()).filter(|axis| mask >> (axis - 1) & 1 == 1).collect();
            if axes.is_empty() || shape.iter().product::<usize>() > 1 << 14 {
                return Ok(());
            }
            let sizes: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
            let mut operands = vec![values(&shape, seed)];
            operands.extend((0..parameters).map(|i| values(&sizes, seed + 1 + i as u64)));
            let op = Normalize { kind: KINDS[kind], axes, epsilon: 1e-3 };
            check_close(&Problem::new(op, operands), 1.0, 1e-6);
        }
    }

    #[test]
    fn a_large_mean_costs_no_digits() {
        for n in [3, 100] {
            let x: Vec<f32> = (0..2 * n).map(|i| 1e6 + (i * i % 17) as f32).collect();
            for (shape, axis) in [(vec![2, n], 1), (vec![n, 2], 0)] {
                for kind in KINDS {
                    let op = Normalize { kind, axes: vec![axis], epsilon: 1e-6 };
                    check_close(&Problem::new(op, [(shape.clone(), x.clone())]), 1.0, 1e-12);
                }
            }
        }
    }

    #[test]
    fn nan_and_infinity_spoil_what_they_are_measured_with_only() {
        for bad in [f32::NAN, f32::INFINITY] {
            let x = (vec![2, 2], vec![1.0, bad, 3.0, -3.0]);
            let op = Normalize { kind: NormalizeKind::Standard, axes: vec![1], epsilon: 0.0 };
            let y = Problem::new(op, [x]).run();
            assert!(y[0].is_nan() && y[1].is_nan());
            assert_eq!(y[2..], [1.0, -1.0]);
        }
    }
}
