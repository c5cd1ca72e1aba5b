//! `LSTM`, `LSTMCell`: gates `i, f, c, o` in the columns of the weights.
//! <https://keras.io/api/layers/recurrent_layers/lstm/>

use super::cell::{Cell, CellConfig, OverSteps, Steps, arguments, binary, gates, parts};
use super::cudnn;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::{self, BinaryKind, Dense};

#[derive(Debug)]
pub(in crate::layers) struct LstmCell(CellConfig);

impl LstmCell {
    /// The cell of a `CuDNNLSTM`.
    pub fn of_cudnn(fields: &mut Fields<'_, '_>) -> Result<LstmCell> {
        Ok(LstmCell(cudnn::config(fields)?))
    }
}

impl Layer for LstmCell {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(LstmCell(CellConfig::take(fields, true)?))
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let CellConfig { units, activation, recurrent_activation, .. } = &self.0;
        let (x, [h, c]) = arguments(call)?;
        let weights = self.0.weights(cx, x, 4, &[])?;
        let (&kernel, &recurrent_kernel, bias) = parts(&weights)?;
        let mut operands = vec![cx.operand(x)?, kernel];
        operands.extend(bias);
        let outer = cx.add(Dense, &operands)?;
        let inner = cx.add(Dense, &[cx.operand(h)?, recurrent_kernel])?;
        let sum = binary(cx, BinaryKind::Add, outer, inner)?;
        let [i, f, g, o] = gates(cx, sum, *units)?;
        let i = recurrent_activation.lower(cx, i)?;
        let f = recurrent_activation.lower(cx, f)?;
        let g = activation.lower(cx, g)?;
        let o = recurrent_activation.lower(cx, o)?;
        let kept = binary(cx, BinaryKind::Mul, f, c)?;
        let new = binary(cx, BinaryKind::Mul, i, g)?;
        let c = binary(cx, BinaryKind::Add, kept, new)?;
        let shown = activation.lower(cx, c)?;
        let h = binary(cx, BinaryKind::Mul, o, shown)?;
        Ok(vec![h, h, c])
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }
}

impl Cell for LstmCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.0.units; 2]
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
        let (activation, recurrent_activation) = self.0.functions().unwrap_or_default();
        let weights = self.0.weights(cx, steps.x, 4, &[])?;
        self.0.operator(cx, steps, weights, |recurrence| ops::Lstm {
            activation,
            recurrent_activation,
            recurrence,
        })
    }
}
