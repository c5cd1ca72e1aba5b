//! Operators in execution order over values of known shape.

use crate::ops::{Infer, Operator};
use crate::{
    Bindings, CallId, Constant, Constraint, Cost, DType, Dim, Error, ErrorKind, Op, PerValue, Result, Shape,
    TensorType,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An index into the values of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// An index into the constants of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConstantId(pub u32);

/// An index into the nodes of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// What a node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operand {
    /// Something computed, or an input of the graph.
    Value(ValueId),
    /// A weight.
    Constant(ConstantId),
}

impl From<ValueId> for Operand {
    fn from(id: ValueId) -> Operand {
        Operand::Value(id)
    }
}

impl From<ConstantId> for Operand {
    fn from(id: ConstantId) -> Operand {
        Operand::Constant(id)
    }
}

impl Operand {
    /// The value, if it is one.
    pub fn value(self) -> Option<ValueId> {
        match self {
            Operand::Value(id) => Some(id),
            Operand::Constant(_) => None,
        }
    }

    /// The constant, if it is one.
    pub fn constant(self) -> Option<ConstantId> {
        match self {
            Operand::Constant(id) => Some(id),
            Operand::Value(_) => None,
        }
    }
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Shape and element type.
    pub r#type: TensorType,
    /// The node that computes it; `None` for an input of the graph.
    pub producer: Option<NodeId>,
}

/// One operator at work.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<Operand>,
    /// What it computes.
    pub outputs: Vec<ValueId>,
    /// The layer call that it came from.
    pub origin: Option<CallId>,
}

impl Node {
    /// What it reads as its operand `at`.
    pub(crate) fn operand(&self, at: usize) -> Result<Operand> {
        let missing = || Error::shape(format!("{} without an operand {at}", self.op.name()));
        self.inputs.get(at).copied().ok_or_else(missing)
    }

    /// Its first output.
    pub(crate) fn output(&self) -> Result<ValueId> {
        let missing = || Error::shape(format!("{} without an output", self.op.name()));
        self.outputs.first().copied().ok_or_else(missing)
    }

    /// What is run for every step, if the node is a scan.
    pub(crate) fn body(&self) -> Option<&Graph> {
        match &self.op {
            Op::Scan(scan) => Some(&scan.body),
            _ => None,
        }
    }

    /// The same node with another origin, in its body too.
    pub(crate) fn with_origin(&self, new: &dyn Fn(CallId) -> Option<CallId>) -> Node {
        let mut node = self.clone();
        node.origin = self.origin.and_then(new);
        if let Op::Scan(scan) = &mut node.op {
            scan.body = Arc::new(scan.body.with_origins(new));
        }
        node
    }
}

/// A named input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name in the model.
    pub name: String,
    /// Its value.
    pub value: ValueId,
}

/// Where a layer call's output is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The layer call.
    pub call: CallId,
    /// Which of its outputs.
    pub output: usize,
    /// The value that equals it; `None` once a rewrite has folded it away.
    pub value: Option<ValueId>,
}

/// A network: nodes in an order in which they can be run, made by [`GraphBuilder`].
///
/// Every value has a shape, every node's inputs come before it, and every condition that the shapes put on symbols
/// is in [`constraints`](Graph::constraints).
#[derive(Clone, Debug, Default)]
pub struct Graph {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    constants: Vec<Constant>,
    constraints: Vec<Constraint>,
    taps: Vec<Tap>,
}

impl Graph {
    /// The inputs in the model's order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs in the model's order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The nodes in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes in execution order, each with its id.
    pub fn nodes_with_ids(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(at, node)| (NodeId(index(at)), node))
    }

    /// The values; [`ValueId`]s index them.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The constants; [`ConstantId`]s index them.
    pub fn constants(&self) -> &[Constant] {
        &self.constants
    }

    /// The conditions on symbols.
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// The layer outputs and the values that equal them.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// One value.
    ///
    /// # Panics
    /// If the id is another graph's.
    #[expect(clippy::indexing_slicing, reason = "only the builder makes ids, of what it has added")]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// One constant.
    ///
    /// # Panics
    /// If the id is another graph's.
    #[expect(clippy::indexing_slicing, reason = "only the builder makes ids, of what it has added")]
    pub fn constant(&self, id: ConstantId) -> &Constant {
        &self.constants[id.0 as usize]
    }

    /// One node.
    ///
    /// # Panics
    /// If the id is another graph's.
    #[expect(clippy::indexing_slicing, reason = "only the builder makes ids, of what it has added")]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Shape and element type of an operand.
    pub fn type_of(&self, operand: Operand) -> TensorType {
        match operand {
            Operand::Value(id) => self.value(id).r#type.clone(),
            Operand::Constant(id) => {
                let constant = self.constant(id);
                // A constant's sizes were checked to fit when it was added.
                let dims: Vec<Dim> = constant.shape().iter().map(|&n| Dim::fixed(n as i64)).collect();
                TensorType::new(Shape::new(dims), constant.dtype)
            }
        }
    }

    /// Whether an operand has the type of an operand of another graph.
    pub(crate) fn has_type_of(&self, operand: Operand, other: &Graph, of: Operand) -> bool {
        match (operand, of) {
            (Operand::Value(a), Operand::Value(b)) => self.value(a).r#type == other.value(b).r#type,
            (Operand::Constant(a), Operand::Constant(b)) => {
                let (a, b) = (self.constant(a), other.constant(b));
                a.dtype == b.dtype && a.shape() == b.shape()
            }
            _ => false,
        }
    }

    /// How many nodes and outputs read each value.
    pub fn uses(&self) -> PerValue<usize> {
        let mut uses: PerValue<usize> = PerValue::new(self, 0);
        let read = self.nodes.iter().flat_map(|node| &node.inputs).filter_map(|operand| operand.value());
        for id in read.chain(self.outputs.iter().map(|port| port.value)) {
            uses[id] = uses[id].saturating_add(1);
        }
        uses
    }

    /// The names of all symbols, in order of first appearance in the inputs' shapes.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let mut seen = BTreeSet::new();
        let mut symbols = Vec::new();
        for port in &self.inputs {
            for dim in self.value(port.value).r#type.shape.iter() {
                dim.visit_symbols(&mut |name| {
                    if seen.insert(name.clone()) {
                        symbols.push(name.clone());
                    }
                });
            }
        }
        symbols
    }

    /// What the symbols must be for inputs of these sizes, with every constraint checked.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where the sizes do not fit the inputs' shapes,
    /// [`Shape`](ErrorKind::Shape) where they break a constraint.
    pub fn bind(&self, sizes: &[&[usize]]) -> Result<Bindings> {
        let error = |text: String| Error::new(ErrorKind::Input, text);
        if sizes.len() != self.inputs.len() {
            let names: Vec<&str> = self.inputs.iter().map(|port| port.name.as_str()).collect();
            let (given, expected) = (sizes.len(), names.join(", "));
            return Err(error(format!("{given} inputs were given; the model's are: {expected}")));
        }
        let mut bindings = Bindings::new();
        for (port, given) in self.inputs.iter().zip(sizes) {
            let shape = &self.value(port.value).r#type.shape;
            let misfit = || {
                error(format!(
                    "input {:?} has shape {shape}; an array of shape {given:?} was given",
                    port.name
                ))
            };
            if shape.rank() != given.len() {
                return Err(misfit());
            }
            for (dim, &size) in shape.iter().zip(*given) {
                let size = i64::try_from(size).map_err(|_| misfit())?;
                let expected = match dim.as_symbol() {
                    Some(name) => *bindings.entry(name.into()).or_insert(size),
                    None => dim.eval(&bindings)?,
                };
                if expected != size {
                    return Err(misfit());
                }
            }
        }
        for constraint in &self.constraints {
            if constraint.holds(&bindings)? != Some(true) {
                return Err(constraint.violation(&bindings));
            }
        }
        Ok(bindings)
    }

    /// The layer calls that the nodes came from, those of nodes in bodies included.
    pub(crate) fn origins(&self) -> BTreeSet<CallId> {
        let bodies = self.nodes.iter().filter_map(Node::body);
        let own = self.nodes.iter().filter_map(|node| node.origin);
        own.chain(bodies.flat_map(Graph::origins)).collect()
    }

    /// The same graph with another origin for each node, bodies included.
    pub(crate) fn with_origins(&self, new: &dyn Fn(CallId) -> Option<CallId>) -> Graph {
        let mut graph = self.clone();
        graph.nodes.iter_mut().for_each(|node| *node = node.with_origin(new));
        graph
    }

    /// The work of one node.
    pub fn cost(&self, node: &Node) -> Result<Cost> {
        let inputs: Vec<TensorType> = node.inputs.iter().map(|&operand| self.type_of(operand)).collect();
        let outputs: Vec<TensorType> = node.outputs.iter().map(|&id| self.value(id).r#type.clone()).collect();
        node.op.cost(&inputs, &outputs)
    }
}

/// Makes a [`Graph`], one node at a time.
///
/// ```
/// # use k2o_core::{ops, DType, Dim, GraphBuilder, Padding, Shape, TensorType, Window};
/// let mut builder = GraphBuilder::new();
/// let shape = Shape::new([Dim::symbol("batch"), 7.into(), 2.into()]);
/// let x = builder.input("x", TensorType::new(shape, DType::F32))?;
/// let window = Window::new(2, 2, 1, Padding::Explicit(0, 0))?;
/// let y = builder.add(ops::Pool { kind: ops::PoolKind::Max, windows: vec![window] }, [x])?;
/// assert_eq!(builder.type_of(y).shape.to_string(), "[batch, 3, 2]");
/// builder.output("y", y);
/// let graph = builder.finish();
/// # Ok::<(), k2o_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    graph: Graph,
    origin: Option<CallId>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> GraphBuilder {
        GraphBuilder::default()
    }

    /// An empty graph with room for as much as there is in another one.
    pub(crate) fn with_room_for(other: &Graph) -> GraphBuilder {
        let graph = Graph {
            values: Vec::with_capacity(other.values.len()),
            nodes: Vec::with_capacity(other.nodes.len()),
            constants: Vec::with_capacity(other.constants.len()),
            constraints: Vec::with_capacity(other.constraints.len()),
            taps: Vec::with_capacity(other.taps.len()),
            ..Graph::default()
        };
        GraphBuilder { graph, origin: None }
    }

    /// Lets the nodes added from now on, and errors in adding them, belong to `origin`.
    pub fn within(&mut self, origin: Option<CallId>) {
        self.origin = origin;
    }

    /// Adds an input.
    pub fn input(&mut self, name: impl Into<String>, r#type: TensorType) -> Result<ValueId> {
        self.check_size(&r#type)?;
        let value = self.new_value(r#type, None);
        self.graph.inputs.push(Port { name: name.into(), value });
        Ok(value)
    }

    /// Adds a constant.
    pub fn constant(&mut self, constant: Constant) -> Result<ConstantId> {
        let shape = Shape::of(constant.shape())?;
        self.check_size(&TensorType::new(shape, constant.dtype))?;
        let id = ConstantId(index(self.graph.constants.len()));
        self.graph.constants.push(constant);
        Ok(id)
    }

    /// Adds a node of an operator with one output, which it returns.
    ///
    /// # Errors
    /// Where the operator's shape rule refuses the inputs, or an output could never fit memory.
    pub fn add(
        &mut self,
        op: impl Into<Op>,
        inputs: impl IntoIterator<Item = impl Into<Operand>>,
    ) -> Result<ValueId> {
        let outputs = self.add_all(op.into(), inputs.into_iter().map(Into::into).collect())?;
        match outputs.as_slice() {
            [output] => Ok(*output),
            _ => {
                Err(Error::shape(format!("an operator of {} outputs where one was expected", outputs.len())))
            }
        }
    }

    /// Adds a node and returns its outputs.
    pub fn add_all(&mut self, op: Op, inputs: Vec<Operand>) -> Result<Vec<ValueId>> {
        let origin = self.origin;
        let types: Vec<TensorType> = inputs.iter().map(|&operand| self.type_of(operand)).collect();
        let mut infer = Infer::default();
        let outputs = op.infer(&types, &mut infer).map_err(|error| error.at(origin))?;
        for r#type in &outputs {
            self.check_size(r#type)?;
        }
        for mut constraint in infer.into_constraints() {
            constraint.origin = origin;
            if !self.graph.constraints.contains(&constraint) {
                self.graph.constraints.push(constraint);
            }
        }
        Ok(self.add_known(op, inputs, outputs))
    }

    /// Adds a node whose outputs are known to have these types, and whose constraints are known.
    pub(crate) fn add_known(
        &mut self,
        op: Op,
        inputs: Vec<Operand>,
        types: impl IntoIterator<Item = TensorType>,
    ) -> Vec<ValueId> {
        let (node, origin) = (NodeId(index(self.graph.nodes.len())), self.origin);
        let outputs: Vec<ValueId> =
            types.into_iter().map(|r#type| self.new_value(r#type, Some(node))).collect();
        self.graph.nodes.push(Node { op, inputs, outputs: outputs.clone(), origin });
        outputs
    }

    /// Shape and element type of an operand.
    pub fn type_of(&self, operand: impl Into<Operand>) -> TensorType {
        self.graph.type_of(operand.into())
    }

    /// Records that `value` is what the layer call gives as `output`.
    pub fn tap(&mut self, call: CallId, output: usize, value: Option<ValueId>) {
        self.graph.taps.push(Tap { call, output, value });
    }

    /// Makes `value` an output.
    pub fn output(&mut self, name: impl Into<String>, value: ValueId) {
        self.graph.outputs.push(Port { name: name.into(), value });
    }

    /// Adds a condition found elsewhere, unless it is there already.
    pub fn constraint(&mut self, constraint: Constraint) {
        if !self.graph.constraints.contains(&constraint) {
            self.graph.constraints.push(constraint);
        }
    }

    /// The graph as it stands.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    fn new_value(&mut self, r#type: TensorType, producer: Option<NodeId>) -> ValueId {
        let id = ValueId(index(self.graph.values.len()));
        self.graph.values.push(Value { r#type, producer });
        id
    }

    /// Refuses what could not be addressed even for a batch of one.
    fn check_size(&self, r#type: &TensorType) -> Result<()> {
        if let Some(dim) = r#type.shape.iter().find(|dim| dim.as_fixed().is_some_and(|n| n < 0)) {
            let shape = &r#type.shape;
            return Err(
                Error::shape(format!("the shape {shape} has a negative dimension {dim}")).at(self.origin)
            );
        }
        let mut fixed = r#type.shape.iter().filter_map(Dim::as_usize);
        let bytes = fixed.try_fold(8usize, |bytes, n| bytes.checked_mul(n.max(1)));
        if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
            let error = Error::limit(format!("a tensor of shape {} does not fit memory", r#type.shape));
            return Err(error.at(self.origin));
        }
        Ok(())
    }
}

/// Graphs of more than 2^32 values do not occur: their nodes alone would not fit memory.
fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The type of `dtype` elements with these dimensions.
impl From<(DType, Vec<Dim>)> for TensorType {
    fn from((dtype, dims): (DType, Vec<Dim>)) -> TensorType {
        TensorType::new(Shape::new(dims), dtype)
    }
}
