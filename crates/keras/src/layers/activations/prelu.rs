//! `PReLU(shared_axes)`: `x` where positive, else `alpha * x`, with an `alpha` for each element but along shared axes.
//! <https://keras.io/api/layers/activation_layers/prelu/>
//!
//! `alpha` has the input's axes without the batch. Keras finds a shared axis `i` at index `i - 1` of them as Python
//! does, so that axis 0 is the last.

use crate::layer::Masks;
use crate::layers::Axes;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Binary, BinaryKind};

#[derive(Debug)]
pub(in crate::layers) struct PReLU {
    shared_axes: Axes,
}

impl Layer for PReLU {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(PReLU { shared_axes: Axes::take(fields, "shared_axes")?.unwrap_or(Axes(Vec::new())) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        let rank = cx.shape(x)?.rank();
        let mut is_shared = vec![false; rank.saturating_sub(1)];
        for &axis in &self.shared_axes.0 {
            let index = axis
                .checked_sub(1)
                .and_then(|index| if index < 0 { index.checked_add(rank as i64 - 1) } else { Some(index) });
            let shared = index.and_then(|index| is_shared.get_mut(usize::try_from(index).ok()?));
            *shared.ok_or_else(|| {
                Error::malformed(format!("a shared axis {axis} of a tensor of rank {rank}"))
            })? = true;
        }
        let size = |(at, &shared): (usize, &bool)| if shared { Ok(1) } else { cx.size(x, at + 1) };
        let alpha = is_shared.iter().enumerate().map(size).collect::<Result<Vec<_>>>()?;
        let mut inputs = vec![cx.operand(x)?];
        for weight in cx.weights(&[WeightSpec::trainable("alpha", &alpha)])? {
            inputs.push(cx.constant(&weight)?);
        }
        Ok(vec![cx.add(Binary { kind: BinaryKind::Prelu }, &inputs)?])
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Passed
    }
}
