//! A graph run once for every step: the general recurrence.

use super::{Infer, Operator};
use crate::tensor::element_count;
use crate::{
    Cost, Data, Dim, Error, Graph, GraphBuilder, Node, Operand, PerValue, Relation, Result, Shape, Tensor,
    TensorType, ValueId, run_reference,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `body` run for each step along axis 1 of the sequences, each run given the states that the last one left.
///
/// Inputs: the first states, then sequences `[batch, steps, ..]`, then what every run is given as it is. The inputs of
/// `body` are as many, in the same order, with one step `[batch, ..]` of each sequence. The outputs of `body` are the
/// next states, of the states' types, then what it computes of a step. Outputs: the last states, then each of the
/// others with all steps along axis 1.
///
/// `body` has no constants: weights are among what every run is given. Its symbols stand for whatever sizes its inputs
/// are given.
#[derive(Clone, Debug)]
pub struct Scan {
    /// What is run.
    pub body: Arc<Graph>,
    /// How many states there are.
    pub states: usize,
    /// How many sequences are read step by step.
    pub sequences: usize,
    /// Whether steps are run from the last to the first. What is computed of a step stays at its place.
    pub reverse: bool,
}

/// Equal if it is the same body.
impl PartialEq for Scan {
    fn eq(&self, other: &Scan) -> bool {
        let numbers = |scan: &Scan| (scan.states, scan.sequences, scan.reverse);
        Arc::ptr_eq(&self.body, &other.body) && numbers(self) == numbers(other)
    }
}

/// What the body's symbols stand for.
struct Symbols(BTreeMap<String, Dim>);

impl Symbols {
    fn dim(&self, dim: &Dim) -> Result<Dim> {
        let mut unknown = None;
        dim.visit_symbols(&mut |name| {
            if !self.0.contains_key(&**name) {
                unknown = Some(name.clone());
            }
        });
        match unknown {
            Some(name) => {
                let text = format!("no input of the scan says what the {:?} of its body is", &*name);
                Err(Error::shape(text))
            }
            None => dim.replace(&|name| self.0.get(name).cloned()),
        }
    }

    fn shape(&self, shape: &[Dim]) -> Result<Vec<Dim>> {
        shape.iter().map(|dim| self.dim(dim)).collect()
    }
}

impl Scan {
    /// The number of body inputs that are states or sequences.
    pub(crate) fn recurrent(&self) -> usize {
        self.states.saturating_add(self.sequences)
    }

    fn body_type(&self, value: ValueId) -> &TensorType {
        &self.body.value(value).r#type
    }

    /// Demands that the body is one.
    #[expect(clippy::indexing_slicing, reason = "there are no fewer outputs than states")]
    fn check_body(&self) -> Result<()> {
        let (inputs, outputs) = (self.body.inputs(), self.body.outputs());
        if inputs.len() < self.recurrent() || outputs.len() < self.states || self.sequences == 0 {
            return Err(Error::shape(format!(
                "a scan of {} states and {} sequences with a body of {} inputs and {} outputs",
                self.states,
                self.sequences,
                inputs.len(),
                outputs.len()
            )));
        }
        if !self.body.constants().is_empty() {
            return Err(Error::shape("the body of a scan has constants of its own"));
        }
        for (state, next) in inputs.iter().zip(outputs).take(self.states) {
            let (state, next) = (self.body_type(state.value), self.body_type(next.value));
            if state != next {
                return Err(Error::shape(format!(
                    "a scan makes a state {} of {} one {} of {}",
                    state.shape, state.dtype, next.shape, next.dtype
                )));
            }
        }
        match outputs[self.states..].iter().find(|port| self.body_type(port.value).shape.rank() == 0) {
            Some(port) => Err(Error::shape(format!("a scan cannot stack its scalar {:?}", port.name))),
            None => Ok(()),
        }
    }

    /// What the body's symbols stand for where a scan is given these inputs, and the number of steps.
    fn symbols(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<(Symbols, Dim)> {
        let expected = self.body.inputs().len();
        if inputs.len() != expected {
            let given = inputs.len();
            return Err(Error::shape(format!("a scan takes {expected} inputs; {given} were given")));
        }
        let is_sequence = |at: usize| (self.states..self.recurrent()).contains(&at);
        // Each input as a run of the body is given it, and the number of steps.
        let mut steps: Option<Dim> = None;
        let mut given = Vec::with_capacity(inputs.len());
        for (at, input) in inputs.iter().enumerate() {
            if !is_sequence(at) {
                given.push(input.shape.to_vec());
                continue;
            }
            let [batch, own, rest @ ..] = &input.shape[..] else {
                return Err(Error::shape(format!("a scan over the steps of {}", input.shape)));
            };
            match &steps {
                Some(steps) => infer.require_equal(steps, own, || {
                    format!("a scan over sequences of {steps} and {own} steps")
                })?,
                None => steps = Some(own.clone()),
            }
            given.push([std::slice::from_ref(batch), rest].concat());
        }
        let mut symbols = Symbols(BTreeMap::new());
        for ((port, shape), input) in self.body.inputs().iter().zip(&given).zip(inputs) {
            let wanted = self.body_type(port.value);
            let misfit = || {
                let (wanted, input) = (&wanted.shape, &input.shape);
                format!("the scan's {:?} is {wanted} in its body; {input} was given", port.name)
            };
            if wanted.dtype != input.dtype || wanted.shape.rank() != shape.len() {
                return Err(Error::shape(format!("{} of {}", misfit(), input.dtype)));
            }
            for (wanted, dim) in wanted.shape.iter().zip(shape) {
                let wanted = match wanted.as_symbol() {
                    Some(name) => symbols.0.entry(name.into()).or_insert_with(|| dim.clone()).clone(),
                    None => symbols.dim(wanted)?,
                };
                infer.require_equal(dim, &wanted, misfit)?;
            }
        }
        Ok((symbols, steps.unwrap_or(Dim::ZERO)))
    }

    /// The body as part of `graph`, in which `node` is this scan: what every run is given and `graph` has as a constant
    /// is a constant with the same id, and no input.
    pub fn body_within(&self, graph: &Graph, node: &Node) -> Result<Graph> {
        let mut builder = GraphBuilder::new();
        for constant in graph.constants() {
            builder.constant(constant.clone())?;
        }
        let mut values: PerValue<Option<Operand>> = PerValue::new(&self.body, None);
        for (at, (port, &operand)) in self.body.inputs().iter().zip(&node.inputs).enumerate() {
            values[port.value] = Some(match operand {
                Operand::Constant(id) if at >= self.recurrent() => id.into(),
                _ => builder.input(port.name.clone(), self.body_type(port.value).clone())?.into(),
            });
        }
        let missing = || Error::shape("a value is used before it is computed");
        for node in self.body.nodes() {
            let operand = |operand: &Operand| match operand {
                Operand::Value(id) => values[*id].ok_or_else(missing),
                Operand::Constant(_) => Err(missing()),
            };
            let inputs = node.inputs.iter().map(operand).collect::<Result<Vec<Operand>>>()?;
            builder.within(node.origin);
            let outputs = builder.add_all(node.op.clone(), inputs)?;
            for (old, new) in node.outputs.iter().zip(outputs) {
                values[*old] = Some(new.into());
            }
        }
        for port in self.body.outputs() {
            let value = values[port.value].and_then(Operand::value).ok_or_else(missing)?;
            builder.output(port.name.clone(), value);
        }
        Ok(builder.finish())
    }
}

impl Operator for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        self.check_body()?;
        let (symbols, steps) = self.symbols(inputs, infer)?;
        for constraint in self.body.constraints() {
            let relation = match &constraint.relation {
                Relation::AtLeast(n) => Relation::AtLeast(*n),
                Relation::EqualTo(dim) => Relation::EqualTo(symbols.dim(dim)?),
                Relation::MultipleOf(dim) => Relation::MultipleOf(symbols.dim(dim)?),
            };
            infer.require(&symbols.dim(&constraint.left)?, relation, || constraint.rule.clone())?;
        }
        let outputs = self.body.outputs().iter().enumerate().map(|(at, port)| {
            let r#type = self.body_type(port.value);
            let mut shape = symbols.shape(&r#type.shape)?;
            if at >= self.states {
                shape.insert(1, steps.clone());
            }
            Ok(TensorType::new(Shape::new(shape), r#type.dtype))
        });
        outputs.collect()
    }

    fn cost(&self, inputs: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        let (symbols, steps) = self.symbols(inputs, &mut Infer::default())?;
        let mut cost = Cost::NONE;
        for node in self.body.nodes() {
            cost = cost.add(&self.body.cost(node)?)?;
        }
        let total = |dim: &Dim| symbols.dim(dim)?.mul(&steps);
        Ok(Cost { multiply_adds: total(&cost.multiply_adds)?, element_ops: total(&cost.element_ops)? })
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [states, rest] = [&inputs[..self.states], &inputs[self.states..]];
        let (sequences, given) = rest.split_at(self.sequences);
        let steps = sequences.first().map_or(0, |x| x.shape()[1]);
        let mut states: Vec<Tensor> = states.iter().map(|&state| state.clone()).collect();
        // What each run computed, in the order of the steps.
        let mut computed: Vec<Vec<Tensor>> = Vec::new();
        let too_many = |_| Error::limit(format!("a scan of {steps} steps does not fit memory"));
        computed.try_reserve_exact(steps).map_err(too_many)?;
        computed.resize(steps, Vec::new());
        for i in 0..steps {
            let t = if self.reverse { steps - 1 - i } else { i };
            let mut arguments = std::mem::take(&mut states);
            for x in sequences {
                arguments.push(step(x, t)?);
            }
            arguments.extend(given.iter().map(|&x| x.clone()));
            states = run_reference(&self.body, &arguments, &[])?.outputs;
            computed[t] = states.split_off(self.states);
        }
        let per_step = self.body.outputs()[self.states..].iter().enumerate();
        let stacked = per_step.map(|(at, port)| {
            let steps: Vec<&Tensor> = computed.iter().map(|outputs| &outputs[at]).collect();
            match steps.is_empty() {
                false => stack(&steps),
                true => self.no_steps(inputs, port.value),
            }
        });
        let stacked = stacked.collect::<Result<Vec<Tensor>>>()?;
        states.extend(stacked);
        Ok(states)
    }
}

impl Scan {
    /// All steps of a value of the body where there are none.
    fn no_steps(&self, inputs: &[&Tensor], value: ValueId) -> Result<Tensor> {
        let mut bindings = crate::Bindings::new();
        for (at, (port, x)) in self.body.inputs().iter().zip(inputs).enumerate() {
            let mut sizes = x.shape().to_vec();
            if (self.states..self.recurrent()).contains(&at) {
                sizes.remove(1);
            }
            for (dim, n) in self.body_type(port.value).shape.iter().zip(sizes) {
                if let Some(name) = dim.as_symbol() {
                    bindings.insert(name.into(), n as i64);
                }
            }
        }
        let r#type = self.body_type(value);
        let mut shape = r#type.shape.eval(&bindings)?;
        shape.insert(1, 0);
        Tensor::zeros(shape, r#type.dtype)
    }
}

/// Step `t` of a sequence `[batch, steps, ..]`.
#[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
fn step(x: &Tensor, t: usize) -> Result<Tensor> {
    let [batch, steps, rest @ ..] = x.shape() else { return Err(Error::shape("a sequence without steps")) };
    let run: usize = rest.iter().product();
    let positions: Vec<usize> =
        (0..*batch).flat_map(|b| (0..run).map(move |i| (b * steps + t) * run + i)).collect();
    x.select([&[*batch], rest].concat(), &positions)
}

/// Tensors `[batch, ..]` as one `[batch, steps, ..]`.
#[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
#[expect(clippy::indexing_slicing, reason = "each step was made with a batch, and all have one shape")]
fn stack(steps: &[&Tensor]) -> Result<Tensor> {
    let Some((&first, rest)) = steps.split_first() else { return Err(Error::shape("no steps")) };
    let mut shape = first.shape().to_vec();
    shape.insert(1, steps.len());
    let (batch, run) = (shape[0], element_count(&shape[2..])?);
    macro_rules! stack {
        ($variant:ident, $first:expr) => {{
            let mut all = vec![$first];
            for tensor in rest {
                let Data::$variant(data) = tensor.data() else {
                    return Err(Error::shape("steps of different element types"));
                };
                all.push(data);
            }
            Data::$variant(
                (0..batch)
                    .flat_map(|b| all.iter().flat_map(move |x| &x[b * run..(b + 1) * run]))
                    .copied()
                    .collect(),
            )
        }};
    }
    let data = match first.data() {
        Data::F64(data) => stack!(F64, data),
        Data::I64(data) => stack!(I64, data),
        Data::Bool(data) => stack!(Bool, data),
    };
    Tensor::new(shape, data)
}
