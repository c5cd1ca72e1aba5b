//! The memory that a plan takes is that of its weights, while it is made too. Alone in its file, because what other tests
//! allocate would count.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{self, Conv, ConvTranspose, Dense, Lstm, Recurrence, Unary};
use k2o_core::{
    Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Padding, Shape, StoredTensor,
    TensorType, Window,
};
use k2o_cpu::{Plan, PlanOptions, TensorView};
use peak_alloc::PeakAlloc;
use std::sync::Arc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// A weight whose elements are made when they are read.
#[derive(Debug)]
struct Made(Vec<usize>);

impl StoredTensor for Made {
    fn shape(&self) -> &[usize] {
        &self.0
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        Ok(0.5f32.to_le_bytes().repeat(self.0.iter().product()))
    }

    fn read_range(&self, _: usize, out: &mut [u8]) -> k2o_core::Result<bool> {
        out.as_chunks_mut::<4>().0.fill(0.5f32.to_le_bytes());
        Ok(true)
    }
}

fn stored(shape: &[usize]) -> ConstantExpr {
    ConstantExpr::stored(Arc::new(Made(shape.to_vec())))
}

/// An operator on `x`, of these sizes, with a weight.
fn graph(op: impl Into<Op>, (dtype, sizes): (DType, &[i64]), weights: &[ConstantExpr]) -> Graph {
    let mut builder = GraphBuilder::new();
    let sizes = sizes.iter().map(|&size| Dim::fixed(size));
    let shape = Shape::new([Dim::symbol("batch")].into_iter().chain(sizes).collect::<Vec<Dim>>());
    let x: Operand = builder.input("x", TensorType::new(shape, dtype)).unwrap().into();
    let weights = weights.iter().map(|expr| {
        let constant = Constant { name: "w".into(), dtype: DType::F32, expr: expr.clone() };
        builder.constant(constant).unwrap().into()
    });
    let weights: Vec<Operand> = weights.collect();
    let op = op.into();
    let operands = match op {
        // The table comes first.
        Op::Gather(_) => weights.into_iter().chain([x]).collect(),
        _ => [x].into_iter().chain(weights).collect(),
    };
    let y = builder.add_all(op, operands).unwrap()[0];
    builder.output("y", y);
    builder.finish()
}

/// The bytes of a plan of `graph`, and the most that making it took.
fn bytes(graph: &Graph, options: &PlanOptions) -> (usize, usize) {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let _plan = Plan::new(graph, options).unwrap();
    (ALLOCATED.current_usage() - before, ALLOCATED.peak_usage() - before)
}

#[track_caller]
fn check(what: &str, graph: &Graph, narrow_weights: Option<DType>, expected: usize) {
    let options = PlanOptions { narrow_weights, ..PlanOptions::default() };
    let (kept, most) = bytes(graph, &options);
    let text = format!("{what}: {kept} bytes, at most {most}, for {expected} of weights");
    assert!((expected..=expected + expected / 10).contains(&kept), "{text}");
    assert!(most <= expected + expected / 10, "{text}");
}

#[test]
fn weights_are_in_memory_once() {
    // So large that a second one, or one in double precision, would exceed the bound.
    let (rows, units) = (7168, 8192);
    let large = rows * units * 4;
    assert!(large > 200 * MIB);
    let dense = |expr: ConstantExpr| graph(Dense, (DType::F32, &[rows as i64]), &[expr]);
    let kernel = stored(&[rows, units]);
    let folded = kernel.mul(&stored(&[rows, 1]).sqrt()).unwrap();
    check("a product", &dense(kernel.clone()), None, large);
    check("a product with a scale", &dense(folded.clone()), None, large);
    for narrow in [DType::F16, DType::BF16] {
        check("a narrow product", &dense(kernel.clone()), Some(narrow), large / 2);
        check("a narrow product with a scale", &dense(folded.clone()), Some(narrow), large / 2);
    }

    let window = |size| Window::new(size, 1, 1, Padding::Explicit(0, 0)).unwrap();
    let conv = Conv { windows: vec![window(5)], groups: 2 };
    let shape = [5, 512, 4096];
    let conv = graph(conv, (DType::F32, &[9, 1024]), &[stored(&shape)]);
    check("a convolution", &conv, None, shape.iter().product::<usize>() * 4);
    check("a rounded convolution", &conv, Some(DType::F16), shape.iter().product::<usize>() * 4);
    let spread = ops::Spread::new(4, 2, 1, (0, 0), 0).unwrap();
    let shape = [4, 1024, 2048];
    let transposed =
        graph(ConvTranspose { windows: vec![spread] }, (DType::F32, &[9, 1024]), &[stored(&shape)]);
    check("a transposed convolution", &transposed, None, shape.iter().product::<usize>() * 4);

    let recurrence = Recurrence::default();
    let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
    let lstm = Lstm { activation, recurrent_activation, recurrence };
    let (kernel, recurrent) = ([1024, 8192], [2048, 8192]);
    let lstm = graph(lstm, (DType::F32, &[9, 1024]), &[stored(&kernel), stored(&recurrent)]);
    check("a recurrence", &lstm, None, (1024 + 2048) * 8192 * 4);

    let table = graph(ops::Gather { axis: 0 }, (DType::I32, &[9]), &[stored(&[1 << 20, 16])]);
    check("a table", &table, None, 16 << 22);

    // A session adds what it computes.
    let plan = Plan::new(&dense(stored(&[rows, units])), &PlanOptions::default()).unwrap();
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    let mut session = plan.session();
    let x = vec![1.0; rows];
    session.run(&[TensorView::f32(&[1, rows], &x).unwrap()]).unwrap();
    let most = ALLOCATED.peak_usage() - before;
    assert!(most < MIB, "{most} bytes for a session");
}
