//! What each layer of a model costs to run.

use crate::SummaryRow;
use k2o_core::{Bindings, CallId, Dim, Graph, Outline, Result, Shape};
use std::collections::BTreeMap;

/// Bytes of an element, which is computed with in single precision.
const ELEMENT: u64 = 4;

/// The work of a layer, or of a model, for one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerCost {
    /// Multiplications that are each followed by an addition.
    pub multiply_adds: u64,
    /// Other operations on elements.
    pub element_ops: u64,
    /// Bytes of the weights, in single precision.
    pub weight_bytes: u64,
    /// Bytes that are read from the layers before and written for those behind, in single precision.
    pub activation_bytes: u64,
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The arithmetic.
    Compute,
    /// Reading and writing memory.
    Memory,
}

impl LayerCost {
    /// All operations: two for each multiply-add, one for each other.
    pub fn operations(&self) -> u64 {
        self.multiply_adds.saturating_mul(2).saturating_add(self.element_ops)
    }

    /// All bytes that are read and written once.
    pub fn bytes(&self) -> u64 {
        self.weight_bytes.saturating_add(self.activation_bytes)
    }

    /// The arithmetic intensity, operations per byte; 0 where nothing is read or written.
    pub fn intensity(&self) -> f64 {
        match self.bytes() {
            0 => 0.0,
            bytes => self.operations() as f64 / bytes as f64,
        }
    }

    /// What it waits for on a machine that does `balance` operations in the time in which it reads a byte; nothing where
    /// there is nothing to do (the roofline model of Williams, Waterman and Patterson, 2009).
    pub fn bound(&self, balance: f64) -> Option<Bound> {
        match self.bytes() {
            0 => None,
            _ if self.intensity() >= balance => Some(Bound::Compute),
            _ => Some(Bound::Memory),
        }
    }

    fn add(&self, other: &LayerCost) -> LayerCost {
        LayerCost {
            multiply_adds: self.multiply_adds.saturating_add(other.multiply_adds),
            element_ops: self.element_ops.saturating_add(other.element_ops),
            weight_bytes: self.weight_bytes.saturating_add(other.weight_bytes),
            activation_bytes: self.activation_bytes.saturating_add(other.activation_bytes),
        }
    }
}

/// The costs of a summary's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// The cost of each row, all calls of its layer and of the layers inside it together.
    pub rows: Vec<LayerCost>,
    /// The sum over the outermost rows.
    pub total: LayerCost,
    /// What the sizes that the file leaves open were taken to be, by name.
    pub sizes: BTreeMap<String, i64>,
}

pub(super) fn costs(
    graph: &Graph,
    outline: &Outline,
    rows: &[SummaryRow],
    bindings: &Bindings,
) -> Result<Costs> {
    let mut by_call = vec![LayerCost::default(); outline.calls.len()];
    for node in graph.nodes() {
        let Some(cost) = node.origin.and_then(|CallId(id)| by_call.get_mut(id)) else { continue };
        let work = graph.cost(node)?;
        cost.multiply_adds = cost.multiply_adds.saturating_add(number(&work.multiply_adds, bindings)?);
        cost.element_ops = cost.element_ops.saturating_add(number(&work.element_ops, bindings)?);
    }
    for (cost, call) in by_call.iter_mut().zip(&outline.calls) {
        cost.weight_bytes = call.parameters().saturating_mul(ELEMENT);
    }
    let inputs: Vec<&Shape> =
        graph.inputs().iter().map(|port| &graph.value(port.value).r#type.shape).collect();
    let moved = |id: usize| -> Result<u64> {
        let Some(call) = outline.calls.get(id) else { return Ok(0) };
        let source = |(CallId(id), output): &(CallId, usize)| {
            outline.calls.get(*id).and_then(|call| call.outputs.get(*output)).and_then(Option::as_ref)
        };
        let read: Vec<&Shape> = match call.inputs.as_slice() {
            // An input layer reads nothing; the first layer of a Sequential model reads the model's input.
            [] if call.class == "InputLayer" => return Ok(0),
            [] => inputs.clone(),
            inputs => inputs.iter().filter_map(source).collect(),
        };
        let shapes = read.into_iter().chain(call.outputs.iter().flatten());
        let mut sizes = shapes.map(|shape| number(&shape.elements()?, bindings));
        sizes.try_fold(0u64, |sum, size| Ok(sum.saturating_add(size?.saturating_mul(ELEMENT))))
    };
    let mut costs = Vec::new();
    for row in rows {
        let mut cost = row
            .calls
            .iter()
            .filter_map(|CallId(id)| by_call.get(*id))
            .fold(LayerCost::default(), |a, b| a.add(b));
        for &CallId(id) in &row.own_calls {
            cost.activation_bytes = cost.activation_bytes.saturating_add(moved(id)?);
        }
        costs.push(cost);
    }
    let outermost = rows.iter().zip(&costs).filter(|(row, _)| row.depth == 0);
    let total = outermost.fold(LayerCost::default(), |sum, (_, cost)| sum.add(cost));
    let mut named = BTreeMap::new();
    for name in graph.symbols() {
        if let Some(size) = bindings.get(&name) {
            named.insert(name.to_string(), *size);
        }
    }
    Ok(Costs { rows: costs, total, sizes: named })
}

/// A number of things, which is not below 0.
fn number(dim: &Dim, bindings: &Bindings) -> Result<u64> {
    dim.eval(bindings).map(|n| u64::try_from(n).unwrap_or(0))
}
