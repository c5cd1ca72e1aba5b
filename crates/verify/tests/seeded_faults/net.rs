//! A model's graph taken apart, to make a mistake in it.

use k2o::core::ops::{self, Operator};
use k2o::core::{
    Constant, ConstantExpr, ConstantId, DType, ExprKind, Graph, GraphBuilder, Node, Op, Operand, Port, Tap,
    Tensor, TensorType, ValueId,
};
use ndarray::{ArrayD, Axis, IxDyn};
use std::collections::BTreeMap;

/// Nodes, weights and outputs of a graph. Values keep the ids that they have there.
#[derive(Clone)]
pub struct Net {
    inputs: Vec<(Port, TensorType)>,
    pub nodes: Vec<Node>,
    constants: Vec<Constant>,
    pub outputs: Vec<Port>,
    taps: Vec<Tap>,
    values: u32,
    is_changed: bool,
}

/// The first operator of a kind.
macro_rules! first {
    ($($function:ident: $op:ident),* $(,)?) => {
        impl Net {
            $(pub fn $function(&mut self) -> &mut ops::$op {
                let mut found = self.nodes.iter_mut().filter_map(|node| match &mut node.op {
                    Op::$op(op) => Some(op),
                    _ => None,
                });
                found.next().expect(stringify!(there is a $op))
            })*
        }
    };
}

first! {
    binary: Binary,
    compare: Compare,
    conv: Conv,
    conv_transpose: ConvTranspose,
    gru: Gru,
    lstm: Lstm,
    normalize: Normalize,
    pad: Pad,
    pool: Pool,
    reduce: Reduce,
    rnn: Rnn,
    softmax: Softmax,
    transpose: Transpose,
}

/// What a batch normalization is made of.
pub struct BatchNorm {
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
    pub epsilon: f64,
}

impl Net {
    pub fn of(graph: &Graph) -> Net {
        let input = |port: &Port| (port.clone(), graph.value(port.value).r#type.clone());
        Net {
            inputs: graph.inputs().iter().map(input).collect(),
            nodes: graph.nodes().to_vec(),
            constants: graph.constants().to_vec(),
            outputs: graph.outputs().to_vec(),
            taps: graph.taps().to_vec(),
            values: u32::try_from(graph.values().len()).unwrap(),
            is_changed: false,
        }
    }

    /// The graph put together again, its shapes inferred anew.
    pub fn build(&self) -> k2o::core::Result<Graph> {
        let mut builder = GraphBuilder::new();
        for constant in &self.constants {
            builder.constant(constant.clone())?;
        }
        let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for (port, r#type) in &self.inputs {
            values.insert(port.value, builder.input(port.name.clone(), r#type.clone())?);
        }
        for node in &self.nodes {
            builder.within(node.origin);
            let operand = |operand: &Operand| match operand {
                Operand::Value(id) => Operand::Value(values[id]),
                constant => *constant,
            };
            let outputs = builder.add_all(node.op.clone(), node.inputs.iter().map(operand).collect())?;
            values.extend(node.outputs.iter().copied().zip(outputs));
        }
        for tap in &self.taps {
            builder.tap(tap.call, tap.output, tap.value.map(|value| values[&value]));
        }
        for port in &self.outputs {
            builder.output(port.name.clone(), values[&port.value]);
        }
        Ok(builder.finish())
    }

    /// Whether it is another net than `other`, from which it was made.
    pub fn differs_from(&self, other: &Net) -> bool {
        self.is_changed
            || self.nodes != other.nodes
            || self.outputs != other.outputs
            || self.taps != other.taps
    }

    /// The node of the operator `name` before which there are `n` others.
    pub fn nth(&mut self, name: &str, n: usize) -> &mut Node {
        let mut found = self.nodes.iter_mut().filter(|node| node.op.name() == name);
        found.nth(n).unwrap_or_else(|| panic!("there is no {name} {n}"))
    }

    pub fn node(&mut self, name: &str) -> &mut Node {
        self.nth(name, 0)
    }

    /// Lets the first node of the operator `name` read two of its operands in each other's place.
    pub fn swap_inputs(&mut self, name: &str, a: usize, b: usize) {
        self.node(name).inputs.swap(a, b);
    }

    pub fn swap_outputs(&mut self, name: &str, a: usize, b: usize) {
        self.node(name).outputs.swap(a, b);
    }

    /// Lets everything that reads the node's output read one of its inputs instead.
    pub fn bypass(&mut self, name: &str, input: usize) {
        let node = self.node(name);
        let (output, input) = (node.outputs[0], node.inputs[input].value().expect("it reads a value"));
        self.read_instead(output, input, 0);
    }

    /// Adds a node that reads the output `output` of the first node `name` in place of all that read it.
    pub fn append(&mut self, name: &str, output: usize, op: impl Into<Op>) {
        let at = self.nodes.iter().position(|node| node.op.name() == name).expect("there is such a node");
        self.append_at(at, output, op.into());
    }

    /// As [`append`](Net::append), to what is the model's first output.
    pub fn append_to_output(&mut self, op: impl Into<Op>) {
        let value = self.outputs[0].value;
        let at = self.nodes.iter().position(|node| node.outputs.contains(&value)).expect("it is computed");
        let output = self.nodes[at].outputs.iter().position(|other| *other == value).unwrap();
        self.append_at(at, output, op.into());
    }

    pub fn append_at(&mut self, at: usize, output: usize, op: Op) {
        let (new, old) = (self.new_value(), self.nodes[at].outputs[output]);
        self.read_instead(old, new, at + 1);
        let origin = self.nodes[at].origin;
        self.nodes.insert(at + 1, Node { op, inputs: vec![old.into()], outputs: vec![new], origin });
    }

    /// Puts a node between the first node `name` and what it reads as `input`.
    pub fn prepend(&mut self, name: &str, input: usize, op: impl Into<Op>) {
        let at = self.nodes.iter().position(|node| node.op.name() == name).expect("there is such a node");
        let new = self.new_value();
        let old = std::mem::replace(&mut self.nodes[at].inputs[input], new.into());
        let origin = self.nodes[at].origin;
        self.nodes.insert(at, Node { op: op.into(), inputs: vec![old], outputs: vec![new], origin });
    }

    fn new_value(&mut self) -> ValueId {
        self.values += 1;
        ValueId(self.values)
    }

    /// Lets nodes from `from` on, outputs and taps read `new` where they read `old`.
    fn read_instead(&mut self, old: ValueId, new: ValueId, from: usize) {
        let operands = self.nodes[from..].iter_mut().flat_map(|node| &mut node.inputs);
        operands.filter(|operand| operand.value() == Some(old)).for_each(|operand| *operand = new.into());
        let taps = self.taps.iter_mut().filter_map(|tap| tap.value.as_mut());
        let read = self.outputs.iter_mut().map(|port| &mut port.value).chain(taps);
        read.filter(|value| **value == old).for_each(|value| *value = new);
    }

    /// A number as a weight.
    pub fn number(&mut self, value: f64) -> Operand {
        let expr = ConstantExpr::literal(Tensor::scalar(value));
        self.constants.push(Constant { name: "a number".into(), dtype: DType::F32, expr });
        ConstantId(u32::try_from(self.constants.len() - 1).unwrap()).into()
    }

    /// The first weight whose name ends with `name`.
    fn constant(&self, name: &str) -> usize {
        let ends = |constant: &Constant| {
            constant.name.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let names = || self.constants.iter().map(|constant| constant.name.as_str()).collect::<Vec<_>>();
        self.constants.iter().position(ends).unwrap_or_else(|| panic!("no weight {name}: {:?}", names()))
    }

    /// The names of all weights whose names end with `name`.
    pub fn names(&self, name: &str) -> Vec<String> {
        let names = self.constants.iter().map(|constant| &constant.name);
        names.filter(|full| full.rsplit('/').next() == Some(name)).cloned().collect()
    }

    /// The elements of a weight in the file's own numbers.
    pub fn weight(&self, name: &str) -> ArrayD<f64> {
        let tensor = self.constants[self.constant(name)].evaluate().unwrap();
        ArrayD::from_shape_vec(IxDyn(tensor.shape()), tensor.as_f64().unwrap().to_vec()).unwrap()
    }

    pub fn set(&mut self, name: &str, elements: ArrayD<f64>) {
        let before = self.weight(name);
        self.is_changed |= before != elements;
        assert_ne!(before, elements, "{name} is as it was");
        let at = self.constant(name);
        let tensor = Tensor::f64(elements.shape(), elements.iter().copied().collect::<Vec<_>>()).unwrap();
        self.constants[at].expr = ConstantExpr::literal(tensor);
    }

    /// Changes the elements of a weight.
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut ArrayD<f64>)) {
        let mut elements = self.weight(name);
        change(&mut elements);
        self.set(name, elements);
    }

    /// Changes one element of a weight, the `at`th in row-major order.
    pub fn edit_one(&mut self, name: &str, at: usize, change: impl FnOnce(f32) -> f32) {
        self.edit(name, |elements| {
            let element = elements.as_slice_mut().unwrap().get_mut(at).unwrap();
            *element = f64::from(change(*element as f32));
        });
    }

    /// The first two weights of one shape whose names end with `name`.
    pub fn alike(&self, name: &str) -> (String, String) {
        let names = self.names(name);
        let of_shape = |shape: &[usize], before: &[String]| {
            before.iter().find(|other| self.weight(other).shape() == shape).cloned()
        };
        let pair = |(at, name): (usize, &String)| {
            Some((of_shape(self.weight(name).shape(), &names[..at])?, name.clone()))
        };
        names.iter().enumerate().find_map(pair).expect("two weights of one shape")
    }

    /// The first weight whose name ends with `name` whose last two sizes are the same.
    pub fn square(&self, name: &str) -> String {
        let is_square = |name: &String| {
            let weight = self.weight(name);
            let [.., rows, columns] = *weight.shape() else { return false };
            rows == columns
        };
        self.names(name).into_iter().find(is_square).expect("a square weight")
    }

    pub fn swap_weights(&mut self, a: &str, b: &str) {
        let (x, y) = (self.weight(a), self.weight(b));
        self.set(a, y);
        self.set(b, x);
    }

    /// Reads the columns of gate `a` for those of `b` and the other way round, of `gates` gates.
    pub fn swap_gates(&mut self, name: &str, gates: usize, (a, b): (usize, usize)) {
        self.edit(name, |elements| {
            let last = Axis(elements.ndim() - 1);
            let units = elements.len_of(last) / gates;
            for unit in 0..units {
                let (x, y) = (a * units + unit, b * units + unit);
                let column = elements.index_axis(last, x).to_owned();
                let other = elements.index_axis(last, y).to_owned();
                elements.index_axis_mut(last, x).assign(&other);
                elements.index_axis_mut(last, y).assign(&column);
            }
        });
    }

    /// Changes what the first batch normalization is made of.
    pub fn batch_norm(&mut self, change: impl FnOnce(&mut BatchNorm)) {
        let shift = &self.constants[self.constant("shift")].expr;
        let [beta, mean, gamma, variance, epsilon] = parts(shift).try_into().expect("a batch normalization");
        let mut norm = BatchNorm { gamma, beta, mean, variance, epsilon: epsilon[0] };
        change(&mut norm);
        let BatchNorm { gamma, beta, mean, variance, epsilon } = norm;
        let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
        let shift = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect::<Vec<_>>();
        for (name, numbers) in [("scale", scale), ("shift", shift)] {
            if self.weight(name).iter().ne(&numbers) {
                self.set(name, ndarray::Array1::from(numbers).into_dyn());
            }
        }
    }
}

/// What an expression is made of, from left to right.
fn parts(expr: &ConstantExpr) -> Vec<Vec<f64>> {
    match expr.kind() {
        ExprKind::Sqrt(a) | ExprKind::Reshape(a) => parts(a),
        ExprKind::Arithmetic(_, a, b) => [parts(a), parts(b)].concat(),
        _ => vec![expr.evaluate().unwrap().as_f64().unwrap().to_vec()],
    }
}
