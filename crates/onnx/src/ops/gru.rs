//! `Gru`: `GRU`, which has the gates in the same order. A reset after the product is `linear_before_reset`.

use super::recurrence::Cell;
use super::{Emit, Layouts, Lower, Tie};
use crate::Result;
use crate::draft::TensorId;
use crate::layout::assign::Site;
use k2o_core::ops::{Gru, Unary};

pub(super) fn cell(gru: &Gru) -> Cell {
    Cell {
        name: "gru",
        op_type: "GRU",
        recurrence: gru.recurrence,
        states: 1,
        gates: &[0, 1, 2],
        functions: vec![gru.recurrent_activation, gru.activation],
        assumed: &[Unary::Sigmoid, Unary::Tanh],
        linear_before_reset: gru.reset_after,
    }
}

impl Lower for Gru {
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
