//! What a session takes and gives, apart from the arithmetic.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{self, BinaryKind, ReshapeDim, Unary};
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Operand, Padding, Shape, StoredTensor,
    Tensor, TensorType, ValueId, Window,
};
use k2o_cpu::{ErrorKind, Plan, PlanOptions, Session, TensorView};
use std::sync::Arc;

fn build(dtype: DType, last: i64, build: impl FnOnce(&mut GraphBuilder, ValueId)) -> Graph {
    let mut builder = GraphBuilder::new();
    let shape = Shape::new([Dim::symbol("batch"), last.into()]);
    let x = builder.input("x", TensorType::new(shape, dtype)).unwrap();
    build(&mut builder, x);
    builder.finish()
}

fn session(graph: &Graph) -> Session {
    Plan::new(graph, &PlanOptions::default()).unwrap().session()
}

fn constant(builder: &mut GraphBuilder, shape: &[usize], data: &[f64]) -> Operand {
    let expr = ConstantExpr::literal(Tensor::f64(shape, data.to_vec()).unwrap());
    builder.constant(Constant { name: "c".into(), dtype: DType::F32, expr }).unwrap().into()
}

fn reshape(target: &[i64]) -> ops::Reshape {
    let dim = |n: &i64| if *n < 0 { ReshapeDim::Infer } else { ReshapeDim::Fixed(*n) };
    ops::Reshape { target: target.iter().map(dim).collect() }
}

#[test]
fn outputs_may_be_inputs_reshapes_and_constants() {
    let graph = build(DType::F32, 4, |b, x| {
        let folded = b.add(reshape(&[-1, 2]), [x]).unwrap();
        let c = constant(b, &[2, 3], &[1., 2., 3., 4., 5., 6.]);
        let flat = b.add(reshape(&[6]), [c]).unwrap();
        let relu = b.add(Unary::Relu, [folded]).unwrap();
        let back = b.add(reshape(&[-1]), [relu]).unwrap();
        for (name, value) in [("x", x), ("folded", folded), ("flat", flat), ("back", back), ("relu", relu)] {
            b.output(name, value);
        }
        b.output("again", back);
    });
    let mut session = session(&graph);
    let x = [1., -2., 3., -4.];
    let outputs = session.run(&[TensorView::f32(&[1, 4], &x).unwrap()]).unwrap();
    let given: Vec<_> = outputs.iter().map(|(name, y)| (name, y.shape(), y.as_f32().unwrap())).collect();
    let relu = [1., 0., 3., 0.].as_slice();
    assert_eq!(
        given,
        [
            ("x", &[1, 4][..], &x[..]),
            ("folded", &[2, 2], &x),
            ("flat", &[6], &[1., 2., 3., 4., 5., 6.]),
            ("back", &[4], relu),
            ("relu", &[2, 2], relu),
            ("again", &[4], relu),
        ]
    );
    assert_eq!(session.plan().steps().map(|step| step.name.to_string()).collect::<Vec<_>>(), ["relu"]);
}

#[test]
fn integers_are_moved_and_come_out_as_64_bits() {
    for dtype in [DType::I32, DType::I64] {
        let graph = build(dtype, 2, |b, x| {
            let twice = b.add(ops::Concat { axis: 1 }, [x, x]).unwrap();
            let turned = b.add(ops::Transpose { permutation: vec![1, 0] }, [twice]).unwrap();
            b.output("y", turned);
        });
        let mut session = session(&graph);
        let expected = [1, -3, 2, 4, 1, -3, 2, 4];
        let y = session.run(&[TensorView::i32(&[2, 2], &[1, 2, -3, 4]).unwrap()]).unwrap().get(0).unwrap();
        assert_eq!((y.shape(), y.as_i64().unwrap()), (&[4, 2][..], &expected[..]));
        let y = session.run(&[TensorView::i64(&[2, 2], &[1, 2, -3, 4]).unwrap()]).unwrap().get(0).unwrap();
        assert_eq!(y.as_i64().unwrap(), expected);
        let error = session.run(&[TensorView::f32(&[2, 2], &[0.; 4]).unwrap()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let text = format!("input \"x\" has type {dtype}; an array of type float32 was given");
        assert_eq!(error.to_string(), text);
        assert!(session.outputs().is_none());
    }
}

/// A kernel whose bytes cannot be had.
#[derive(Debug)]
struct Unreadable;

impl StoredTensor for Unreadable {
    fn shape(&self) -> &[usize] {
        &[2, 3]
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        Err(k2o_core::Error::new(k2o_core::ErrorKind::Io, "the file is gone"))
    }
}

#[test]
fn what_this_crate_cannot_compute_is_refused() {
    let plan =
        |graph: &Graph| Plan::new(graph, &PlanOptions::default()).map(|_| ()).map_err(|error| error.kind());
    let unsupported = Err(ErrorKind::Unsupported);
    assert_eq!(plan(&build(DType::Bool, 2, |b, x| b.output("y", x))), unsupported);
    let function_of_integers = build(DType::I64, 2, |b, x| {
        let y = b.add(Unary::Relu, [x]).unwrap();
        b.output("y", y);
    });
    assert_eq!(plan(&function_of_integers), unsupported);
    let unreadable = build(DType::F32, 2, |b, x| {
        let expr = ConstantExpr::stored(Arc::new(Unreadable));
        let kernel = Constant { name: "w".into(), dtype: DType::F32, expr };
        let kernel = b.constant(kernel).unwrap();
        b.within(Some(CallId(5)));
        let y = b.add(ops::Dense, [Operand::from(x), kernel.into()]).unwrap();
        b.output("y", y);
    });
    let error = Plan::new(&unreadable, &PlanOptions::default()).unwrap_err();
    assert_eq!((error.kind(), error.origin()), (ErrorKind::Io, Some(CallId(5))));
}

#[test]
fn arrays_that_do_not_fit_are_refused_and_the_session_lives_on() {
    let graph = build(DType::F32, 3, |b, x| {
        let y = b.add(Unary::Relu, [x]).unwrap();
        b.output("y", y);
    });
    let mut session = session(&graph);
    assert!(session.outputs().is_none());
    let mut kind = |views: &[TensorView<'_>]| session.run(views).map(|_| ()).unwrap_err().kind();
    assert_eq!(kind(&[]), ErrorKind::Input);
    assert_eq!(kind(&[TensorView::f32(&[2, 2], &[0.; 4]).unwrap()]), ErrorKind::Input);
    assert_eq!(kind(&[TensorView::f32(&[3], &[0.; 3]).unwrap()]), ErrorKind::Input);
    assert_eq!(kind(&[TensorView::i32(&[1, 3], &[0; 3]).unwrap()]), ErrorKind::Input);
    assert!(session.run(&[TensorView::f32(&[1, 3], &[-1., 0., 1.]).unwrap()]).is_ok());
    assert_eq!(session.outputs().unwrap().get(0).unwrap().as_f32().unwrap(), [0., 0., 1.]);
}

#[test]
fn constraints_and_limits_are_errors_with_an_origin() {
    let mut builder = GraphBuilder::new();
    let shape = Shape::new([Dim::symbol("batch"), Dim::symbol("steps"), 1.into()]);
    let x = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
    let kernel = constant(&mut builder, &[3, 1, 1], &[1.; 3]);
    let windows = vec![Window::new(3, 1, 1, Padding::Explicit(0, 0)).unwrap()];
    builder.within(Some(CallId(2)));
    let y = builder.add(ops::Conv { windows, groups: 1 }, [x.into(), kernel]).unwrap();
    builder.output("y", y);
    let graph = builder.finish();
    let plan = Plan::new(&graph, &PlanOptions { memory_limit: 4 * 8, ..PlanOptions::default() }).unwrap();
    let mut session = plan.session();
    let mut run = |steps: usize| {
        let x = vec![1.0; steps];
        let shape = [1, steps, 1];
        session.run(&[TensorView::f32(&shape, &x).unwrap()]).map(|_| ()).map_err(|e| (e.kind(), e.origin()))
    };
    assert_eq!(run(2), Err((ErrorKind::Shape, Some(CallId(2)))));
    assert_eq!(run(10), Ok(()));
    assert_eq!(run(11), Err((ErrorKind::Limit, None)));
    assert_eq!(run(9), Ok(()));
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    let graph = build(DType::F32, 0, |b, x| {
        let y = b.add(ops::Pad { amounts: vec![(0, 0), (1 << 20, 0)], value: 0.0 }, [x]).unwrap();
        b.output("y", y);
    });
    let mut session = session(&graph);
    for batch in [1 << 39, 1 << 42, 1 << 60, usize::MAX] {
        let error = session.run(&[TensorView::f32(&[batch, 0], &[]).unwrap()]).map(|_| ()).unwrap_err();
        let expected = if batch == usize::MAX { ErrorKind::Input } else { ErrorKind::Limit };
        assert_eq!(error.kind(), expected, "{batch}: {error}");
    }
    assert!(session.run(&[TensorView::f32(&[2, 0], &[]).unwrap()]).is_ok());
}

#[test]
fn more_sizes_than_are_remembered_still_run() {
    let graph = build(DType::F32, 1, |b, x| {
        let y = b.add(Unary::Exp, [x]).unwrap();
        let z = b.add(ops::Binary { kind: BinaryKind::Sub }, [y, x]).unwrap();
        b.output("z", z);
    });
    let mut session = session(&graph);
    for batch in (0..40).chain([3, 39, 20]).chain((0..40).rev()) {
        let x = vec![0.0; batch];
        let outputs = session.run(&[TensorView::f32(&[batch, 1], &x).unwrap()]).unwrap();
        assert_eq!(outputs.get(0).unwrap().as_f32().unwrap(), vec![1.0; batch]);
    }
}

#[test]
fn taps_are_kept_on_demand() {
    let mut exp = None;
    let graph = build(DType::F32, 1, |b, x| {
        let y = b.add(Unary::Exp, [x]).unwrap();
        let z = b.add(Unary::Relu, [y]).unwrap();
        exp = Some(y);
        b.output("z", z);
        b.tap(CallId(0), 0, Some(x));
        b.tap(CallId(1), 0, Some(y));
        b.tap(CallId(1), 1, None);
    });
    let (shape, x) = ([1, 1], [0.0]);
    let view = [TensorView::f32(&shape, &x).unwrap()];
    let plan = |keep_taps| Plan::new(&graph, &PlanOptions { keep_taps, ..PlanOptions::default() }).unwrap();
    let mut without = plan(false).session();
    without.run(&view).unwrap();
    assert_eq!(without.tap(CallId(1), 0), None);
    assert_eq!(format!("{:?}", without.plan()), "[\"exp+relu\"]");
    let mut with = plan(true).session();
    assert_eq!(with.tap(CallId(1), 0), None);
    with.run(&view).unwrap();
    let tap = |call, output| with.tap(CallId(call), output).map(|view| view.as_f32().unwrap()[0]);
    assert_eq!((tap(0, 0), tap(1, 0), tap(1, 1), tap(2, 0)), (Some(0.0), Some(1.0), None, None));
}

#[test]
fn plans_are_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn is_sent<T: Send + 'static>(_: &T) {}
    let plan = Plan::new(&build(DType::F32, 1, |b, x| b.output("x", x)), &PlanOptions::default()).unwrap();
    is_shared(&plan);
    is_sent(&plan.session());
}
