//! `Bidirectional(layer)`: a recurrent layer and another that goes the other way.
//! <https://keras.io/api/layers/recurrent_layers/bidirectional/>
//!
//! Both give zeros at masked steps if they return sequences, whatever their configs say. Keras 2 does not write the names
//! that it gives the two layers, nor a backward layer that is the forward one.

use super::recurrent::{Arguments, Recurrent};
use crate::fields::{in_config, missing};
use crate::layer::{LayerObject, Masks};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::Tensor as Array;
use k2o_core::ops::{Binary, BinaryKind, Concat};
use serde_json::Value;

#[derive(Debug)]
pub(in crate::layers) struct Bidirectional {
    forward: LayerObject,
    backward: LayerObject,
    merge: Option<MergeMode>,
}

#[derive(Clone, Copy, Debug)]
enum MergeMode {
    Concat,
    Sum,
    Mul,
    Average,
}

/// The recurrent layer that `object` is.
fn recurrent(object: &LayerObject) -> Result<&Recurrent> {
    object
        .as_recurrent()
        .ok_or_else(|| Error::unsupported(format!("{} is not a recurrent layer", object.place())))
}

/// The description of a layer with another value under `key` of its config.
fn with_config(description: &Value, key: &str, value: Value) -> Value {
    let mut description = description.clone();
    if let Some(config) = description.get_mut("config").and_then(Value::as_object_mut) {
        config.insert(key.to_string(), value);
    }
    description
}

impl Layer for Bidirectional {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let merge = fields.take(&["merge_mode"]).map(|mode| match mode.as_str() {
            Some("concat") => Ok(MergeMode::Concat),
            Some("sum") => Ok(MergeMode::Sum),
            Some("mul") => Ok(MergeMode::Mul),
            Some("ave") => Ok(MergeMode::Average),
            _ => Err(Error::unsupported(format!("`merge_mode` = {mode} is not supported"))),
        });
        let merge = merge.transpose()?;
        fields.refuse("num_constants", &[Value::from(0)])?;
        // They are read from the layers' own configs.
        fields.ignore(&["stateful", "return_sequences", "return_state"]);
        let layer = fields.take(&["layer"]).ok_or_else(|| missing("layer"))?;
        let other = fields.take(&["backward_layer"]);
        let mirrored = other.cloned().unwrap_or_else(|| {
            // Keras 3 does not turn a layer that goes backwards around.
            let turns = fields.version() < KerasVersion::V3;
            let backwards = turns && in_config(layer, "go_backwards") == Some(&Value::Bool(true));
            with_config(layer, "go_backwards", Value::Bool(!backwards))
        });
        let mut layers = [("forward", layer), ("backward", &mirrored)].into_iter().map(|(prefix, layer)| {
            let name = in_config(layer, "name").and_then(Value::as_str).unwrap_or_default();
            let renamed = fields.version() < KerasVersion::V3;
            let layer = match renamed {
                true => with_config(layer, "name", Value::from(format!("{prefix}_{name}"))),
                false => layer.clone(),
            };
            fields.layer(&layer, &format!("{prefix}_layer"))
        });
        let forward = layers.next().ok_or_else(|| missing("layer"))??;
        // What cannot be made once is not made twice, nor are the layers in it.
        if !forward.is_broken() {
            recurrent(&forward)?;
        } else if other.is_none() {
            return Ok(Bidirectional { backward: forward.broken(), forward, merge });
        }
        let backward = layers.next().ok_or_else(|| missing("layer"))??;
        if !forward.is_broken() && !backward.is_broken() {
            let (a, b) = (recurrent(&forward)?.options, recurrent(&backward)?.options);
            if a.go_backwards == b.go_backwards
                || (a.return_sequences, a.return_state) != (b.return_sequences, b.return_state)
            {
                return Err(Error::malformed(
                    "the two layers must return the same and go backwards in opposite directions",
                ));
            }
        }
        Ok(Bidirectional { forward, backward, merge })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        if self.forward.is_broken() || self.backward.is_broken() {
            return Ok(Vec::new());
        }
        let given = Arguments::of(cx, call)?;
        let (forward, backward) = (recurrent(&self.forward)?, recurrent(&self.backward)?);
        let (front, back) = given.states.split_at(given.states.len() / 2);
        let [a, b] = [(&self.forward, forward, front), (&self.backward, backward, back)].map(
            |(object, layer, states)| {
                let given = Arguments { states: states.to_vec(), ..given.clone() };
                cx.within_child(object, given.x, |cx| layer.run(cx, given, layer.options.return_sequences))
            },
        );
        let (a, b) = (a?, b?);
        let mask = given.passed.filter(|_| a.sequence.is_some());
        let y = match a.sequence {
            Some(sequence) => forward.in_order(cx, sequence, false)?,
            None => a.last,
        };
        let reversed = match b.sequence {
            Some(sequence) => backward.in_order(cx, sequence, true)?,
            None => b.last,
        };
        let mut outputs = match self.merge {
            Some(mode) => vec![merge(cx, mode, y, reversed)?.with_mask(mask)],
            None => vec![y.with_mask(mask), reversed.with_mask(mask)],
        };
        if forward.options.return_state {
            outputs.extend(a.states);
            outputs.extend(b.states);
        }
        Ok(outputs)
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }
}

fn merge(cx: &mut Lowering, mode: MergeMode, a: Tensor, b: Tensor) -> Result<Tensor> {
    let operands = [cx.operand(a)?, cx.operand(b)?];
    let kind = match mode {
        MergeMode::Concat => {
            let axis = cx.shape(a)?.rank().saturating_sub(1);
            return cx.add(Concat { axis }, &operands);
        }
        MergeMode::Sum | MergeMode::Average => BinaryKind::Add,
        MergeMode::Mul => BinaryKind::Mul,
    };
    let merged = cx.add(Binary { kind }, &operands)?;
    match mode {
        MergeMode::Average => {
            let two = cx.literal("two", Array::scalar(2.0))?;
            cx.add(Binary { kind: BinaryKind::Div }, &[cx.operand(merged)?, two])
        }
        _ => Ok(merged),
    }
}
