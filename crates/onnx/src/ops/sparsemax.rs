//! `Sparsemax`: the elements in falling order are those of `TopK`, their sums those of `CumSum`; in any layout.
//!
//! The counts 1, 2, 3 up to the axis's size are an initializer where the size is known, else sums of ones. (tract
//! 0.23.9 loads such a model, but sorts only where it is told the size before it runs.)

use super::reduce::reduce;
use super::{Emit, Layouts, Lower, Tie, same_axes, target};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::messages::data_type;
use k2o_core::DType;
use k2o_core::ops::{ReduceKind, Sparsemax};

/// The most counts that are written into the file.
const MAX_COUNTS: usize = 1 << 20;

impl Lower for Sparsemax {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        same_axes(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let (x, shape) = (emit.input(0)?, emit.type_of(0)?.shape);
        let (rank, axis) = (shape.rank(), emit.layouts.output.position(self.axis));

        let k = match shape.dim(self.axis)?.as_fixed() {
            Some(n) => emit.ints("k", &[n]),
            None => target::axes(emit, x, axis, axis + 1, rank),
        };
        let sorted = NodeSpec::new("TopK", [x, k]).int("axis", axis as i64);
        let [sorted, _] = emit.node_of_two(sorted);
        let sorted = Arg::Tensor(sorted);
        let along = emit.scalar("axis", DType::I64, axis as f64)?;
        let sums = emit.call("CumSum", [sorted, along]);

        // In the support are those with more than (sum - 1) / count.
        let one = emit.scalar("one", DType::F32, 1.0)?;
        let counts = match shape.dim(self.axis)?.as_usize().filter(|&n| n <= MAX_COUNTS) {
            Some(n) => {
                let counts: Vec<f32> = (1..=n).map(|count| count as f32).collect();
                emit.floats("counts", [vec![n], vec![1; rank - 1 - axis]].concat(), &counts)
            }
            None => {
                let itself = emit.call("Equal", [sorted, sorted]);
                let ones = cast(emit, itself);
                emit.call("CumSum", [ones, along])
            }
        };
        let lessened = emit.call("Sub", [sums, one]);
        let bounds = emit.call("Div", [lessened, counts]);
        let inside = emit.call("Greater", [sorted, bounds]);
        let inside = cast(emit, inside);

        // The threshold is (sum of the support's sums - 1) / size of the support.
        let support = Arg::Tensor(reduce(emit, ReduceKind::Sum, inside, &[axis], true)?);
        let sums = emit.call("Mul", [sums, inside]);
        let total = Arg::Tensor(reduce(emit, ReduceKind::Sum, sums, &[axis], true)?);
        let lessened = emit.call("Sub", [total, one]);
        let threshold = emit.call("Div", [lessened, support]);
        let above = emit.call("Sub", [x, threshold]);
        Ok(emit.node(NodeSpec::new("Relu", [above])))
    }
}

/// Truth values as 0 and 1.
fn cast(emit: &mut Emit<'_>, truth: Arg) -> Arg {
    Arg::Tensor(emit.node(NodeSpec::new("Cast", [truth]).int("to", data_type(DType::F32).into())))
}
