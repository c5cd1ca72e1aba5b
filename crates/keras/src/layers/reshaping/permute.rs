//! `Permute(dims)`: all axes but the first in another order; Keras counts them from 1.
//! <https://keras.io/api/layers/reshaping_layers/permute/>

use crate::fields::{as_int, expected, missing};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};
use k2o_core::ops::Transpose;
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct Permute {
    permutation: Vec<usize>,
}

impl Layer for Permute {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let value = fields.take(&["dims"]).ok_or_else(|| missing("dims"))?;
        let axis = |item: &Value| as_int(item).and_then(|axis| usize::try_from(axis).ok());
        let one = std::slice::from_ref(value);
        let dims: Option<Vec<usize>> = value.as_array().map_or(one, Vec::as_slice).iter().map(axis).collect();
        let mut sorted = dims.clone().unwrap_or_default();
        sorted.sort_unstable();
        let dims = dims.filter(|dims| sorted.iter().copied().eq(1..=dims.len()));
        let dims = dims.ok_or_else(|| expected("dims", "the axes from 1 on, each once", value))?;
        Ok(Permute { permutation: [vec![0], dims].concat() })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![cx.rearrange(Transpose { permutation: self.permutation.clone() }, call.input()?)?])
    }
}
