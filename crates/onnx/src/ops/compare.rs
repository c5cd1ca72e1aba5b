//! `Compare`: one node and, where two must differ, `Not`; in any layout. Truth values have an order only as numbers.

use super::broadcast::{layouts, operand, value_rank};
use super::{Emit, Layouts, Lower, Tie};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::messages::data_type;
use k2o_core::DType;
use k2o_core::ops::{Compare, CompareKind};

impl Lower for Compare {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        layouts(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let rank = value_rank(emit);
        let mut args = [operand(emit, 0, rank)?, operand(emit, 1, rank)?];
        let op_type = match self.kind {
            CompareKind::Equal | CompareKind::NotEqual => "Equal",
            CompareKind::Less => "Less",
            CompareKind::LessOrEqual => "LessOrEqual",
            CompareKind::Greater => "Greater",
            CompareKind::GreaterOrEqual => "GreaterOrEqual",
        };
        if op_type != "Equal" && emit.type_of(0)?.dtype == DType::Bool {
            let to = i64::from(data_type(DType::I32));
            args = args.map(|arg| Arg::Tensor(emit.node(NodeSpec::new("Cast", [arg]).int("to", to))));
        }
        let holds = emit.node(NodeSpec::new(op_type, args));
        match self.kind {
            CompareKind::NotEqual => Ok(emit.node(NodeSpec::new("Not", [Arg::Tensor(holds)]))),
            _ => Ok(holds),
        }
    }
}
