//! Runs of a plan.

use crate::arena::{Arena, Buffer, Kind, Slot};
use crate::bound::{Bound, BoundGroup, BoundStep};
use crate::kernels::products::Ahead;
use crate::kernels::{Memory, Place, Source};
use crate::plan::{Exit, Inner, Storage};
use crate::threads::{Team, Threads};
use crate::{DataView, Error, ErrorKind, Plan, Result, TensorView};
use k2o_core::{CallId, DType};
use std::fmt;

/// How many different sizes a session remembers.
const REMEMBERED: usize = 16;

/// A plan with the memory to run it.
///
/// The memory is as large as the largest size needed. Sizes are remembered, the last 16 of them: running one of
/// those allocates nothing. What a scan computes in one step has memory of its own for each of them.
pub struct Session {
    plan: Plan,
    threads: Threads,
    /// What all threads share.
    arena: Arena,
    /// For each thread.
    workers: Vec<Worker>,
    /// The latest first.
    sizes: Vec<Bound>,
    /// Whether the values of the latest sizes are in the arena.
    is_run: bool,
}

/// What a thread has of its own.
#[derive(Default)]
struct Worker {
    arena: Arena,
    scratch: Buffer<f32>,
    /// Why its part of the latest group could not be computed: of several reasons the first one, by steps and then by
    /// samples, as if there were one chunk.
    error: Option<Error>,
}

impl Session {
    /// A session that runs `plan` on the caller's thread.
    pub fn new(plan: &Plan) -> Session {
        Session::with_threads(plan, Threads::one())
    }

    /// A session that runs `plan` on `threads`. The results have the same bits whatever their number.
    pub fn with_threads(plan: &Plan, threads: Threads) -> Session {
        let workers = (0..threads.count()).map(|_| Worker::default()).collect();
        Session {
            plan: plan.clone(),
            threads,
            arena: Arena::default(),
            workers,
            sizes: Vec::new(),
            is_run: false,
        }
    }

    /// The plan that this session runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Computes and returns the graph's outputs for `inputs`, which are in the graph's order. The outputs stay in the
    /// session until the next run.
    ///
    /// An input of type `float32` takes [`DataView::F32`]; one of an integer type takes [`DataView::I32`] or
    /// [`DataView::I64`]; one of type `bool` takes those, of which all but 0 is true, or [`DataView::Bool`].
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where the arrays do not fit the inputs or lead to an index that is not there,
    /// [`Shape`](ErrorKind::Shape) where their sizes break a constraint of the graph, [`Limit`](ErrorKind::Limit)
    /// where the values do not fit memory or the plan's limit.
    pub fn run(&mut self, inputs: &[TensorView<'_>]) -> Result<Outputs<'_>> {
        self.run_after(0, inputs)
    }

    /// As [`run`](Session::run), for the part of sequences whose outputs come after so many steps of the output.
    pub(crate) fn run_after(
        &mut self,
        steps_before: usize,
        inputs: &[TensorView<'_>],
    ) -> Result<Outputs<'_>> {
        self.load(inputs)?;
        let plan = &*self.plan.inner;
        let bound = self.sizes.first_mut().ok_or_else(unbound)?;
        let memory = Memory { steps_before, ..memory(plan, &self.arena, inputs) };
        let workers = &mut self.workers[..];
        let mut work = |team: Team<'_>| {
            let memory = Memory { team, ..memory };
            bound.groups.iter_mut().try_for_each(|group| run(plan, group, memory, workers))
        };
        match bound.is_parallel {
            true => self.threads.run(work)?,
            false => work(Team::ONE)?,
        }
        self.is_run = true;
        self.outputs().ok_or_else(unbound)
    }

    /// As [`run`](Session::run), on the caller's thread only, and calls `after` each time when a step is done on some of the
    /// samples, with its index among the [steps of the plan](Plan::steps). Steps without elements are left out.
    ///
    /// # Errors
    /// As [`run`](Session::run).
    pub fn run_observed(
        &mut self,
        inputs: &[TensorView<'_>],
        mut after: impl FnMut(usize),
    ) -> Result<Outputs<'_>> {
        self.load(inputs)?;
        let plan = &*self.plan.inner;
        let memory = memory(plan, &self.arena, inputs);
        let Some(Worker { arena, scratch, .. }) = self.workers.first_mut() else {
            return Err(Error::new(ErrorKind::Input, "a session without threads"));
        };
        for group in &mut self.sizes.first_mut().ok_or_else(unbound)?.groups {
            // The passes of all threads are alike.
            let Some([usual, last]) = group.passes.first_mut() else { continue };
            for chunk in 0..group.chunks {
                let is_last = chunk + 1 == group.chunks;
                let pass = if is_last { &mut *last } else { &mut *usual };
                let memory = Memory { local: arena, chunk: if is_last { 0 } else { chunk }, ..memory };
                for step in &mut pass.steps {
                    // SAFETY: nothing else runs, and nothing shares memory with a value while it is needed.
                    unsafe { run_step(plan, step, memory, scratch)? };
                    after(step.index);
                }
            }
        }
        self.is_run = true;
        self.outputs().ok_or_else(unbound)
    }

    /// Makes the sizes of these inputs the latest and puts what is copied of them into the arena.
    fn load(&mut self, inputs: &[TensorView<'_>]) -> Result<()> {
        self.is_run = false;
        let known = self.sizes.iter().position(|bound| {
            bound.inputs.len() == inputs.len() && bound.inputs.iter().zip(inputs).all(|(a, b)| a == b.shape())
        });
        match known.and_then(|at| self.sizes.get_mut(..=at)) {
            Some(until) => until.rotate_right(1),
            None => self.bind(&inputs.iter().map(TensorView::shape).collect::<Vec<_>>())?,
        }
        for ((name, r#type), view) in self.plan.inputs().zip(inputs) {
            let fits = match view.data() {
                DataView::F32(_) => r#type.dtype.is_float(),
                DataView::I32(_) | DataView::I64(_) => !r#type.dtype.is_float(),
                DataView::Bool(_) => r#type.dtype == DType::Bool,
            };
            if !fits {
                let (expected, given) = (r#type.dtype, view.data().type_name());
                let text = format!("input {name:?} has type {expected}; an array of type {given} was given");
                return Err(Error::new(ErrorKind::Input, text));
            }
        }

        let plan = &*self.plan.inner;
        let bound = self.sizes.first().ok_or_else(unbound)?;
        for &(input, buffer) in &plan.loads {
            let (Some(view), Some(port), [slot]) =
                (inputs.get(input), plan.binder.inputs().get(input), &bound.parts[buffer][..])
            else {
                return Err(Error::not_computed());
            };
            load(view, *slot, &mut self.arena);
            if plan.binder.value(port.value).r#type.dtype == DType::Bool {
                let truths = self.arena.slot_mut::<i64>(*slot);
                truths.iter_mut().for_each(|truth| *truth = i64::from(*truth != 0));
            }
        }
        Ok(())
    }

    /// Makes these sizes of the inputs the latest.
    pub(crate) fn bind(&mut self, sizes: &[&[usize]]) -> Result<()> {
        let plan = &*self.plan.inner;
        let threads = self.workers.len();
        let mut bound = Bound::new(plan, sizes)?;
        let cuts = bound.cut(plan, threads)?;
        let locals = self.workers.iter().map(|worker| worker.arena.bytes_with(&bound.local));
        let bytes = locals.fold(self.arena.bytes_with(&bound.shared), usize::saturating_add);
        if bytes > plan.memory_limit {
            let limit = plan.memory_limit;
            return Err(Error::limit(format!(
                "inputs of these sizes take {bytes} bytes; the limit is {limit}"
            )));
        }
        self.arena.grow(&bound.shared)?;
        bound.bind_steps(plan, &cuts, threads)?;
        bound.look_ahead(plan);
        for worker in &mut self.workers {
            worker.arena.grow(&bound.local)?;
            worker.scratch.grow(bound.scratch)?;
        }
        self.sizes.truncate(REMEMBERED - 1);
        self.sizes.insert(0, bound);
        Ok(())
    }

    /// The sizes of an output, for the latest sizes of the inputs.
    pub(crate) fn output_shape(&self, index: usize) -> Option<&[usize]> {
        let exit = self.plan.inner.outputs.get(index)?;
        Some(&self.sizes.first()?.shapes[exit.value])
    }

    /// The outputs of the last run; `None` before the first and after one that failed.
    pub fn outputs(&self) -> Option<Outputs<'_>> {
        let bound = self.sizes.first().filter(|_| self.is_run)?;
        Some(Outputs { session: self, bound })
    }

    /// What the layer call gave as `output` in the last run: its shape and elements.
    ///
    /// `None` where the plan keeps no taps, the graph has no such tap, a rewrite has folded it away, or nothing was
    /// run.
    pub fn tap(&self, call: CallId, output: usize) -> Option<TensorView<'_>> {
        let exit = self.plan.inner.taps.get(&(call, output))?;
        Some(self.outputs()?.view(exit))
    }
}

/// The memory of the thread's own before there is any.
static NOTHING: Arena = Arena::EMPTY;

/// For a session that is used before it has seen sizes.
fn unbound() -> Error {
    Error::new(ErrorKind::Input, "a session without sizes")
}

/// What steps are computed with, from the beginning of all sequences, on the caller's thread.
fn memory<'a>(plan: &'a Inner, shared: &'a Arena, inputs: &'a [TensorView<'a>]) -> Memory<'a> {
    Memory {
        inputs,
        constants: &plan.constants,
        shared,
        local: &NOTHING,
        chunk: 0,
        steps_before: 0,
        isa: plan.isa,
        team: Team::ONE,
        ahead: Ahead::NOTHING,
    }
}

/// Runs the steps of a group on all chunks of the batch.
fn run(plan: &Inner, group: &mut BoundGroup, memory: Memory<'_>, workers: &mut [Worker]) -> Result<()> {
    let (chunks, threads) = (group.chunks, group.passes.len());
    if let ([[_, pass]], [first, second, ..]) = (&mut group.passes[..], &mut *workers)
        && chunks == 1
        && memory.team.count() > 1
    {
        return run_pairs(plan, &mut pass.steps, memory, [first, second]);
    }
    let team = if chunks > 1 { memory.team } else { Team::ONE };
    // Whoever shares the chunks has no threads left for the steps.
    let memory = Memory { team: if chunks > 1 { Team::ONE } else { memory.team }, ..memory };
    team.each_pair(&mut group.passes, workers, &|at, passes, worker| {
        let Worker { arena, scratch, error } = worker;
        let own = chunks * at / threads..chunks * (at + 1) / threads;
        *error = None;
        for chunk in own {
            let memory = Memory { local: arena, chunk, ..memory };
            let [usual, last] = &mut *passes;
            let pass = if chunk + 1 == chunks { last } else { usual };
            let memory = if chunk + 1 == chunks { Memory { chunk: 0, ..memory } } else { memory };
            for step in &mut pass.steps {
                if error.as_ref().is_some_and(|first| *first.place() < [step.index][..]) {
                    break;
                }
                // SAFETY: chunks of a value do not overlap, and nothing shares memory with a value while it is needed.
                if let Err(why) = unsafe { run_step(plan, step, memory, scratch) } {
                    if error.as_ref().is_none_or(|first| why.place() < first.place()) {
                        *error = Some(why);
                    }
                    break;
                }
            }
        }
    });
    let errors = workers.iter_mut().take(threads).filter_map(|worker| worker.error.take());
    match errors.min_by(|a, b| a.place().cmp(b.place())) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Runs steps on all of the batch, two at the same time where neither needs what the other one computes.
fn run_pairs(
    plan: &Inner,
    steps: &mut [BoundStep],
    memory: Memory<'_>,
    [first, second]: [&mut Worker; 2],
) -> Result<()> {
    let Worker { arena, scratch, .. } = first;
    let memory = Memory { local: arena, ..memory };
    let alone = Memory { team: Team::ONE, ..memory };
    for pair in steps.chunk_by_mut(|_, next| next.is_beside) {
        if let [step, next] = pair {
            let (mut result, mut next_result) = (Ok(()), Ok(()));
            memory.team.both(
                // SAFETY: neither of them writes what the other one reads or writes; else as for one alone.
                &mut || result = unsafe { run_step(plan, step, alone, scratch) },
                // SAFETY: as above.
                &mut || next_result = unsafe { run_step(plan, next, alone, &mut second.scratch) },
            );
            result.and(next_result)?;
            continue;
        }
        for step in pair {
            // SAFETY: nothing shares memory with a value while it is needed.
            unsafe { run_step(plan, step, memory, scratch)? };
        }
    }
    Ok(())
}

/// Runs a step.
///
/// # Safety
/// Nothing else may read or write meanwhile what the step writes.
unsafe fn run_step(
    plan: &Inner,
    step: &mut BoundStep,
    memory: Memory<'_>,
    scratch: &mut [f32],
) -> Result<()> {
    let memory = Memory { ahead: step.ahead(plan), ..memory };
    // SAFETY: the caller's.
    let result = unsafe { step.runner.run(memory, scratch, &step.sources, step.target) };
    result.map_err(|why| {
        let origin = plan.steps.get(step.index).and_then(|step| step.origin);
        why.at(origin).in_step(step.index)
    })?;
    for &(from, to) in &step.copies {
        // SAFETY: as above.
        unsafe { copy(memory, from, to) };
    }
    Ok(())
}

/// Copies elements from one place to another.
///
/// # Safety
/// Nothing else may read or write what is at `to` meanwhile.
unsafe fn copy(memory: Memory<'_>, from: Place, to: Place) {
    match from.kind {
        // SAFETY: the caller's.
        Kind::Float => unsafe { memory.get_mut::<f32>(to) }.copy_from_slice(memory.get(Source::Slot(from))),
        // SAFETY: the caller's.
        Kind::Integer => unsafe { memory.get_mut::<i64>(to) }.copy_from_slice(memory.get(Source::Slot(from))),
    }
}

/// Copies an input into the arena.
fn load(view: &TensorView<'_>, slot: Slot, arena: &mut Arena) {
    match view.data() {
        DataView::F32(data) => arena.slot_mut(slot).copy_from_slice(data),
        DataView::I64(data) => arena.slot_mut(slot).copy_from_slice(data),
        DataView::I32(data) => {
            arena.slot_mut(slot).iter_mut().zip(data).for_each(|(wide, &n): (&mut i64, _)| *wide = n.into());
        }
        DataView::Bool(data) => {
            arena.slot_mut(slot).iter_mut().zip(data).for_each(|(wide, &n): (&mut i64, _)| *wide = n.into());
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// The outputs of a run, in the graph's order. They lie in the session's memory.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    session: &'a Session,
    /// The sizes that it was run on.
    bound: &'a Bound,
}

impl<'a> Outputs<'a> {
    /// What lies at `exit`.
    fn view(self, exit: &Exit) -> TensorView<'a> {
        let Outputs { session, bound } = self;
        let constants = &session.plan.inner.constants;
        let data = match (exit.storage, exit.kind) {
            (Storage::Constant(index), Kind::Float) => DataView::F32(constants.buffer(index)),
            (Storage::Constant(index), Kind::Integer) => DataView::I64(constants.buffer(index)),
            (Storage::Buffer { index, part }, kind) => match (bound.parts[index].get(part), kind) {
                (Some(&slot), Kind::Float) => DataView::F32(session.arena.slot(slot)),
                (Some(&slot), Kind::Integer) => DataView::I64(session.arena.slot(slot)),
                // What can be read after a run is shared by all threads.
                (None, _) => DataView::F32(&[]),
            },
            // What can be read after a run is copied.
            (Storage::Input(_), _) => DataView::F32(&[]),
        };
        TensorView::trusted(&bound.shapes[exit.value], data)
    }

    /// The number of outputs.
    pub fn len(&self) -> usize {
        self.session.plan.inner.outputs.len()
    }

    /// Whether there are no outputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape and elements of the output at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<TensorView<'a>> {
        self.session.plan.inner.outputs.get(index).map(|exit| self.view(exit))
    }

    /// Shape and elements of the output called `name`, if there is one.
    pub fn by_name(&self, name: &str) -> Option<TensorView<'a>> {
        self.iter().find(|(other, _)| *other == name).map(|(_, view)| view)
    }

    /// Name, shape and elements of every output.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, TensorView<'a>)> {
        let outputs = *self;
        self.session.plan.inner.outputs.iter().map(move |exit| (exit.name.as_str(), outputs.view(exit)))
    }
}

impl fmt::Debug for Outputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
