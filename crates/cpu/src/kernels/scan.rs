//! A graph run once for every step.

#[cfg(test)]
mod tests;

use super::grid::elements;
use super::{AnyKernel, Memory, Operands, Place, Runner, Source};
use crate::arena::{Element, Kind};
use crate::{DataView, Error, Plan, Result, Session, TensorView};
use std::sync::Arc;

/// A plan of one step. Operands are its inputs with all steps of the sequences.
pub(crate) struct Scan {
    pub body: Plan,
    pub states: usize,
    pub sequences: usize,
    pub reverse: bool,
    /// Which of the outputs of `body` are wanted. Those are of one kind.
    pub wanted: Vec<bool>,
}

/// A scan on known sizes, with a session of its own.
struct ScanRunner {
    scan: Arc<Scan>,
    session: Session,
    steps: usize,
    /// States and one step of each sequence.
    changing: Vec<Array>,
    /// What is the same in all steps: kinds and sizes.
    given: Vec<(Kind, Vec<usize>)>,
    outputs: Vec<Output>,
    /// Room for what a step reads; empty between steps.
    views: Vec<TensorView<'static>>,
}

/// A wanted output.
struct Output {
    /// Which of the body's.
    index: usize,
    /// Where its elements start among those of all.
    start: usize,
    /// Elements that one run of the body computes.
    len: usize,
    /// Neighbours that one run of the body computes.
    run: usize,
}

/// Sizes and elements.
struct Array {
    shape: Vec<usize>,
    data: Data,
}

enum Data {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl Array {
    fn zeros(kind: Kind, shape: Vec<usize>) -> Result<Array> {
        let len = elements(&shape)?;
        let data = match kind {
            Kind::Float => Data::F32(zeros(len)?),
            Kind::Integer => Data::I64(zeros(len)?),
        };
        Ok(Array { shape, data })
    }

    fn view(&self) -> TensorView<'_> {
        let data = match &self.data {
            Data::F32(data) => DataView::F32(data),
            Data::I64(data) => DataView::I64(data),
        };
        TensorView::trusted(&self.shape, data)
    }

    /// Takes on the elements of an array of the same sizes.
    fn set(&mut self, other: DataView<'_>) {
        match (&mut self.data, other) {
            (Data::F32(data), DataView::F32(other)) => data.copy_from_slice(other),
            (Data::I64(data), DataView::I64(other)) => data.copy_from_slice(other),
            _ => {}
        }
    }

    /// Takes on step `at` of a sequence.
    fn set_step(&mut self, operands: &Operands<'_>, operand: usize, (at, steps): (usize, usize)) {
        let rows = self.shape.first().copied().unwrap_or(0);
        match &mut self.data {
            Data::F32(data) => copy_step(operands.get(operand), data, rows, (at, steps)),
            Data::I64(data) => copy_step(operands.get(operand), data, rows, (at, steps)),
        }
    }
}

fn zeros<T: Element>(len: usize) -> Result<Vec<T>> {
    let mut data = Vec::new();
    data.try_reserve_exact(len).map_err(|_| Error::limit(format!("{len} elements do not fit memory")))?;
    data.resize(len, T::default());
    Ok(data)
}

/// Copies step `at` of each row of `x` to `y`.
fn copy_step<T: Copy>(x: &[T], y: &mut [T], rows: usize, (at, steps): (usize, usize)) {
    let run = y.len() / rows.max(1);
    if run > 0 {
        for (y, x) in y.chunks_exact_mut(run).zip(x.chunks_exact(run).skip(at).step_by(steps)) {
            y.copy_from_slice(x);
        }
    }
}

impl AnyKernel for Scan {
    fn bind(self: Arc<Self>, operands: &[&[usize]], _: &[usize]) -> Result<Box<dyn Runner>> {
        let mut shapes: Vec<Vec<usize>> = operands.iter().map(|shape| shape.to_vec()).collect();
        let mut steps = 0;
        for sequence in shapes.iter_mut().skip(self.states).take(self.sequences) {
            if sequence.len() < 2 {
                return Err(Error::shape(format!("a scan over the steps of an array of shape {sequence:?}")));
            }
            steps = sequence.remove(1);
        }
        let mut session = self.body.session();
        session.bind(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let (mut outputs, mut start) = (Vec::new(), 0);
        for (index, _) in self.wanted.iter().enumerate().filter(|(_, is_wanted)| **is_wanted) {
            let shape = session.output_shape(index).ok_or_else(Error::not_computed)?;
            let len = elements(shape)?;
            let run = if index < self.states { len } else { shape.iter().skip(1).product() };
            outputs.push(Output { index, start, len, run });
            start += if index < self.states { len } else { len * steps };
        }
        let kinds = self.body.inputs().map(|(_, r#type)| Kind::of(r#type.dtype));
        let kinds = kinds.collect::<Result<Vec<Kind>>>()?;
        let mut inputs = kinds.into_iter().zip(shapes);
        let changing = inputs.by_ref().take(self.states + self.sequences);
        let changing = changing.map(|(kind, shape)| Array::zeros(kind, shape)).collect::<Result<_>>()?;
        let given = inputs.collect();
        Ok(Box::new(ScanRunner { scan: self, session, steps, changing, given, outputs, views: Vec::new() }))
    }
}

impl ScanRunner {
    /// Runs all steps and stores the wanted outputs one after the other.
    fn run_steps<T: Element>(&mut self, operands: &Operands<'_>, out: &mut [T]) -> Result<()> {
        let (states, steps) = (self.scan.states, self.steps);
        for (index, state) in self.changing.iter_mut().enumerate().take(states) {
            match &mut state.data {
                Data::F32(data) => data.copy_from_slice(operands.get(index)),
                Data::I64(data) => data.copy_from_slice(operands.get(index)),
            }
        }
        for i in 0..steps {
            let at = if self.scan.reverse { steps - 1 - i } else { i };
            for (index, sequence) in self.changing.iter_mut().enumerate().skip(states) {
                sequence.set_step(operands, index, (at, steps));
            }
            let mut views: Vec<TensorView<'_>> = std::mem::take(&mut self.views);
            views.extend(self.changing.iter().map(Array::view));
            for ((kind, shape), index) in self.given.iter().zip(self.changing.len()..) {
                let data = match kind {
                    Kind::Float => DataView::F32(operands.get(index)),
                    Kind::Integer => DataView::I64(operands.get(index)),
                };
                views.push(TensorView::trusted(shape, data));
            }
            let results = self.session.run(&views).map_err(|error| error.in_step(i))?;
            views.clear();
            // Collected in place, so that the next step need not allocate.
            self.views = views.into_iter().map(|_| TensorView::trusted(&[], DataView::F32(&[]))).collect();
            for (state, (_, result)) in self.changing.iter_mut().take(states).zip(results.iter()) {
                state.set(result.data());
            }
            for &Output { index, start, len, run } in &self.outputs {
                let result = results.get(index).and_then(|view| T::external(&view)).unwrap_or(&[]);
                if index >= states && len > 0 {
                    let rows = out[start..][..len * steps].chunks_exact_mut(run).skip(at).step_by(steps);
                    rows.zip(result.chunks_exact(run)).for_each(|(row, result)| row.copy_from_slice(result));
                }
            }
        }
        for &Output { index, start, len, .. } in self.outputs.iter().filter(|output| output.index < states) {
            let state = T::external(&self.changing[index].view()).unwrap_or(&[]);
            out[start..][..len].copy_from_slice(state);
        }
        Ok(())
    }
}

impl Runner for ScanRunner {
    fn scratch(&self) -> usize {
        0
    }

    unsafe fn run(
        &mut self,
        memory: Memory<'_>,
        _: &mut [f32],
        sources: &[Source],
        target: Place,
    ) -> Result<()> {
        let operands = Operands { sources, memory };
        match target.kind {
            // SAFETY: the caller's.
            Kind::Float => self.run_steps::<f32>(&operands, unsafe { memory.get_mut(target) }),
            // SAFETY: the caller's.
            Kind::Integer => self.run_steps::<i64>(&operands, unsafe { memory.get_mut(target) }),
        }
    }
}
