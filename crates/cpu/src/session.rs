//! Runs of a plan.

use crate::arena::{Arena, Buffer, Kind, Slot};
use crate::bound::{Bound, BoundStep};
use crate::kernels::{Memory, Run};
use crate::plan::{Exit, Inner};
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
    arena: Arena,
    scratch: Buffer<f32>,
    /// The latest first.
    sizes: Vec<Bound>,
    /// Whether the values of the latest sizes are in the arena.
    is_run: bool,
}

impl Session {
    /// A session that runs `plan`.
    pub fn new(plan: &Plan) -> Session {
        Session {
            plan: plan.clone(),
            arena: Arena::default(),
            scratch: Buffer::default(),
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
        self.is_run = false;
        let known = self.sizes.iter().position(|bound| {
            bound.inputs.len() == inputs.len() && bound.inputs.iter().zip(inputs).all(|(a, b)| a == b.shape())
        });
        match known {
            Some(at) => self.sizes[..=at].rotate_right(1),
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
        let bound = &mut self.sizes[0];
        for &(input, buffer) in &plan.loads {
            load(&inputs[input], bound.slots[buffer], &mut self.arena);
            let value = plan.binder.inputs()[input].value;
            if plan.binder.value(value).r#type.dtype == DType::Bool {
                let truths = self.arena.slot_mut::<i64>(bound.slots[buffer]);
                truths.iter_mut().for_each(|truth| *truth = i64::from(*truth != 0));
            }
        }
        let run = Run { inputs, constants: &plan.constants, isa: plan.isa };
        for (step, bound) in plan.steps.iter().zip(&mut bound.steps) {
            let Some(BoundStep { runner, sources, target }) = bound else { continue };
            let (scratch, arena) = (&mut self.scratch, &mut self.arena);
            runner.run(run, arena, scratch, sources, *target).map_err(|error| error.at(step.origin))?;
        }
        self.is_run = true;
        Ok(Outputs { session: self })
    }

    /// Makes these sizes of the inputs the latest.
    pub(crate) fn bind(&mut self, sizes: &[&[usize]]) -> Result<()> {
        let plan = &*self.plan.inner;
        let mut bound = Bound::new(plan, sizes)?;
        let bytes = self.arena.bytes_with(&bound.slots);
        if bytes > plan.memory_limit {
            let limit = plan.memory_limit;
            return Err(Error::limit(format!(
                "inputs of these sizes take {bytes} bytes; the limit is {limit}"
            )));
        }
        for slot in &bound.slots {
            match slot.kind {
                Kind::Float => self.arena.grow::<f32>(slot.index, slot.len)?,
                Kind::Integer => self.arena.grow::<i64>(slot.index, slot.len)?,
            }
        }
        let scratch = bound.bind_steps(plan)?;
        self.scratch.grow(scratch)?;
        self.sizes.truncate(REMEMBERED - 1);
        self.sizes.insert(0, bound);
        Ok(())
    }

    /// The sizes of an output, for the latest sizes of the inputs.
    pub(crate) fn output_shape(&self, index: usize) -> &[usize] {
        &self.sizes[0].shapes[self.plan.inner.outputs[index].value.0 as usize]
    }

    /// The outputs of the last run; `None` before the first and after one that failed.
    pub fn outputs(&self) -> Option<Outputs<'_>> {
        self.is_run.then_some(Outputs { session: self })
    }

    /// What the layer call gave as `output` in the last run: its shape and elements.
    ///
    /// `None` where the plan keeps no taps, the graph has no such tap, a rewrite has folded it away, or nothing was
    /// run.
    pub fn tap(&self, call: CallId, output: usize) -> Option<TensorView<'_>> {
        let exit = self.plan.inner.taps.get(&(call, output))?;
        self.is_run.then(|| self.view(exit))
    }

    /// What lies at `exit` after a run.
    fn view(&self, exit: &Exit) -> TensorView<'_> {
        let (plan, bound): (&Inner, &Bound) = (&self.plan.inner, &self.sizes[0]);
        let memory = Memory { inputs: &[], constants: &plan.constants, arena: &self.arena, isa: plan.isa };
        let source = bound.source(exit.storage);
        let data = match exit.kind {
            Kind::Float => DataView::F32(memory.get(source)),
            Kind::Integer => DataView::I64(memory.get(source)),
        };
        TensorView::trusted(&bound.shapes[exit.value.0 as usize], data)
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
}

impl<'a> Outputs<'a> {
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
        self.session.plan.inner.outputs.get(index).map(|exit| self.session.view(exit))
    }

    /// Shape and elements of the output called `name`, if there is one.
    pub fn by_name(&self, name: &str) -> Option<TensorView<'a>> {
        self.iter().find(|(other, _)| *other == name).map(|(_, view)| view)
    }

    /// Name, shape and elements of every output.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, TensorView<'a>)> {
        let session = self.session;
        session.plan.inner.outputs.iter().map(|exit| (exit.name.as_str(), session.view(exit)))
    }
}

impl fmt::Debug for Outputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
