//! The ONNX graph in the making: nodes and initializers in order, without names.

use crate::messages::{AttributeProto, AttributeType};
use crate::view::View;
use k2o_core::{CallId, ConstantId, DType};
use std::collections::BTreeMap;

/// Something that a node computes, or an input of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TensorId(pub usize);

/// What a node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    pub fn string(self, name: &str, value: &str) -> NodeSpec {
        let s = Some(value.as_bytes().to_vec());
        self.with(name, AttributeType::String, AttributeProto { s, ..AttributeProto::default() })
    }
}

/// A node with its outputs and the layer call it came from.
#[derive(Clone, Debug)]
pub(crate) struct DraftNode {
    pub spec: NodeSpec,
    pub outputs: Vec<TensorId>,
    pub origin: Option<CallId>,
}

/// A tensor that is in the file.
#[derive(Clone, Debug)]
pub(crate) struct Initializer {
    pub dtype: DType,
    pub dims: Vec<usize>,
    pub content: Content,
}

/// Where an initializer's elements come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// One of the graph's constants.
    Constant(ConstantId, View),
    /// Something that the operator needs, with the layer call, what it is to it, and little-endian bytes.
    Literal(Option<CallId>, &'static str, Vec<u8>),
}

/// Nodes in execution order and what they read.
#[derive(Debug)]
pub(crate) struct Draft {
    pub opset: i64,
    pub nodes: Vec<DraftNode>,
    pub initializers: Vec<Initializer>,
    pub tensors: usize,
    known: BTreeMap<(DType, Vec<usize>, Content), usize>,
}

impl Draft {
    pub fn new(opset: i64) -> Draft {
        Draft { opset, nodes: Vec::new(), initializers: Vec::new(), tensors: 0, known: BTreeMap::new() }
    }

    /// A new tensor.
    pub fn tensor(&mut self) -> TensorId {
        self.tensors += 1;
        TensorId(self.tensors - 1)
    }

    /// Adds a node and returns its output.
    pub fn node(&mut self, spec: NodeSpec, origin: Option<CallId>) -> TensorId {
        let [output] = self.node_of(spec, origin);
        output
    }

    /// Adds a node of so many outputs and returns them.
    pub fn node_of<const N: usize>(&mut self, spec: NodeSpec, origin: Option<CallId>) -> [TensorId; N] {
        let outputs = [(); N].map(|()| self.tensor());
        self.nodes.push(DraftNode { spec, outputs: outputs.to_vec(), origin });
        outputs
    }

    /// Adds an initializer unless the same one is there.
    pub fn initializer(&mut self, dtype: DType, dims: Vec<usize>, content: Content) -> Arg {
        let next = self.initializers.len();
        let at = *self.known.entry((dtype, dims.clone(), content.clone())).or_insert(next);
        if at == next {
            self.initializers.push(Initializer { dtype, dims, content });
        }
        Arg::Initializer(at)
    }
}
