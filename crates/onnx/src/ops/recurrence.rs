//! What `LSTM`, `GRU` and `RNN` have in common: weights, activations, lengths, and when they can be used at all.
//!
//! They read and leave steps before batch, so that recurrent layers on top of each other need no transposition. Their
//! states and results have an axis of directions, here of size 1; two directions as one node are in `bidirectional`.

use super::target::{Size, joined};
use super::{Emit, Layouts, gru, lstm, rnn};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::messages::data_type;
use crate::view::View;
use crate::{Error, Result, Target};
use k2o_core::ops::{Recurrence, Unary};
use k2o_core::{ConstantExpr, DType, Graph, Node, Op, ValueId};

/// A recurrent operator and its node.
pub(super) struct Cell {
    pub name: &'static str,
    pub op_type: &'static str,
    pub recurrence: Recurrence,
    pub states: usize,
    /// Which of the operator's gates each of the node's is.
    pub gates: &'static [usize],
    /// The activations in the node's order.
    pub functions: Vec<Option<Unary>>,
    /// What they are if the node does not say it.
    pub assumed: &'static [Unary],
    pub linear_before_reset: bool,
}

/// The node that an operator is, if it is recurrent.
pub(super) fn cell(op: &Op) -> Option<Cell> {
    match op {
        Op::Gru(op) => Some(gru::cell(op)),
        Op::Lstm(op) => Some(lstm::cell(op)),
        Op::Rnn(op) => Some(rnn::cell(op)),
        _ => None,
    }
}

/// Whether an operator can be a recurrent node.
pub(crate) fn is_recurrent(op: &Op) -> bool {
    cell(op).is_some()
}

/// How a recurrent operator is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a node of its own.
    Native,
    /// As a node of its own that is told the lengths of the sequences.
    WithLengths,
    /// As a scan, for this reason.
    Scan(&'static str),
}

/// How a node is written, if it is recurrent.
pub(crate) fn form(graph: &Graph, node: &Node, target: Target, right_padded: bool) -> Option<Form> {
    let cell = cell(&node.op)?;
    let operands = cell.recurrence.operands(cell.name, cell.states, &node.inputs).ok()?;
    let weights = [Some(operands.kernel), Some(operands.recurrent_kernel), operands.bias];
    if weights.into_iter().flatten().any(|weights| weights.constant().is_none()) {
        return Some(Form::Scan("its weights are computed"));
    }
    if graph.type_of(*operands.x).dtype != DType::F32 {
        return Some(Form::Scan("it is not of float32"));
    }
    if let Some(reason) = cell.functions.iter().find_map(|&function| Function::of(function).err()) {
        return Some(Form::Scan(reason));
    }
    let tract = target == Target::Tract;
    Some(match cell.recurrence {
        _ if tract && !cell.has_assumed_functions() => Form::Scan("tract ignores `activations`"),
        Recurrence { reverse: true, .. } if tract => Form::Scan("tract ignores `direction`"),
        Recurrence { has_mask: true, .. } if tract => Form::Scan("tract has no `sequence_lens`"),
        // Of 0.23.9: "xw not contiguous", where something else than an input of the model is read.
        _ if tract && matches!(node.op, Op::Gru(_)) => Form::Scan("tract fails on some inputs"),
        // Of 0.23.9, in batches of more than 1.
        _ if tract && matches!(node.op, Op::Lstm(_)) && reads_steps_and_states(graph, node) => {
            Form::Scan("tract fails where steps and states are read")
        }
        Recurrence { has_mask: true, .. } if !right_padded => Form::Scan("its mask may leave out any step"),
        // What the last states of an empty sequence are is not specified; onnxruntime gives zeros.
        Recurrence { has_mask: true, has_states: true, .. } => {
            Form::Scan("an empty sequence keeps its states")
        }
        Recurrence { has_mask: true, .. } => Form::WithLengths,
        _ => Form::Native,
    })
}

/// Whether something reads the steps of a recurrent operator, and something its last states.
fn reads_steps_and_states(graph: &Graph, node: &Node) -> bool {
    let uses = graph.uses();
    let is_read = |id: &ValueId| uses[*id] > 0;
    node.outputs.split_first().is_some_and(|(steps, states)| is_read(steps) && states.iter().any(is_read))
}

/// An activation of the node, with the arguments that it takes.
#[derive(Debug, PartialEq)]
struct Function {
    name: &'static str,
    alpha: Option<f64>,
    beta: Option<f64>,
}

impl Function {
    /// The activation that computes `function`, or why there is none. `ThresholdedRelu` is not among them, which as an
    /// activation is another one at the threshold than as an operator.
    fn of(function: Option<Unary>) -> Result<Function, &'static str> {
        let (name, alpha, beta) = match function {
            None => ("Affine", Some(1.0), Some(0.0)),
            Some(Unary::Elu { alpha }) => ("Elu", Some(alpha), None),
            Some(Unary::HardSigmoid { slope, offset }) => ("HardSigmoid", Some(slope), Some(offset)),
            Some(Unary::LeakyRelu { slope }) => ("LeakyRelu", Some(slope), None),
            Some(Unary::Relu) => ("Relu", None, None),
            Some(Unary::Sigmoid) => ("Sigmoid", None, None),
            // Of 1.32, for sums from 89 on.
            Some(Unary::Softplus) => return Err("onnxruntime overflows in its `Softplus`"),
            Some(Unary::Softsign) => ("Softsign", None, None),
            Some(Unary::Tanh) => ("Tanh", None, None),
            Some(_) => return Err("ONNX has no such activation"),
        };
        Ok(Function { name, alpha, beta })
    }
}

impl Cell {
    fn has_assumed_functions(&self) -> bool {
        self.functions.iter().copied().eq(self.assumed.iter().copied().map(Some))
    }

    /// The places of the optional operands: the bias, the first of the states, and the mask.
    fn places(&self) -> [Option<usize>; 3] {
        let Recurrence { has_bias, has_states, has_mask, .. } = self.recurrence;
        let states = self.recurrence.state_places(self.states);
        [has_bias.then_some(3), has_states.then_some(states.start), has_mask.then_some(states.end)]
    }

    /// Whether the steps that the mask leaves out must be filled, which the node makes zeros.
    fn fills(&self, uses_steps: bool) -> bool {
        self.recurrence.has_mask && !self.recurrence.reverse && uses_steps
    }

    pub fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let time_major = Layout::Axes(vec![1, 0, 2]);
        let [_, _, mask] = self.places();
        let filled = mask.filter(|_| self.fills(site.uses(0)));
        let layout = |operand| match operand {
            0 => Ok(time_major.clone()),
            _ if filled == Some(operand) => Ok(Layout::Axes(vec![1, 0])),
            _ => Ok(Layout::keras(site.input(operand)?.shape.rank())),
        };
        let inputs = (0..site.node.inputs.len()).map(layout).collect::<Result<Vec<_>>>()?;
        Ok(Layouts { inputs, output: time_major })
    }

    pub fn emit(&self, emit: &mut Emit<'_>) -> Result<Vec<Option<TensorId>>> {
        let used: Vec<bool> = (0..=self.states).map(|output| emit.uses(output)).collect();
        if !used.contains(&true) {
            return Ok(vec![None; used.len()]);
        }
        // Elsewhere it is a scan by now.
        if let Some(Form::Scan(reason)) = form(emit.graph, emit.node, emit.target(), emit.right_padded()) {
            return Err(Error::unsupported(format!("{} inside of a scan: {reason}", self.name)));
        }
        let (x, units) = (emit.input(0)?, units(emit.graph, emit.node)?);
        let [bias, states, mask] = self.places();
        let kernel = self.weights(emit, 1)?;
        let recurrent_kernel = self.weights(emit, 2)?;
        let bias = match bias {
            Some(operand) => self.bias(emit, operand)?,
            None => Arg::Absent,
        };
        let lengths = match mask {
            Some(operand) => lengths(emit, operand)?,
            None => Arg::Absent,
        };
        let mut inputs = vec![x, kernel, recurrent_kernel, bias, lengths];
        inputs.extend(self.first_states(emit, states, x, units)?);
        let mut node = NodeSpec::new(self.op_type, inputs).int("hidden_size", units as i64);
        if self.recurrence.reverse {
            node = node.string("direction", "reverse");
        }
        let node = self.with_options(node, 1)?;
        let fills = mask.filter(|_| self.fills(emit.uses(0)));
        // The last state is what the steps are filled with.
        let wanted = used.iter().enumerate().map(|(at, &used)| used || at == 1 && fills.is_some());
        let outputs = emit.node_of_used(node, &wanted.collect::<Vec<_>>());
        let mut results = Vec::with_capacity(outputs.len());
        for (at, (output, used)) in outputs.iter().zip(used).enumerate() {
            let Some(output) = output.filter(|_| used) else {
                results.push(None);
                continue;
            };
            // Steps have the directions behind them, states before.
            let axes = emit.ints("axes", &[i64::from(at == 0)]);
            let mut result = emit.node(NodeSpec::new("Squeeze", [Arg::Tensor(output), axes]));
            if let (0, Some(mask), Some(Some(last))) = (at, fills, outputs.get(1)) {
                let axes = emit.ints("axes", &[2]);
                let mask = emit.input(mask)?;
                let mask = emit.call("Unsqueeze", [mask, axes]);
                result = emit.node(NodeSpec::new("Where", [mask, Arg::Tensor(result), Arg::Tensor(*last)]));
            }
            results.push(Some(result));
        }
        Ok(results)
    }

    /// A kernel `[1, gates * units, inputs]` of one `[inputs, gates * units]`.
    fn weights(&self, emit: &mut Emit<'_>, operand: usize) -> Result<Arg> {
        let shape = emit.constant(operand)?.shape();
        let &[rows, columns] = shape else {
            return Err(Error::shape(format!("a kernel of shape {shape:?}")));
        };
        let dims = vec![1, columns, rows];
        if self.gates.is_sorted() {
            return emit.weight(operand, View::permuted(shape, &[1, 0]).called(dims));
        }
        emit.derived(operand, self.op_type, |kernel| self.kernel(kernel))
    }

    /// The kernel `[1, gates * units, inputs]` of one `[inputs, gates * units]`.
    pub fn kernel(&self, kernel: &ConstantExpr) -> k2o_core::Result<ConstantExpr> {
        // Moved as it is stored, and what is moved then in parts: the other way round, all of it would be in memory.
        let kernel = self.reordered(&kernel.permute(&[1, 0])?)?;
        kernel.reshape(&[&[1], kernel.shape()].concat())
    }

    /// A bias `[1, 2 * gates * units]`: that of the products of `x`, then that of the products of the state.
    fn bias(&self, emit: &mut Emit<'_>, operand: usize) -> Result<Arg> {
        let shape = emit.constant(operand)?.shape();
        if let &[2, n] = shape {
            return emit.weight(operand, View::of(shape).called(vec![1, 2 * n]));
        }
        if !matches!(shape, [_]) {
            return Err(Error::shape(format!("a bias of shape {shape:?}")));
        }
        emit.derived(operand, self.op_type, |bias| self.both_biases(bias))
    }

    /// The bias `[1, 2 * gates * units]` of one of shape `[2, gates * units]`, or of `[gates * units]` with zeros for the
    /// products of the state.
    pub fn both_biases(&self, bias: &ConstantExpr) -> k2o_core::Result<ConstantExpr> {
        let n = bias.shape().last().copied().unwrap_or(0);
        if bias.shape().len() == 2 {
            return bias.reshape(&[1, 2 * n]);
        }
        let zeros = ConstantExpr::filled(&[n], 0.0)?;
        ConstantExpr::concat(&[self.reordered(bias)?, zeros], 0)?.reshape(&[1, 2 * n])
    }

    /// The gates along the first axis in the node's order.
    fn reordered(&self, weights: &ConstantExpr) -> k2o_core::Result<ConstantExpr> {
        if self.gates.is_sorted() {
            return Ok(weights.clone());
        }
        let units = weights.shape().first().map_or(0, |n| n / self.gates.len());
        let gate = |&gate: &usize| weights.slice(0, gate * units..(gate + 1) * units);
        ConstantExpr::concat(&self.gates.iter().map(gate).collect::<k2o_core::Result<Vec<_>>>()?, 0)
    }

    /// The first states, `[1, batch, units]` each. tract 0.23.9 makes none of its own for a batch of unknown size.
    fn first_states(
        &self,
        emit: &mut Emit<'_>,
        first: Option<usize>,
        x: Arg,
        units: usize,
    ) -> Result<Vec<Arg>> {
        let Some(first) = first else {
            let batch = emit.type_of(0)?.shape.dim(0)?.clone();
            if emit.target() != Target::Tract || batch.as_fixed().is_some() {
                return Ok(Vec::new());
            }
            let sizes =
                vec![Size::Number(1), Size::Axis { of: x, axis: 1, rank: 3 }, Size::Number(units as i64)];
            let shape = joined(emit, sizes);
            let zero = emit.scalar("zero", DType::F32, 0.0)?;
            return Ok(vec![emit.call("Expand", [zero, shape]); self.states]);
        };
        let mut states = Vec::with_capacity(self.states);
        for operand in first..first + self.states {
            if emit.operand(operand)?.constant().is_some() {
                let shape = emit.constant(operand)?.shape();
                let dims = [&[1], shape].concat();
                states.push(emit.weight(operand, View::of(shape).called(dims))?);
                continue;
            }
            let state = emit.input(operand)?;
            let axes = emit.ints("axes", &[0]);
            states.push(emit.call("Unsqueeze", [state, axes]));
        }
        Ok(states)
    }

    /// The node for so many directions with the attributes that say what is computed, but for what ONNX assumes.
    pub fn with_options(&self, mut node: NodeSpec, directions: usize) -> Result<NodeSpec> {
        if self.linear_before_reset {
            node = node.int("linear_before_reset", 1);
        }
        match self.has_assumed_functions() {
            true => Ok(node),
            false => self.with_activations(node, directions),
        }
    }

    /// Names of all activations, and the arguments of those that take any, one after the other, for each direction.
    fn with_activations(&self, node: NodeSpec, directions: usize) -> Result<NodeSpec> {
        let function = |&function: &Option<Unary>| Function::of(function).map_err(Error::unsupported);
        let functions = self.functions.repeat(directions);
        let functions = functions.iter().map(function).collect::<Result<Vec<Function>>>()?;
        let names: Vec<&str> = functions.iter().map(|f| f.name).collect();
        let alphas: Vec<f64> = functions.iter().filter_map(|f| f.alpha).collect();
        let betas: Vec<f64> = functions.iter().filter_map(|f| f.beta).collect();
        let mut node = node.strings("activations", &names);
        if !alphas.is_empty() {
            node = node.floats("activation_alpha", &alphas);
        }
        if !betas.is_empty() {
            node = node.floats("activation_beta", &betas);
        }
        Ok(node)
    }
}

/// The number of units.
pub(super) fn units(graph: &Graph, node: &Node) -> Result<usize> {
    let kernel = node.inputs.get(2).and_then(|id| id.constant()).map(|id| graph.constant(id));
    let units = kernel.and_then(|kernel| kernel.shape().first());
    units.copied().ok_or_else(|| Error::unsupported("a recurrent kernel that is computed or has no axes"))
}

/// How many steps of each row hold in the mask.
fn lengths(emit: &mut Emit<'_>, mask: usize) -> Result<Arg> {
    let steps = emit.layout(mask)?.position(1);
    let mask = emit.input(mask)?;
    let to = i64::from(data_type(DType::I32));
    let ones = Arg::Tensor(emit.node(NodeSpec::new("Cast", [mask]).int("to", to)));
    let axes = emit.ints("axes", &[steps as i64]);
    Ok(Arg::Tensor(emit.node(NodeSpec::new("ReduceSum", [ones, axes]).int("keepdims", 0))))
}
