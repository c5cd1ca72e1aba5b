//! Plans with narrow weights compute what plans of the rounded graph do, bit for bit.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{Affine, Conv, Dense, Lstm, Recurrence, Unary};
use k2o_core::{
    Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Padding, Shape, Tensor, TensorType,
    ValueId, Window, round_weights, to_scans,
};
use k2o_cpu::{ErrorKind, InstructionSet, Plan, PlanOptions, Session, TensorView};

/// Numbers between -1 and 1 that depend on `seed` only.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x2545_f491_4f6c_dd1d);
        (state >> 40) as f32 / 2f32.powi(23) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A network in the making.
struct Net {
    builder: GraphBuilder,
    last: ValueId,
    weights: u64,
}

impl Net {
    fn new(sizes: &[usize]) -> Net {
        let mut builder = GraphBuilder::new();
        let sizes = sizes.iter().map(|&size| Dim::fixed(size as i64));
        let shape = Shape::new([Dim::symbol("batch")].into_iter().chain(sizes).collect::<Vec<Dim>>());
        let last = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
        Net { builder, last, weights: 0 }
    }

    /// Adds an operator with weights of these shapes.
    fn add(mut self, op: impl Into<Op>, weights: &[&[usize]]) -> Net {
        let mut operands = vec![Operand::from(self.last)];
        for shape in weights {
            self.weights += 1;
            let data = numbers(shape.iter().product(), self.weights);
            let expr = Tensor::f64(*shape, data.into_iter().map(f64::from).collect()).unwrap();
            let expr = ConstantExpr::literal(expr);
            let constant = Constant { name: "w".into(), dtype: DType::F32, expr };
            operands.push(self.builder.constant(constant).unwrap().into());
        }
        self.last = self.builder.add_all(op.into(), operands).unwrap()[0];
        self
    }

    fn graph(mut self) -> Graph {
        self.builder.output("y", self.last);
        self.builder.finish()
    }
}

fn run(session: &mut Session, shape: &[usize], x: &[f32]) -> Vec<u32> {
    let outputs = session.run(&[TensorView::f32(shape, x).unwrap()]).unwrap();
    outputs.get(0).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect()
}

/// Holds the plan with narrow weights against that of the rounded graph, for batches up to `most`.
#[track_caller]
fn check(graph: &Graph, sizes: &[usize], most: usize) {
    for narrow in [DType::F16, DType::BF16] {
        let rounded = round_weights(graph, narrow).unwrap();
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            let wide = PlanOptions { instruction_set: Some(set), ..PlanOptions::default() };
            let options = PlanOptions { narrow_weights: Some(narrow), ..wide.clone() };
            let plan = |graph: &Graph, options: &PlanOptions| Plan::new(graph, options).unwrap().session();
            let (mut exact, mut expected) = (plan(graph, &wide), plan(&rounded, &wide));
            let (mut ours, mut twice) = (plan(graph, &options), plan(&rounded, &options));
            for batch in 1..=most {
                let shape = [&[batch], sizes].concat();
                let x = numbers(shape.iter().product(), 77);
                let expected = run(&mut expected, &shape, &x);
                assert!(run(&mut ours, &shape, &x) == expected, "{set} {narrow} {shape:?}");
                assert!(run(&mut twice, &shape, &x) == expected, "rounded before: {set} {narrow} {shape:?}");
                assert!(run(&mut exact, &shape, &x) != expected, "nothing is rounded");
            }
        }
    }
}

#[test]
fn products_read_narrow_weights_as_they_are_rounded() {
    // One block and panel, several of either, and panels that are read block by block.
    for (depth, units) in [(1, 3), (40, 64), (129, 65), (300, 200), (1100, 150), (30, 1000)] {
        let net = Net::new(&[depth]).add(Dense, &[&[depth, units], &[units]]).add(Unary::Relu, &[]);
        let net = net.add(Affine { axis: 1 }, &[&[units], &[units]]).add(Dense, &[&[units, 7]]);
        check(&net.graph(), &[depth], 20);
    }
}

#[test]
fn convolutions_and_recurrences_compute_with_rounded_weights() {
    let window = Window::new(3, 1, 1, Padding::Same).unwrap();
    let net = Net::new(&[9, 10]).add(Conv { windows: vec![window], groups: 2 }, &[&[3, 5, 20], &[20]]);
    let recurrence = Recurrence { has_bias: true, ..Recurrence::default() };
    let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
    let lstm = Lstm { activation, recurrent_activation, recurrence };
    let net = net.add(lstm, &[&[20, 28], &[7, 28], &[28]]).add(Dense, &[&[7, 70]]);
    let graph = net.graph();
    check(&graph, &[9, 10], 3);
    // The products of a scan's body read weights of the graph around it.
    check(&to_scans(&graph, &|_| true).unwrap(), &[9, 10], 3);
}

#[test]
fn weights_that_do_not_fit_and_types_that_are_not_narrow_are_refused() {
    let mut builder = GraphBuilder::new();
    let shape = Shape::new([Dim::symbol("batch"), 1.into()]);
    let x = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
    let expr = ConstantExpr::filled(&[1, 1], 1e5).unwrap();
    let kernel = builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap();
    let y = builder.add(Dense, [Operand::from(x), kernel.into()]).unwrap();
    builder.output("y", y);
    let graph = builder.finish();
    for (narrow, expected) in [
        (DType::F16, Err(ErrorKind::Limit)),
        (DType::BF16, Ok(())),
        (DType::F32, Err(ErrorKind::Unsupported)),
        (DType::I32, Err(ErrorKind::Unsupported)),
    ] {
        let options = PlanOptions { narrow_weights: Some(narrow), ..PlanOptions::default() };
        assert_eq!(Plan::new(&graph, &options).map(|_| ()).map_err(|error| error.kind()), expected);
    }
}
