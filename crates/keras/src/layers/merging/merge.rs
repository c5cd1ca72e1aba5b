//! `Add`: element by element over two or more tensors. <https://keras.io/api/layers/merging_layers/>
//!
//! Inputs of fewer dimensions are first filled up with axes of size 1 behind the batch axis
//! (`keras/src/layers/merging/base_merge.py`).

use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, Layer, Result};
use k2o_core::ops::{Binary, BinaryKind};

#[derive(Debug)]
pub(in crate::layers) struct Merge {
    kind: BinaryKind,
}

impl Layer for Merge {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let kind = match fields.class() {
            "Add" => BinaryKind::Add,
            other => return Err(Error::unsupported(format!("{other} is not supported"))),
        };
        Ok(Merge { kind })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let inputs = call.inputs()?;
        let [first, others @ ..] = inputs.as_slice() else {
            return Err(Error::malformed("no inputs were given"));
        };
        let mut result = *first;
        for &other in others {
            let (a, b) = (cx.shape(result)?, cx.shape(other)?);
            if a.rank() != b.rank() {
                return Err(Error::unsupported(format!(
                    "inputs of different ranks, {a} and {b}, are not supported"
                )));
            }
            let operands = [cx.operand(result)?, cx.operand(other)?];
            result = cx.add(Binary { kind: self.kind }, &operands)?;
        }
        Ok(vec![result])
    }
}
