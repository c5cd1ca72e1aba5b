//! Cuts a graph into stages.

use super::refused;
use crate::arena::Kind;
use crate::{Error, Result};
use k2o_core::ops::{Full, FullDim, ReshapeDim};
use k2o_core::{
    Constant, ConstantId, Dim, Fill, Graph, GraphBuilder, Motion, Node, Op, Operand, Padding, Port,
    TensorType, ValueId, Window, motion, padding_before,
};
use std::collections::{BTreeMap, BTreeSet};

/// How a value depends on the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dependence {
    /// It does not.
    Fixed,
    /// It is a sequence, of which each step is new.
    Steps,
    /// It is made of states after the last step.
    Latest,
}

/// A graph cut into parts.
pub(crate) struct Stages {
    graph: Graph,
    dependence: Vec<Dependence>,
    motions: Vec<Option<Motion>>,
    pub stages: Vec<Stage>,
    pub latency: usize,
}

/// Operators that compute each step of the same step of what they read.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The operators, as indices into the graph's nodes. The first may read a window.
    nodes: Vec<usize>,
    /// What is read step by step.
    pub feeds: Vec<ValueId>,
    pub head: Head,
    /// What is the same for all steps.
    pub fixed: Vec<ValueId>,
    /// What is carried from step to step: where the first one is, if anywhere, and what the next becomes.
    pub states: Vec<(Option<ValueId>, ValueId)>,
    /// What of the stage's sequences is read outside of it.
    pub outputs: Vec<ValueId>,
}

/// What a stage does with its feed before a step can be computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head {
    /// Nothing.
    Step,
    /// It waits for a window.
    Window(Window, Fill),
    /// It begins and ends with steps of one value.
    Pad { before: usize, after: usize, value: f64 },
    /// It drops steps at the start and the end.
    Crop { before: usize, after: usize },
}

impl Head {
    /// What stands in the feed's queue before the first step: how many rows of which value.
    pub fn prefix(&self) -> (usize, f64) {
        match *self {
            Head::Window(window, fill) => {
                let before = usize::try_from(padding_before(&window)).unwrap_or(0);
                (before, if fill == Fill::Least { f64::NEG_INFINITY } else { 0.0 })
            }
            Head::Pad { before, value, .. } => (before, value),
            Head::Step | Head::Crop { .. } => (0, 0.0),
        }
    }
}

/// The inputs that are sequences.
fn sequences(graph: &Graph) -> Vec<bool> {
    let shape = |port: &Port| &graph.value(port.value).r#type.shape;
    let open: Vec<bool> = graph
        .inputs()
        .iter()
        .map(|port| shape(port).get(1).is_some_and(|dim| dim.as_fixed().is_none()))
        .collect();
    match open.contains(&true) {
        true => open,
        false => graph.inputs().iter().map(|port| shape(port).rank() > 2).collect(),
    }
}

impl Stages {
    pub fn new(graph: &Graph) -> Result<Stages> {
        let mut dependence = vec![Dependence::Fixed; graph.values().len()];
        for (port, is_sequence) in graph.inputs().iter().zip(sequences(graph)) {
            if is_sequence {
                dependence[port.value.0 as usize] = Dependence::Steps;
            }
        }
        if !dependence.contains(&Dependence::Steps) {
            return Err(refused("no input is a sequence", None));
        }
        let graph = graph.clone();
        let motions = Vec::with_capacity(graph.nodes().len());
        let mut stages = Stages { graph, dependence, motions, stages: Vec::new(), latency: 0 };
        let mut stage_of: BTreeMap<ValueId, usize> = BTreeMap::new();
        for at in 0..stages.graph.nodes().len() {
            stages.add(at, &mut stage_of).map_err(|error| error.at(stages.graph.nodes()[at].origin))?;
        }
        // An input that is an output goes through a stage of its own.
        for port in stages.graph.outputs().to_vec() {
            if stages.is(port.value, Dependence::Steps) && !stage_of.contains_key(&port.value) {
                stage_of.insert(port.value, stages.stages.len());
                stages.stages.push(Stage::new(vec![port.value], Head::Step));
            }
        }
        stages.finish(&stage_of)?;
        Ok(stages)
    }

    fn is(&self, value: ValueId, dependence: Dependence) -> bool {
        self.dependence[value.0 as usize] == dependence
    }

    fn depends(&self, operand: Operand) -> Dependence {
        operand.value().map_or(Dependence::Fixed, |id| self.dependence[id.0 as usize])
    }

    /// Puts a node where it belongs.
    fn add(&mut self, at: usize, stage_of: &mut BTreeMap<ValueId, usize>) -> Result<()> {
        let node = self.graph.nodes()[at].clone();
        let operands: Vec<Dependence> = node.inputs.iter().map(|&operand| self.depends(operand)).collect();
        let most = operands.iter().copied().max().unwrap_or(Dependence::Fixed);
        if !operands.contains(&Dependence::Steps) {
            self.motions.push(None);
            node.outputs.iter().for_each(|id| self.dependence[id.0 as usize] = most);
            return Ok(());
        }
        let steps: Vec<bool> = operands.iter().map(|&operand| operand == Dependence::Steps).collect();
        let types: Vec<TensorType> = node.inputs.iter().map(|&operand| self.graph.type_of(operand)).collect();
        let motion = motion(&node.op, &types, &steps).map_err(|error| match error.kind() {
            k2o_core::ErrorKind::Unsupported => refused(error.message(), None),
            _ => error.into(),
        })?;
        if operands.contains(&Dependence::Latest) && motion != Motion::Fixed {
            return Err(refused("it needs the last state at every step", None));
        }
        self.motions.push(Some(motion));
        let result = if motion == Motion::Fixed { Dependence::Fixed } else { Dependence::Steps };
        node.outputs.iter().for_each(|id| self.dependence[id.0 as usize] = result);
        if motion == Motion::Fixed {
            return Ok(());
        }
        if motion == Motion::Recurrent {
            self.recurrent_outputs(&node);
        }

        let read: Vec<ValueId> = node.inputs.iter().filter_map(|operand| operand.value()).collect();
        let mut feeds: Vec<ValueId> = Vec::new();
        for id in read.into_iter().filter(|&id| self.is(id, Dependence::Steps)) {
            if !feeds.contains(&id) {
                feeds.push(id);
            }
        }
        let head = match motion {
            Motion::Window { window, fill } => Head::Window(window, fill),
            Motion::Pad { before, after, value } => Head::Pad { before, after, value },
            Motion::Crop { before, after } => Head::Crop { before, after },
            Motion::PerStep | Motion::Repeat(_) | Motion::Recurrent | Motion::Fixed => Head::Step,
        };
        let homes: BTreeSet<Option<usize>> = feeds.iter().map(|id| stage_of.get(id).copied()).collect();
        let home = match (homes.into_iter().collect::<Vec<_>>().as_slice(), head) {
            ([Some(home)], Head::Step) => *home,
            _ => {
                self.stages.push(Stage::new(feeds, head));
                self.stages.len() - 1
            }
        };
        self.stages[home].nodes.push(at);
        for &id in node.outputs.iter().filter(|&&id| self.is(id, Dependence::Steps)) {
            stage_of.insert(id, home);
        }
        Ok(())
    }

    /// The states after the last step are no sequences.
    fn recurrent_outputs(&mut self, node: &Node) {
        let states = match &node.op {
            Op::Scan(scan) => &node.outputs[..scan.states],
            _ => &node.outputs[1..],
        };
        states.iter().for_each(|id| self.dependence[id.0 as usize] = Dependence::Latest);
    }

    /// Finds what each stage needs and gives.
    fn finish(&mut self, stage_of: &BTreeMap<ValueId, usize>) -> Result<()> {
        let mut read_outside: Vec<BTreeSet<ValueId>> = vec![BTreeSet::new(); self.stages.len()];
        for (at, stage) in self.stages.iter().enumerate() {
            for feed in &stage.feeds {
                if let Some(&home) = stage_of.get(feed).filter(|&&home| home != at) {
                    read_outside[home].insert(*feed);
                }
            }
        }
        for port in self.graph.outputs() {
            if let Some(&home) = stage_of.get(&port.value) {
                read_outside[home].insert(port.value);
            }
        }
        for (at, outputs) in read_outside.into_iter().enumerate() {
            let (mut fixed, mut states) = (BTreeSet::new(), Vec::new());
            for &node in &self.stages[at].nodes {
                let node = &self.graph.nodes()[node];
                let own = state_operands(node);
                for (index, operand) in node.inputs.iter().enumerate() {
                    let is_state = own.contains(&index);
                    if let Some(id) =
                        operand.value().filter(|&id| !is_state && self.is(id, Dependence::Fixed))
                    {
                        fixed.insert(id);
                    }
                }
                for (index, next) in state_outputs(node).iter().enumerate() {
                    let first = own.clone().nth(index).and_then(|at| node.inputs.get(at));
                    if let Some(Operand::Constant(_)) = first {
                        return Err(refused("its first state is a weight", node.origin));
                    }
                    states.push((first.and_then(|operand| operand.value()), *next));
                }
            }
            let stage = &mut self.stages[at];
            stage.fixed = fixed.into_iter().collect();
            stage.states = states;
            stage.outputs = outputs.into_iter().collect();
        }
        let mut latency = 0;
        let mut known = BTreeMap::new();
        for port in self.graph.outputs() {
            latency = latency.max(self.needed(port.value, 0, &mut known)? - 1);
        }
        self.latency = usize::try_from(latency).unwrap_or(0);
        Ok(())
    }

    /// How many steps of the input must be there for step `t` of a value.
    fn needed(&self, value: ValueId, t: i64, known: &mut BTreeMap<(ValueId, i64), i64>) -> Result<i64> {
        if t < 0 || self.is(value, Dependence::Fixed) {
            return Ok(0);
        }
        if let Some(&known) = known.get(&(value, t)) {
            return Ok(known);
        }
        let Some(producer) = self.graph.value(value).producer else { return Ok(t.saturating_add(1)) };
        let node = self.graph.node(producer);
        let size = |n: usize| i64::try_from(n).map_err(|_| Error::limit("the latency does not fit 64 bits"));
        let from = match self.motions.get(producer.0 as usize).copied().flatten() {
            Some(Motion::Window { window, .. }) => t
                .checked_mul(window.stride())
                .and_then(|t| t.checked_add(window.span() - 1 - padding_before(&window)))
                .ok_or_else(|| Error::limit("the latency does not fit 64 bits"))?,
            Some(Motion::Pad { before, .. }) => t.saturating_sub(size(before)?),
            Some(Motion::Crop { before, after }) => {
                t.saturating_add(size(before)?).saturating_add(size(after)?)
            }
            Some(Motion::Repeat(times)) => t / size(times)?.max(1),
            Some(Motion::PerStep | Motion::Recurrent | Motion::Fixed) | None => t,
        };
        let mut needed = 0;
        for id in node.inputs.iter().filter_map(|operand| operand.value()) {
            needed = needed.max(self.needed(id, from, known)?);
        }
        known.insert((value, t), needed);
        Ok(needed)
    }

    /// The graph's inputs, and whether each is a sequence.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = (&Port, &TensorType, bool)> {
        self.graph
            .inputs()
            .iter()
            .map(|port| (port, &self.graph.value(port.value).r#type, self.is(port.value, Dependence::Steps)))
    }

    /// The graph's outputs, and whether each is a sequence.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = (&Port, bool)> {
        self.graph.outputs().iter().map(|port| (port, self.is(port.value, Dependence::Steps)))
    }

    /// What kind of elements a value has, and how many in a step, or in a row of the batch where it is no sequence.
    pub fn row(&self, value: ValueId) -> Result<(Kind, Vec<usize>)> {
        let TensorType { shape, dtype } = &self.graph.value(value).r#type;
        let axes = if self.is(value, Dependence::Steps) { 2 } else { 1 };
        let sizes = shape.iter().skip(axes).map(|dim| dim.as_usize()).collect::<Option<Vec<usize>>>();
        let sizes = sizes.ok_or_else(|| Error::unsupported(format!("steps of unknown size: {shape}")))?;
        Ok((Kind::of(*dtype)?, sizes))
    }

    /// The values that do not depend on the steps and are read by stages, by what is made of the last states, or after a run.
    pub fn fixed_outputs(&self) -> Vec<ValueId> {
        let mut read: BTreeSet<ValueId> = BTreeSet::new();
        for stage in &self.stages {
            read.extend(&stage.fixed);
            read.extend(stage.states.iter().filter_map(|(first, _)| *first));
        }
        for node in self.latest_nodes() {
            read.extend(node.inputs.iter().filter_map(|operand| operand.value()));
        }
        read.extend(self.graph.outputs().iter().map(|port| port.value));
        read.into_iter().filter(|&id| self.is(id, Dependence::Fixed)).collect()
    }

    /// The operators whose outputs are made of last states and are no last states.
    fn latest_nodes(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.graph.nodes().iter().zip(&self.motions);
        let is_latest = |node: &Node| node.outputs.iter().any(|&id| self.is(id, Dependence::Latest));
        nodes.filter(move |(node, motion)| motion.is_none() && is_latest(node)).map(|(node, _)| node)
    }

    /// What of the last states is read by the operators that compute with them.
    pub fn latest_inputs(&self) -> Vec<ValueId> {
        let made: BTreeSet<ValueId> =
            self.latest_nodes().flat_map(|node| node.outputs.iter().copied()).collect();
        let read =
            self.latest_nodes().flat_map(|node| node.inputs.iter().filter_map(|operand| operand.value()));
        let read: BTreeSet<ValueId> = read.filter(|id| !made.contains(id)).collect();
        read.into_iter().collect()
    }

    /// The outputs of the model that operators make of last states.
    pub fn latest_outputs(&self) -> Vec<ValueId> {
        let made: BTreeSet<ValueId> =
            self.latest_nodes().flat_map(|node| node.outputs.iter().copied()).collect();
        let outputs: BTreeSet<ValueId> = self.graph.outputs().iter().map(|port| port.value).collect();
        outputs.intersection(&made).copied().collect()
    }

    /// The type of a value, of any number of steps if it is a sequence.
    fn open(&self, value: ValueId) -> TensorType {
        let TensorType { shape, dtype } = &self.graph.value(value).r#type;
        match self.is(value, Dependence::Steps) {
            true => TensorType::new(shape.with(1, Dim::symbol("stream_steps")), *dtype),
            false => TensorType::new(shape.clone(), *dtype),
        }
    }

    /// Each stage as a graph. Its inputs are the feeds, what is fixed, and the states; its outputs the sequences that are read
    /// outside, and the next states.
    pub fn graphs(&self) -> impl Iterator<Item = Result<Graph>> {
        (0..self.stages.len()).map(|at| self.graph_of(at, 0))
    }

    /// A stage as a graph, its window padded by so many steps after the last.
    pub fn graph_of(&self, at: usize, after: i64) -> Result<Graph> {
        let stage = &self.stages[at];
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
        for &index in &stage.nodes {
            let node = &self.graph.nodes()[index];
            match self.motions[index] {
                // The queue before the stage does what the operator does.
                Some(Motion::Pad { .. } | Motion::Crop { .. }) => {
                    part.values.insert(node.outputs[0], part.values[&stage.feeds[0]]);
                }
                _ => {
                    let (op, fresh) = in_stage(node, after)?;
                    let own: Vec<Operand> = states.by_ref().take(state_outputs(node).len()).collect();
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
                    part.values.insert(node.inputs[0].value().unwrap_or(rows), part.values[&rows]);
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
        let outputs = self.latest_outputs();
        let mut part = Part::new(&self.graph);
        for id in self.latest_inputs() {
            part.input(id, self.graph.value(id).r#type.clone())?;
        }
        for node in self.latest_nodes() {
            part.node(node, node.op.clone(), None, &[])?;
        }
        for &id in &outputs {
            part.output(id)?;
        }
        Ok((!outputs.is_empty()).then(|| part.builder.finish()))
    }
}

impl Stage {
    fn new(feeds: Vec<ValueId>, head: Head) -> Stage {
        let (nodes, fixed, states, outputs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Stage { nodes, feeds, head, fixed, states, outputs }
    }
}

/// Which operands of a recurrent operator are its first states; none where they are zeros.
fn state_operands(node: &Node) -> std::ops::Range<usize> {
    let behind_weights = |recurrence: &k2o_core::ops::Recurrence, states: usize| {
        let from = 3 + usize::from(recurrence.has_bias);
        from..from + if recurrence.has_states { states } else { 0 }
    };
    match &node.op {
        Op::Scan(op) => 0..op.states,
        Op::Lstm(op) => behind_weights(&op.recurrence, 2),
        Op::Gru(op) => behind_weights(&op.recurrence, 1),
        Op::Rnn(op) => behind_weights(&op.recurrence, 1),
        _ => 0..0,
    }
}

/// The outputs of a recurrent operator that are its last states.
fn state_outputs(node: &Node) -> &[ValueId] {
    match &node.op {
        Op::Scan(op) => &node.outputs[..op.states],
        Op::Lstm(_) | Op::Gru(_) | Op::Rnn(_) => &node.outputs[1..],
        _ => &[],
    }
}

/// The operator as it is run within a stage, and, for a recurrent one, where its states come among its operands.
fn in_stage(node: &Node, after: i64) -> Result<(Op, Option<usize>)> {
    let mut op = node.op.clone();
    let unpadded = |window: &Window| {
        Window::new(window.size(), window.stride(), window.dilation(), Padding::Explicit(0, after))
    };
    let states = state_operands(node).start;
    Ok(match &mut op {
        Op::Conv(conv) => {
            conv.windows[0] = unpadded(&conv.windows[0])?;
            (op, None)
        }
        Op::Pool(pool) => {
            pool.windows[0] = unpadded(&pool.windows[0])?;
            (op, None)
        }
        Op::Reshape(reshape) => {
            reshape.target[..2].copy_from_slice(&[ReshapeDim::Keep, ReshapeDim::Of(1)]);
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
        let value =
            *self.values.get(&id).ok_or_else(|| Error::shape("a value is used before it is computed"))?;
        self.builder.output(format!("value_{}", id.0), value);
        Ok(())
    }

    fn operand(&mut self, operand: Operand) -> Result<Operand> {
        match operand {
            Operand::Value(id) => {
                let value = self.values.get(&id).copied();
                value.map(Operand::Value).ok_or_else(|| Error::shape("a value is used before it is computed"))
            }
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

/// The sizes `[batch, steps, ..]` or `[batch, ..]`.
pub(crate) fn sizes(batch: usize, steps: Option<usize>, row: &[usize]) -> Vec<usize> {
    std::iter::once(batch).chain(steps).chain(row.iter().copied()).collect()
}
