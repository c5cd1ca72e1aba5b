//! `GRU`, `GRUCell`: gates `z, r, h` in the columns of the weights, with the reset gate before or after the recurrent
//! product. <https://keras.io/api/layers/recurrent_layers/gru/>
//!
//! Keras before 2.1.3 knows only the reset before it, and does not write `reset_after`.

use super::cell::{Cell, CellConfig, OverSteps, Steps, arguments, binary, gates, parts};
use super::cudnn;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::Weight;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{self, BinaryKind, Dense};
use k2o_core::{Operand, Tensor as Array};

#[derive(Debug)]
pub(in crate::layers) struct GruCell {
    config: CellConfig,
    reset_after: bool,
}

impl GruCell {
    /// The cell of a `CuDNNGRU`.
    pub fn of_cudnn(fields: &mut Fields<'_, '_>) -> Result<GruCell> {
        Ok(GruCell { config: cudnn::config(fields)?, reset_after: true })
    }

    /// The sizes before the columns of the bias.
    fn bias(&self) -> &'static [usize] {
        if self.reset_after { &[2] } else { &[] }
    }

    /// What the reset gate comes after: each gate's product of the state, and its bias.
    fn reset_after(&self, cx: &mut Lowering, x: Tensor, h: Tensor) -> Result<Tensor> {
        let (units, weights) = (self.config.units, self.weights(cx, x)?);
        let (kernel, recurrent_kernel, bias) = parts(&weights)?;
        let bias_row = |cx: &mut Lowering, at: usize, name: &str| -> Result<Option<Operand>> {
            let Some(bias) = bias else { return Ok(None) };
            let row = bias.expr.slice(0, at..at + 1)?.reshape(&[3 * units])?;
            Ok(Some(cx.constant(&bias.derived(name, row))?))
        };
        let input_bias = bias_row(cx, 0, "input_bias")?;
        let recurrent_bias = bias_row(cx, 1, "recurrent_bias")?;
        let product = |cx: &mut Lowering, tensor: Tensor, kernel: &Weight, bias: Option<Operand>| {
            let mut given = vec![cx.operand(tensor)?, cx.constant(kernel)?];
            given.extend(bias);
            cx.add(Dense, &given)
        };
        let outer = product(cx, x, kernel, input_bias)?;
        let inner = product(cx, h, recurrent_kernel, recurrent_bias)?;
        let [xz, xr, xg] = gates(cx, outer, units)?;
        let [hz, hr, hg] = gates(cx, inner, units)?;
        let (z, r) = (binary(cx, BinaryKind::Add, xz, hz)?, binary(cx, BinaryKind::Add, xr, hr)?);
        let r = self.config.recurrent_activation.lower(cx, r)?;
        let reset = binary(cx, BinaryKind::Mul, r, hg)?;
        let g = binary(cx, BinaryKind::Add, xg, reset)?;
        self.next(cx, z, g, h)
    }

    /// The reset gate decides what of the state is multiplied.
    fn reset_before(&self, cx: &mut Lowering, x: Tensor, h: Tensor) -> Result<Tensor> {
        let (units, weights) = (self.config.units, self.weights(cx, x)?);
        let (kernel, recurrent_kernel, bias) = parts(&weights)?;
        let mut given = vec![cx.operand(x)?, cx.constant(kernel)?];
        if let Some(bias) = bias {
            given.push(cx.constant(bias)?);
        }
        let outer = cx.add(Dense, &given)?;
        let [xz, xr, xg] = gates(cx, outer, units)?;
        let part = |from: usize, to: usize, name: &str| -> Result<Weight> {
            Ok(recurrent_kernel.derived(name, recurrent_kernel.expr.slice(1, from * units..to * units)?))
        };
        let kernel = cx.constant(&part(0, 2, "recurrent_kernel_gates")?)?;
        let inner = cx.add(Dense, &[cx.operand(h)?, kernel])?;
        let [hz, hr] = gates(cx, inner, units)?;
        let (z, r) = (binary(cx, BinaryKind::Add, xz, hz)?, binary(cx, BinaryKind::Add, xr, hr)?);
        let r = self.config.recurrent_activation.lower(cx, r)?;
        let reset = binary(cx, BinaryKind::Mul, r, h)?;
        let kernel = cx.constant(&part(2, 3, "recurrent_kernel_new")?)?;
        let inner = cx.add(Dense, &[cx.operand(reset)?, kernel])?;
        let g = binary(cx, BinaryKind::Add, xg, inner)?;
        self.next(cx, z, g, h)
    }

    /// `z h + (1 - z) g`, `z` and `g` being given before their functions.
    fn next(&self, cx: &mut Lowering, z: Tensor, g: Tensor, h: Tensor) -> Result<Tensor> {
        let z = self.config.recurrent_activation.lower(cx, z)?;
        let g = self.config.activation.lower(cx, g)?;
        let one = cx.literal("one", Array::f64([1], vec![1.0])?)?;
        let rest = cx.add(ops::Binary { kind: BinaryKind::Sub }, &[one, cx.operand(z)?])?;
        let old = binary(cx, BinaryKind::Mul, z, h)?;
        let new = binary(cx, BinaryKind::Mul, rest, g)?;
        binary(cx, BinaryKind::Add, old, new)
    }

    fn weights(&self, cx: &mut Lowering, x: Tensor) -> Result<Vec<Weight>> {
        self.config.declare(cx, x, 3, self.bias())
    }
}

impl Layer for GruCell {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let default = fields.version() >= KerasVersion::V3;
        Ok(GruCell {
            config: CellConfig::take(fields, true)?,
            reset_after: fields.bool(&["reset_after"], default)?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let (x, [h]) = arguments(call)?;
        if self.config.units.checked_mul(3).is_none() {
            return Err(Error::limit("the units do not fit memory"));
        }
        let h = if self.reset_after { self.reset_after(cx, x, h)? } else { self.reset_before(cx, x, h)? };
        Ok(vec![h, h])
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }
}

impl Cell for GruCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.config.units]
    }

    fn output_size(&self) -> usize {
        self.config.units
    }

    fn output_state(&self) -> Option<usize> {
        Some(0)
    }

    fn has_operator(&self) -> bool {
        self.config.functions().is_some()
    }

    fn over_steps(&self, cx: &mut Lowering, steps: &Steps<'_>) -> Result<OverSteps> {
        let (activation, recurrent_activation) = self.config.functions().unwrap_or_default();
        let weights = self.config.weights(cx, steps.x, 3, self.bias())?;
        self.config.operator(cx, steps, weights, |recurrence| ops::Gru {
            activation,
            recurrent_activation,
            reset_after: self.reset_after,
            recurrence,
        })
    }
}
