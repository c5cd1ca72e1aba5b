//! Cuts a graph into stages.

use super::parts::{state_operands, state_outputs};
use super::refused;
use crate::arena::Kind;
use crate::table::{Id, Table};
use crate::{Error, Result};
use k2o_core::{
    Fill, Graph, Motion, Node, Operand, PerValue, Port, TensorType, ValueId, Window, motion, padding_before,
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
    pub(super) graph: Graph,
    dependence: PerValue<Dependence>,
    pub(super) motions: Vec<Option<Motion>>,
    pub stages: Table<Stage>,
    pub latency: usize,
    /// What of the last states is read by the operators that compute with them.
    pub latest_inputs: Vec<ValueId>,
    /// The outputs of the model that operators make of last states.
    pub latest_outputs: Vec<ValueId>,
}

/// Operators that compute each step of the same step of what they read.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The operators, and how steps go through them. The first may read a window.
    pub(super) nodes: Vec<(Node, Motion)>,
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
        let sequences = sequences(graph);
        if !sequences.contains(&true) {
            return Err(refused("no input is a sequence", None));
        }
        let mut dependence = PerValue::new(graph, Dependence::Fixed);
        for (port, is_sequence) in graph.inputs().iter().zip(sequences) {
            if is_sequence {
                dependence[port.value] = Dependence::Steps;
            }
        }
        let mut stages = Stages {
            graph: graph.clone(),
            dependence,
            motions: Vec::with_capacity(graph.nodes().len()),
            stages: Table::new(),
            latency: 0,
            latest_inputs: Vec::new(),
            latest_outputs: Vec::new(),
        };
        let mut stage_of: BTreeMap<ValueId, Id<Stage>> = BTreeMap::new();
        for node in graph.nodes() {
            stages.add(node, &mut stage_of).map_err(|error| error.at(node.origin))?;
        }
        // An input that is an output goes through a stage of its own.
        for port in graph.outputs() {
            if stages.is(port.value, Dependence::Steps) && !stage_of.contains_key(&port.value) {
                let own = stages.stages.push(Stage::new(vec![port.value], Head::Step));
                stage_of.insert(port.value, own);
            }
        }
        stages.finish(&stage_of)?;
        Ok(stages)
    }

    pub(super) fn is(&self, value: ValueId, dependence: Dependence) -> bool {
        self.dependence[value] == dependence
    }

    fn depends(&self, operand: Operand) -> Dependence {
        operand.value().map_or(Dependence::Fixed, |id| self.dependence[id])
    }

    /// Puts a node where it belongs.
    fn add(&mut self, node: &Node, stage_of: &mut BTreeMap<ValueId, Id<Stage>>) -> Result<()> {
        let operands: Vec<Dependence> = node.inputs.iter().map(|&operand| self.depends(operand)).collect();
        let most = operands.iter().copied().max().unwrap_or(Dependence::Fixed);
        if !operands.contains(&Dependence::Steps) {
            self.motions.push(None);
            node.outputs.iter().for_each(|&id| self.dependence[id] = most);
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
        node.outputs.iter().for_each(|&id| self.dependence[id] = result);
        if motion == Motion::Fixed {
            return Ok(());
        }
        if motion == Motion::Recurrent {
            self.recurrent_outputs(node)?;
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
        let homes: BTreeSet<Option<Id<Stage>>> = feeds.iter().map(|id| stage_of.get(id).copied()).collect();
        let home = match (homes.into_iter().collect::<Vec<_>>().as_slice(), head) {
            ([Some(home)], Head::Step) => *home,
            _ => self.stages.push(Stage::new(feeds, head)),
        };
        self.stages[home].nodes.push((node.clone(), motion));
        for &id in node.outputs.iter().filter(|&&id| self.is(id, Dependence::Steps)) {
            stage_of.insert(id, home);
        }
        Ok(())
    }

    /// The states after the last step are no sequences.
    fn recurrent_outputs(&mut self, node: &Node) -> Result<()> {
        state_outputs(node)?.iter().for_each(|&id| self.dependence[id] = Dependence::Latest);
        Ok(())
    }

    /// Finds what each stage needs and gives.
    fn finish(&mut self, stage_of: &BTreeMap<ValueId, Id<Stage>>) -> Result<()> {
        let mut read_outside: Table<Stage, BTreeSet<ValueId>> = self.stages.map(|_| BTreeSet::new());
        for (at, stage) in self.stages.iter_with_ids() {
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
        for (at, outputs) in read_outside.iter_with_ids() {
            let (mut fixed, mut states) = (BTreeSet::new(), Vec::new());
            for (node, _) in &self.stages[at].nodes {
                let own = state_operands(node);
                for (index, operand) in node.inputs.iter().enumerate() {
                    let is_state = own.contains(&index);
                    if let Some(id) =
                        operand.value().filter(|&id| !is_state && self.is(id, Dependence::Fixed))
                    {
                        fixed.insert(id);
                    }
                }
                for (index, next) in state_outputs(node)?.iter().enumerate() {
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
            stage.outputs = outputs.iter().copied().collect();
        }
        self.latency = self.steps_of_first_outputs()?.saturating_sub(1);
        self.latest_inputs = self.read_by_latest();
        self.latest_outputs = self.made_of_latest();
        Ok(())
    }

    /// How many steps of the input must be there for the first step of every output.
    fn steps_of_first_outputs(&self) -> Result<usize> {
        let too_large = || Error::limit("the latency does not fit 64 bits");
        let size = |n: usize| i64::try_from(n).map_err(|_| too_large());
        // The last step of each value that is needed, from the outputs to the inputs.
        let mut last: PerValue<Option<i64>> = PerValue::new(&self.graph, None);
        for port in self.graph.outputs() {
            last[port.value] = Some(0);
        }
        for (node, motion) in self.graph.nodes().iter().zip(&self.motions).rev() {
            let Some(t) = node.outputs.iter().filter_map(|&id| last[id]).max() else { continue };
            let from = match *motion {
                Some(Motion::Window { window, .. }) => t
                    .checked_mul(window.stride())
                    .and_then(|t| t.checked_add(window.span() - 1 - padding_before(&window)))
                    .ok_or_else(too_large)?,
                Some(Motion::Pad { before, .. }) => t - size(before)?,
                Some(Motion::Crop { before, after }) => {
                    let gone = size(before)?.checked_add(size(after)?);
                    gone.and_then(|gone| t.checked_add(gone)).ok_or_else(too_large)?
                }
                Some(Motion::Repeat(times)) => t.div_euclid(size(times)?.max(1)),
                Some(Motion::Fixed) => continue,
                Some(Motion::PerStep | Motion::Recurrent) | None => t,
            };
            for id in node.inputs.iter().filter_map(|operand| operand.value()) {
                let known = &mut last[id];
                *known = Some(known.map_or(from, |known| known.max(from)));
            }
        }
        let inputs = self.graph.inputs().iter().filter(|port| self.is(port.value, Dependence::Steps));
        let needed = inputs.filter_map(|port| last[port.value]).max().unwrap_or(-1);
        Ok(usize::try_from(needed.saturating_add(1)).unwrap_or(0))
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
        for stage in self.stages.iter() {
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
    pub(super) fn latest_nodes(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.graph.nodes().iter().zip(&self.motions);
        let is_latest = |node: &Node| node.outputs.iter().any(|&id| self.is(id, Dependence::Latest));
        nodes.filter(move |(node, motion)| motion.is_none() && is_latest(node)).map(|(node, _)| node)
    }

    /// What the operators that compute with last states read.
    fn read_by_latest(&self) -> Vec<ValueId> {
        let made: BTreeSet<ValueId> =
            self.latest_nodes().flat_map(|node| node.outputs.iter().copied()).collect();
        let read =
            self.latest_nodes().flat_map(|node| node.inputs.iter().filter_map(|operand| operand.value()));
        let read: BTreeSet<ValueId> = read.filter(|id| !made.contains(id)).collect();
        read.into_iter().collect()
    }

    /// The outputs of the model that operators make of last states.
    fn made_of_latest(&self) -> Vec<ValueId> {
        let made: BTreeSet<ValueId> =
            self.latest_nodes().flat_map(|node| node.outputs.iter().copied()).collect();
        let outputs: BTreeSet<ValueId> = self.graph.outputs().iter().map(|port| port.value).collect();
        outputs.intersection(&made).copied().collect()
    }
}

impl Stage {
    fn new(feeds: Vec<ValueId>, head: Head) -> Stage {
        let (nodes, fixed, states, outputs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Stage { nodes, feeds, head, fixed, states, outputs }
    }
}

/// The sizes `[batch, steps, ..]` or `[batch, ..]`.
pub(crate) fn sizes(batch: usize, steps: Option<usize>, row: &[usize]) -> Vec<usize> {
    std::iter::once(batch).chain(steps).chain(row.iter().copied()).collect()
}
