//! What a session takes and gives, apart from the arithmetic.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{self, BinaryKind, ReshapeDim, Unary};
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Data, Dim, Graph, GraphBuilder, Operand, Padding, Shape,
    StoredTensor, Tensor, TensorType, ValueId, Window,
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

#[test]
fn truth_values_come_as_any_integers_and_go_out_as_0_and_1() {
    let graph = build(DType::Bool, 3, |b, mask| {
        let no = b.constant(Constant {
            name: "no".into(),
            dtype: DType::Bool,
            expr: ConstantExpr::literal(Tensor::new([3], Data::Bool(vec![true, false, false])).unwrap()),
        });
        let either = b.add(ops::Binary { kind: BinaryKind::Or }, [Operand::from(mask), no.unwrap().into()]);
        let numbers = b.add(ops::Cast { to: DType::F32 }, [mask]).unwrap();
        let integers = b.add(ops::Cast { to: DType::I32 }, [mask]).unwrap();
        b.output("mask", mask);
        b.output("either", either.unwrap());
        b.output("numbers", numbers);
        b.output("integers", integers);
    });
    let mut session = session(&graph);
    assert_eq!(format!("{:?}", session.plan()), r#"["or", "cast"]"#);
    let shape = [1, 3];
    for view in [
        TensorView::i32(&shape, &[0, -7, 0]),
        TensorView::i64(&shape, &[0, i64::MIN, 0]),
        TensorView::bool(&shape, &[false, true, false]),
    ] {
        let outputs = session.run(&[view.unwrap()]).unwrap();
        let integers = |name| outputs.by_name(name).unwrap().as_i64().unwrap();
        assert_eq!((integers("mask"), integers("integers")), (&[0, 1, 0][..], &[0, 1, 0][..]));
        assert_eq!(integers("either"), [1, 1, 0]);
        assert_eq!(outputs.by_name("numbers").unwrap().as_f32().unwrap(), [0., 1., 0.]);
    }
    let error = session.run(&[TensorView::f32(&shape, &[1.; 3]).unwrap()]).unwrap_err();
    assert_eq!(error.to_string(), "input \"x\" has type bool; an array of type float32 was given");
    let mut integers = self::session(&build(DType::I64, 3, |b, x| b.output("y", x)));
    let error = integers.run(&[TensorView::bool(&shape, &[true; 3]).unwrap()]).unwrap_err();
    assert_eq!(error.to_string(), "input \"x\" has type int64; an array of type bool was given");
}

#[test]
fn an_input_of_which_only_the_shape_is_read_is_not_copied() {
    for dtype in [DType::F32, DType::I32, DType::Bool] {
        let graph = build(dtype, 3, |b, x| {
            let ones = ops::Full { dims: vec![ops::FullDim::Of(0)], value: 1.0, dtype: DType::F32 };
            let y = b.add(ops::Full { ..ones }, [x]).unwrap();
            b.output("y", y);
        });
        let (floats, integers) = ([0.5; 6], [3; 6]);
        let view = match dtype {
            DType::F32 => TensorView::f32(&[2, 3], &floats),
            _ => TensorView::i32(&[2, 3], &integers),
        };
        let mut session = session(&graph);
        let outputs = session.run(&[view.unwrap()]).unwrap();
        assert_eq!(outputs.get(0).unwrap().as_f32().unwrap(), [1., 1.]);
    }
}

/// A recurrent layer whose every output is read by a later step and is a tap.
#[test]
fn outputs_of_one_operator_live_and_are_kept_together() {
    let mut outputs = Vec::new();
    let graph = build(DType::F32, 1, |b, x| {
        let x = b.add(
            ops::Reshape { target: vec![ReshapeDim::Keep, ReshapeDim::Infer, ReshapeDim::Fixed(1)] },
            [x],
        );
        let (kernel, recurrent) = (constant(b, &[1, 4], &[1.; 4]), constant(b, &[1, 4], &[0.; 4]));
        // c' = x c + x x, h' = x c'
        let recurrence = ops::Recurrence::default();
        let lstm = ops::Lstm { activation: None, recurrent_activation: None, recurrence };
        outputs = b.add_all(lstm.into(), vec![x.unwrap().into(), kernel, recurrent]).unwrap();
        let last = b.add(ops::Binary { kind: BinaryKind::Sub }, [outputs[1], outputs[2]]).unwrap();
        let last = b.add(Unary::Relu, [last]).unwrap();
        let squares = b.add(ops::Binary { kind: BinaryKind::Mul }, [outputs[0], outputs[0]]).unwrap();
        b.output("last", last);
        b.output("squares", squares);
        for (at, &output) in outputs.iter().enumerate() {
            b.tap(CallId(3), at, Some(output));
        }
    });
    let (shape, x) = ([2, 1], [2., 3.]);
    for keep_taps in [false, true] {
        let plan = Plan::new(&graph, &PlanOptions { keep_taps, ..PlanOptions::default() }).unwrap();
        assert_eq!(format!("{plan:?}"), r#"["lstm", "sub+relu", "mul"]"#);
        let mut session = plan.session();
        let results = session.run(&[TensorView::f32(&shape, &x).unwrap()]).unwrap();
        assert_eq!(results.by_name("last").unwrap().as_f32().unwrap(), [4., 18.]);
        assert_eq!(results.by_name("squares").unwrap().as_f32().unwrap(), [64., 729.]);
        let tap = |at| session.tap(CallId(3), at).map(|view| (view.shape().to_vec(), view.as_f32().unwrap()));
        let expected = [(vec![2, 1, 1], [8., 27.]), (vec![2, 1], [8., 27.]), (vec![2, 1], [4., 9.])];
        for (at, (shape, values)) in expected.into_iter().enumerate() {
            assert_eq!(tap(at), keep_taps.then_some((shape, &values[..])));
        }
    }
}

#[test]
fn integers_pick_rows_of_a_table_and_become_numbers() {
    for dtype in [DType::I32, DType::I64] {
        let graph = build(dtype, 4, |b, ids| {
            let table = constant(b, &[3, 2], &[0., 0.5, 1., 1.5, 2., -2.5]);
            let ids = b.add(ops::Slice { axis: 1, before: 1, after: 1 }, [ids]).unwrap();
            b.within(Some(CallId(7)));
            let picked = b.add(ops::Gather { axis: 0 }, [table, ids.into()]).unwrap();
            let picked = b.add(Unary::Relu, [picked]).unwrap();
            b.output("picked", picked);
            let twice = b.add(ops::Repeat { axis: 1, times: 2 }, [ids]).unwrap();
            let numbers = b.add(ops::Cast { to: DType::F32 }, [twice]).unwrap();
            let numbers = b.add(Unary::LeakyRelu { slope: 0.5 }, [numbers]).unwrap();
            b.output("numbers", numbers);
            let back = b.add(ops::Cast { to: DType::I32 }, [numbers]).unwrap();
            let picked = b.add(ops::Gather { axis: 1 }, [twice, ids]).unwrap();
            b.output("back", back);
            b.output("ids", picked);
        });
        let mut session = session(&graph);
        assert_eq!(
            format!("{:?}", session.plan()),
            r#"["slice", "gather+relu", "repeat", "cast+leaky_relu", "cast", "gather"]"#
        );
        let mut run = |ids: &[i32]| {
            let shape = [ids.len() / 4, 4];
            let outputs = session.run(&[TensorView::i32(&shape, ids).unwrap()])?;
            let floats = |name| outputs.by_name(name).unwrap().as_f32().unwrap().to_vec();
            let integers = |name| outputs.by_name(name).unwrap().as_i64().unwrap().to_vec();
            Ok::<_, k2o_cpu::Error>((floats("picked"), floats("numbers"), integers("back"), integers("ids")))
        };
        let expected = (vec![2., 0., 0., 0.5], vec![2., 2., 0., 0.], vec![2, 2, 0, 0], vec![0, 2]);
        assert_eq!(run(&[9, 2, 0, -9]).unwrap(), expected);
        // The last of the gathers' errors would have another axis's size.
        for (ids, text) in [
            ([0, 1, 3, 0], "the index 3 is not one of 0 to 2"),
            ([0, -1, 0, 0], "the index -1 is not one of 0 to 2"),
        ] {
            let error = run(&ids).unwrap_err();
            assert_eq!((error.kind(), error.origin()), (ErrorKind::Input, Some(CallId(7))));
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(run(&[9, 2, 0, -9]).unwrap(), expected);
        run(&[0, 1, 3, 0]).unwrap_err();
        assert!(session.outputs().is_none());
    }
}

#[test]
fn a_reshape_takes_sizes_from_a_value_that_is_not_computed() {
    let mut builder = GraphBuilder::new();
    let b = &mut builder;
    let [batch, steps] = ["batch", "steps"].map(Dim::symbol);
    let shape = |last: i64| Shape::new([batch.clone(), steps.clone(), last.into()]);
    let x = b.input("x", TensorType::new(shape(2), DType::F32)).unwrap();
    let grid = b.input("grid", TensorType::new(shape(5), DType::F32)).unwrap();
    let rows = b.add(reshape(&[-1, 2]), [x]).unwrap();
    let rows = b.add(Unary::Relu, [rows]).unwrap();
    let grid = b.add(Unary::Exp, [grid]).unwrap();
    let target = vec![ReshapeDim::Like(0), ReshapeDim::Like(1), ReshapeDim::Of(1)];
    let y = b.add(ops::Reshape { target }, [rows, grid]).unwrap();
    b.output("y", y);
    let c = constant(b, &[1, 3], &[7., 8., 9.]);
    let table = constant(b, &[3, 9], &[0.; 27]);
    let target = vec![ReshapeDim::Like(0), ReshapeDim::Infer];
    let column = b.add(ops::Reshape { target }, [c, table]).unwrap();
    b.output("column", column);
    let mut session = session(&builder.finish());
    assert_eq!(format!("{:?}", session.plan()), r#"["relu"]"#);
    let (x, grid) = ([1., -2., 3., 4., 5., -6., 7., 8.], [f32::NAN; 20]);
    for (batch, steps) in [(2, 2), (1, 4), (4, 1)] {
        let shapes = [[batch, steps, 2], [batch, steps, 5]];
        let views = [TensorView::f32(&shapes[0], &x).unwrap(), TensorView::f32(&shapes[1], &grid).unwrap()];
        let outputs = session.run(&views).unwrap();
        let y = outputs.get(0).unwrap();
        assert_eq!(y.shape(), [batch, steps, 2]);
        assert_eq!(y.as_f32().unwrap(), [1., 0., 3., 4., 5., 0., 7., 8.]);
        let column = outputs.get(1).unwrap();
        assert_eq!((column.shape(), column.as_f32().unwrap()), (&[3, 1][..], &[7., 8., 9.][..]));
    }
    let grid = TensorView::f32(&[1, 3, 5], &grid[..15]).unwrap();
    let error = session.run(&[TensorView::f32(&[1, 4, 2], &x).unwrap(), grid]).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[test]
fn a_kernel_may_be_shared_by_operators_that_read_it_in_another_order() {
    let mut builder = GraphBuilder::new();
    let b = &mut builder;
    let x = b.input("x", TensorType::new(Shape::new([1.into(), 2.into(), 1.into()]), DType::F32)).unwrap();
    let kernel = constant(b, &[2, 1, 1], &[1., 10.]);
    let windows = vec![Window::new(2, 1, 1, Padding::Explicit(0, 0)).unwrap()];
    let narrow = b.add(ops::Conv { windows, groups: 1 }, [x.into(), kernel]).unwrap();
    let windows = vec![ops::Spread::new(2, 1, 1, (0, 0), 0).unwrap()];
    let wide = b.add(ops::ConvTranspose { windows }, [x.into(), kernel]).unwrap();
    b.output("narrow", narrow);
    b.output("wide", wide);
    let mut session = session(&builder.finish());
    let outputs = session.run(&[TensorView::f32(&[1, 2, 1], &[2., 3.]).unwrap()]).unwrap();
    assert_eq!(outputs.get(0).unwrap().as_f32().unwrap(), [32.]);
    assert_eq!(outputs.get(1).unwrap().as_f32().unwrap(), [2., 23., 30.]);
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
    assert_eq!(plan(&build(DType::F64, 2, |b, x| b.output("y", x))), unsupported);
    let function_of_integers = build(DType::I64, 2, |b, x| {
        let y = b.add(Unary::Relu, [x]).unwrap();
        b.output("y", y);
    });
    assert_eq!(plan(&function_of_integers), unsupported);
    for (from, to) in [(DType::F32, DType::U8), (DType::Bool, DType::I8), (DType::I64, DType::F16)] {
        let cast = build(from, 2, |b, x| {
            let y = b.add(ops::Cast { to }, [x]).unwrap();
            b.output("y", y);
        });
        assert_eq!(plan(&cast), unsupported, "{from} to {to}");
    }
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
