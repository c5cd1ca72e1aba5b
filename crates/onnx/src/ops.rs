//! What each operator becomes in ONNX: one file each, with the layouts it accepts and the nodes it emits.
//!
//! To add an operator, write a file here with a [`Lower`] and follow the compiler.

mod affine;
pub(crate) mod bidirectional;
mod binary;
mod broadcast;
mod cast;
mod compare;
mod concat;
mod conv;
mod conv_transpose;
mod dense;
mod full;
mod gather;
pub(crate) mod group_norm;
mod gru;
mod identity;
mod lstm;
mod mat_mul;
mod normalize;
mod pad;
mod pool;
pub(crate) mod recurrence;
mod reduce;
mod repeat;
mod reshape;
mod reverse;
mod rnn;
mod scan;
mod select;
mod slice;
mod softmax;
mod sparsemax;
mod target;
mod transpose;
mod unary;
mod window;

use crate::draft::{Arg, Body, Content, Draft, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::{Site, assign_body};
use crate::layout::hints::Hints;
use crate::view::View;
use crate::{Error, Result, Target};
use k2o_core::ops::Operator;
use k2o_core::{
    CallId, Constant, ConstantExpr, ConstantId, DType, ExprKind, Graph, Node, Op, Operand, TensorType,
};

/// The layouts in which an operator reads its inputs and leaves its output.
#[derive(Clone, Debug)]
pub(crate) struct Layouts {
    /// One per operand. Constants are not moved by the pass; [`Emit::input`] gives them in this layout.
    pub inputs: Vec<Layout>,
    /// The first output's; any other output is left as the graph has it.
    pub output: Layout,
}

/// How the layout of an operator's inputs is tied to that of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// The first input and the output are channels-first.
    Anchor,
    /// Both are in the same layout, whichever that is.
    Same,
    /// Neither says anything of the other.
    Free,
}

/// What an operator does with an operand that was flattened in another order of axes than the graph's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakesFlat {
    /// Puts its weights in that order; its output has no trace of it.
    Absorbs,
    /// Leaves its output in that order.
    Passes,
    /// Needs the graph's order.
    Refuses,
}

/// What every operator states of itself here.
trait Lower {
    fn tie(&self) -> Tie;

    fn takes_flat(&self, _graph: &Graph, _node: &Node, _operand: usize) -> TakesFlat {
        TakesFlat::Refuses
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts>;

    /// Emits the nodes of an operator of one output and returns that.
    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        Err(Error::shape(format!("one output of {}", name(&emit.node.op))))
    }

    /// Emits the nodes and returns the outputs; nothing for one that nobody reads.
    fn emit_all(&self, emit: &mut Emit<'_>) -> Result<Vec<Option<TensorId>>> {
        Ok(vec![Some(self.emit(emit)?)])
    }
}

macro_rules! each {
    ($op:expr, $inner:ident => $result:expr) => {
        match $op {
            Op::Affine($inner) => $result,
            Op::Binary($inner) => $result,
            Op::Cast($inner) => $result,
            Op::Compare($inner) => $result,
            Op::Concat($inner) => $result,
            Op::Conv($inner) => $result,
            Op::ConvTranspose($inner) => $result,
            Op::Dense($inner) => $result,
            Op::Full($inner) => $result,
            Op::Gather($inner) => $result,
            Op::Gru($inner) => $result,
            Op::Identity($inner) => $result,
            Op::Lstm($inner) => $result,
            Op::MatMul($inner) => $result,
            Op::Normalize($inner) => $result,
            Op::Pad($inner) => $result,
            Op::Pool($inner) => $result,
            Op::Reduce($inner) => $result,
            Op::Repeat($inner) => $result,
            Op::Reshape($inner) => $result,
            Op::Reverse($inner) => $result,
            Op::Rnn($inner) => $result,
            Op::Scan($inner) => $result,
            Op::Select($inner) => $result,
            Op::Slice($inner) => $result,
            Op::Softmax($inner) => $result,
            Op::Sparsemax($inner) => $result,
            Op::Transpose($inner) => $result,
            Op::Unary($inner) => $result,
        }
    };
}

pub(crate) fn name(op: &Op) -> &'static str {
    op.name()
}

pub(crate) fn tie(op: &Op) -> Tie {
    each!(op, op => op.tie())
}

pub(crate) fn takes_flat(graph: &Graph, node: &Node, operand: usize) -> TakesFlat {
    each!(&node.op, op => op.takes_flat(graph, node, operand))
}

pub(crate) fn layouts(op: &Op, site: &Site<'_>) -> Result<Layouts> {
    each!(op, op => op.layouts(site))
}

pub(crate) fn emit(op: &Op, emit: &mut Emit<'_>) -> Result<Vec<Option<TensorId>>> {
    each!(op, op => op.emit_all(emit))
}

/// The layouts of an operator of one input that works in any layout.
fn any_layout(site: &Site<'_>) -> Result<Layouts> {
    let layout = site.best_layout(0)?;
    Ok(Layouts { inputs: vec![layout.clone()], output: layout })
}

/// The layouts of an operator of one input that works along axes of any layout.
fn same_axes(site: &Site<'_>) -> Result<Layouts> {
    let layout = any_axes(site)?;
    Ok(Layouts { inputs: vec![layout.clone()], output: layout })
}

/// The layouts of an operator that needs all axes where the graph has them.
fn keras_layouts(site: &Site<'_>) -> Result<Layouts> {
    let rank = |operand| Ok(Layout::keras(site.input(operand)?.shape.rank()));
    let inputs = (0..site.node.inputs.len()).map(rank).collect::<Result<Vec<_>>>()?;
    Ok(Layouts { inputs, output: Layout::keras(site.output()?.shape.rank()) })
}

/// The input's best layout in which its axes can be told apart.
fn any_axes(site: &Site<'_>) -> Result<Layout> {
    let layout = site.best_layout(0)?;
    match layout.axes() {
        Some(_) => Ok(layout),
        None => Ok(Layout::keras(site.input(0)?.shape.rank())),
    }
}

/// What `make` makes of weights, called like the first. Where these are rounded, what they are made into is rounded last,
/// so that it can be stored like that.
fn derived<const N: usize>(
    sources: [&Constant; N],
    make: impl FnOnce([&ConstantExpr; N]) -> k2o_core::Result<ConstantExpr>,
) -> Result<Constant> {
    let first = sources.first().ok_or_else(|| Error::shape("a weight made of nothing"))?;
    let rounded = |source: &&Constant| match source.expr.kind() {
        ExprKind::Rounded(_, narrow) => Some(*narrow),
        _ => None,
    };
    let narrow =
        rounded(first).filter(|narrow| sources.iter().all(|source| rounded(source) == Some(*narrow)));
    let exprs = sources.map(|source| match source.expr.kind() {
        ExprKind::Rounded(precise, _) if narrow.is_some() => precise,
        _ => &source.expr,
    });
    let made = make(exprs)?;
    let expr = match narrow {
        Some(narrow) => made.rounded(narrow)?,
        None => made,
    };
    Ok(Constant { expr, ..(*first).clone() })
}

/// A number as ONNX writes it.
fn int(number: impl TryInto<i64>) -> Result<i64> {
    number.try_into().map_err(|_| Error::unsupported("a number above the largest int64"))
}

/// Numbers as ONNX writes them.
fn ints<T: TryInto<i64> + Copy>(numbers: &[T]) -> Result<Vec<i64>> {
    numbers.iter().copied().map(int).collect()
}

/// What an operator has to emit its nodes.
pub(crate) struct Emit<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
    /// The layer call that the node came from.
    pub origin: Option<CallId>,
    pub hints: &'a Hints,
    pub layouts: &'a Layouts,
    tensors: Vec<Option<TensorId>>,
    draft: &'a mut Draft,
}

impl<'a> Emit<'a> {
    pub fn new(
        graph: &'a Graph,
        node: &'a Node,
        origin: Option<CallId>,
        hints: &'a Hints,
        layouts: &'a Layouts,
        tensors: Vec<Option<TensorId>>,
        draft: &'a mut Draft,
    ) -> Emit<'a> {
        Emit { graph, node, origin, hints, layouts, tensors, draft }
    }

    /// The version of the operator set.
    pub fn opset(&self) -> i64 {
        self.draft.opset
    }

    /// The runtime that the nodes are for.
    pub fn target(&self) -> Target {
        self.draft.target
    }

    /// Whether masks only leave out the last steps.
    pub fn right_padded(&self) -> bool {
        self.draft.right_padded
    }

    /// Whether anything reads an output.
    pub fn uses(&self, output: usize) -> bool {
        self.node.outputs.get(output).is_some_and(|&id| self.hints.used(id))
    }

    /// Whether there is such an operand.
    pub fn has(&self, operand: usize) -> bool {
        operand < self.node.inputs.len()
    }

    /// An operand in the layout that was asked for.
    pub fn input(&mut self, operand: usize) -> Result<Arg> {
        if let Some(&Some(tensor)) = self.tensors.get(operand) {
            return Ok(Arg::Tensor(tensor));
        }
        let shape = self.constant(operand)?.shape();
        let order = self.layouts.inputs.get(operand).and_then(Layout::axes);
        let view = match order {
            Some(order) if order.len() == shape.len() => View::permuted(shape, order),
            _ => View::of(shape),
        };
        self.weight(operand, view)
    }

    /// The weight that an operand is.
    pub fn constant(&self, operand: usize) -> Result<&'a Constant> {
        match self.operand(operand)? {
            Operand::Constant(id) => Ok(self.graph.constant(id)),
            Operand::Value(_) => {
                Err(Error::unsupported(format!("{} with computed weights", name(&self.node.op))))
            }
        }
    }

    /// A weight in another order and shape.
    pub fn weight(&mut self, operand: usize, view: View) -> Result<Arg> {
        let constant = self.constant(operand)?;
        let Some(id) = self.node.inputs.get(operand).and_then(|id| id.constant()) else {
            return Ok(Arg::Absent);
        };
        let dims = view.dims().to_vec();
        Ok(self.draft.initializer(constant.dtype, dims, Content::Constant(id, view)))
    }

    /// The weight that an operand is, made into another one in a way that `role` stands for.
    pub fn derived(
        &mut self,
        operand: usize,
        role: &'static str,
        make: impl FnOnce(&ConstantExpr) -> k2o_core::Result<ConstantExpr>,
    ) -> Result<Arg> {
        let source = self.constant(operand)?;
        let Some(id) = self.node.inputs.get(operand).and_then(|id| id.constant()) else {
            return Ok(Arg::Absent);
        };
        let constant = derived([source], |[expr]| make(expr))?;
        Ok(self.derived_of(vec![id], role, constant))
    }

    /// A weight made of others in a way that `role` stands for.
    fn derived_of(&mut self, sources: Vec<ConstantId>, role: &'static str, constant: Constant) -> Arg {
        self.draft.derived(sources, role, constant)
    }

    /// Integers that are part of what a node does, such as `axes`.
    pub fn ints(&mut self, role: &'static str, numbers: &[i64]) -> Arg {
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.draft.initializer(DType::I64, vec![numbers.len()], Content::Literal(self.origin, role, bytes))
    }

    /// A number of the type `dtype`.
    pub fn scalar(&mut self, role: &'static str, dtype: DType, value: f64) -> Result<Arg> {
        let bytes = match dtype {
            DType::F32 => (value as f32).to_le_bytes().to_vec(),
            DType::I32 => (value as i32).to_le_bytes().to_vec(),
            DType::I64 => (value as i64).to_le_bytes().to_vec(),
            DType::Bool => vec![u8::from(value != 0.0)],
            _ => return Err(Error::unsupported(format!("{} of {dtype}", name(&self.node.op)))),
        };
        Ok(self.draft.initializer(dtype, Vec::new(), Content::Literal(self.origin, role, bytes)))
    }

    /// What the node reads as an operand.
    pub fn operand(&self, operand: usize) -> Result<Operand> {
        let missing = || Error::shape(format!("{} without an operand {operand}", name(&self.node.op)));
        self.node.inputs.get(operand).copied().ok_or_else(missing)
    }

    /// The type of an operand.
    pub fn type_of(&self, operand: usize) -> Result<TensorType> {
        Ok(self.graph.type_of(self.operand(operand)?))
    }

    /// The layout in which an operand was asked for.
    pub fn layout(&self, operand: usize) -> Result<&'a Layout> {
        let missing = || Error::shape(format!("{} without an operand {operand}", name(&self.node.op)));
        self.layouts.inputs.get(operand).ok_or_else(missing)
    }

    /// The same number everywhere.
    pub fn filled(&mut self, role: &'static str, dims: Vec<usize>, value: f32) -> Arg {
        let bytes = value.to_le_bytes().repeat(dims.iter().product());
        self.draft.initializer(DType::F32, dims, Content::Literal(self.origin, role, bytes))
    }

    /// Single-precision numbers that are part of what a node does, in the shape `dims`.
    pub fn floats(&mut self, role: &'static str, dims: Vec<usize>, numbers: &[f32]) -> Arg {
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.draft.initializer(DType::F32, dims, Content::Literal(self.origin, role, bytes))
    }

    /// Adds a node and returns its output.
    pub fn node(&mut self, spec: NodeSpec) -> TensorId {
        self.draft.node(spec, self.origin)
    }

    /// Adds a node of two outputs and returns them.
    pub fn node_of_two(&mut self, spec: NodeSpec) -> [TensorId; 2] {
        self.draft.node_of(spec, self.origin)
    }

    /// Adds a node and returns those of its outputs that are used.
    pub fn node_of_used(&mut self, spec: NodeSpec, used: &[bool]) -> Vec<Option<TensorId>> {
        self.draft.node_of_used(spec, used, self.origin, None)
    }

    /// Adds a node that runs `body`, with so many outputs.
    pub fn node_with_body(&mut self, spec: NodeSpec, body: Body, outputs: usize) -> Vec<Option<TensorId>> {
        self.draft.node_of_used(spec, &vec![true; outputs], self.origin, Some(body))
    }

    /// The graph as a body for a node, with those of its outputs for which `has_output` holds. Its inputs are as many
    /// new ones and then `captured` tensors of this graph.
    pub fn body(
        &mut self,
        graph: &Graph,
        captured: &[TensorId],
        has_output: &dyn Fn(usize) -> bool,
    ) -> Result<Body> {
        let own = graph.inputs().len().saturating_sub(captured.len());
        let mut inputs: Vec<(TensorId, bool)> = (0..own).map(|_| (self.draft.tensor(), false)).collect();
        inputs.extend(captured.iter().map(|&tensor| (tensor, true)));
        assign_body(graph, &inputs, has_output, self.origin, self.draft)
    }

    /// Adds a node without attributes and returns its output.
    pub fn call(&mut self, op_type: &'static str, inputs: impl IntoIterator<Item = Arg>) -> Arg {
        Arg::Tensor(self.node(NodeSpec::new(op_type, inputs)))
    }

    /// Adds a node and returns its output.
    fn call_with(&mut self, spec: NodeSpec) -> Arg {
        Arg::Tensor(self.node(spec))
    }

    /// The type of the first output.
    fn output_type(&self) -> Result<TensorType> {
        let missing = || Error::shape(format!("{} without an output", name(&self.node.op)));
        self.node.outputs.first().map(|&id| self.graph.type_of(id.into())).ok_or_else(missing)
    }

    /// An operand as the output: itself, or a copy where it is a weight.
    pub fn pass(&mut self, arg: Arg) -> TensorId {
        match arg {
            Arg::Tensor(tensor) => tensor,
            Arg::Initializer(_) | Arg::Absent => self.node(NodeSpec::new("Identity", [arg])),
        }
    }
}
