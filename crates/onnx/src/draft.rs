//! The ONNX graph in the making: nodes and initializers in order, without names.

use crate::messages::{AttributeProto, AttributeType, data_type};
use crate::view::View;
use crate::{ExportOptions, Target};
use k2o_core::{CallId, Constant, ConstantExpr, ConstantId, DType, ExprKind, Graph, Outline};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Something that a node computes, or an input of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TensorId(pub usize);

/// What a node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arg {
    /// Something computed.
    Tensor(TensorId),
    /// An index into [`Draft::initializers`].
    Initializer(usize),
    /// An optional input that is left out.
    Absent,
}

/// A node to be.
#[derive(Clone, Debug)]
pub(crate) struct NodeSpec {
    pub op_type: &'static str,
    pub inputs: Vec<Arg>,
    pub attributes: Vec<AttributeProto>,
}

impl NodeSpec {
    pub fn new(op_type: &'static str, inputs: impl IntoIterator<Item = Arg>) -> NodeSpec {
        let mut inputs: Vec<Arg> = inputs.into_iter().collect();
        while inputs.last() == Some(&Arg::Absent) {
            inputs.pop();
        }
        NodeSpec { op_type, inputs, attributes: Vec::new() }
    }

    fn with(mut self, name: &str, r#type: AttributeType, attribute: AttributeProto) -> NodeSpec {
        self.attributes.push(AttributeProto { name: name.into(), r#type: r#type.into(), ..attribute });
        self
    }

    pub fn float(self, name: &str, value: f64) -> NodeSpec {
        let f = Some(value as f32);
        self.with(name, AttributeType::Float, AttributeProto { f, ..AttributeProto::default() })
    }

    pub fn int(self, name: &str, value: i64) -> NodeSpec {
        let i = Some(value);
        self.with(name, AttributeType::Int, AttributeProto { i, ..AttributeProto::default() })
    }

    pub fn ints(self, name: &str, values: &[i64]) -> NodeSpec {
        let ints = values.to_vec();
        self.with(name, AttributeType::Ints, AttributeProto { ints, ..AttributeProto::default() })
    }

    pub fn floats(self, name: &str, values: &[f64]) -> NodeSpec {
        let floats = values.iter().map(|&value| value as f32).collect();
        self.with(name, AttributeType::Floats, AttributeProto { floats, ..AttributeProto::default() })
    }

    pub fn strings(self, name: &str, values: &[&str]) -> NodeSpec {
        let strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        self.with(name, AttributeType::Strings, AttributeProto { strings, ..AttributeProto::default() })
    }

    pub fn string(self, name: &str, value: &str) -> NodeSpec {
        let s = Some(value.as_bytes().to_vec());
        self.with(name, AttributeType::String, AttributeProto { s, ..AttributeProto::default() })
    }
}

/// A node with its outputs and the layer call it came from.
#[derive(Clone, Debug)]
pub(crate) struct DraftNode {
    pub spec: NodeSpec,
    /// Nothing for an output that is left out.
    pub outputs: Vec<Option<TensorId>>,
    pub origin: Option<CallId>,
    /// What a `Scan` runs.
    pub body: Option<Body>,
}

/// A graph that a node runs. It reads the initializers and tensors of the graph around it by their names.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub nodes: Vec<DraftNode>,
    pub inputs: Vec<BodyPort>,
    pub outputs: Vec<BodyPort>,
}

/// An input or output of a [`Body`].
#[derive(Clone, Debug)]
pub(crate) struct BodyPort {
    pub tensor: TensorId,
    pub name: String,
    pub dtype: DType,
}

/// A tensor that is in the file.
#[derive(Clone, Debug)]
pub(crate) struct Initializer {
    /// The type of the elements for nodes that read them.
    pub dtype: DType,
    /// The type of the elements in the file.
    pub storage: DType,
    pub dims: Vec<usize>,
    pub content: Content,
}

/// Where an initializer's elements come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// One of the graph's constants.
    Constant(ConstantId, View),
    /// What [`Draft::derived`] has of these constants in this role.
    Derived(Vec<ConstantId>, &'static str),
    /// Something that the operator needs, with the layer call, what it is to it, and little-endian bytes.
    Literal(Option<CallId>, &'static str, Vec<u8>),
}

/// Nodes in execution order and what they read.
#[derive(Debug)]
pub(crate) struct Draft {
    pub opset: i64,
    pub target: Target,
    /// Whether masks only leave out the last steps.
    pub right_padded: bool,
    pub nodes: Vec<DraftNode>,
    pub initializers: Vec<Initializer>,
    /// Weights made of the graph's constants, by what they are made of and what they are made for.
    pub derived: BTreeMap<(Vec<ConstantId>, &'static str), Constant>,
    pub tensors: usize,
    /// Of each layer call, the one that it lies in.
    parents: Vec<Option<CallId>>,
    /// The layer calls with an output of their own.
    tapped: BTreeSet<CallId>,
    known: BTreeMap<(DType, Vec<usize>, Content), usize>,
    /// The outputs of nodes in `nodes`, by what they compute.
    computed: BTreeMap<Computation, Vec<TensorId>>,
}

/// What a node computes: its type, what it reads, and its encoded attributes.
type Computation = (&'static str, Vec<Arg>, Vec<Vec<u8>>);

impl Draft {
    pub fn new(options: &ExportOptions, graph: &Graph, outline: &Outline) -> Draft {
        Draft {
            opset: options.opset,
            target: options.target.unwrap_or_default(),
            right_padded: options.assume_right_padded,
            nodes: Vec::new(),
            initializers: Vec::new(),
            derived: BTreeMap::new(),
            tensors: 0,
            parents: outline.calls.iter().map(|call| call.parent).collect(),
            tapped: graph.taps().iter().map(|tap| tap.call).collect(),
            known: BTreeMap::new(),
            computed: BTreeMap::new(),
        }
    }

    /// A layer call and those around it, from the inside.
    fn around(&self, call: Option<CallId>) -> impl Iterator<Item = CallId> + '_ {
        // Parents stand before their children, so that every way up ends.
        let parent = |call: &CallId| self.parents.get(call.0)?.filter(|parent| parent.0 < call.0);
        std::iter::successors(call, parent)
    }

    /// The layer that a node belongs to in the file: the innermost around its origin that has an output of its own, such as
    /// the `LSTM` around an `LSTMCell`.
    pub fn layer(&self, origin: Option<CallId>) -> Option<CallId> {
        self.around(origin).find(|call| self.tapped.contains(call)).or(origin)
    }

    /// The innermost layer call in which both of two lie, or that they are.
    pub fn common_call(&self, a: Option<CallId>, b: Option<CallId>) -> Option<CallId> {
        self.around(a).find(|&call| self.around(b).any(|other| other == call))
    }

    /// A new tensor.
    pub fn tensor(&mut self) -> TensorId {
        self.tensors += 1;
        TensorId(self.tensors - 1)
    }

    /// Adds a node, unless there is one that computes the same, and returns its output.
    pub fn node(&mut self, spec: NodeSpec, origin: Option<CallId>) -> TensorId {
        let [output] = self.node_of(spec, origin);
        output
    }

    /// Adds a node of so many outputs, unless there is one that computes the same, and returns them.
    pub fn node_of<const N: usize>(&mut self, spec: NodeSpec, origin: Option<CallId>) -> [TensorId; N] {
        let attributes = spec.attributes.iter().map(Message::encode_to_vec).collect();
        let key = (spec.op_type, spec.inputs.clone(), attributes);
        if let Some(outputs) = self.computed.get(&key).and_then(|outputs| outputs.as_slice().try_into().ok())
        {
            return outputs;
        }
        let outputs = [(); N].map(|()| self.tensor());
        self.computed.insert(key, outputs.to_vec());
        self.push(spec, outputs.map(Some).to_vec(), origin, None);
        outputs
    }

    /// Adds a node, whether there is one that computes the same or not, and returns its output.
    pub fn another_node(&mut self, spec: NodeSpec, origin: Option<CallId>) -> TensorId {
        let output = self.tensor();
        self.push(spec, vec![Some(output)], origin, None);
        output
    }

    /// Adds the nodes that `add` adds to a list of their own, which is returned with what `add` returns.
    pub fn apart<T>(&mut self, add: impl FnOnce(&mut Draft) -> T) -> (Vec<DraftNode>, T) {
        let nodes = std::mem::take(&mut self.nodes);
        let computed = std::mem::take(&mut self.computed);
        let result = add(self);
        self.computed = computed;
        (std::mem::replace(&mut self.nodes, nodes), result)
    }

    /// Adds a node of those outputs that are used, and returns them.
    pub fn node_of_used(
        &mut self,
        spec: NodeSpec,
        used: &[bool],
        origin: Option<CallId>,
        body: Option<Body>,
    ) -> Vec<Option<TensorId>> {
        let outputs: Vec<_> = used.iter().map(|used| used.then(|| self.tensor())).collect();
        let mut named = outputs.clone();
        named.truncate(outputs.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
        self.push(spec, named, origin, body);
        outputs
    }

    fn push(
        &mut self,
        spec: NodeSpec,
        outputs: Vec<Option<TensorId>>,
        origin: Option<CallId>,
        body: Option<Body>,
    ) {
        self.nodes.push(DraftNode { spec, outputs, origin, body });
    }

    /// The nodes in execution order, each followed by those of its body.
    pub fn all_nodes(&self) -> Vec<&DraftNode> {
        fn visit<'a>(nodes: &'a [DraftNode], all: &mut Vec<&'a DraftNode>) {
            for node in nodes {
                all.push(node);
                node.body.iter().for_each(|body| visit(&body.nodes, all));
            }
        }
        let mut all = Vec::new();
        visit(&self.nodes, &mut all);
        all
    }

    /// Adds an initializer unless the same one is there.
    pub fn initializer(&mut self, dtype: DType, dims: Vec<usize>, content: Content) -> Arg {
        let next = self.initializers.len();
        let at = *self.known.entry((dtype, dims.clone(), content.clone())).or_insert(next);
        if at == next {
            self.initializers.push(Initializer { dtype, storage: dtype, dims, content });
        }
        Arg::Initializer(at)
    }

    /// Stores weights that are rounded to a narrower type in that, each with a `Cast` before all other nodes, which is
    /// what the nodes read then.
    pub fn cast_narrow_weights(&mut self, graph: &Graph) {
        let mut origins = BTreeMap::new();
        for node in self.all_nodes() {
            for input in &node.spec.inputs {
                if let Arg::Initializer(at) = *input {
                    origins.entry(at).or_insert(node.origin);
                }
            }
        }
        let mut casts = Vec::new();
        let mut cast = BTreeMap::new();
        for (at, initializer) in self.initializers.iter_mut().enumerate() {
            let expr = match &initializer.content {
                Content::Constant(id, _) => Some(&graph.constant(*id).expr),
                Content::Derived(sources, role) => {
                    self.derived.get(&(sources.clone(), *role)).map(|made| &made.expr)
                }
                Content::Literal(..) => None,
            };
            let Some(ExprKind::Rounded(_, narrow)) = expr.map(ConstantExpr::kind) else { continue };
            initializer.storage = *narrow;
            let to = i64::from(data_type(initializer.dtype));
            let output = TensorId(self.tensors);
            self.tensors += 1;
            let spec = NodeSpec::new("Cast", [Arg::Initializer(at)]).int("to", to);
            let origin = origins.get(&at).copied().flatten();
            casts.push(DraftNode { spec, outputs: vec![Some(output)], origin, body: None });
            cast.insert(at, output);
        }
        redirect(&mut self.nodes, &cast);
        self.nodes.splice(0..0, casts);
    }

    /// Adds an initializer made of the constants `sources`, which for the same `role` is always made in the same way.
    pub fn derived(&mut self, sources: Vec<ConstantId>, role: &'static str, constant: Constant) -> Arg {
        let (dtype, dims) = (constant.dtype, constant.shape().to_vec());
        self.derived.entry((sources.clone(), role)).or_insert(constant);
        self.initializer(dtype, dims, Content::Derived(sources, role))
    }
}

/// Lets nodes, and those in their bodies, read what `cast` has for an initializer in place of it.
fn redirect(nodes: &mut [DraftNode], cast: &BTreeMap<usize, TensorId>) {
    for node in nodes {
        for input in &mut node.spec.inputs {
            if let Arg::Initializer(at) = *input
                && let Some(&tensor) = cast.get(&at)
            {
                *input = Arg::Tensor(tensor);
            }
        }
        redirect(node.body.as_mut().map_or(&mut [], |body| &mut body.nodes), cast);
    }
}
