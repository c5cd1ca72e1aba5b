//! A plan on known sizes.

use crate::arena::{Life, Slot, assign};
use crate::kernels::grid::elements;
use crate::kernels::{Runner, Source};
use crate::plan::{Inner, Storage};
use crate::{Error, Result};
use k2o_core::{Operand, Shape};

/// Everything about a plan that follows from the sizes of its inputs.
pub(crate) struct Bound {
    /// The sizes of each input.
    pub inputs: Vec<Vec<usize>>,
    /// The sizes of each value; empty for those that nothing reads.
    pub shapes: Vec<Vec<usize>>,
    /// Where each of the plan's buffers lies.
    pub slots: Vec<Slot>,
    /// Where each of a buffer's values lies.
    pub parts: Vec<Vec<Slot>>,
    /// What each of the plan's steps does; `None` where there is nothing to compute.
    pub steps: Vec<Option<BoundStep>>,
}

pub(crate) struct BoundStep {
    pub runner: Box<dyn Runner>,
    pub sources: Vec<Source>,
    /// All outputs, one after the other.
    pub target: Slot,
}

impl Bound {
    /// The plan on these sizes, without steps.
    ///
    /// # Errors
    /// Where the sizes do not fit the graph, or an array could not fit memory.
    pub fn new(plan: &Inner, sizes: &[&[usize]]) -> Result<Bound> {
        let bindings = plan.binder.bind(sizes)?;
        let eval = |(shape, needed): (&Shape, &bool)| {
            let shape = if *needed { shape.eval(&bindings)? } else { Vec::new() };
            elements(&shape)?;
            Ok(shape)
        };
        let shapes = plan.types.iter().map(|r#type| &r#type.shape).zip(&plan.needed);
        let shapes = shapes.map(eval).collect::<Result<Vec<Vec<usize>>>>()?;
        for ((shape, root), _) in
            shapes.iter().zip(&plan.roots).zip(&plan.needed).filter(|(_, needed)| **needed)
        {
            let own = match root {
                Operand::Value(id) => &shapes[id.0 as usize],
                Operand::Constant(id) => &plan.constant_shapes[id],
            };
            if elements(own)? != elements(shape)? {
                return Err(Error::shape(format!("an array of shape {own:?} cannot be read as {shape:?}")));
            }
        }
        let mut lives = Vec::with_capacity(plan.buffers.len());
        let mut lens = Vec::with_capacity(plan.buffers.len());
        for buffer in &plan.buffers {
            let own = buffer.values.iter().map(|value| elements(&shapes[value.0 as usize]));
            let own = own.collect::<Result<Vec<usize>>>()?;
            let all = own.iter().try_fold(0usize, |sum, &len| sum.checked_add(len));
            let len = all.ok_or_else(|| Error::limit("the outputs of one operator do not fit memory"))?;
            lives.push(Life { kind: buffer.kind, len, from: buffer.from, to: buffer.to });
            lens.push(own);
        }
        let slots = assign(&lives);
        let parts = slots.iter().zip(&lens).map(|(slot, lens)| {
            let mut start = 0;
            let part = |&len: &usize| {
                start += len;
                Slot { start: start - len, len, ..*slot }
            };
            lens.iter().map(part).collect()
        });
        let parts = parts.collect();
        let inputs = sizes.iter().map(|sizes| sizes.to_vec()).collect();
        Ok(Bound { inputs, shapes, slots, parts, steps: Vec::new() })
    }

    /// Makes the steps ready and returns how much scratch memory they need.
    pub fn bind_steps(&mut self, plan: &Inner) -> Result<usize> {
        let mut scratch = 0;
        for step in &plan.steps {
            let target = self.slots[step.buffer];
            if target.len == 0 {
                self.steps.push(None);
                continue;
            }
            let operands: Vec<&[usize]> = step
                .operands
                .iter()
                .map(|(operand, _)| match operand {
                    Operand::Value(id) => self.shapes[id.0 as usize].as_slice(),
                    Operand::Constant(id) => &plan.constant_shapes[id],
                })
                .collect();
            let runner = step.kernel.clone().bind(&operands, &self.shapes[step.outputs[0].0 as usize]);
            let runner = runner.map_err(|error| error.at(step.origin))?;
            scratch = scratch.max(runner.scratch());
            let sources = step.operands.iter().map(|(_, storage)| self.source(*storage)).collect();
            self.steps.push(Some(BoundStep { runner, sources, target }));
        }
        Ok(scratch)
    }

    /// Where the elements at `storage` are.
    pub fn source(&self, storage: Storage) -> Source {
        match storage {
            Storage::Input(index) => Source::Input(index),
            Storage::Constant(index) => Source::Constant(index),
            Storage::Buffer { index, part } => Source::Slot(self.parts[index][part]),
        }
    }
}
