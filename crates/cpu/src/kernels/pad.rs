//! Constant values around an array.

use super::grid::{Grid, strides};
use super::{Kernel, Operands};
use crate::{Error, Result};
use k2o_core::ops;

/// Operand 0 with a number around it.
pub(crate) struct Pad(pub ops::Pad);

pub(crate) struct PadBound {
    /// Where the rows of the input start, in the input and in the output without its first element's offset.
    rows: Grid<2>,
    /// The size of a row.
    run: usize,
    /// Where the input's first element goes.
    first: usize,
}

impl Kernel for Pad {
    type Out = f32;
    type Bound = PadBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<PadBound> {
        let (x, steps) = (strides(operands[0]), strides(output));
        let mut rows = Grid::new((0..output.len()).map(|axis| (operands[0][axis], [x[axis], steps[axis]])));
        let run = rows.split_run();
        let mut first = 0;
        for (&(before, _), step) in self.0.amounts.iter().zip(&steps) {
            first +=
                usize::try_from(before).map_err(|_| Error::limit("the padding does not fit memory"))? * step;
        }
        Ok(PadBound { rows, run, first })
    }

    fn run(&self, bound: &PadBound, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let x = operands.get::<f32>(0);
        out.fill(self.0.value as f32);
        if x.is_empty() {
            return;
        }
        bound.rows.visit(|[from, to]| {
            out[bound.first + to..][..bound.run].copy_from_slice(&x[from..from + bound.run]);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, values};
    use k2o_core::ops::Pad;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn padding_is_the_reference(
            axes in prop::collection::vec((0usize..6, 0i64..3, 0i64..3), 1..5),
            value in prop_oneof![Just(0.0), Just(f64::NEG_INFINITY), Just(1.5)],
            seed in 0u64..1 << 40,
        ) {
            let shape: Vec<usize> = axes.iter().map(|axis| axis.0).collect();
            let amounts = axes.iter().map(|axis| (axis.1, axis.2)).collect();
            check_close(&Problem::new(Pad { amounts, value }, [values(&shape, seed)]), 0.0, 0.0);
        }
    }
}
