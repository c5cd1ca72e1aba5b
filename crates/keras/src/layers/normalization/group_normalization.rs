//! `GroupNormalization(groups, axis)`: the channels fall into groups, and each group of each sample is normalized over
//! all its steps and channels; then a scale and a shift per channel. `groups=-1` is a group per channel.
//! <https://keras.io/api/layers/normalization_layers/group_normalization/>

use crate::layer::Masks;
use crate::layers::axis_from_front;
use crate::lowering::{Call, Lowering, Tensor};
use crate::weights::WeightSpec;
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ConstantExpr;
use k2o_core::ops::{Affine, Normalize, NormalizeKind, ReshapeDim};

#[derive(Debug)]
pub(in crate::layers) struct GroupNormalization {
    groups: i64,
    axis: i64,
    epsilon: f64,
    center: bool,
    scale: bool,
}

impl Layer for GroupNormalization {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(GroupNormalization {
            groups: fields.int(&["groups"])?.unwrap_or(32),
            axis: fields.int(&["axis"])?.unwrap_or(-1),
            epsilon: fields.float(&["epsilon"])?.unwrap_or(1e-3),
            center: fields.bool(&["center"], true)?,
            scale: fields.bool(&["scale"], true)?,
        })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        if x.mask().is_some() && cx.version() < KerasVersion::V3 {
            return Err(Error::unsupported("Keras 2's statistics of masked steps are not supported"));
        }
        let rank = cx.shape(x)?.rank();
        let axis = axis_from_front(self.axis, rank)?;
        let channels = cx.size(x, axis)?;
        let groups = if self.groups == -1 { Some(channels) } else { usize::try_from(self.groups).ok() };
        let Some(groups) = groups.filter(|&groups| groups > 0 && channels % groups == 0 && axis > 0) else {
            let message =
                format!("{channels} channels on axis {axis} do not fall into {} groups", self.groups);
            return Err(k2o_core::Error::shape(message).into());
        };
        let mut specs = Vec::new();
        specs.extend(self.scale.then(|| WeightSpec::trainable("gamma", &[channels])));
        specs.extend(self.center.then(|| WeightSpec::trainable("beta", &[channels])));
        let weights = cx.weights(&specs)?;

        let mut split: Vec<ReshapeDim> = vec![ReshapeDim::Keep; axis];
        for size in [groups, channels / groups] {
            let size = i64::try_from(size).map_err(|_| Error::limit("too many channels"))?;
            split.push(ReshapeDim::Fixed(size));
        }
        split.extend((axis + 1..rank).map(ReshapeDim::Of));
        let grouped = cx.reshape(split, x, None)?;
        let axes = (1..=rank).filter(|&other| other != axis).collect();
        let normalize = Normalize { kind: NormalizeKind::Standard, axes, epsilon: self.epsilon };
        let normal = cx.apply(normalize, grouped)?;
        let mut joined = vec![ReshapeDim::Keep; axis];
        joined.push(ReshapeDim::Infer);
        joined.extend((axis + 2..=rank).map(ReshapeDim::Of));
        let y = cx.reshape(joined, normal, None)?;

        let Some(known) = weights.first() else { return Ok(vec![y]) };
        let mut inputs = vec![cx.operand(y)?];
        for (name, value) in [("gamma", 1.0), ("beta", 0.0)] {
            let weight = match weights.iter().find(|weight| weight.name.ends_with(name)) {
                Some(weight) => weight.clone(),
                None => known.derived(name, ConstantExpr::filled(&[channels], value)?),
            };
            inputs.push(cx.constant(&weight)?);
        }
        Ok(vec![cx.add(Affine { axis }, &inputs)?])
    }

    fn masks(&self, version: KerasVersion) -> Masks {
        if version >= KerasVersion::V3 { Masks::Passed } else { Masks::Dropped }
    }
}
