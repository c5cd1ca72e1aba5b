//! Recurrent weights that Keras 1 stored in a part for each gate.
//!
//! The parts become columns of one weight in the order of today's Keras: `i, f, c, o` for an LSTM, `z, r, h` for a GRU
//! (`preprocess_weights_for_loading`, `keras/src/saving/legacy/hdf5_format.py` in Keras 2.15).

use crate::archive::StoredWeight;
use k2o_core::{DType, StoredTensor};
use std::sync::Arc;

/// A weight of a file: as it is stored, or put together.
#[derive(Clone, Debug)]
pub(crate) enum Found<'a> {
    Stored(&'a StoredWeight),
    Joined(Arc<Joined>),
}

/// Parts of the same shape and element type, one beside the other along the last axis.
#[derive(Debug)]
pub(crate) struct Joined {
    parts: Vec<StoredWeight>,
    shape: Vec<usize>,
}

impl Found<'_> {
    /// The sizes along each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Found::Stored(stored) => stored.shape(),
            Found::Joined(joined) => joined.shape(),
        }
    }
}

const ORDERS: [&[&str]; 2] = [&["i", "f", "c", "o"], &["z", "r", "h"]];

/// `("lstm_1_W", "i")` of `lstm_1_W_i:0`.
fn split(path: &str) -> Option<(&str, &str)> {
    let (weight, gate) = path.split(':').next().unwrap_or_default().rsplit_once('_')?;
    let (layer, kind) = weight.rsplit_once('_')?;
    let known = ORDERS.iter().any(|order| order.contains(&gate)) && ["W", "U", "b"].contains(&kind);
    (known && !layer.is_empty()).then_some((weight, gate))
}

/// The weights of a group, with parts for each gate put together where the first of them is.
pub(crate) fn join_gates(group: &[(String, StoredWeight)]) -> Vec<(String, Found<'_>)> {
    let mut found: Vec<(String, Found<'_>)> = Vec::new();
    for (path, stored) in group {
        let Some((weight, _)) = split(path) else {
            found.push((path.clone(), Found::Stored(stored)));
            continue;
        };
        if found.iter().any(|(known, _)| known == weight) {
            continue;
        }
        let part = |gate: &&str| {
            group
                .iter()
                .find(|(path, _)| split(path) == Some((weight, gate)))
                .map(|(_, stored)| stored.clone())
        };
        let joined =
            ORDERS.iter().find_map(|order| Joined::new(order.iter().map(part).collect::<Option<_>>()?));
        match joined {
            Some(joined) => found.push((weight.to_string(), Found::Joined(Arc::new(joined)))),
            None => found.push((path.clone(), Found::Stored(stored))),
        }
    }
    found
}

impl Joined {
    fn new(parts: Vec<StoredWeight>) -> Option<Joined> {
        let first = parts.first()?;
        let same = |part: &StoredWeight| part.shape() == first.shape() && part.dtype() == first.dtype();
        let mut shape = first.shape().to_vec();
        let columns = shape.last_mut()?;
        *columns = columns.checked_mul(parts.len())?;
        parts.iter().all(same).then_some(Joined { parts, shape })
    }
}

impl StoredTensor for Joined {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.parts.first().map_or(DType::F32, StoredTensor::dtype)
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        let parts = self.parts.iter().map(StoredTensor::read).collect::<k2o_core::Result<Vec<_>>>()?;
        let columns = self.shape.last().copied().unwrap_or(0) / self.parts.len().max(1);
        let row = (columns * self.dtype().size()).max(1);
        let rows = parts.first().map_or(0, |part| part.len() / row);
        let mut joined = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        for at in 0..rows {
            for part in &parts {
                joined.extend(part.get(at * row..(at + 1) * row).unwrap_or_default());
            }
        }
        Ok(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn parts_are_told_from_other_weights_by_their_names() {
        assert_eq!(split("lstm_1_W_i:0"), Some(("lstm_1_W", "i")));
        assert_eq!(split("forward_gru_2_b_h"), Some(("forward_gru_2_b", "h")));
        for other in ["lstm_1_W:0", "W_i", "dense_1_b:0", "lstm_1_X_i", "lstm_1_W_x"] {
            assert_eq!(split(other), None, "{other}");
        }
    }
}
