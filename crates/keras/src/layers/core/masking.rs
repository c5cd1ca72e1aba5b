//! `Masking(mask_value)`: a step counts where one of its elements is another than the mask value; the elements of other
//! steps become 0. <https://keras.io/api/layers/core_layers/masking/>

use crate::layer::Masks;
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Binary, BinaryKind, Cast, Compare, CompareKind, Reduce, ReduceKind};
use k2o_core::{DType, Tensor as Array};

#[derive(Debug)]
pub(in crate::layers) struct Masking {
    mask_value: f64,
}

impl Layer for Masking {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Masking { mask_value: fields.float(&["mask_value"])?.unwrap_or(0.0) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = cx.to_float(call.input()?)?;
        let axes = vec![cx.shape(x)?.rank().saturating_sub(1)];
        // Keras compares in single precision.
        let value = cx.literal("mask_value", Array::scalar(f64::from(self.mask_value as f32)))?;
        let differs = cx.add(Compare { kind: CompareKind::NotEqual }, &[cx.operand(x)?, value])?;
        let differs = cx.to_float(differs)?;
        let counted =
            cx.apply(Reduce { kind: ReduceKind::Max, axes: axes.clone(), keep_dims: true }, differs)?;
        let operands = [cx.operand(x)?, cx.operand(counted)?];
        let y = cx.add(Binary { kind: BinaryKind::Mul }, &operands)?;
        let mask = cx.apply(Reduce { kind: ReduceKind::Max, axes, keep_dims: false }, differs)?;
        let mask = cx.rearrange(Cast { to: DType::Bool }, mask)?;
        Ok(vec![y.with_mask(Some(mask))])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}
