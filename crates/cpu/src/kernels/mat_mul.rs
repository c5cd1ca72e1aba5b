//! Products of computed matrices.

use super::broadcast::broadcast;
use super::chain::Chain;
use super::grid::Grid;
use super::products::{Ahead, Finish, Layout, Packed, Product, RowRun, Terms};
use super::{Kernel, Operands};
use crate::simd::Isa;
use crate::{Error, Result};

/// The products of the matrices of operands 0 and 1, and what is joined to them.
pub(crate) struct MatMul {
    pub isa: Isa,
    pub chain: Chain,
}

pub(crate) struct MatMulBound {
    /// Where the left and the right matrix of each product start.
    matrices: Grid<2>,
    /// Of each left matrix.
    terms: Terms,
    rows: RowRun,
    /// Each right matrix.
    layout: Layout,
}

impl Kernel for MatMul {
    type Out = f32;
    type Bound = MatMulBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<MatMulBound> {
        let outer = output.len().saturating_sub(2);
        let (Some((outer_a, &[rows, depth])), Some((outer_b, right))) =
            (operands[0].split_last_chunk::<2>(), operands[1].split_last_chunk::<2>())
        else {
            return Err(Error::shape("a product of vectors"));
        };
        let layout = Layout::new(self.isa, right, 1)?;
        let (a, b) = (broadcast(outer_a, &output[..outer]), broadcast(outer_b, &output[..outer]));
        let steps = |axis: usize| [a[axis] * rows * depth, b[axis] * depth * layout.columns];
        let matrices = Grid::new((0..outer).map(|axis| (output[axis], steps(axis))));
        let rows = RowRun { x: 0, y: 0, count: rows, x_step: depth, y_step: layout.columns, pool: 1 };
        Ok(MatMulBound { matrices, terms: Terms::contiguous(depth), rows, layout })
    }

    fn scratch(&self, bound: &MatMulBound) -> usize {
        bound.layout.packed_len().unwrap_or(0)
    }

    fn run(&self, bound: &MatMulBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let layout = &bound.layout;
        let packed = &mut scratch[..self.scratch(bound)];
        let finish = Finish { bias: None, chain: &self.chain, operands };
        let (a, b) = (operands.get::<f32>(0), operands.get::<f32>(1));
        let mut products = out.chunks_exact_mut(bound.rows.count * layout.columns);
        let mut packed_from = None;
        bound.matrices.visit(|[at_a, at_b]| {
            let Some(out) = products.next() else { return };
            if packed_from != Some(at_b) {
                layout.pack(&b[at_b..], packed);
                packed_from = Some(at_b);
            }
            let packed = Packed::F32(packed);
            let product = Product {
                isa: self.isa,
                team: operands.team(),
                x: &a[at_a..],
                layout,
                packed,
                finish,
                ahead: Ahead::NOTHING,
            };
            product.multiply(0, &bound.terms, bound.rows, out);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_products_of, values};
    use k2o_core::ops::MatMul;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_are_the_reference(
            outer in prop::collection::vec((0usize..4, 0u8..3), 0..4),
            (drop_a, drop_b) in (0usize..4, 0usize..4),
            (m, k, n) in (0usize..70, 0usize..40, 1usize..40),
            seed in 0u64..1 << 40,
        ) {
            // Axis by axis: both have it, or one has size 1 there; leading axes may be missing.
            let shape = |one: u8, drop: usize, matrix: [usize; 2]| -> Vec<usize> {
                let sizes = outer.iter().map(|&(size, which)| if which == one { 1 } else { size });
                let droppable = outer.iter().take_while(|axis| axis.1 == one).count();
                sizes.skip(drop.min(droppable)).chain(matrix).collect()
            };
            let operands = [values(&shape(1, drop_a, [m, k]), seed), values(&shape(2, drop_b, [k, n]), seed + 1)];
            check_products_of(&Problem::new(MatMul, operands), k);
        }
    }

    #[test]
    fn long_sums_are_made_of_blocks() {
        check_products_of(&Problem::new(MatMul, [values(&[2, 3, 999], 1), values(&[2, 999, 17], 2)]), 999);
    }
}
