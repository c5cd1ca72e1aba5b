//! From operators to kernels.

use super::PlanOptions;
use super::draft::{Draft, elements_read};
use crate::arena::{Arena, Buffer, Kind};
use crate::kernels::affine::Affine;
use crate::kernels::binary::{Binary, Logical};
use crate::kernels::cast::{Cast, IsTrue};
use crate::kernels::chain::{Chain, Pointwise, Then};
use crate::kernels::compare::Compare;
use crate::kernels::concat::Concat;
use crate::kernels::conv::{self, Conv};
use crate::kernels::conv_transpose::ConvTranspose;
use crate::kernels::dense::Dense;
use crate::kernels::full::Full;
use crate::kernels::gather::Gather;
use crate::kernels::grid::elements;
use crate::kernels::mat_mul::MatMul;
use crate::kernels::normalize::Normalize;
use crate::kernels::pad::Pad;
use crate::kernels::pool::Pool;
use crate::kernels::products::{Layout, Winograd};
use crate::kernels::reduce::Reduce;
use crate::kernels::repeat::Repeat;
use crate::kernels::reverse::Reverse;
use crate::kernels::select::Select;
use crate::kernels::slice::Slice;
use crate::kernels::softmax::Softmax;
use crate::kernels::sparsemax::Sparsemax;
use crate::kernels::transpose::Transpose;
use crate::kernels::unary::Function;
use crate::kernels::weights::{PackedBuffer, Weights};
use crate::kernels::{AnyKernel, Kernel};
use crate::simd::Isa;
use crate::{Error, Result};
use k2o_core::ops::{self, BinaryKind, Operator};
use k2o_core::{
    CallId, Constant, ConstantId, DType, Data, ExprKind, Graph, Node, NodeId, Op, Operand, ValueId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Right sides of products by constant, layout, and the type that they are kept in.
pub(super) type Packed = BTreeMap<(ConstantId, Layout, DType), Weights>;

/// Makes kernels and evaluates each constant that they need once.
pub(super) struct Builder<'a> {
    pub graph: &'a Graph,
    pub options: &'a PlanOptions,
    pub isa: Isa,
    constants: Arena,
    slots: BTreeMap<ConstantId, usize>,
    /// Biases of which sums were made while weights were packed.
    biases: BTreeMap<ConstantId, Constant>,
    pub packed: &'a mut Packed,
}

/// A kernel and what it reads.
pub(super) struct Built {
    pub name: String,
    pub kernel: Arc<dyn AnyKernel>,
    pub operands: Vec<Operand>,
    pub weight_bytes: usize,
    pub weights_per_row: usize,
    pub origin: Option<CallId>,
}

impl Built {
    /// The values that the kernel reads.
    pub fn values(&self) -> impl Iterator<Item = ValueId> {
        self.operands.iter().filter_map(|operand| operand.value())
    }
}

impl<'a> Builder<'a> {
    pub fn new(
        graph: &'a Graph,
        (options, isa): (&'a PlanOptions, Isa),
        packed: &'a mut Packed,
    ) -> Builder<'a> {
        let (constants, slots, biases) = (Arena::default(), BTreeMap::new(), BTreeMap::new());
        Builder { graph, options, isa, constants, slots, biases, packed }
    }

    /// The evaluated constants and their sizes.
    pub fn finish(self) -> (Arena, BTreeMap<ConstantId, Vec<usize>>) {
        let shape = |id: &ConstantId| (*id, self.graph.constant(*id).shape().to_vec());
        (self.constants, self.slots.keys().map(shape).collect())
    }

    /// Where the elements of a constant are, once it is evaluated.
    pub fn slot(&self, id: ConstantId) -> Option<usize> {
        self.slots.get(&id).copied()
    }

    /// Evaluates a constant.
    pub fn constant(&mut self, id: ConstantId) -> Result<()> {
        if self.slots.contains_key(&id) {
            return Ok(());
        }
        let constant = self.biases.get(&id).unwrap_or_else(|| self.graph.constant(id));
        let slot = match constant.dtype.is_float() {
            true => {
                let mut buffer = Buffer::zeros(elements(constant.shape())?)?;
                let mut at = 0;
                #[expect(clippy::indexing_slicing, reason = "there are as many elements as the shape says")]
                constant.visit_rows(1, |some| {
                    buffer[at..][..some.len()].copy_from_slice(some);
                    at += some.len();
                })?;
                self.constants.push::<f32>(buffer)
            }
            false => {
                Kind::of(constant.dtype)?;
                let tensor = constant.evaluate()?;
                self.constants.push(match tensor.data() {
                    Data::Bool(truths) => {
                        let truths: Vec<i64> = truths.iter().map(|&truth| truth.into()).collect();
                        Buffer::from_slice(&truths)?
                    }
                    _ => Buffer::from_slice(tensor.as_i64()?)?,
                })
            }
        };
        self.slots.insert(id, slot);
        Ok(())
    }

    /// The right side of a product, packed now if it is a constant; else it joins the operands.
    pub fn weights(
        &mut self,
        operands: &mut Vec<Operand>,
        kernel: Operand,
        layout: impl Fn(&[usize]) -> Result<Layout>,
    ) -> Result<Weights> {
        self.weights_in(DType::F32, operands, (kernel, None), layout)
    }

    /// As [`weights`](Self::weights), packed in a type that loses nothing of them. They are read once for the bias too.
    fn weights_in(
        &mut self,
        dtype: DType,
        operands: &mut Vec<Operand>,
        (kernel, bias): (Operand, Option<Operand>),
        layout: impl Fn(&[usize]) -> Result<Layout>,
    ) -> Result<Weights> {
        let Operand::Constant(id) = kernel else {
            operands.push(kernel);
            return Ok(Weights::Computed(operands.len() - 1));
        };
        let constant = self.graph.constant(id);
        let layout = layout(constant.shape())?;
        if let Some(weights) = self.packed.get(&(id, layout, dtype)) {
            return Ok(weights.clone());
        }
        let bias = bias.and_then(|bias| bias.constant()).filter(|id| !self.slots.contains_key(id));
        let bias =
            bias.map(|id| &mut *self.biases.entry(id).or_insert_with(|| self.graph.constant(id).clone()));
        let packed = PackedBuffer::new(constant, bias, &layout, dtype)?;
        let weights = Weights::Packed(layout, Arc::new(packed));
        self.packed.insert((id, layout, dtype), weights.clone());
        Ok(weights)
    }

    /// The weights of a convolution for computing two positions at once, where that is wanted and pays.
    fn winograd(&self, op: &ops::Conv, kernel: &[usize], weights: &Weights) -> Result<Option<Winograd>> {
        match weights {
            Weights::Packed(layout, packed)
                if self.options.minimal_multiplications && conv::has_pairs(op) =>
            {
                match &**packed {
                    PackedBuffer::F32(packed) => Winograd::new(self.isa, kernel, layout, packed),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The type that a constant is kept in as a node's operand.
    fn kept_in(&self, node: &Node, constant: &Constant) -> DType {
        match (&node.op, constant.expr.kind()) {
            (Op::Dense(_), ExprKind::Rounded(_, dtype)) if self.options.narrow_weights == Some(*dtype) => {
                *dtype
            }
            _ => DType::F32,
        }
    }

    /// What follows the node that starts a step; its constants join the operands.
    fn chain(&self, operands: &mut Vec<Operand>, draft: &Draft) -> Chain {
        let mut chain = Chain::default();
        let mut before = self.graph.node(draft.node);
        for &link in &draft.links {
            let node = self.graph.node(link);
            let is_computed =
                |operand: &&Operand| operand.value().is_some_and(|id| before.outputs.contains(&id));
            let others = node.inputs.iter().filter(|operand| !is_computed(operand));
            before = node;
            chain.links.push(match &node.op {
                Op::Pool(_) => {
                    chain.pools_after = Some(chain.links.len());
                    continue;
                }
                Op::Unary(op) => Pointwise::Function(Function::new(*op)),
                Op::Binary(_) => {
                    operands.extend(others);
                    Pointwise::Add { other: operands.len() - 1 }
                }
                _ => {
                    operands.extend(others);
                    Pointwise::Affine { scale: operands.len() - 2, shift: operands.len() - 1 }
                }
            });
        }
        chain
    }

    /// What kind of elements an operand has.
    fn kind(&self, operand: Operand) -> Result<Kind> {
        match self.graph.type_of(operand).dtype {
            dtype if dtype.is_float() && operand.constant().is_some() => Ok(Kind::Float),
            dtype => Kind::of(dtype),
        }
    }

    /// Refuses an operator on integers.
    fn floats(&self, node: &Node) -> Result<()> {
        self.are_floats(node, &node.inputs)
    }

    /// Refuses an operator that has integers among `operands`.
    pub fn are_floats<'b>(&self, node: &Node, operands: impl IntoIterator<Item = &'b Operand>) -> Result<()> {
        for &operand in operands {
            if self.kind(operand)? != Kind::Float {
                let r#type = self.graph.type_of(operand);
                return Err(Error::unsupported(format!(
                    "{} of an array of type {}",
                    node.op.name(),
                    r#type.dtype
                )));
            }
        }
        Ok(())
    }

    /// The kernel of a step.
    pub fn build(&mut self, draft: &Draft) -> Result<Built> {
        let node = self.graph.node(draft.node);
        let output = self.graph.value(*draft.outputs.first()).r#type.dtype;
        for &other in draft.outputs.iter() {
            let other = self.graph.value(other).r#type.dtype;
            if Kind::of(other)? != Kind::of(output)? {
                let name = node.op.name();
                return Err(Error::unsupported(format!("{name} with outputs of types {output} and {other}")));
            }
        }
        let mut operands: Vec<Operand> = Vec::new();
        let is_integer = |operand| Ok::<bool, Error>(self.kind(operand)? == Kind::Integer);
        let integers = || is_integer(operand(node, 0)?);
        let kernel: Arc<dyn AnyKernel> = match &node.op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_) => {
                self.floats(node)?;
                let (x, kernel, bias) = (operand(node, 0)?, operand(node, 1)?, node.inputs.get(2).copied());
                operands.push(x);
                let isa = self.isa;
                let layout = |kernel: &[usize]| match &node.op {
                    Op::Conv(op) => conv::layout(isa, kernel, op.groups),
                    Op::ConvTranspose(_) => Layout::with_taps_reversed(isa, kernel),
                    _ => Layout::new(isa, kernel, 1),
                };
                let constant = kernel.constant().map(|id| self.graph.constant(id));
                let dtype = constant.map_or(DType::F32, |constant| self.kept_in(node, constant));
                let weights = self.weights_in(dtype, &mut operands, (kernel, bias), layout)?;
                operands.extend(bias);
                let bias = bias.map(|_| operands.len() - 1);
                let chain = self.chain(&mut operands, draft);
                match &node.op {
                    Op::Conv(op) => {
                        let shape = constant.map_or(&[][..], |constant| constant.shape());
                        let winograd = self.winograd(op, shape, &weights)?;
                        let pools = |&link: &NodeId| match &self.graph.node(link).op {
                            Op::Pool(pool) => conv::pooled(op, shape, pool),
                            _ => None,
                        };
                        let pool = draft.links.iter().find_map(pools).unwrap_or(1);
                        Arc::new(Conv { op: op.clone(), isa, weights, bias, chain, pool, winograd })
                    }
                    Op::ConvTranspose(op) => {
                        Arc::new(ConvTranspose { op: op.clone(), isa, weights, bias, chain })
                    }
                    _ => Arc::new(Dense { isa, weights, bias, chain }),
                }
            }
            Op::MatMul(_) => {
                self.floats(node)?;
                operands.extend(&node.inputs);
                Arc::new(MatMul { isa: self.isa, chain: self.chain(&mut operands, draft) })
            }
            Op::Binary(op) if op.kind.is_logical() => Arc::new(Logical { both: op.kind == BinaryKind::And }),
            Op::Compare(op) if integers()? => Arc::new(Compare::<i64>::new(*op)),
            Op::Compare(op) => Arc::new(Compare::<f32>::new(*op)),
            Op::Concat(op) if integers()? => Arc::new(Concat::<i64>::new(*op, node.inputs.len())),
            Op::Gather(op) if integers()? => Arc::new(Gather::<i64>::new(*op)),
            Op::Repeat(op) if integers()? => Arc::new(Repeat::<i64>::new(*op)),
            Op::Reverse(op) if integers()? => Arc::new(Reverse::<i64>::new(*op)),
            Op::Slice(op) if integers()? => Arc::new(Slice::<i64>::new(*op)),
            Op::Transpose(op) if integers()? => Arc::new(Transpose::<i64>::new(op.clone())),
            Op::Full(op) if op.dtype == DType::Bool => Arc::new(Full(i64::from(op.value != 0.0))),
            Op::Full(op) if !op.dtype.is_float() => Arc::new(Full(op.value as i64)),
            Op::Full(op) => self.joined(Full(op.value as f32), draft, &mut operands),
            Op::Select(_) if is_integer(operand(node, 1)?)? => Arc::new(Select::<i64>::new()),
            Op::Select(_) => self.joined(Select::<f32>::new(), draft, &mut operands),
            Op::Gru(_) | Op::Lstm(_) | Op::Rnn(_) => self.recurrence(node, &draft.outputs, &mut operands)?,
            Op::Scan(op) => self.scan(op, node, &draft.outputs, &mut operands)?,
            Op::Gather(op) => self.joined(Gather::<f32>::new(*op), draft, &mut operands),
            Op::Cast(op) if op.to == DType::Bool => match integers()? {
                true => Arc::new(IsTrue::<i64>::new()),
                false => Arc::new(IsTrue::<f32>::new()),
            },
            Op::Cast(op) => match (integers()?, Kind::of(output)?) {
                (true, Kind::Float) => self.joined(Cast::<i64, f32>::new(op.to), draft, &mut operands),
                (true, Kind::Integer) => Arc::new(Cast::<i64, i64>::new(op.to)),
                (false, _) => Arc::new(Cast::<f32, i64>::new(op.to)),
            },
            Op::Affine(op) => self.then(Affine(*op), draft, &mut operands)?,
            Op::Binary(op) => self.then(Binary(*op), draft, &mut operands)?,
            Op::Concat(op) => self.then(Concat::<f32>::new(*op, node.inputs.len()), draft, &mut operands)?,
            Op::Normalize(op) => {
                let kernel = Normalize { op: op.clone(), parameters: node.inputs.len() - 1 };
                self.then(kernel, draft, &mut operands)?
            }
            Op::Pad(op) => self.then(Pad(op.clone()), draft, &mut operands)?,
            Op::Pool(op) => self.then(Pool(op.clone()), draft, &mut operands)?,
            Op::Reduce(op) => self.then(Reduce(op.clone()), draft, &mut operands)?,
            Op::Repeat(op) => self.then(Repeat::<f32>::new(*op), draft, &mut operands)?,
            Op::Reverse(op) => self.then(Reverse::<f32>::new(*op), draft, &mut operands)?,
            Op::Slice(op) => self.then(Slice::<f32>::new(*op), draft, &mut operands)?,
            Op::Softmax(op) => self.then(Softmax(op.clone()), draft, &mut operands)?,
            Op::Sparsemax(op) => self.then(Sparsemax(*op), draft, &mut operands)?,
            Op::Transpose(op) => self.then(Transpose::<f32>::new(op.clone()), draft, &mut operands)?,
            Op::Unary(op) => self.then(Function::new(*op), draft, &mut operands)?,
            Op::Identity(_) | Op::Reshape(_) => {
                return Err(Error::unsupported(format!("{} as a step of its own", node.op.name())));
            }
        };
        if operands.is_empty() {
            operands.extend(elements_read(node));
        }
        for id in operands.iter().filter_map(|operand| operand.constant()) {
            self.constant(id)?;
        }
        let parts = std::iter::once(draft.node).chain(draft.links.iter().copied());
        let names: Vec<&str> = parts.map(|at| self.graph.node(at).op.name()).collect();
        let (weight_bytes, weights_per_row) = self.weights_of(node);
        let (name, origin) = (names.join("+"), node.origin);
        Ok(Built { name, kernel, operands, weight_bytes, weights_per_row, origin })
    }

    /// The bytes of the constants of two and more axes that a node reads as a whole, and how many of their elements each row
    /// is multiplied with.
    fn weights_of(&self, node: &Node) -> (usize, usize) {
        // Of a table few rows are read.
        if matches!(node.op, Op::Gather(_)) {
            return (0, 0);
        }
        let constants = node.inputs.iter().filter_map(|operand| operand.constant());
        let weights = constants.map(|id| self.graph.constant(id)).filter(|weight| weight.shape().len() > 1);
        let (mut bytes, mut count) = (0usize, 0usize);
        for weight in weights {
            let len = weight.shape().iter().product::<usize>();
            bytes = bytes.saturating_add(len.saturating_mul(self.kept_in(node, weight).size()));
            count = count.saturating_add(len);
        }
        let multiplies = matches!(
            node.op,
            Op::Conv(_)
                | Op::ConvTranspose(_)
                | Op::Dense(_)
                | Op::Gru(_)
                | Op::Lstm(_)
                | Op::Rnn(_)
                | Op::Scan(_)
        );
        (bytes, if multiplies { count } else { 0 })
    }

    /// A kernel that reads the node's inputs, which are no integers, followed by the step's other functions.
    fn then<K: Kernel<Out = f32>>(
        &self,
        kernel: K,
        draft: &Draft,
        operands: &mut Vec<Operand>,
    ) -> Result<Arc<dyn AnyKernel>> {
        self.floats(self.graph.node(draft.node))?;
        Ok(self.joined(kernel, draft, operands))
    }

    /// A kernel that reads the node's inputs, followed by the step's other functions.
    fn joined<K: Kernel<Out = f32>>(
        &self,
        kernel: K,
        draft: &Draft,
        operands: &mut Vec<Operand>,
    ) -> Arc<dyn AnyKernel> {
        operands.extend(elements_read(self.graph.node(draft.node)));
        let chain = self.chain(operands, draft);
        match chain.links.is_empty() {
            true => Arc::new(kernel),
            false => Arc::new(Then { kernel, chain }),
        }
    }
}

/// What a node reads as its operand `at`.
fn operand(node: &Node, at: usize) -> Result<Operand> {
    let missing = || Error::shape(format!("{} without an operand {at}", node.op.name()));
    node.inputs.get(at).copied().ok_or_else(missing)
}
