//! `SimpleRNN`, `SimpleRNNCell`: `h' = activation(x kernel + bias + h recurrent_kernel)`.
//! <https://keras.io/api/layers/recurrent_layers/simple_rnn/>

use super::cell::{Cell, CellConfig, OverSteps, Steps, arguments, binary, parts};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::{BinaryKind, Dense, Rnn};

#[derive(Debug)]
pub(in crate::layers) struct SimpleRnnCell(CellConfig);

impl Layer for SimpleRnnCell {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(SimpleRnnCell(CellConfig::take(fields, false)?))
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let (x, [h]) = arguments(call)?;
        let weights = self.0.weights(cx, x, 1, &[])?;
        let (&kernel, &recurrent_kernel, bias) = parts(&weights)?;
        let mut operands = vec![cx.operand(x)?, kernel];
        operands.extend(bias);
        let outer = cx.add(Dense, &operands)?;
        let inner = cx.add(Dense, &[cx.operand(h)?, recurrent_kernel])?;
        let sum = binary(cx, BinaryKind::Add, outer, inner)?;
        let h = self.0.activation.lower(cx, sum)?;
        Ok(vec![h, h])
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }
}

impl Cell for SimpleRnnCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.0.units]
    }

    fn output_size(&self) -> usize {
        self.0.units
    }

    fn output_state(&self) -> Option<usize> {
        Some(0)
    }

    fn has_operator(&self) -> bool {
        self.0.functions().is_some()
    }

    fn over_steps(&self, cx: &mut Lowering, steps: &Steps<'_>) -> Result<OverSteps> {
        let activation = self.0.functions().and_then(|(activation, _)| activation);
        let weights = self.0.weights(cx, steps.x, 1, &[])?;
        self.0.operator(cx, steps, weights, |recurrence| Rnn { activation, recurrence })
    }
}
