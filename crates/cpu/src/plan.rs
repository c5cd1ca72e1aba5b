//! Graphs made ready to run.

mod build;
mod draft;
mod groups;
mod recurrent;

use crate::arena::{Arena, Kind};
use crate::kernels::AnyKernel;
use crate::simd::Isa;
use crate::table::{Id, NonEmpty, Table};
use crate::{Error, InstructionSet, Result, Session};
use build::Packed;
use draft::Drafts;
use groups::Samples;
pub(crate) use groups::{Group, HEAVY};
use k2o_core::{
    CallId, ConstantId, DType, Graph, GraphBuilder, Operand, PerValue, TensorType, ValueId,
    reduce_before_concat, round_weights,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// How a plan is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Whether every value that a [`Tap`](k2o_core::Tap) of the graph names is kept, to be read with
    /// [`Session::tap`]. The results have the same bits either way.
    pub keep_taps: bool,
    /// The most bytes that a session may take for values; a size that needs more is an error. What each scan computes
    /// in one step is under a limit of its own, which is as large.
    pub memory_limit: usize,
    /// The instructions that kernels use; the widest that the processor has if `None`. Results differ by rounding.
    pub instruction_set: Option<InstructionSet>,
    /// Whether convolutions may compute two positions at once with fewer multiplications, which takes memory for weights
    /// of their own.
    pub minimal_multiplications: bool,
    /// The type that weights of two and more axes are [rounded](k2o_core::round_weights) to, `F16` or `BF16`, if any. Those
    /// of products are kept in this type, in half the memory. All is computed in single precision.
    pub narrow_weights: Option<DType>,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions {
            keep_taps: false,
            memory_limit: isize::MAX as usize,
            instruction_set: None,
            minimal_multiplications: true,
            narrow_weights: None,
        }
    }
}

/// A graph made ready to run: constants evaluated and packed, operators joined into steps, sizes left open.
///
/// Cheap to clone, and shared between threads that each have their own [`Session`].
#[derive(Clone)]
pub struct Plan {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// The graph's inputs and constraints, without its nodes.
    pub binder: Graph,
    /// Shape and element type of every value of the graph.
    pub types: PerValue<TensorType>,
    /// The value whose elements each value shares, or the constant.
    pub roots: PerValue<Operand>,
    /// The values that something reads.
    pub needed: PerValue<bool>,
    /// Nothing for every value of the graph yet: sizes to be filled in.
    pub no_shapes: PerValue<Vec<usize>>,
    pub constants: Arena,
    constant_shapes: BTreeMap<ConstantId, Vec<usize>>,
    pub steps: Vec<Step>,
    /// All steps, in their order.
    pub groups: Vec<Group>,
    /// For each value, whether it has the samples of the batch along axis 0, and their number nowhere else.
    pub has_samples: PerValue<bool>,
    /// In the order in which they are first written.
    pub buffers: Table<BufferInfo>,
    /// The inputs that are copied, and the buffers that they are copied to.
    pub loads: Vec<(usize, Id<BufferInfo>)>,
    pub outputs: Vec<Exit>,
    pub taps: BTreeMap<(CallId, usize), Exit>,
    pub memory_limit: usize,
    pub isa: Isa,
}

impl Inner {
    /// The sizes of a constant that was evaluated.
    pub fn constant_shape(&self, id: ConstantId) -> Result<&[usize]> {
        self.constant_shapes.get(&id).map(Vec::as_slice).ok_or_else(Error::not_computed)
    }

    /// The steps of a group, each with its index among all.
    pub fn steps_of(&self, group: &Group) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().take(group.steps.end).skip(group.steps.start)
    }
}

/// One kernel at work.
pub(crate) struct Step {
    pub name: String,
    pub kernel: Arc<dyn AnyKernel>,
    pub operands: Vec<(Operand, Storage)>,
    /// Those of the operator's outputs that something reads.
    pub outputs: NonEmpty<ValueId>,
    pub buffer: Id<BufferInfo>,
    /// Bytes of the constants of two and more axes that it reads as a whole.
    pub weight_bytes: usize,
    /// How many weights each row of its operands, or of its results, is multiplied with.
    pub weights_per_row: usize,
    pub origin: Option<CallId>,
}

impl Step {
    /// The values that it reads and computes.
    pub fn values(&self) -> impl Iterator<Item = ValueId> {
        let operands = self.operands.iter().filter_map(|(operand, _)| operand.value());
        operands.chain(self.outputs.iter().copied())
    }
}

/// Where a value's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Input(usize),
    Constant(usize),
    /// One of the values of a buffer.
    Buffer {
        index: Id<BufferInfo>,
        part: usize,
    },
}

/// Room for values from one step to another, both included. Inputs are copied at step 0.
pub(crate) struct BufferInfo {
    /// One after the other.
    pub values: NonEmpty<ValueId>,
    pub kind: Kind,
    pub from: usize,
    pub to: usize,
    /// The group of steps outside of which nothing reads them, if it computes by samples.
    pub group: Option<usize>,
}

/// A value that can be read after a run.
pub(crate) struct Exit {
    pub name: String,
    pub value: ValueId,
    pub kind: Kind,
    pub storage: Storage,
}

/// What one step of a plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepInfo<'a> {
    /// The operators that are joined in it, such as `conv+relu`.
    pub name: &'a str,
    /// The layer call that the first of them came from.
    pub origin: Option<CallId>,
    /// Shape and element type of the first of what it computes.
    pub r#type: &'a TensorType,
}

impl Plan {
    /// The plan of a graph, which should have been [rewritten](k2o_core::rewrite).
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for values that are neither `float32` nor integers nor `bool`; what the
    /// storage of a constant says where it cannot be read; an instruction set that the processor lacks.
    /// [`Limit`](crate::ErrorKind::Limit) where a weight is past the narrow type.
    pub fn new(graph: &Graph, options: &PlanOptions) -> Result<Plan> {
        let mut graph = Cow::Borrowed(graph);
        if let Some(narrow) = options.narrow_weights {
            graph = Cow::Owned(round_weights(&graph, narrow)?);
        }
        // Taps are of what is joined.
        if !options.keep_taps
            && let Some(reduced) = reduce_before_concat(&graph)?
        {
            graph = Cow::Owned(reduced);
        }
        Plan::with_packed(&graph, options, &mut Packed::new())
    }

    /// The plan of a graph whose weights are rounded as the options say, and some of them packed already.
    fn with_packed(graph: &Graph, options: &PlanOptions, packed: &mut Packed) -> Result<Plan> {
        let isa = isa(options)?;
        let tapped = graph.taps().iter().filter_map(|tap| tap.value).filter(|_| options.keep_taps);
        let tapped: BTreeSet<ValueId> = tapped.collect();
        let drafts = Drafts::new(graph, &tapped);
        let mut builder = build::Builder::new(graph, (options, isa), packed);
        let mut built = Vec::with_capacity(drafts.drafts.len());
        for draft in drafts.drafts.iter() {
            let origin = graph.node(draft.node).origin;
            built.push((draft.outputs.clone(), builder.build(draft).map_err(|error| error.at(origin))?));
        }
        let kept: Vec<ValueId> =
            tapped.into_iter().chain(graph.outputs().iter().map(|port| port.value)).collect();
        for id in kept.iter().copied().chain(built.iter().flat_map(|(_, built)| built.values())) {
            if let Operand::Constant(constant) = drafts.roots[id] {
                builder.constant(constant)?;
            }
        }

        let mut places = Places::new(graph, &drafts, &kept)?;
        let mut steps = Vec::with_capacity(built.len());
        for (at, (outputs, built)) in built.into_iter().enumerate() {
            let mut operands = Vec::with_capacity(built.operands.len());
            for operand in built.operands {
                operands.push((operand, places.read(&builder, &drafts, operand, at + 1)?));
            }
            let buffer = places.write(graph, outputs.clone(), at + 1)?;
            let build::Built { name, kernel, weight_bytes, weights_per_row, origin, .. } = built;
            let step =
                Step { name, kernel, operands, outputs, buffer, weight_bytes, weights_per_row, origin };
            steps.push(step);
        }
        let mut exit = |name: &str, value: ValueId| -> Result<Exit> {
            let kind = Kind::of(graph.value(value).r#type.dtype)?;
            let storage = places.read(&builder, &drafts, value.into(), usize::MAX)?;
            Ok(Exit { name: name.to_string(), value, kind, storage })
        };
        let outputs =
            graph.outputs().iter().map(|port| exit(&port.name, port.value)).collect::<Result<Vec<_>>>()?;
        let mut taps = BTreeMap::new();
        for tap in graph.taps().iter().filter(|_| options.keep_taps) {
            if let Some(value) = tap.value {
                taps.insert((tap.call, tap.output), exit("", value)?);
            }
        }

        let Places { mut buffers, loads, .. } = places;
        let samples = Samples::new(graph);
        let groups = samples.groups(&drafts, &steps);
        let has_samples = PerValue::of(graph, |id| samples.has(id));
        for buffer in buffers.iter_mut() {
            // Step 0 is the copying of inputs.
            let within = |group: &Group| {
                group.by_sample && group.steps.start < buffer.from && buffer.to <= group.steps.end
            };
            buffer.group = groups.iter().position(within);
            if buffer.group.is_none() {
                // Some samples may be at a group's last step while others are at its first.
                for group in groups.iter().filter(|group| group.by_sample) {
                    let steps = group.steps.start + 1..=group.steps.end;
                    buffer.from = if steps.contains(&buffer.from) { *steps.start() } else { buffer.from };
                    buffer.to = if steps.contains(&buffer.to) { *steps.end() } else { buffer.to };
                }
            }
        }
        let (constants, constant_shapes) = builder.finish();
        let Drafts { roots, needed, .. } = drafts;
        let types = PerValue::of(graph, |id| graph.value(id).r#type.clone());
        let binder = binder(graph)?;
        let memory_limit = options.memory_limit;
        let inner = Inner {
            binder,
            types,
            roots,
            needed,
            no_shapes: PerValue::new(graph, Vec::new()),
            constants,
            constant_shapes,
            steps,
            groups,
            has_samples,
            buffers,
            loads,
            outputs,
            taps,
            memory_limit,
            isa,
        };
        Ok(Plan { inner: Arc::new(inner) })
    }

    /// A session that runs this plan.
    pub fn session(&self) -> Session {
        Session::new(self)
    }

    /// Names, shapes and element types of the inputs, in the graph's order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = (&str, &TensorType)> {
        let binder = &self.inner.binder;
        binder.inputs().iter().map(|port| (port.name.as_str(), &binder.value(port.value).r#type))
    }

    /// Names, shapes and element types of the outputs, in the graph's order.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = (&str, &TensorType)> {
        let inner = &*self.inner;
        inner.outputs.iter().map(|exit| (exit.name.as_str(), &inner.types[exit.value]))
    }

    /// What is run, in order.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = StepInfo<'_>> {
        let inner = &*self.inner;
        inner.steps.iter().map(|step| StepInfo {
            name: &step.name,
            origin: step.origin,
            r#type: &inner.types[*step.outputs.first()],
        })
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps().map(|step| step.name)).finish()
    }
}

/// The instruction set that a plan is made for.
fn isa(options: &PlanOptions) -> Result<Isa> {
    let Some(set) = options.instruction_set else { return Ok(Isa::detect()) };
    Isa::new(set).ok_or_else(|| Error::unsupported(format!("{set}, which this processor does not have")))
}

/// A graph of the inputs and constraints only: enough to bind symbols.
fn binder(graph: &Graph) -> Result<Graph> {
    let mut builder = GraphBuilder::new();
    for port in graph.inputs() {
        builder.input(port.name.clone(), graph.value(port.value).r#type.clone())?;
    }
    for constraint in graph.constraints() {
        builder.constraint(constraint.clone());
    }
    Ok(builder.finish())
}

/// Where values are, while steps are added.
struct Places {
    storages: BTreeMap<ValueId, Storage>,
    buffers: Table<BufferInfo>,
    loads: Vec<(usize, Id<BufferInfo>)>,
}

impl Places {
    /// The inputs: float arrays are read where they are, but those that can be read after the run are copied, and
    /// integers become 64-bit. What nothing reads is nowhere.
    fn new(graph: &Graph, drafts: &Drafts, kept: &[ValueId]) -> Result<Places> {
        let mut places = Places { storages: BTreeMap::new(), buffers: Table::new(), loads: Vec::new() };
        let kept: BTreeSet<Operand> = kept.iter().map(|id| drafts.roots[*id]).collect();
        for (index, port) in graph.inputs().iter().enumerate() {
            let kind = Kind::of(graph.value(port.value).r#type.dtype)?;
            if !drafts.needed[port.value] {
                continue;
            }
            if kind == Kind::Float && !kept.contains(&port.value.into()) {
                places.storages.insert(port.value, Storage::Input(index));
            } else {
                let buffer = places.write(graph, NonEmpty::one(port.value), 0)?;
                places.loads.push((index, buffer));
            }
        }
        Ok(places)
    }

    /// Where `operand` is; it is read at step `at`.
    fn read(
        &mut self,
        builder: &build::Builder<'_>,
        drafts: &Drafts,
        operand: Operand,
        at: usize,
    ) -> Result<Storage> {
        let root = match operand {
            Operand::Value(id) => drafts.roots[id],
            constant => constant,
        };
        let storage = match root {
            Operand::Value(id) => self.storages.get(&id).copied(),
            Operand::Constant(id) => builder.slot(id).map(Storage::Constant),
        };
        let storage = storage.ok_or_else(Error::not_computed)?;
        if let Storage::Buffer { index, .. } = storage {
            let buffer = &mut self.buffers[index];
            buffer.to = buffer.to.max(at);
        }
        Ok(storage)
    }

    /// A new buffer for `values`, which are of one kind and computed at step `at`.
    fn write(&mut self, graph: &Graph, values: NonEmpty<ValueId>, at: usize) -> Result<Id<BufferInfo>> {
        let kind = Kind::of(graph.value(*values.first()).r#type.dtype)?;
        let index =
            self.buffers.push(BufferInfo { values: values.clone(), kind, from: at, to: at, group: None });
        for (part, &value) in values.iter().enumerate() {
            self.storages.insert(value, Storage::Buffer { index, part });
        }
        Ok(index)
    }
}
