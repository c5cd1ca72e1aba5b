//! Matrix product over the last axis.

use super::products::{Finish, Layout, Product, RowRun, Terms};
use super::weights::Weights;
use super::{Kernel, Operands};
use crate::Result;
use crate::kernels::chain::Chain;
use crate::simd::Isa;

/// The product of operand 0 with weights, and what is joined to it.
pub(crate) struct Dense {
    pub isa: Isa,
    pub weights: Weights,
    pub bias: Option<usize>,
    pub chain: Chain,
}

pub(crate) struct DenseBound {
    layout: Layout,
    terms: Terms,
    rows: RowRun,
}

impl Kernel for Dense {
    type Out = f32;
    type Bound = DenseBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<DenseBound> {
        let layout = self.weights.layout(operands, |kernel| Layout::new(self.isa, kernel, 1))?;
        let (_, rows) = output.split_last().unwrap_or((&1, &[]));
        let count = super::grid::elements(rows)?;
        let rows = RowRun { x: 0, y: 0, count, x_step: layout.depth, y_step: layout.columns, pool: 1 };
        Ok(DenseBound { layout, terms: Terms::contiguous(layout.depth), rows })
    }

    fn scratch(&self, bound: &DenseBound) -> usize {
        self.weights.scratch(&bound.layout)
    }

    fn is_large(&self, bound: &Self::Bound) -> bool {
        super::products::is_large(bound.rows.count, bound.layout.depth, bound.layout.columns)
    }

    fn weights(&self) -> &[u8] {
        self.weights.bytes()
    }

    fn run(&self, bound: &DenseBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let layout = &bound.layout;
        let packed = self.weights.get(layout, operands, scratch);
        let finish = Finish { bias: self.bias.map(|bias| operands.get(bias)), chain: &self.chain, operands };
        let ahead = operands.ahead();
        let product = Product {
            isa: self.isa,
            team: operands.team(),
            x: operands.get(0),
            layout,
            packed,
            finish,
            ahead,
        };
        product.multiply(0, &bound.terms, bound.rows, out);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_products, values};
    use k2o_core::ops;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_are_the_reference(
            outer in prop::collection::vec(0usize..9, 1..3),
            depth in 0usize..300,
            units in 1usize..90,
            bias in any::<bool>(),
            seed in 0u64..1 << 40,
        ) {
            let mut x = outer;
            x.push(depth);
            let mut operands = vec![values(&x, seed), values(&[depth, units], seed + 1)];
            if bias {
                operands.push(values(&[units], seed + 2));
            }
            check_products(&Problem::new(ops::Dense, operands));
        }
    }

    #[test]
    fn sums_of_16384_positive_terms_lose_little() {
        let n = 16384;
        for seed in 0..8 {
            let positive = |shape: &[usize], seed| {
                let (shape, data) = values(shape, seed);
                (shape, data.into_iter().map(f32::abs).collect())
            };
            check_products(&Problem::new(
                ops::Dense,
                [positive(&[3, n], seed), positive(&[n, 33], seed + 100)],
            ));
        }
    }

    #[test]
    fn a_bad_input_spoils_its_own_row_only() {
        let x = (vec![3, 2], vec![1.0, 2.0, f32::NAN, 1.0, f32::INFINITY, 0.0]);
        let y = Problem::new(ops::Dense, [x, (vec![2, 1], vec![1.0, 1.0])]).run();
        assert_eq!((y[0], y[1].is_nan(), y[2]), (3.0, true, f32::INFINITY));
    }
}
