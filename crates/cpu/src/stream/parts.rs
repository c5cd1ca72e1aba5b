//! The stages of a stream as graphs of their own.

use super::refused;
use super::stages::{Dependence, Stage, Stages};
use crate::{Error, Result};
use k2o_core::ops::{Full, FullDim, ReshapeDim};
use k2o_core::{
    Constant, ConstantId, Dim, Graph, GraphBuilder, Motion, Node, Op, Operand, Padding, Port, TensorType,
    ValueId, Window,
};
use std::collections::BTreeMap;

impl Stages {
    /// The type of a value, of any number of steps if it is a sequence.
    fn open(&self, value: ValueId) -> TensorType {
        let TensorType { shape, dtype } = &self.graph.value(value).r#type;
        match self.is(value, Dependence::Steps) {
            true => TensorType::new(shape.with(1, Dim::symbol("stream_steps")), *dtype),
            false => TensorType::new(shape.clone(), *dtype),
        }
    }

    /// A stage as a graph, its window padded by so many steps after the last. Its inputs are the feeds, what is fixed, and
    /// the states; its outputs the sequences that are read outside, and the next states.
    pub fn graph_of(&self, stage: &Stage, after: i64) -> Result<Graph> {
        let mut part = Part::new(&self.graph);
        for &feed in &stage.feeds {
            part.input(feed, self.open(feed))?;
        }
        for &fixed in &stage.fixed {
            part.input(fixed, self.graph.value(fixed).r#type.clone())?;
        }
        let mut states = Vec::new();
        for (_, next) in &stage.states {
            let r#type = self.graph.value(*next).r#type.clone();
            states.push(part.builder.input("state", r#type)?);
        }
        let mut states = states.into_iter().map(Operand::from);
        for (node, motion) in &stage.nodes {
            match motion {
                // The queue before the stage does what the operator does.
                Motion::Pad { .. } | Motion::Crop { .. } => {
                    let (&[output], &[feed]) = (node.outputs.as_slice(), stage.feeds.as_slice()) else {
                        return Err(refused("it pads or crops several values", node.origin));
                    };
                    part.values.insert(output, part.value(feed)?);
                }
                _ => {
                    let (op, fresh) = in_stage(node, after)?;
                    let own: Vec<Operand> = states.by_ref().take(state_outputs(node)?.len()).collect();
                    part.node(node, op, fresh, &own)?;
                }
            }
        }
        let nexts = stage.states.iter().map(|(_, next)| next);
        for id in stage.outputs.iter().chain(nexts) {
            part.output(*id)?;
        }
        Ok(part.builder.finish())
    }

    /// What does not depend on the steps as a graph of all of the model's inputs.
    pub fn fixed_graph(&self) -> Result<Option<Graph>> {
        let outputs = self.fixed_outputs();
        let mut part = Part::new(&self.graph);
        for port in self.graph.inputs() {
            part.input(port.value, self.open(port.value))?;
        }
        for (node, motion) in self.graph.nodes().iter().zip(&self.motions) {
            let is_fixed = node.outputs.iter().all(|&id| self.is(id, Dependence::Fixed));
            match (is_fixed, motion, &node.op) {
                (true, Some(_), Op::Full(full)) => {
                    let rows = self.same_rows(node, full)?;
                    let operand = node.inputs.first().and_then(|operand| operand.value());
                    part.values.insert(operand.unwrap_or(rows), part.value(rows)?);
                    part.node(node, node.op.clone(), None, &[])?;
                }
                (true, _, _) => part.node(node, node.op.clone(), None, &[])?,
                (false, _, _) => {}
            }
        }
        for &id in &outputs {
            part.output(id)?;
        }
        Ok((!outputs.is_empty()).then(|| part.builder.finish()))
    }

    /// An input with as many rows as the operand of `full`, which reads nothing else of it.
    fn same_rows(&self, node: &Node, full: &Full) -> Result<ValueId> {
        let rows =
            node.inputs.first().and_then(|&operand| self.graph.type_of(operand).shape.first().cloned());
        let only_rows = full.dims.iter().all(|dim| matches!(dim, FullDim::Fixed(_) | FullDim::Of(0)));
        let same = |port: &&Port| self.graph.value(port.value).r#type.shape.first() == rows.as_ref();
        let found = self.graph.inputs().iter().find(same).filter(|_| only_rows);
        found.map(|port| port.value).ok_or_else(|| refused("its sizes are those of a sequence", node.origin))
    }

    /// What is made of the last states as a graph of these and of what is fixed.
    pub fn latest_graph(&self) -> Result<Option<Graph>> {
        let outputs = &self.latest_outputs;
        let mut part = Part::new(&self.graph);
        for &id in &self.latest_inputs {
            part.input(id, self.graph.value(id).r#type.clone())?;
        }
        for node in self.latest_nodes() {
            part.node(node, node.op.clone(), None, &[])?;
        }
        for &id in outputs {
            part.output(id)?;
        }
        Ok((!outputs.is_empty()).then(|| part.builder.finish()))
    }
}

/// Which operands of a recurrent operator are its first states; none where they are zeros.
pub(super) fn state_operands(node: &Node) -> std::ops::Range<usize> {
    match &node.op {
        Op::Scan(op) => 0..op.states,
        Op::Lstm(op) => op.recurrence.state_places(2),
        Op::Gru(op) => op.recurrence.state_places(1),
        Op::Rnn(op) => op.recurrence.state_places(1),
        _ => 0..0,
    }
}

/// The outputs of a recurrent operator that are its last states.
pub(super) fn state_outputs(node: &Node) -> Result<&[ValueId]> {
    let states = match &node.op {
        Op::Scan(op) => node.outputs.get(..op.states),
        Op::Lstm(_) | Op::Gru(_) | Op::Rnn(_) => node.outputs.get(1..),
        _ => Some([].as_slice()),
    };
    states.ok_or_else(Error::not_computed)
}

/// The operator as it is run within a stage, and, for a recurrent one, where its states come among its operands.
fn in_stage(node: &Node, after: i64) -> Result<(Op, Option<usize>)> {
    let mut op = node.op.clone();
    let without_steps = || refused("it has no axis of steps", node.origin);
    let unpad = |windows: &mut [Window]| -> Result<()> {
        let window = windows.first_mut().ok_or_else(without_steps)?;
        *window =
            Window::new(window.size(), window.stride(), window.dilation(), Padding::Explicit(0, after))?;
        Ok(())
    };
    let states = state_operands(node).start;
    Ok(match &mut op {
        Op::Conv(conv) => {
            unpad(&mut conv.windows)?;
            (op, None)
        }
        Op::Pool(pool) => {
            unpad(&mut pool.windows)?;
            (op, None)
        }
        Op::Reshape(reshape) => {
            let [batch, steps, ..] = reshape.target.as_mut_slice() else { return Err(without_steps()) };
            (*batch, *steps) = (ReshapeDim::Keep, ReshapeDim::Of(1));
            (op, None)
        }
        Op::Scan(_) => (op, Some(states)),
        Op::Lstm(lstm) => {
            lstm.recurrence.has_states = true;
            (op, Some(states))
        }
        Op::Gru(gru) => {
            gru.recurrence.has_states = true;
            (op, Some(states))
        }
        Op::Rnn(rnn) => {
            rnn.recurrence.has_states = true;
            (op, Some(states))
        }
        _ => (op, None),
    })
}

/// A part of a graph as a graph of its own.
struct Part<'a> {
    graph: &'a Graph,
    builder: GraphBuilder,
    values: BTreeMap<ValueId, ValueId>,
    constants: BTreeMap<ConstantId, ConstantId>,
}

impl<'a> Part<'a> {
    fn new(graph: &'a Graph) -> Part<'a> {
        Part { graph, builder: GraphBuilder::new(), values: BTreeMap::new(), constants: BTreeMap::new() }
    }

    fn input(&mut self, id: ValueId, r#type: TensorType) -> Result<()> {
        let input = self.builder.input(format!("value_{}", id.0), r#type)?;
        self.values.insert(id, input);
        Ok(())
    }

    fn output(&mut self, id: ValueId) -> Result<()> {
        let value = self.value(id)?;
        self.builder.output(format!("value_{}", id.0), value);
        Ok(())
    }

    /// What a value of the graph is in the part.
    fn value(&self, id: ValueId) -> Result<ValueId> {
        self.values.get(&id).copied().ok_or_else(Error::not_computed)
    }

    fn operand(&mut self, operand: Operand) -> Result<Operand> {
        match operand {
            Operand::Value(id) => self.value(id).map(Operand::Value),
            Operand::Constant(id) => match self.constants.get(&id) {
                Some(&known) => Ok(known.into()),
                None => {
                    let constant: Constant = self.graph.constant(id).clone();
                    let new = self.builder.constant(constant)?;
                    self.constants.insert(id, new);
                    Ok(new.into())
                }
            },
        }
    }

    /// Adds a node; `states` replace its first states, or come in at `at` where it has none.
    fn node(&mut self, node: &Node, op: Op, at: Option<usize>, states: &[Operand]) -> Result<()> {
        let own = state_operands(node);
        let mut inputs = Vec::new();
        for (index, &operand) in node.inputs.iter().enumerate() {
            if at == Some(index) && !states.is_empty() {
                inputs.extend(states);
            }
            if states.is_empty() || !own.contains(&index) {
                inputs.push(self.operand(operand)?);
            }
        }
        if at == Some(node.inputs.len()) {
            inputs.extend(states);
        }
        self.builder.within(node.origin);
        let outputs = self.builder.add_all(op, inputs)?;
        for (&old, new) in node.outputs.iter().zip(outputs) {
            self.values.insert(old, new);
        }
        Ok(())
    }
}
