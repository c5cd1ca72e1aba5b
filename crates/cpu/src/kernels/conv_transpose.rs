//! Transposed convolution over the axes between batch and channels.
//!
//! Every output position is one sum, over the taps that reach it: nothing is added to the output, so that bias and
//! functions join each sum while it is in registers. Positions that read the same taps are the rows of a matrix
//! product.

use super::chain::Chain;
use super::products::{Ahead, Finish, Layout, Product, Rows, Terms};
use super::spreads::cells;
use super::weights::Weights;
use super::{Kernel, Operands};
use crate::Result;
use crate::simd::Isa;
use k2o_core::ops;

/// A transposed convolution of operand 0 with what is joined to it. The weights' taps are packed from the last to
/// the first.
pub(crate) struct ConvTranspose {
    pub op: ops::ConvTranspose,
    pub isa: Isa,
    pub weights: Weights,
    pub bias: Option<usize>,
    pub chain: Chain,
}

pub(crate) struct ConvTransposeBound {
    layout: Layout,
    pieces: Vec<(Terms, Rows)>,
}

impl Kernel for ConvTranspose {
    type Out = f32;
    type Bound = ConvTransposeBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<ConvTransposeBound> {
        let layout = self.weights.layout(operands, |kernel| Layout::with_taps_reversed(self.isa, kernel))?;
        let cells = cells(&self.op.windows, operands[0], output)?;
        let pieces = cells.iter().map(|cell| (cell.terms(), cell.rows())).collect();
        Ok(ConvTransposeBound { layout, pieces })
    }

    fn scratch(&self, bound: &ConvTransposeBound) -> usize {
        self.weights.scratch(&bound.layout)
    }

    fn run(&self, bound: &ConvTransposeBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let layout = &bound.layout;
        let packed = self.weights.get(layout, operands, scratch);
        let finish = Finish { bias: self.bias.map(|bias| operands.get(bias)), chain: &self.chain, operands };
        let product = Product {
            isa: self.isa,
            team: operands.team(),
            x: operands.get(0),
            layout,
            packed,
            finish,
            ahead: Ahead::NOTHING,
        };
        for (terms, rows) in &bound.pieces {
            rows.visit(|rows| product.multiply(0, terms, rows, out));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_products, values};
    use k2o_core::Dim;
    use k2o_core::ops::{ConvTranspose, Infer, Spread};
    use proptest::prelude::*;

    /// A transposed convolution of axes of so many steps.
    #[derive(Clone, Debug)]
    struct Case {
        batch: usize,
        axes: Vec<(usize, Spread)>,
        channels: usize,
        filters: usize,
        bias: bool,
        seed: u64,
    }

    impl Case {
        fn problem(&self) -> Option<Problem> {
            let fits = self.axes.iter().all(|(steps, spread)| {
                spread.positions(&Dim::from_usize(*steps).unwrap(), &mut Infer::default()).is_ok()
            });
            let mut x = vec![self.batch];
            x.extend(self.axes.iter().map(|axis| axis.0));
            x.push(self.channels);
            let mut kernel: Vec<usize> = self.axes.iter().map(|axis| axis.1.size() as usize).collect();
            kernel.extend([self.channels, self.filters]);
            let mut operands = vec![values(&x, self.seed), values(&kernel, self.seed + 1)];
            if self.bias {
                operands.push(values(&[self.filters], self.seed + 2));
            }
            let op = ConvTranspose { windows: self.axes.iter().map(|axis| axis.1).collect() };
            fits.then(|| Problem::new(op, operands))
        }
    }

    fn spread() -> impl Strategy<Value = Spread> {
        let crop = prop_oneof![Just((0, 0)), (0i64..5, 0i64..5)];
        (1i64..6, 1i64..5, 1i64..4, crop, 0i64..3).prop_map(|(size, stride, dilation, crop, padding)| {
            Spread::new(size, stride, dilation, crop, padding).unwrap()
        })
    }

    fn cases(
        ranks: std::ops::Range<usize>,
        steps: std::ops::Range<usize>,
        channels: std::ops::Range<usize>,
    ) -> impl Strategy<Value = Case> {
        let axes = prop::collection::vec((steps, spread()), ranks);
        (0usize..3, axes, channels, 1usize..40, any::<bool>(), any::<u64>()).prop_map(
            |(batch, axes, channels, filters, bias, seed)| Case {
                batch,
                axes,
                channels,
                filters,
                bias,
                seed: seed >> 2,
            },
        )
    }

    proptest! {
        #[test]
        fn one_dimension_is_the_reference(case in cases(1..2, 1..40, 0..70)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn more_dimensions_are_the_reference(case in cases(0..4, 1..6, 1..6)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }
    }

    #[test]
    fn long_sums_are_made_of_blocks() {
        for (size, stride, channels) in [(3, 1, 300), (200, 1, 3), (200, 2, 7)] {
            let axes = vec![(size as usize + 5, Spread::new(size, stride, 1, (1, 2), 0).unwrap())];
            let case = Case { batch: 2, axes, channels, filters: 3, bias: true, seed: 9 };
            check_products(&case.problem().unwrap());
        }
    }

    #[test]
    fn positions_that_nothing_reaches_are_the_bias_even_where_weights_are_infinite() {
        let op = ConvTranspose { windows: vec![Spread::new(1, 3, 1, (0, 0), 1).unwrap()] };
        let x = (vec![1, 2, 1], vec![1.0, f32::NAN]);
        let operands = [x, (vec![1, 1, 2], vec![f32::INFINITY, 2.0]), (vec![2], vec![0.5, 0.25])];
        let y = Problem::new(op, operands).run();
        assert_eq!(y[..6], [f32::INFINITY, 2.25, 0.5, 0.25, 0.5, 0.25]);
        assert!(y[6].is_nan() && y[7].is_nan());
        assert_eq!(y[8..], [0.5, 0.25]);
    }

    #[test]
    fn strides_far_larger_than_the_output_are_cheap() {
        let spread = Spread::new(2, 1 << 40, 1, (0, 0), 3).unwrap();
        let op = ConvTranspose { windows: vec![spread] };
        let operands = [(vec![1, 1, 1], vec![2.0]), (vec![2, 1, 1], vec![1.0, 10.0])];
        assert_eq!(Problem::new(op, operands).run(), [2.0, 20.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn taps_of_a_kernel_without_elements_cost_nothing() {
        let spread = Spread::new(1 << 40, 1 << 40, 1, (0, (1 << 40) - 3), 0).unwrap();
        let op = ConvTranspose { windows: vec![spread] };
        let operands = [(vec![1, 1, 0], vec![]), (vec![1 << 40, 0, 1], vec![]), (vec![1], vec![0.5])];
        assert_eq!(Problem::new(op, operands).run(), [0.5; 3]);
    }
}
