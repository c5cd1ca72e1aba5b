//! Convolution over the axes between batch and channels.
//!
//! Without groups and dilation, the taps of a window that stand next to each other along the last axis are one run
//! of elements, so in one dimension the convolution is a matrix product whose left rows overlap. Otherwise every tap
//! is a run of its own. Padding is not copied: windows near the ends have fewer runs.

use super::products::{Finish, Layout, Product, Rows, Steps, Terms, Winograd};
use super::weights::Weights;
use super::windows::Sliding;
use super::{Kernel, Operands};
use crate::kernels::chain::Chain;
use crate::simd::Isa;
use crate::{Error, Result};
use k2o_core::{Window, ops};

/// The layout of the weights of a convolution of `groups` groups. They are packed as one group where every channel is a
/// group of its own, because filters then share no input and can be neighbouring lanes.
pub(crate) fn layout(isa: Isa, kernel: &[usize], groups: usize) -> Result<Layout> {
    match kernel {
        [.., 1, _] => Layout::new(isa, kernel, 1),
        _ => Layout::new(isa, kernel, groups),
    }
}

/// A convolution of operand 0 with what is joined to it.
pub(crate) struct Conv {
    pub op: ops::Conv,
    pub isa: Isa,
    pub weights: Weights,
    pub bias: Option<usize>,
    pub chain: Chain,
    /// The weights for computing two positions at once, where that pays.
    pub winograd: Option<Winograd>,
}

pub(crate) struct ConvBound {
    layout: Layout,
    pieces: Vec<Piece>,
    /// Positions of all samples.
    positions: usize,
    /// Input channels of each group.
    per_group: usize,
    /// Filters of each channel, if every channel is a group of its own.
    multiplier: Option<usize>,
    steps: Option<Steps>,
}

/// Windows that read the same taps.
struct Piece {
    terms: Terms,
    rows: Rows,
}

impl Kernel for Conv {
    type Out = f32;
    type Bound = ConvBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<ConvBound> {
        let groups = self.op.groups;
        let x = operands[0];
        let channels = x.last().copied().ok_or_else(|| Error::shape("a convolution of a single number"))?;
        let layout = self.weights.layout(operands, |kernel| layout(self.isa, kernel, groups))?;
        let filters = layout.groups * layout.columns;
        let per_group = channels / groups;
        let mut pieces = Vec::new();
        Sliding::new(&self.op.windows, x, filters)?.cells(|cell| {
            pieces.push(Piece { terms: cell.terms(per_group), rows: cell.row_runs() });
        });
        let multiplier = (layout.groups != groups).then(|| filters / groups);
        let positions = output.iter().product::<usize>() / filters.max(1);
        let steps = self.winograd.as_ref().and_then(|_| steps(self.op.windows.first()?, x));
        Ok(ConvBound { layout, pieces, positions, per_group, multiplier, steps })
    }

    fn scratch(&self, bound: &ConvBound) -> usize {
        self.weights.scratch(&bound.layout)
    }

    fn is_large(&self, bound: &Self::Bound) -> bool {
        bound.multiplier.is_none()
            && super::products::is_large(bound.positions, bound.layout.depth, bound.layout.columns)
    }

    fn run(&self, bound: &ConvBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let ConvBound { layout, per_group, .. } = bound;
        let packed = self.weights.get(layout, operands, scratch);
        let finish = Finish { bias: self.bias.map(|bias| operands.get(bias)), chain: &self.chain, operands };
        let product =
            Product { isa: self.isa, team: operands.team(), x: operands.get(0), layout, packed, finish };
        if let (Some(winograd), Some(steps)) = (&self.winograd, &bound.steps) {
            return product.convolve_pairs(winograd, steps, operands.steps_before(), out);
        }
        for Piece { terms, rows } in &bound.pieces {
            if let Some(multiplier) = bound.multiplier {
                rows.visit(|rows| product.multiply_depthwise(multiplier, terms, rows, out));
                continue;
            }
            for group in 0..layout.groups {
                rows.visit(|mut rows| {
                    rows.x += group * per_group;
                    rows.y += group * layout.columns;
                    product.multiply(group, terms, rows, out);
                });
            }
        }
    }
}

/// The steps of `x` that windows of three read, one step further each.
fn steps(window: &Window, x: &[usize]) -> Option<Steps> {
    let &[batch, input, channels] = x else { return None };
    let extent = window.extent(input).ok()?;
    let dilation = usize::try_from(window.dilation()).ok()?;
    Some(Steps::new(batch, [input, extent.output], [extent.before, dilation], channels))
}

/// Whether a convolution reads windows of three steps, one step further each, of all channels.
pub(crate) fn has_pairs(op: &ops::Conv) -> bool {
    matches!(&op.windows[..], [window] if window.size() == 3 && window.stride() == 1) && op.groups == 1
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_products, on_every_set, padding, values, with_pairs};
    use k2o_core::{Padding, Window, ops};
    use proptest::prelude::*;

    /// A convolution of any rank; `per_group` channels and `filters` filters in each group.
    #[derive(Clone, Debug)]
    struct Case {
        batch: usize,
        axes: Vec<(usize, i64, i64, i64, Padding)>,
        groups: usize,
        per_group: usize,
        filters: usize,
        bias: bool,
        seed: u64,
    }

    impl Case {
        fn problem(&self) -> Option<Problem> {
            let windows = self.axes.iter().map(|&(_, size, stride, dilation, padding)| {
                Window::new(size, stride, dilation, padding).unwrap()
            });
            let windows: Vec<Window> = windows.collect();
            let fits = windows.iter().zip(&self.axes).all(|(window, axis)| window.extent(axis.0).is_ok());
            let mut x = vec![self.batch];
            x.extend(self.axes.iter().map(|axis| axis.0));
            x.push(self.groups * self.per_group);
            let mut kernel: Vec<usize> = self.axes.iter().map(|axis| axis.1 as usize).collect();
            kernel.extend([self.per_group, self.groups * self.filters]);
            let mut operands = vec![values(&x, self.seed), values(&kernel, self.seed + 1)];
            if self.bias {
                operands.push(values(&[self.groups * self.filters], self.seed + 2));
            }
            let op = ops::Conv { windows, groups: self.groups };
            fits.then(|| Problem::new(op, operands))
        }
    }

    fn axis(input: usize) -> impl Strategy<Value = (usize, i64, i64, i64, Padding)> {
        (1..=input, 1i64..5, 1i64..4, 1i64..4).prop_flat_map(|(input, size, stride, dilation)| {
            padding().prop_map(move |padding| (input, size, stride, dilation, padding))
        })
    }

    fn cases(
        ranks: std::ops::Range<usize>,
        input: usize,
        groups: std::ops::Range<usize>,
        per_group: std::ops::Range<usize>,
    ) -> impl Strategy<Value = Case> {
        let axes = prop::collection::vec(axis(input), ranks);
        (0usize..3, axes, groups, per_group, 1usize..40, any::<bool>(), any::<u64>()).prop_map(
            |(batch, axes, groups, per_group, filters, bias, seed)| {
                let filters = if groups > 1 { filters.div_ceil(3) } else { filters };
                Case { batch, axes, groups, per_group, filters, bias, seed: seed >> 2 }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn one_dimension_is_the_reference(case in cases(1..2, 40, 1..2, 1..70)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn more_dimensions_are_the_reference(case in cases(0..4, 7, 1..2, 1..6)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn groups_are_the_reference(case in cases(1..3, 9, 2..5, 2..5)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn depthwise_is_the_reference(case in cases(1..3, 9, 1..40, 1..2)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }
    }

    #[test]
    fn long_sums_are_made_of_blocks() {
        for (size, per_group, groups) in [(3, 300, 1), (200, 3, 1), (300, 1, 20), (150, 2, 2)] {
            let axes = vec![(size as usize + 5, size, 2, 1, Padding::Explicit(3, 1))];
            let case = Case { batch: 2, axes, groups, per_group, filters: 3, bias: true, seed: 9 };
            check_products(&case.problem().unwrap());
        }
    }

    /// Windows of three steps that are computed in pairs.
    fn pairs() -> impl Strategy<Value = Case> {
        let axis = (1usize..40, 1i64..8).prop_flat_map(|(input, dilation)| {
            padding().prop_map(move |padding| vec![(input, 3, 1, dilation, padding)])
        });
        (1usize..4, axis, 16usize..140, 16usize..90, any::<bool>(), any::<u64>()).prop_map(
            |(batch, axes, per_group, filters, bias, seed)| Case {
                batch,
                axes,
                groups: 1,
                per_group,
                filters,
                bias,
                seed: seed >> 2,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn pairs_are_the_reference(case in pairs()) {
            if let Some(problem) = case.problem() {
                with_pairs(|| check_products(&problem));
            }
        }
    }

    #[test]
    fn what_is_not_finite_spoils_only_what_reads_it() {
        let window = |dilation| Window::new(3, 1, dilation, Padding::Same).unwrap();
        let (steps, channels, filters) = (21, 17, 70);
        for (dilation, bad) in [(1, f32::INFINITY), (1, f32::NAN), (2, f32::NEG_INFINITY), (3, 3e38)] {
            for at in 0..steps {
                let op = ops::Conv { windows: vec![window(dilation)], groups: 1 };
                let mut x = values(&[2, steps, channels], 5);
                x.1[(steps + at) * channels + 3] = bad;
                let problem = Problem::new(op, [x, values(&[3, channels, filters], 6)]);
                let reference = problem.reference();
                let check = || {
                    for (y, expected) in problem.run().iter().zip(reference.as_f64().unwrap()) {
                        let error = (f64::from(*y) - expected).abs();
                        let same = f64::from(*y) == *expected || y.is_nan() && expected.is_nan();
                        let bound = if bad == 3e38 { f64::INFINITY } else { 1e-4 };
                        assert!(same || error <= bound, "{bad} at {at}: {y} {expected}");
                    }
                };
                with_pairs(|| on_every_set(check));
            }
        }
    }

    #[test]
    fn padding_is_left_out_even_where_weights_are_infinite() {
        let window = Window::new(3, 1, 1, Padding::Same).unwrap();
        let op = ops::Conv { windows: vec![window], groups: 1 };
        let problem = Problem::new(
            op,
            [
                (vec![1, 4, 1], vec![1.0, f32::NAN, 3.0, 4.0]),
                (vec![3, 1, 2], vec![f32::INFINITY, 1.0, 1.0, 1.0, 1.0, f32::INFINITY]),
            ],
        );
        let y = problem.run();
        let reference = problem.reference();
        for (y, expected) in y.iter().zip(reference.as_f64().unwrap()) {
            assert!(f64::from(*y) == *expected || y.is_nan() && expected.is_nan(), "{y} {expected}");
        }
    }
}
