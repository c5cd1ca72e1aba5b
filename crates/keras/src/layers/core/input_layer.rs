//! `InputLayer`: a place where a tensor enters. <https://keras.io/api/layers/core_layers/input/>. Models read shape
//! and dtype from its config themselves; calling it passes its argument on.

use crate::lowering::{Call, Lowering, Tensor};
use crate::{Fields, Layer, Result};

#[derive(Debug)]
pub(in crate::layers) struct InputLayer;

impl Layer for InputLayer {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("sparse", &[])?;
        fields.refuse("ragged", &[])?;
        fields.refuse("type_spec", &[])?;
        fields.refuse("optional", &[])?;
        Ok(InputLayer)
    }

    fn lower(&self, _: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![call.input()?])
    }
}
