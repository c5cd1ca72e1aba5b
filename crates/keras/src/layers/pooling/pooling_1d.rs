//! `MaxPooling1D` and `AveragePooling1D`. <https://keras.io/api/layers/pooling_layers/>
//!
//! Strides default to the pool size. Padding takes no part in maximum or average.

use crate::layers::{DataFormat, expect_rank};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::{Pool, PoolKind};
use k2o_core::{Padding, Window};

#[derive(Debug)]
pub(in crate::layers) struct Pooling {
    kind: PoolKind,
    windows: Vec<Window>,
    data_format: DataFormat,
}

impl Layer for Pooling {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let rank = 1;
        let kind = match fields.class() {
            "MaxPooling1D" => PoolKind::Max,
            _ => PoolKind::Average,
        };
        let pool_size = fields.ints(&["pool_size"], rank)?.unwrap_or_else(|| vec![2; rank]);
        let strides = fields.ints(&["strides"], rank)?.unwrap_or_else(|| pool_size.clone());
        let modes = [("valid", Padding::Explicit(0, 0)), ("same", Padding::Same)];
        let padding = fields.choice(&["padding"], &modes, Padding::Explicit(0, 0))?;
        let windows = pool_size.iter().zip(&strides);
        let windows = windows.map(|(&size, &stride)| Ok(Window::new(size, stride, 1, padding)?));
        Ok(Pooling { kind, windows: windows.collect::<Result<_>>()?, data_format: DataFormat::take(fields)? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        let rank = self.windows.len() + 2;
        expect_rank(cx, x, rank)?;
        let pool = Pool { kind: self.kind, windows: self.windows.clone() };
        let x = self.data_format.to_channels_last(cx, x)?;
        let y = cx.apply(pool, x)?;
        Ok(vec![self.data_format.lay_out(cx, y)?])
    }
}
