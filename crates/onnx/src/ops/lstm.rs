//! `Lstm`: `LSTM`, whose gates stand in the order `i`, `o`, `f`, `g`, not `i`, `f`, `g`, `o`.

use super::recurrence::Cell;
use super::{Emit, Layouts, Lower, Tie};
use crate::Result;
use crate::draft::TensorId;
use crate::layout::assign::Site;
use k2o_core::ops::{Lstm, Unary};

pub(super) fn cell(lstm: &Lstm) -> Cell {
    Cell {
        name: "lstm",
        op_type: "LSTM",
        recurrence: lstm.recurrence,
        states: 2,
        gates: &[0, 3, 1, 2],
        functions: vec![lstm.recurrent_activation, lstm.activation, lstm.activation],
        assumed: &[Unary::Sigmoid, Unary::Tanh, Unary::Tanh],
        linear_before_reset: false,
    }
}

impl Lower for Lstm {
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
