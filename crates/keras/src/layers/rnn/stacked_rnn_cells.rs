//! `StackedRNNCells`: cells of which each reads the output of the one before.
//! <https://keras.io/api/layers/recurrent_layers/stacked_rnn_cell/>

use super::cell::{Cell, OverSteps, Steps, call_of, cell_object};
use crate::fields::missing;
use crate::layer::LayerObject;
use crate::lowering::{Call, Lowering, Tensor};
use crate::snake_case::to_snake_case;
use crate::{Error, Fields, Layer, Result};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(in crate::layers) struct StackedRnnCells {
    cells: Vec<LayerObject>,
}

/// A cell and its own share of the states.
type Share<'a, T> = (&'a LayerObject, &'a dyn Cell, &'a [T]);

impl StackedRnnCells {
    /// Each cell with its own share of the states.
    fn with_states<'a, T>(&'a self, states: &'a [T]) -> Result<Vec<Share<'a, T>>> {
        let mut rest = states;
        let mut shares = Vec::new();
        for object in &self.cells {
            let cell = object.as_cell().ok_or_else(|| Error::unsupported("a cell that cannot be read"))?;
            let count = if states.is_empty() { 0 } else { cell.state_sizes().len() };
            let (own, others) = rest
                .split_at_checked(count)
                .ok_or_else(|| Error::malformed(format!("{} states are too few", states.len())))?;
            shares.push((object, cell, own));
            rest = others;
        }
        match rest.is_empty() {
            true => Ok(shares),
            false => Err(Error::malformed(format!("{} states are too many", states.len()))),
        }
    }
}

impl Layer for StackedRnnCells {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        fields.refuse("reverse_state_order", &[])?;
        let cells = fields.take(&["cells"]).and_then(Value::as_array).ok_or_else(|| missing("cells"))?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut objects = Vec::new();
        for cell in cells {
            let class = cell.get("class_name").and_then(Value::as_str).unwrap_or_default();
            let group = to_snake_case(class.rsplit('>').next().unwrap_or(class));
            let count = counts.entry(group.clone()).or_insert(0);
            let segment = match *count {
                0 => format!("cells/{group}"),
                n => format!("cells/{group}_{n}"),
            };
            *count += 1;
            objects.push(cell_object(fields, cell, &segment)?);
        }
        match objects.is_empty() {
            true => Err(Error::malformed("no cells are stacked")),
            false => Ok(StackedRnnCells { cells: objects }),
        }
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let tensors = call.tensors();
        let (mut x, states) = match tensors.split_first() {
            Some((x, states)) => (*x, states),
            None => return Err(Error::malformed("a cell is called with an input and states")),
        };
        let mut next = Vec::new();
        for (object, _, states) in self.with_states(states)? {
            let mut outputs = cx.call_child(object, &call_of(x, states))?;
            if outputs.is_empty() {
                return Ok(outputs);
            }
            x = outputs.remove(0);
            next.append(&mut outputs);
        }
        next.insert(0, x);
        Ok(next)
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }
}

impl Cell for StackedRnnCells {
    fn state_sizes(&self) -> Vec<usize> {
        self.cells.iter().filter_map(LayerObject::as_cell).flat_map(Cell::state_sizes).collect()
    }

    fn output_size(&self) -> usize {
        self.cells.last().and_then(LayerObject::as_cell).map_or(0, Cell::output_size)
    }

    fn output_state(&self) -> Option<usize> {
        let last = self.cells.last().and_then(LayerObject::as_cell)?;
        let before = self.state_sizes().len().checked_sub(last.state_sizes().len())?;
        Some(before + last.output_state()?)
    }

    fn has_operator(&self) -> bool {
        self.cells.iter().all(|object| object.as_cell().is_some_and(Cell::has_operator))
    }

    /// A cell over all steps, then the next over all of its outputs.
    fn over_steps(&self, cx: &mut Lowering, steps: &Steps<'_>) -> Result<OverSteps> {
        let (mut outputs, mut last) = (steps.x, steps.x);
        let mut next = Vec::new();
        for (object, cell, states) in self.with_states(steps.states)? {
            let steps = Steps { x: outputs, states, ..*steps };
            let over = cx.within_child(object, outputs, |cx| cell.over_steps(cx, &steps))?;
            (outputs, last) = (over.outputs, over.last);
            next.extend(over.states);
        }
        Ok(OverSteps { outputs, last, states: next })
    }
}
