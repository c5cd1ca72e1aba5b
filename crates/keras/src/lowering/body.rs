//! Graphs within the graph: the body of a `Scan` while it is being built.

use super::{Lowering, Tensor};
use crate::{Error, Result};
use k2o_core::{Constant, Dim, GraphBuilder, Operand, Shape, TensorType, ValueId, ops};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The graph around a body, and what of it the body reads besides its states and steps.
pub(crate) struct Body {
    outer: GraphBuilder,
    /// What is read, in the order in which it was first, and the input of the body that each is.
    captures: Vec<Operand>,
    inputs: BTreeMap<Operand, ValueId>,
}

/// What a scan computed.
pub(crate) struct Scanned {
    /// After the last step.
    pub states: Vec<Tensor>,
    /// Of each step, stacked along axis 1.
    pub outputs: Vec<Tensor>,
}

/// Gives every dimension that is no number a symbol.
#[derive(Default)]
struct Symbols(Vec<Dim>);

impl Symbols {
    fn shape(&mut self, dims: impl Iterator<Item = Dim>) -> Shape {
        dims.map(|dim| match dim.as_fixed() {
            Some(_) => dim,
            None => self.symbol(dim),
        })
        .collect()
    }

    fn symbol(&mut self, dim: Dim) -> Dim {
        let at = self.0.iter().position(|known| *known == dim).unwrap_or_else(|| {
            self.0.push(dim);
            self.0.len() - 1
        });
        match at {
            0 => Dim::symbol("batch"),
            at => Dim::symbol(&format!("size_{at}")),
        }
    }
}

impl Lowering {
    /// The graph that is the model's.
    pub(super) fn outermost(&mut self) -> &mut GraphBuilder {
        match self.bodies.first_mut() {
            Some(body) => &mut body.outer,
            None => &mut self.builder,
        }
    }

    /// Adds a constant to the model's graph and returns what it is where operators are being added.
    pub(super) fn add_constant(&mut self, constant: Constant) -> Result<Operand> {
        let operand = Operand::from(self.outermost().constant(constant)?);
        self.bring_in(operand, 0)
    }

    /// What an operand of the graph that lies in `level` others is where operators are being added.
    pub(super) fn bring_in(&mut self, mut operand: Operand, level: usize) -> Result<Operand> {
        for level in level..self.bodies.len() {
            let Some([body, deeper @ ..]) = self.bodies.get_mut(level..) else { break };
            let known = body.inputs.get(&operand);
            operand = match known {
                Some(inner) => (*inner).into(),
                None => {
                    let mut r#type = body.outer.type_of(operand);
                    if operand.value().is_some() {
                        r#type.shape = Symbols::default().shape(r#type.shape.iter().cloned());
                    }
                    let name = format!("given_{}", body.captures.len());
                    let builder = match deeper.first_mut() {
                        Some(inner) => &mut inner.outer,
                        None => &mut self.builder,
                    };
                    let inner = builder.input(name, r#type)?;
                    body.captures.push(operand);
                    body.inputs.insert(operand, inner);
                    inner.into()
                }
            };
        }
        Ok(operand)
    }

    /// Runs what `step` adds for every step of `sequences`, `[batch, steps, ..]`, from the last to the first where
    /// `reverse` says so. `step` is given the states and one step of each sequence, and returns the next states and what
    /// is kept of each step.
    pub(crate) fn scan(
        &mut self,
        states: &[Tensor],
        sequences: &[Tensor],
        reverse: bool,
        step: impl FnOnce(&mut Lowering, &[Tensor], &[Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>)>,
    ) -> Result<Scanned> {
        let mut arguments: Vec<Operand> =
            states.iter().chain(sequences).map(|&tensor| self.any_operand(tensor)).collect::<Result<_>>()?;
        let mut symbols = Symbols::default();
        let mut inner = GraphBuilder::new();
        inner.within(self.stack.last().map(|frame| frame.call));
        let mut inputs = Vec::new();
        for (at, &argument) in arguments.iter().enumerate() {
            let TensorType { shape, dtype } = self.builder.type_of(argument);
            let is_sequence = at >= states.len();
            let dims = shape.iter().enumerate().filter(|(axis, _)| !(is_sequence && *axis == 1));
            let shape = symbols.shape(dims.map(|(_, dim)| dim.clone()));
            let name =
                if is_sequence { format!("step_{}", at - states.len()) } else { format!("state_{at}") };
            inputs.push(Tensor::from(inner.input(name, TensorType::new(shape, dtype))?));
        }
        let outer = std::mem::replace(&mut self.builder, inner);
        self.bodies.push(Body { outer, captures: Vec::new(), inputs: BTreeMap::new() });
        let (given_states, given_steps) = inputs.split_at(states.len());
        let outcome = step(self, given_states, given_steps).and_then(|(states, outputs)| {
            for (at, state) in states.iter().enumerate() {
                let value = state.value.ok_or_else(|| Error::malformed("an unknown tensor"))?;
                self.builder.output(format!("state_{at}"), value);
            }
            for (at, output) in outputs.iter().enumerate() {
                let value = output.value.ok_or_else(|| Error::malformed("an unknown tensor"))?;
                self.builder.output(format!("output_{at}"), value);
            }
            Ok(())
        });
        let Some(Body { outer, captures, .. }) = self.bodies.pop() else {
            return Err(Error::malformed("a body that was not begun"));
        };
        let body = std::mem::replace(&mut self.builder, outer).finish();
        outcome?;
        arguments.extend(captures);
        let (count, sequences) = (states.len(), sequences.len());
        let scan = ops::Scan { body: Arc::new(body), states: count, sequences, reverse };
        let mut outputs = self.builder.add_all(scan.into(), arguments)?.into_iter().map(Tensor::from);
        let states = outputs.by_ref().take(count).collect();
        Ok(Scanned { states, outputs: outputs.collect() })
    }
}
