//! `Rnn`: `RNN`.

use super::recurrence::Cell;
use super::{Emit, Layouts, Lower, Tie};
use crate::Result;
use crate::draft::TensorId;
use crate::layout::assign::Site;
use k2o_core::ops::{Rnn, Unary};

pub(super) fn cell(rnn: &Rnn) -> Cell {
    Cell {
        name: "rnn",
        op_type: "RNN",
        recurrence: rnn.recurrence,
        states: 1,
        gates: &[0],
        functions: vec![rnn.activation],
        assumed: &[Unary::Tanh],
        linear_before_reset: false,
    }
}

impl Lower for Rnn {
    fn tie(&self) -> Tie {
        Tie::Free
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        cell(self).layouts(site)
    }

    fn emit_all(&self, emit: &mut Emit<'_>) -> Result<Vec<Option<TensorId>>> {
        cell(self).emit(emit)
    }
}
