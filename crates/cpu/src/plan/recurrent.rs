//! From recurrent operators and scans to kernels.

use super::build::Builder;
use super::{Plan, PlanOptions};
use crate::Result;
use crate::kernels::AnyKernel;
use crate::kernels::recurrent::{Activation, Cell, Gru, GruResetBefore, Lstm, Recurrence, Rnn};
use crate::kernels::scan::Scan;
use crate::kernels::unary::Function;
use crate::table::NonEmpty;
use k2o_core::ops::{self, Operator, Unary};
use k2o_core::{Node, Op, Operand, ValueId};
use std::sync::Arc;

fn activation(op: Option<Unary>) -> Activation {
    Activation::new(op.map(Function::new))
}

impl Builder<'_> {
    /// The kernel of a recurrent operator of which `outputs` are wanted.
    pub fn recurrence(
        &mut self,
        node: &Node,
        outputs: &NonEmpty<ValueId>,
        operands: &mut Vec<Operand>,
    ) -> Result<Arc<dyn AnyKernel>> {
        let mut build = Recurrent { builder: self, node, outputs, operands };
        match &node.op {
            Op::Gru(op) => {
                let (recurrent, activation) =
                    (activation(op.recurrent_activation), activation(op.activation));
                match op.reset_after {
                    true => build.kernel(op.recurrence, Gru { activation, recurrent_activation: recurrent }),
                    false => build.kernel(
                        op.recurrence,
                        GruResetBefore { activation, recurrent_activation: recurrent },
                    ),
                }
            }
            Op::Lstm(op) => {
                let cell = Lstm {
                    activation: activation(op.activation),
                    recurrent_activation: activation(op.recurrent_activation),
                };
                build.kernel(op.recurrence, cell)
            }
            Op::Rnn(op) => build.kernel(op.recurrence, Rnn { activation: activation(op.activation) }),
            other => Err(crate::Error::unsupported(format!("{} as a recurrence", other.name()))),
        }
    }

    /// The kernel of a scan of which `outputs` are wanted.
    pub fn scan(
        &mut self,
        op: &ops::Scan,
        node: &Node,
        outputs: &NonEmpty<ValueId>,
        operands: &mut Vec<Operand>,
    ) -> Result<Arc<dyn AnyKernel>> {
        let options = PlanOptions { keep_taps: false, ..self.options.clone() };
        // The constants have the same ids.
        let body = Plan::with_packed(&op.body_within(self.graph, node)?, &options, self.packed)?;
        let recurrent = op.states + op.sequences;
        let read = node.inputs.iter().enumerate();
        let read = read.filter(|(at, operand)| *at < recurrent || operand.constant().is_none());
        operands.extend(read.map(|(_, operand)| operand));
        let wanted = node.outputs.iter().map(|id| outputs.iter().any(|output| output == id)).collect();
        Ok(Arc::new(Scan { body, states: op.states, sequences: op.sequences, reverse: op.reverse, wanted }))
    }
}

/// A recurrent operator on its way to a kernel.
struct Recurrent<'a, 'b> {
    builder: &'a mut Builder<'b>,
    node: &'a Node,
    outputs: &'a NonEmpty<ValueId>,
    operands: &'a mut Vec<Operand>,
}

impl Recurrent<'_, '_> {
    fn kernel<C: Cell>(&mut self, recurrence: ops::Recurrence, cell: C) -> Result<Arc<dyn AnyKernel>> {
        let Recurrent { builder, node, outputs, operands } = self;
        let given = recurrence.operands(node.op.name(), C::STATES, &node.inputs)?;
        let numbers = [given.x, given.kernel, given.recurrent_kernel].into_iter();
        builder.are_floats(node, numbers.chain(given.bias).chain(given.states))?;
        operands.push(*given.x);
        let isa = builder.isa;
        let [of_kernel, of_recurrent_kernel] = Recurrence::<C>::layouts(isa);
        let kernel = builder.weights(operands, *given.kernel, of_kernel)?;
        let recurrent_kernel = builder.weights(operands, *given.recurrent_kernel, of_recurrent_kernel)?;
        let mut add = |all: &[Operand]| {
            operands.extend(all);
            (!all.is_empty()).then(|| operands.len() - all.len())
        };
        let bias = add(given.bias.map_or(&[], std::slice::from_ref));
        let states = add(given.states);
        let mask = add(given.mask.map_or(&[], std::slice::from_ref));
        let wanted = node.outputs.iter().map(|id| outputs.iter().any(|output| output == id)).collect();
        let reverse = recurrence.reverse;
        Ok(Arc::new(Recurrence { cell, isa, reverse, kernel, recurrent_kernel, bias, states, mask, wanted }))
    }
}
