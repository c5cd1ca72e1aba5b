//! Runs of a stream.

use super::queue::{Elements, Queue};
use super::stages::{Head, Stage, sizes};
use super::{StreamOutputs, StreamPlan};
use crate::arena::Kind;
use crate::table::{Id, Table};
use crate::{DataView, Error, ErrorKind, Plan, Result, Session, TensorView};
use k2o_core::{Fill, ValueId};
use std::collections::BTreeMap;
use std::fmt;

/// A stream in progress: what its windows still need, its states, and what the last chunk gave.
///
/// The memory is as large as the windows, the states and the largest chunk need; it does not grow with the sequence.
pub struct StreamSession {
    plan: StreamPlan,
    /// The number of sequences, once the first chunk has come.
    batch: Option<usize>,
    stages: Table<Stage, Running>,
    /// Runs of what is made of the last states.
    latest: Option<Session>,
    /// What does not depend on the steps, and the last states.
    values: BTreeMap<ValueId, Held>,
    outputs: Vec<Held>,
    /// Whether the last states in `outputs` are those after the last chunk.
    is_current: bool,
}

/// An array that stays from one chunk to the next: a value that is no sequence, or an output of the model.
struct Held {
    shape: Vec<usize>,
    elements: Elements,
}

/// A stage at work.
struct Running {
    session: Session,
    queues: Vec<Queue>,
    /// Sizes of a row of each feed.
    rows: Vec<Vec<usize>>,
    /// Steps that came in, without padding, and steps that went out.
    received: usize,
    given: usize,
}

impl StreamSession {
    pub(super) fn new(plan: &StreamPlan) -> StreamSession {
        let inner = &plan.inner;
        let stages = inner.plans.map(|plan| Running {
            session: plan.session(),
            queues: Vec::new(),
            rows: Vec::new(),
            received: 0,
            given: 0,
        });
        StreamSession {
            plan: plan.clone(),
            batch: None,
            stages,
            latest: inner.latest.as_ref().map(Plan::session),
            values: BTreeMap::new(),
            outputs: Vec::new(),
            is_current: false,
        }
    }

    /// The plan that this session runs.
    pub fn plan(&self) -> &StreamPlan {
        &self.plan
    }

    /// Adds a chunk of steps, `[batch, steps, ..]` of each sequence, and returns what they make known: of outputs that are
    /// sequences the new steps, of others the value for the sequence so far. A chunk may have any number of steps, none
    /// included. Inputs that are no sequences are read with the first chunk. The outputs stay in the session until the
    /// next chunk.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where the arrays do not fit the inputs, or the batch is another than that of the first
    /// chunk; otherwise as [`Session::run`]. After an error in the middle of a chunk the stream must be
    /// [reset](Self::reset).
    pub fn push(&mut self, inputs: &[TensorView<'_>]) -> Result<StreamOutputs<'_>> {
        let (batch, steps) = self.check(inputs)?;
        if self.batch.is_none() {
            self.start(batch, inputs)?;
        }
        self.outputs.iter_mut().for_each(Held::clear);
        self.is_current = false;
        let plan = self.plan.clone();
        let stages = &plan.inner.stages;
        for ((port, _, is_sequence), view) in stages.inputs().zip(inputs) {
            if is_sequence {
                let readers = stages.stages.iter().zip(self.stages.iter_mut());
                give(port.value, view.data(), steps, readers)?;
            }
        }
        for at in self.stages.ids() {
            self.run_stage(at, false)?;
        }
        self.run_latest()?;
        Ok(StreamOutputs { session: self })
    }

    /// Ends the sequences and returns what their end makes known: windows that read padding behind the last step. The stream
    /// is then at the start of new ones.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self) -> Result<StreamOutputs<'_>> {
        self.outputs.iter_mut().for_each(Held::clear);
        self.is_current = false;
        if self.batch.is_some() {
            for at in self.stages.ids() {
                self.run_stage(at, true)?;
            }
            self.run_latest()?;
        }
        self.batch = None;
        Ok(StreamOutputs { session: self })
    }

    /// Forgets everything: the stream is at the start of new sequences.
    pub fn reset(&mut self) {
        self.batch = None;
        self.is_current = false;
        self.outputs.iter_mut().for_each(Held::clear);
    }

    /// The batch and the number of steps of a chunk that fits the inputs.
    fn check(&self, inputs: &[TensorView<'_>]) -> Result<(usize, usize)> {
        let misfit = |text: String| Error::new(ErrorKind::Input, text);
        let stages = &self.plan.inner.stages;
        if inputs.len() != stages.inputs().len() {
            let (given, expected) = (inputs.len(), stages.inputs().len());
            return Err(misfit(format!("{given} inputs were given; the model has {expected}")));
        }
        let mut chunk = None;
        for ((port, r#type, is_sequence), view) in stages.inputs().zip(inputs) {
            let fits = match view.data() {
                DataView::F32(_) => r#type.dtype.is_float(),
                DataView::I32(_) | DataView::I64(_) | DataView::Bool(_) => !r#type.dtype.is_float(),
            };
            if !fits {
                let (name, dtype) = (&port.name, r#type.dtype);
                return Err(misfit(format!("input {name:?} has type {dtype}; another was given")));
            }
            let shape = view.shape();
            let same = |(axis, dim): (usize, &k2o_core::Dim)| {
                axis < 2 && is_sequence || dim.as_usize().is_none_or(|n| shape.get(axis) == Some(&n))
            };
            if shape.len() != r#type.shape.rank() || !r#type.shape.iter().enumerate().all(same) {
                let (name, expected) = (&port.name, &r#type.shape);
                return Err(misfit(format!(
                    "input {name:?} has shape {expected}; an array of shape {shape:?} was given"
                )));
            }
            if !is_sequence {
                continue;
            }
            let [batch, steps, ..] = *shape else {
                return Err(misfit(format!(
                    "input {:?} is a sequence; an array of shape {shape:?} was given",
                    port.name
                )));
            };
            if *chunk.get_or_insert((batch, steps)) != (batch, steps) {
                return Err(misfit("the sequences have chunks of different sizes".into()));
            }
        }
        let (batch, steps) = chunk.ok_or_else(|| Error::unsupported("a model without sequences"))?;
        match self.batch {
            Some(first) if first != batch => {
                Err(misfit(format!("a chunk of {batch} sequences; the first had {first}")))
            }
            _ => Ok((batch, steps)),
        }
    }

    /// Makes everything ready for the first step.
    fn start(&mut self, batch: usize, inputs: &[TensorView<'_>]) -> Result<()> {
        let plan = self.plan.clone();
        let (inner, stages) = (&plan.inner, &plan.inner.stages);
        self.values.clear();
        if let Some(fixed) = &inner.fixed {
            let mut session = fixed.session();
            let outputs = session.run(inputs)?;
            for (id, view) in stages.fixed_outputs().into_iter().zip((0..).map_while(|at| outputs.get(at))) {
                self.values.insert(id, Held::of(&view, stages.row(id)?.0));
            }
        }
        for (stage, running) in stages.stages.iter().zip(self.stages.iter_mut()) {
            running.start(stage, batch, &plan)?;
            for (first, next) in &stage.states {
                let (kind, row) = stages.row(*next)?;
                let held = match first.and_then(|first| self.values.get(&first)) {
                    Some(held) => Held { shape: held.shape.clone(), elements: held.elements.clone() },
                    None => Held::zeros(kind, sizes(batch, None, &row)),
                };
                self.values.insert(*next, held);
            }
        }
        self.outputs.clear();
        for (port, has_steps) in stages.outputs() {
            let (kind, row) = stages.row(port.value)?;
            let shape = sizes(batch, has_steps.then_some(0), &row);
            self.outputs.push(Held { shape, elements: Elements::new(kind) });
        }
        self.batch = Some(batch);
        Ok(())
    }

    /// Computes the steps of a stage for which everything is there; at the end of the sequences, all that are left.
    fn run_stage(&mut self, at: Id<Stage>, is_end: bool) -> Result<()> {
        let plan = self.plan.clone();
        let stage = &plan.inner.stages.stages[at];
        loop {
            let running = &mut self.stages[at];
            if is_end && let Head::Pad { after, value, .. } = stage.head {
                running.queues.iter_mut().for_each(|queue| queue.fill(after, value));
            }
            let Some(due) = running.due(stage, is_end)? else { return Ok(()) };
            self.compute(at, stage, &due)?;
            // Padding at the end comes after what needed none.
            if !is_end || matches!(stage.head, Head::Pad { .. }) {
                return Ok(());
            }
        }
    }

    fn compute(&mut self, at: Id<Stage>, stage: &Stage, due: &Due) -> Result<()> {
        let plan = self.plan.clone();
        let batch = self.batch.unwrap_or(0);
        let (running, later) = self.stages.with_later(at).ok_or_else(Error::not_computed)?;
        let mut padded = None;
        if due.after > 0 {
            let after = i64::try_from(due.after).map_err(|_| Error::limit("padding does not fit memory"))?;
            let graph = plan.inner.stages.graph_of(stage, after)?;
            padded = Some(Plan::new(&graph, &plan.inner.options)?.session());
        }
        let Running { session, queues, rows, given, .. } = running;
        let shapes: Vec<Vec<usize>> = rows.iter().map(|row| sizes(batch, Some(due.rows), row)).collect();
        let mut views = Vec::with_capacity(shapes.len() + stage.fixed.len() + stage.states.len());
        for (queue, shape) in queues.iter_mut().zip(&shapes) {
            views.push(TensorView::new(shape, queue.front(due.rows)?)?);
        }
        let held = stage.fixed.iter().chain(stage.states.iter().map(|(_, next)| next));
        for id in held {
            let held = self.values.get(id).ok_or_else(Error::not_computed)?;
            views.push(held.elements.view(&held.shape)?);
        }
        let outputs = padded.as_mut().unwrap_or(session).run_after(*given, &views)?;
        drop(views);
        let stages = &plan.inner.stages;
        for (index, &value) in stage.outputs.iter().enumerate() {
            let Some(view) = outputs.get(index) else { continue };
            let steps = view.shape().get(1).copied().unwrap_or(0);
            give(value, view.data(), steps, stages.stages.later(at).zip(later.iter_mut()))?;
            for ((port, has_steps), output) in stages.outputs().zip(&mut self.outputs) {
                if has_steps && port.value == value {
                    output.add(view.data(), steps)?;
                }
            }
        }
        for (index, (_, next)) in stage.states.iter().enumerate() {
            if let (Some(view), Some(held)) =
                (outputs.get(stage.outputs.len() + index), self.values.get_mut(next))
            {
                held.elements.copy(&view);
            }
        }
        let running = &mut self.stages[at];
        running.queues.iter_mut().for_each(|queue| queue.drop_front(due.gone));
        running.given += due.steps;
        Ok(())
    }

    /// Computes what is made of the last states.
    fn run_latest(&mut self) -> Result<()> {
        let plan = self.plan.clone();
        let stages = &plan.inner.stages;
        if let Some(session) = &mut self.latest {
            let mut views = Vec::new();
            for id in &stages.latest_inputs {
                let held = self.values.get(id).ok_or_else(Error::not_computed)?;
                views.push(held.elements.view(&held.shape)?);
            }
            let outputs = session.run(&views)?;
            for (index, id) in stages.latest_outputs.iter().enumerate() {
                let Some(view) = outputs.get(index) else { continue };
                for ((port, _), output) in stages.outputs().zip(&mut self.outputs) {
                    if port.value == *id {
                        output.set(&view);
                    }
                }
            }
        }
        for ((port, has_steps), output) in stages.outputs().zip(&mut self.outputs) {
            if let Some(held) = self.values.get(&port.value).filter(|_| !has_steps) {
                output.set(&held.elements.view(&held.shape)?);
            }
        }
        self.is_current = true;
        Ok(())
    }

    pub(super) fn output_count(&self) -> usize {
        self.outputs.len()
    }

    pub(super) fn output(&self, index: usize) -> Option<TensorView<'_>> {
        let output = self.outputs.get(index).filter(|_| self.is_current)?;
        output.elements.view(&output.shape).ok()
    }
}

impl fmt::Debug for StreamSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSession").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Adds new steps of a value to the queues of those stages that read it.
fn give<'a>(
    value: ValueId,
    data: DataView<'_>,
    steps: usize,
    stages: impl Iterator<Item = (&'a Stage, &'a mut Running)>,
) -> Result<()> {
    for (stage, running) in stages {
        for (at, (feed, queue)) in stage.feeds.iter().zip(&mut running.queues).enumerate() {
            if *feed == value {
                queue.push(data, steps)?;
                if at == 0 {
                    running.received += steps;
                }
            }
        }
    }
    Ok(())
}

/// What a stage can compute.
struct Due {
    /// Rows of the feeds that are read.
    rows: usize,
    /// Rows that are not needed any more.
    gone: usize,
    /// Positions of the stage's window, or steps.
    steps: usize,
    /// Padded steps behind the rows.
    after: usize,
}

impl Running {
    /// Makes the stage ready for the first step.
    fn start(&mut self, stage: &Stage, batch: usize, plan: &StreamPlan) -> Result<()> {
        (self.received, self.given) = (0, 0);
        self.queues.clear();
        self.rows.clear();
        for &feed in &stage.feeds {
            let (kind, row) = plan.inner.stages.row(feed)?;
            let mut queue = Queue::new(kind, batch, row.iter().product());
            let (count, value) = stage.head.prefix();
            queue.fill(count, value);
            if let Head::Crop { before, .. } = stage.head {
                queue.drop_front(before);
            }
            self.queues.push(queue);
            self.rows.push(row);
        }
        Ok(())
    }

    /// What can be computed now, if anything.
    fn due(&self, stage: &Stage, is_end: bool) -> Result<Option<Due>> {
        let len = self.queues.iter().map(Queue::len).min().unwrap_or(0);
        let per_step = |rows: usize| (rows > 0).then_some(Due { rows, gone: rows, steps: rows, after: 0 });
        let Head::Window(window, fill) = stage.head else {
            let held_back = if let Head::Crop { after, .. } = stage.head { after } else { 0 };
            return Ok(per_step(len.saturating_sub(held_back)));
        };
        let size = |n: i64| usize::try_from(n).map_err(|_| Error::limit("a window does not fit memory"));
        let (span, stride) = (size(window.span())?, size(window.stride())?);
        if let Some(room) = len.checked_sub(span) {
            let steps = room / stride + 1;
            let rows = (steps - 1) * stride + span;
            return Ok(Some(Due { rows, gone: steps * stride, steps, after: 0 }));
        }
        let extent = match is_end && self.received > 0 {
            true => window.extent(self.received).ok(),
            false => None,
        };
        let left = extent.map_or(0, |extent| extent.output.saturating_sub(self.given));
        if left == 0 {
            return Ok(None);
        }
        // A window that reads nothing but padding computes nothing but the fill.
        let after = ((left - 1) * stride + span).saturating_sub(len);
        match (len, fill) {
            (0, Fill::Least | Fill::Uncounted) => Ok(None),
            _ => Ok(Some(Due { rows: len, gone: left * stride, steps: left, after })),
        }
    }
}

impl Held {
    fn of(view: &TensorView<'_>, kind: Kind) -> Held {
        let mut elements = Elements::new(kind);
        elements.copy(view);
        Held { shape: view.shape().to_vec(), elements }
    }

    fn zeros(kind: Kind, shape: Vec<usize>) -> Held {
        let mut elements = Elements::new(kind);
        elements.fill(shape.iter().product(), 0.0);
        Held { shape, elements }
    }

    /// Drops all steps.
    fn clear(&mut self) {
        self.elements.clear();
        if let Some(steps) = self.shape.get_mut(1) {
            *steps = 0;
        }
    }

    /// Adds steps of a sequence.
    fn add(&mut self, data: DataView<'_>, steps: usize) -> Result<()> {
        self.elements.append_steps(data, steps, &mut self.shape)
    }

    /// Takes a value that is no sequence.
    fn set(&mut self, view: &TensorView<'_>) {
        self.shape.clear();
        self.shape.extend(view.shape());
        self.elements.copy(view);
    }
}
