//! A plan on known sizes.

use crate::arena::{Life, Slot, assign};
use crate::kernels::grid::elements;
use crate::kernels::products::Ahead;
use crate::kernels::{Part, Place, Runner, Source};
use crate::plan::{BufferInfo, Group, HEAVY, Inner, Step, Storage};
use crate::table::{Id, NonEmpty, Table};
use crate::{Error, Result};
use k2o_core::{Operand, PerValue, ValueId};
use std::ops::Range;

/// Bytes that the operands and results of a step should take at most, so that they stay in a nearby cache until the next
/// step reads them.
const NEARBY: usize = 384 << 10;

/// Products of two numbers that are worth another thread: computing them takes as long as waking it does.
const WORTH_A_THREAD: usize = 1 << 18;

/// The most bytes of heavy weights that are asked for ahead: as many as stay in the second nearest cache beside what is
/// computed with.
const MOST_AHEAD: usize = 768 << 10;

/// The most rows for which weights are read once.
const FEW_ROWS: usize = 8;

/// Bytes that memory gives at once, and how many products of two numbers are computed for each that is asked for.
const LINE: usize = 64;
const WORK_OF_A_LINE: usize = 512;

/// How many products take as long as a function of one element does.
const ELEMENT: usize = 16;

/// Everything about a plan that follows from the sizes of its inputs.
pub(crate) struct Bound {
    /// The sizes of each input.
    pub inputs: Vec<Vec<usize>>,
    /// The sizes of each value; empty for those that nothing reads.
    pub shapes: PerValue<Vec<usize>>,
    /// Where each value of each of the plan's buffers lies; nowhere for those that threads have of their own.
    pub parts: Table<BufferInfo, Vec<Slot>>,
    /// The memory that all threads share.
    pub shared: Vec<Slot>,
    /// The memory that each thread has of its own.
    pub local: Vec<Slot>,
    pub scratch: usize,
    pub groups: Vec<BoundGroup>,
    /// Whether there is something that several threads can do.
    pub is_parallel: bool,
}

/// A group of steps, on chunks of the batch.
pub(crate) struct BoundGroup {
    pub chunks: usize,
    /// The steps of each thread, on a chunk of the usual size and on the last one.
    pub passes: Vec<[Pass; 2]>,
}

/// The steps of a group on a chunk of the batch.
#[derive(Default)]
pub(crate) struct Pass {
    pub steps: Vec<BoundStep>,
}

pub(crate) struct BoundStep {
    /// Which of the plan's.
    pub index: usize,
    pub runner: Box<dyn Runner>,
    pub sources: Vec<Source>,
    /// All outputs, one after the other.
    pub target: Place,
    /// Where outputs go that cannot lie one after the other, because they are parts of whole arrays.
    pub copies: Vec<(Place, Place)>,
    /// Whether it can be computed while the step before it is, and both are worth a thread.
    pub is_beside: bool,
    /// The step whose weights memory is asked for meanwhile, and which of their bytes.
    ahead: Option<(usize, Range<usize>)>,
}

impl BoundStep {
    /// Whether neither step writes what the other one reads or writes, on a batch that is one chunk.
    fn is_independent_of(&self, other: &BoundStep) -> bool {
        let apart = |a: &BoundStep, b: &BoundStep| {
            let reads = || {
                b.sources.iter().filter_map(|source| match source {
                    Source::Slot(place) => Some(*place),
                    _ => None,
                })
            };
            a.writes().all(|to| !reads().chain(b.writes()).any(|other| overlap(to, other)))
        };
        apart(self, other) && apart(other, self)
    }

    /// What memory is asked for meanwhile.
    pub fn ahead<'a>(&self, plan: &'a Inner) -> Ahead<'a> {
        let Some((step, bytes)) = &self.ahead else { return Ahead::NOTHING };
        let Some(step) = plan.steps.get(*step) else { return Ahead::NOTHING };
        Ahead { weights: step.kernel.weights(), skip: bytes.start, len: bytes.len() }
    }

    fn writes(&self) -> impl Iterator<Item = Place> {
        std::iter::once(self.target).chain(self.copies.iter().map(|(_, to)| *to))
    }
}

/// Whether two places of the first chunk have elements in common.
fn overlap(a: Place, b: Place) -> bool {
    let end = |place: Place| place.part.start + place.part.len;
    (a.kind, a.is_local, a.index) == (b.kind, b.is_local, b.index)
        && a.part.start < end(b)
        && b.part.start < end(a)
}

/// How a group's batch is cut into chunks.
pub(crate) struct Cut {
    samples: usize,
    /// Samples of each chunk but the last; 0 if the group does not compute by samples.
    chunk: usize,
    /// How many threads share the chunks.
    threads: usize,
    /// Where in a thread's own memory the plan's buffers lie.
    slots: Vec<(Id<BufferInfo>, Slot)>,
}

impl Cut {
    /// Where in a thread's own memory a buffer lies, if it does.
    fn slot(&self, buffer: Id<BufferInfo>) -> Option<Slot> {
        self.slots.iter().find(|(own, _)| *own == buffer).map(|(_, slot)| *slot)
    }
}

/// Some of the samples of a batch.
#[derive(Clone, Copy)]
struct Chunk {
    /// Samples before the first chunk of this size, in each, and between neighbours.
    first: usize,
    count: usize,
    stride: usize,
}

impl Bound {
    /// The plan on these sizes, for as many threads.
    ///
    /// # Errors
    /// Where the sizes do not fit the graph, or an array could not fit memory.
    pub fn new(plan: &Inner, sizes: &[&[usize]]) -> Result<Bound> {
        let bindings = plan.binder.bind(sizes)?;
        let mut shapes = plan.no_shapes.clone();
        let needed = || plan.needed.iter().filter(|(_, needed)| **needed).map(|(id, _)| id);
        for id in needed() {
            let shape = plan.types[id].shape.eval(&bindings)?;
            elements(&shape)?;
            shapes[id] = shape;
        }
        for id in needed() {
            let shape = &shapes[id];
            let own = match plan.roots[id] {
                Operand::Value(root) => &shapes[root],
                Operand::Constant(constant) => plan.constant_shape(constant)?,
            };
            if elements(own)? != elements(shape)? {
                return Err(Error::shape(format!("an array of shape {own:?} cannot be read as {shape:?}")));
            }
        }
        let lens = plan.buffers.try_map(|buffer| {
            buffer.values.iter().map(|&id| elements(&shapes[id])).collect::<Result<Vec<usize>>>()
        })?;
        let shared = || plan.buffers.iter_with_ids().filter(|(_, buffer)| buffer.group.is_none());
        let lives = shared().map(|(id, buffer)| {
            Ok(Life { kind: buffer.kind, len: sum(&lens[id])?, from: buffer.from, to: buffer.to })
        });
        let slots = assign(&lives.collect::<Result<Vec<Life>>>()?);
        let mut places = plan.buffers.map(|_| Vec::new());
        for ((id, _), slot) in shared().zip(&slots) {
            places[id] = parts(*slot, &lens[id]);
        }
        let inputs = sizes.iter().map(|sizes| sizes.to_vec()).collect();
        let (local, groups) = (Vec::new(), Vec::new());
        Ok(Bound {
            inputs,
            shapes,
            parts: places,
            shared: slots,
            local,
            scratch: 0,
            groups,
            is_parallel: false,
        })
    }

    /// Cuts the batch into chunks for each group of steps, and the memory that this takes.
    pub fn cut(&mut self, plan: &Inner, threads: usize) -> Result<Vec<Cut>> {
        let mut cuts = Vec::new();
        for (at, group) in plan.groups.iter().enumerate() {
            let samples = if group.by_sample { self.samples(plan, group) } else { 0 };
            let threads = (self.work(plan, group) / WORTH_A_THREAD).clamp(1, threads);
            let bytes = self.bytes_per_sample(plan, group, samples);
            let chunk = chunk(samples, bytes, threads, group);
            let mut cut = Cut { samples, chunk, threads, slots: Vec::new() };
            let own = plan.buffers.iter_with_ids().filter(|(_, buffer)| buffer.group == Some(at));
            let mut lives = Vec::new();
            for (index, buffer) in own {
                let lens = self.chunk_lens(plan, &buffer.values, samples, chunk)?;
                lives.push((
                    index,
                    Life { kind: buffer.kind, len: sum(&lens)?, from: buffer.from, to: buffer.to },
                ));
            }
            // Several outputs of one step are computed one after the other and then copied.
            for (index, step) in plan.steps_of(group) {
                let buffer = &plan.buffers[step.buffer];
                if buffer.group.is_none() && !buffer.values.is_one() && chunk < samples {
                    let lens = self.chunk_lens(plan, &buffer.values, samples, chunk)?;
                    let life = Life { kind: buffer.kind, len: sum(&lens)?, from: index + 1, to: index + 1 };
                    lives.push((step.buffer, life));
                }
            }
            lives.sort_by_key(|(_, life)| life.from);
            let slots = assign(&lives.iter().map(|(_, life)| *life).collect::<Vec<_>>());
            cut.slots.extend(lives.iter().zip(&slots).map(|((buffer, _), slot)| (*buffer, *slot)));
            self.local.extend(slots);
            cuts.push(cut);
        }
        Ok(cuts)
    }

    /// Makes the steps ready.
    pub fn bind_steps(&mut self, plan: &Inner, cuts: &[Cut], threads: usize) -> Result<()> {
        for (group, cut) in plan.groups.iter().zip(cuts) {
            let chunks = if cut.chunk == 0 { 1 } else { cut.samples.div_ceil(cut.chunk) };
            let usual = Chunk { first: 0, count: cut.chunk, stride: if chunks > 1 { cut.chunk } else { 0 } };
            let before = (chunks - 1) * cut.chunk;
            let last = Chunk { first: before, count: cut.samples - before, stride: 0 };
            let mut passes = Vec::new();
            for _ in 0..cut.threads.min(chunks) {
                let usual = match chunks {
                    1 => Pass::default(),
                    _ => self.pass(plan, group, cut, usual)?,
                };
                let mut last = self.pass(plan, group, cut, last)?;
                if chunks == 1 && threads > 1 {
                    self.is_parallel |= self.find_pairs(plan, &mut last.steps);
                }
                passes.push([usual, last]);
            }
            let is_large =
                passes.iter().flatten().flat_map(|pass| &pass.steps).any(|step| step.runner.is_large());
            self.is_parallel |= passes.len() > 1 || threads > 1 && is_large;
            self.groups.push(BoundGroup { chunks, passes });
        }
        Ok(())
    }

    /// Lets steps ask memory for the first of the large weights that a later one reads once.
    pub fn look_ahead(&mut self, plan: &Inner) {
        // The steps since the last with large weights, each with how much it has time to ask for.
        let mut before: Vec<(&mut BoundStep, usize)> = Vec::new();
        for group in &mut self.groups {
            let (1, [[_, whole]]) = (group.chunks, &mut group.passes[..]) else {
                before.clear();
                continue;
            };
            for bound in &mut whole.steps {
                let index = bound.index;
                let Some(step) = plan.steps.get(index) else { continue };
                if step.weight_bytes < HEAVY {
                    let time =
                        if step.weights_per_row > 0 { work(step, &self.shapes) / WORK_OF_A_LINE } else { 0 };
                    before.push((bound, time.saturating_mul(LINE)));
                    continue;
                }
                let shape = &self.shapes[*step.outputs.first()];
                let rows = shape.split_last().map_or(0, |(_, rows)| rows.iter().product::<usize>());
                if rows <= FEW_ROWS {
                    ask_for(index, step.kernel.weights().len().min(MOST_AHEAD), &mut before);
                }
                before.clear();
            }
        }
    }

    /// The number of samples that the steps of a group compute.
    fn samples(&self, plan: &Inner, group: &Group) -> usize {
        let first = plan.steps_of(group).next().map(|(_, step)| *step.outputs.first());
        first.and_then(|id| self.shapes[id].first().copied()).unwrap_or(0)
    }

    /// The most bytes of operands and results of a step that one sample needs.
    fn bytes_per_sample(&self, plan: &Inner, group: &Group, samples: usize) -> usize {
        let step = |(_, step): (usize, &Step)| -> usize {
            let values = step.values().filter(|id| plan.has_samples[*id]);
            values.map(|id| 4 * self.shapes[id].iter().product::<usize>() / samples.max(1)).sum()
        };
        plan.steps_of(group).map(step).max().unwrap_or(0)
    }

    /// Finds the steps that can be computed at the same time as the one before, and says whether there are some.
    fn find_pairs(&self, plan: &Inner, steps: &mut [BoundStep]) -> bool {
        let is_worth = |step: &BoundStep| {
            plan.steps.get(step.index).is_some_and(|step| work(step, &self.shapes) >= WORTH_A_THREAD)
        };
        let mut steps = steps.iter_mut();
        let Some(mut before) = steps.next() else { return false };
        let mut are_some = false;
        for step in steps {
            step.is_beside =
                !before.is_beside && step.is_independent_of(before) && is_worth(before) && is_worth(step);
            are_some |= step.is_beside;
            before = step;
        }
        are_some
    }

    /// How much the steps of a group have to compute, in products of two numbers.
    fn work(&self, plan: &Inner, group: &Group) -> usize {
        plan.steps_of(group).map(|(_, step)| work(step, &self.shapes)).fold(0, usize::saturating_add)
    }

    /// The sizes of a value in a chunk of `count` samples.
    fn chunk_shape(&self, plan: &Inner, id: ValueId, count: usize) -> Vec<usize> {
        let mut shape = self.shapes[id].clone();
        if let (Some(first), true) = (shape.first_mut(), plan.has_samples[id]) {
            *first = count;
        }
        shape
    }

    fn chunk_lens(
        &self,
        plan: &Inner,
        values: &NonEmpty<ValueId>,
        samples: usize,
        count: usize,
    ) -> Result<Vec<usize>> {
        let len = |id: &ValueId| match samples {
            0 => elements(&self.shapes[*id]),
            _ => elements(&self.chunk_shape(plan, *id, count)),
        };
        values.iter().map(len).collect()
    }

    fn pass(&mut self, plan: &Inner, group: &Group, cut: &Cut, chunk: Chunk) -> Result<Pass> {
        let mut pass = Pass::default();
        for (index, step) in plan.steps_of(group) {
            let shape = |id: ValueId| match group.by_sample {
                true => self.chunk_shape(plan, id, chunk.count),
                false => self.shapes[id].clone(),
            };
            let outputs: Vec<Vec<usize>> = step.outputs.iter().map(|&id| shape(id)).collect();
            let lens = outputs.iter().map(|shape| elements(shape)).collect::<Result<Vec<usize>>>()?;
            let len = sum(&lens)?;
            if len == 0 {
                continue;
            }
            let operands = step.operands.iter().map(|(operand, _)| match operand {
                Operand::Value(id) => Ok(shape(*id)),
                Operand::Constant(id) => Ok(plan.constant_shape(*id)?.to_vec()),
            });
            let operands = operands.collect::<Result<Vec<Vec<usize>>>>()?;
            let operand_shapes: Vec<&[usize]> = operands.iter().map(Vec::as_slice).collect();
            let runner = step.kernel.clone().bind(&operand_shapes, &shape(*step.outputs.first()));
            let runner = runner.map_err(|error| error.at(step.origin))?;
            self.scratch = self.scratch.max(runner.scratch());
            let sources = step.operands.iter().map(|&(operand, storage)| {
                let has_samples = operand.value().is_some_and(|id| group.by_sample && plan.has_samples[id]);
                self.source(plan, cut, storage, has_samples.then_some(chunk))
            });
            let sources = sources.collect::<Result<Vec<Source>>>()?;
            let mut copies = Vec::new();
            let whole = &self.parts[step.buffer][..];
            let target = match (cut.slot(step.buffer), whole) {
                (Some(slot), _) => {
                    let own = parts(Slot { len, ..slot }, &lens);
                    copies.extend(
                        own.iter()
                            .zip(whole)
                            .map(|(own, whole)| (place(*own), self.part(*whole, cut, Some(chunk)))),
                    );
                    copies.iter_mut().for_each(|(from, _)| from.is_local = true);
                    Place { is_local: true, ..place(Slot { len, ..slot }) }
                }
                (None, [only]) => self.part(*only, cut, group.by_sample.then_some(chunk)),
                // All samples at once, one output after the other.
                (None, [first, ..]) => place(Slot { len, ..*first }),
                (None, []) => return Err(Error::not_computed()),
            };
            pass.steps.push(BoundStep {
                index,
                runner,
                sources,
                target,
                copies,
                is_beside: false,
                ahead: None,
            });
        }
        Ok(pass)
    }

    /// A chunk's part of a value in shared memory, or all of it.
    fn part(&self, slot: Slot, cut: &Cut, chunk: Option<Chunk>) -> Place {
        let mut place = place(slot);
        if let Some(chunk) = chunk {
            place.part = part(slot.start, slot.len, cut, chunk);
        }
        place
    }

    fn source(&self, plan: &Inner, cut: &Cut, storage: Storage, chunk: Option<Chunk>) -> Result<Source> {
        Ok(match storage {
            Storage::Input(index) => {
                let len = self.inputs.get(index).ok_or_else(Error::not_computed)?.iter().product();
                let whole = Part { start: 0, len, stride: 0 };
                Source::Input { index, part: chunk.map_or(whole, |chunk| part(0, len, cut, chunk)) }
            }
            Storage::Constant(index) => Source::Constant(index),
            Storage::Buffer { index, part: value } => Source::Slot(match self.parts[index].get(value) {
                Some(&slot) => self.part(slot, cut, chunk),
                None => self.local_part(plan, cut, (index, value), chunk)?,
            }),
        })
    }

    /// A chunk's value in a thread's own memory.
    fn local_part(
        &self,
        plan: &Inner,
        cut: &Cut,
        (buffer, value): (Id<BufferInfo>, usize),
        chunk: Option<Chunk>,
    ) -> Result<Place> {
        let slot = cut.slot(buffer).ok_or_else(Error::not_computed)?;
        let count = chunk.map_or(0, |chunk| chunk.count);
        let lens = plan.buffers[buffer].values.iter().map(|&id| elements(&self.chunk_shape(plan, id, count)));
        let own = parts(slot, &lens.collect::<Result<Vec<usize>>>()?).get(value).copied();
        Ok(Place { is_local: true, ..place(own.ok_or_else(Error::not_computed)?) })
    }
}

/// Lets the last of some steps, each of which has time for so many bytes, ask for the first `bytes` of a step's weights.
fn ask_for(step: usize, mut bytes: usize, before: &mut Vec<(&mut BoundStep, usize)>) {
    for (_, share) in before.iter_mut().rev() {
        *share = bytes.min(*share);
        bytes -= *share;
    }
    let mut start = 0;
    for (asking, share) in before.drain(..).filter(|(_, share)| *share > 0) {
        asking.ahead = Some((step, start..start + share));
        start += share;
    }
}

/// How much a step has to compute on values of these sizes, in products of two numbers.
fn work(step: &Step, shapes: &PerValue<Vec<usize>>) -> usize {
    let work = |id: ValueId| {
        let shape = &shapes[id];
        let rows = shape.split_last().map_or(0, |(_, rows)| rows.iter().product());
        let elements = shape.iter().product::<usize>().saturating_mul(ELEMENT);
        step.weights_per_row.saturating_mul(rows).saturating_add(elements)
    };
    step.values().map(work).max().unwrap_or(0)
}

/// How many samples are computed at once: few enough that what they need, so many bytes each, is nearby, and so that the
/// chunks, the last of which may be smaller, give every thread as much to do as can be.
fn chunk(samples: usize, bytes: usize, threads: usize, &Group { is_heavy, least, .. }: &Group) -> usize {
    // Reading the weights once takes less long than each thread reading them for few samples.
    if samples == 0 || is_heavy && samples < 8 * threads {
        return samples;
    }
    let most = if is_heavy { samples } else { (NEARBY / bytes.max(1)).max(least).clamp(1, samples) };
    let least = samples.div_ceil(most).next_multiple_of(threads);
    let counts = (least..=2 * least).step_by(threads).take(if threads > 1 { MOST_COUNTS } else { 1 });
    // What the first thread, which has no smaller one, has to do.
    let load = |chunks: &usize| samples.div_ceil(*chunks) * chunks.div_ceil(threads);
    let chunks = counts.min_by_key(load).unwrap_or(least).min(samples);
    samples.div_ceil(chunks)
}

/// How many numbers of chunks are tried.
const MOST_COUNTS: usize = 32;

/// A chunk's part of an array of all samples.
fn part(start: usize, len: usize, cut: &Cut, chunk: Chunk) -> Part {
    let each = len / cut.samples.max(1);
    Part { start: start + chunk.first * each, len: chunk.count * each, stride: chunk.stride * each }
}

fn place(slot: Slot) -> Place {
    let Slot { kind, index, start, len } = slot;
    Place { kind, is_local: false, index, part: Part { start, len, stride: 0 } }
}

/// Slots of such lengths one after the other.
fn parts(slot: Slot, lens: &[usize]) -> Vec<Slot> {
    let mut start = slot.start;
    let part = |&len: &usize| {
        start += len;
        Slot { start: start - len, len, ..slot }
    };
    lens.iter().map(part).collect()
}

fn sum(lens: &[usize]) -> Result<usize> {
    let sum = lens.iter().try_fold(0usize, |sum, &len| sum.checked_add(len));
    sum.ok_or_else(|| Error::limit("the outputs of one operator do not fit memory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plan, PlanOptions};
    use k2o_core::ops::{Conv, Dense, Reshape, ReshapeDim};
    use k2o_core::{Constant, ConstantExpr, DType, Dim, GraphBuilder, Padding, Shape, TensorType, Window};

    fn group(is_heavy: bool, least: usize) -> Group {
        Group { steps: 0..1, by_sample: true, is_heavy, least }
    }

    #[test]
    fn chunks_are_nearby_and_shared_evenly() {
        for (samples, threads) in (0..200).flat_map(|samples| (1..9).map(move |threads| (samples, threads))) {
            let light = [0, NEARBY / 50, NEARBY / 7, NEARBY * 2].map(|bytes| (bytes, group(false, 1)));
            let others = [(1, group(true, 1)), (NEARBY / 7, group(false, 12)), (0, group(false, 12))];
            for (bytes, group) in light.into_iter().chain(others) {
                let given = chunk(samples, bytes, threads, &group);
                let Group { is_heavy, least, .. } = group;
                let text =
                    format!("{given} of {samples} samples of {bytes} bytes, {threads} threads, {group:?}");
                assert_eq!(given == 0, samples == 0, "{text}");
                assert!(is_heavy || given <= least || given * bytes <= NEARBY, "{text}");
                if samples == 0 || is_heavy && samples < 8 * threads {
                    assert_eq!(given, samples, "{text}");
                    continue;
                }
                // The chunks that a thread gets at most, as a session hands them out.
                let chunks = samples.div_ceil(given);
                let most = (0..threads).map(|at| chunks * (at + 1) / threads - chunks * at / threads).max();
                assert!(most.unwrap() * given < samples.div_ceil(threads) + given, "{text}");
            }
        }
        let some = [(7, 1, 2, 1), (31, NEARBY / 8, 1, 1), (31, NEARBY / 8, 3, 1), (32, NEARBY / 4, 1, 12)];
        let chunks =
            some.map(|(samples, bytes, threads, least)| chunk(samples, bytes, threads, &group(false, least)));
        assert_eq!(chunks, [4, 8, 6, 11]);
    }

    /// A convolution before a layer of a megabyte of weights, and what its step asks memory for.
    fn asked_for(batch: usize, units: usize) -> Option<(usize, Range<usize>)> {
        let mut builder = GraphBuilder::new();
        let shape = Shape::new([Dim::symbol("batch"), 100.into(), 16.into()]);
        let x = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
        let constant = |builder: &mut GraphBuilder, shape: &[usize]| {
            let expr = ConstantExpr::filled(shape, 0.5).unwrap();
            Operand::from(builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap())
        };
        let kernel = constant(&mut builder, &[5, 16, 32]);
        let windows = vec![Window::new(5, 1, 1, Padding::Same).unwrap()];
        let y = builder.add(Conv { windows, groups: 1 }, [x.into(), kernel]).unwrap();
        let y =
            builder.add(Reshape { target: vec![ReshapeDim::Keep, ReshapeDim::Fixed(3200)] }, [y]).unwrap();
        let weights = constant(&mut builder, &[3200, units]);
        let y = builder.add(Dense, [y.into(), weights]).unwrap();
        builder.output("y", y);
        let plan = Plan::new(&builder.finish(), &PlanOptions::default()).unwrap();
        let mut bound = Bound::new(&plan.inner, &[&[batch, 100, 16]]).unwrap();
        let cuts = bound.cut(&plan.inner, 1).unwrap();
        bound.bind_steps(&plan.inner, &cuts, 1).unwrap();
        bound.look_ahead(&plan.inner);
        let steps = bound.groups.iter().flat_map(|group| &group.passes[0][1].steps);
        let asked: Vec<_> = steps.map(|step| step.ahead.clone()).collect();
        assert_eq!((asked.len(), &asked[1]), (2, &None), "batch {batch}, {units} units");
        asked[0].clone()
    }

    #[test]
    fn large_weights_are_asked_for_where_few_rows_read_them() {
        let lines = 100 * 5 * 16 * 32 / WORK_OF_A_LINE;
        let (step, bytes) = asked_for(1, 100).unwrap();
        assert_eq!((step, bytes.start), (1, 0));
        assert!((lines * LINE..2 * lines * LINE).contains(&bytes.end), "{bytes:?}");
        assert_eq!(asked_for(64, 100), None);
        assert_eq!(asked_for(1, 10), None);
    }
}
