//! What the operators compute, on tensors small enough to check by hand, and what a graph says to inputs that do not
//! fit it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{self, BinaryKind, Operator, PoolKind, ReduceKind, ReshapeDim};
use k2o_core::{
    CallId, DType, Data, Dim, ErrorKind, Graph, GraphBuilder, Op, Padding, Tensor, Window, run_reference,
};

const VALID: Padding = Padding::Explicit(0, 0);
const NAN: f64 = f64::NAN;

fn dtype(tensor: &Tensor) -> DType {
    match tensor.data() {
        Data::F64(_) => DType::F32,
        Data::I64(_) => DType::I64,
        Data::Bool(_) => DType::Bool,
    }
}

/// Runs a graph of one node on inputs of exactly these sizes.
#[track_caller]
fn run(op: impl Into<Op>, inputs: &[Tensor]) -> Tensor {
    let mut builder = GraphBuilder::new();
    let sizes = |x: &Tensor| x.shape().iter().map(|&n| Dim::fixed(n as i64)).collect::<Vec<_>>();
    let values: Vec<_> =
        inputs.iter().map(|x| builder.input("x", (dtype(x), sizes(x)).into()).unwrap()).collect();
    let y = builder.add(op, values).unwrap();
    builder.output("y", y);
    let graph = builder.finish();
    let y = run_reference(&graph, inputs, &[]).unwrap().outputs.remove(0);
    assert_eq!(graph.value(graph.outputs()[0].value).r#type.shape.as_fixed().unwrap(), y.shape());
    y
}

type Numbers<'a> = (&'a [usize], &'a [f64]);

#[track_caller]
fn check(op: impl Into<Op>, inputs: &[Numbers<'_>], expected: Numbers<'_>) {
    let tensor = |(shape, data): &Numbers<'_>| Tensor::f64(*shape, data.to_vec()).unwrap();
    let inputs: Vec<Tensor> = inputs.iter().map(tensor).collect();
    let y = run(op, &inputs);
    assert_eq!(y.shape(), expected.0);
    let near = |(a, b): (&f64, &f64)| a == b || (a - b).abs() < 1e-12 || (a.is_nan() && b.is_nan());
    assert!(y.as_f64().unwrap().iter().zip(expected.1).all(near), "{y:?}, not {:?}", expected.1);
}

const SIX: Numbers<'static> = (&[2, 3], &[1., 2., 3., 4., 5., 6.]);

#[test]
fn concat_interleaves_runs_along_its_axis() {
    check(
        ops::Concat { axis: 0 },
        &[SIX, (&[1, 3], &[7., 8., 9.])],
        (&[3, 3], &[1., 2., 3., 4., 5., 6., 7., 8., 9.]),
    );
    check(
        ops::Concat { axis: 1 },
        &[SIX, (&[2, 0], &[]), (&[2, 1], &[7., 8.])],
        (&[2, 4], &[1., 2., 3., 7., 4., 5., 6., 8.]),
    );
    let (a, b) = (&[1., 2., 3., 4.], &[5., 6.]);
    check(
        ops::Concat { axis: 1 },
        &[(&[1, 2, 2], a), (&[1, 1, 2], b)],
        (&[1, 3, 2], &[1., 2., 3., 4., 5., 6.]),
    );
}

#[test]
fn concat_and_transpose_move_elements_of_any_type() {
    let bools = Tensor::new([1, 2], Data::Bool(vec![true, false])).unwrap();
    let joined = run(ops::Concat { axis: 0 }, &[bools.clone(), bools]);
    assert_eq!(joined.data(), &Data::Bool(vec![true, false, true, false]));
    let integers = Tensor::new([2, 2], Data::I64(vec![1, 2, 3, 4])).unwrap();
    assert_eq!(
        run(ops::Concat { axis: 1 }, &[integers.clone(), integers.clone()]).data(),
        &Data::I64(vec![1, 2, 1, 2, 3, 4, 3, 4])
    );
    assert_eq!(
        run(ops::Transpose { permutation: vec![1, 0] }, &[integers]).data(),
        &Data::I64(vec![1, 3, 2, 4])
    );
}

#[test]
fn padding_surrounds_the_input_with_its_value() {
    let pad = |amounts: &[(i64, i64)]| ops::Pad { amounts: amounts.to_vec(), value: 9. };
    check(pad(&[(1, 0), (0, 2)]), &[(&[1, 2], &[1., 2.])], (&[2, 4], &[9., 9., 9., 9., 1., 2., 9., 9.]));
    check(pad(&[(0, 0), (1, 1)]), &[(&[1, 0], &[])], (&[1, 2], &[9., 9.]));
}

#[test]
fn transpose_takes_each_output_axis_from_the_input_axis_it_names() {
    check(ops::Transpose { permutation: vec![1, 0] }, &[SIX], (&[3, 2], &[1., 4., 2., 5., 3., 6.]));
    let x: Vec<f64> = (0..6).map(f64::from).collect();
    // A rotation, which is not its own inverse.
    check(
        ops::Transpose { permutation: vec![2, 0, 1] },
        &[(&[1, 2, 3], &x)],
        (&[3, 1, 2], &[0., 3., 1., 4., 2., 5.]),
    );
}

#[test]
fn affine_runs_along_its_axis() {
    let vectors: [Numbers<'_>; 2] = [(&[2], &[10., -1.]), (&[2], &[0.5, 0.])];
    let x: Numbers<'_> = (&[1, 2, 2], &[1., 2., 3., 4.]);
    check(ops::Affine { axis: 1 }, &[x, vectors[0], vectors[1]], (x.0, &[10.5, 20.5, -3., -4.]));
    check(ops::Affine { axis: 2 }, &[x, vectors[0], vectors[1]], (x.0, &[10.5, -2., 30.5, -4.]));
}

#[test]
fn reductions_run_over_several_axes() {
    let x: Numbers<'_> = (&[2, 2, 2], &[1., 2., 3., 4., 5., 6., 7., -8.]);
    let reduce = |kind, axes: &[usize], keep_dims| ops::Reduce { kind, axes: axes.to_vec(), keep_dims };
    check(reduce(ReduceKind::Sum, &[0, 2], false), &[x], (&[2], &[14., 6.]));
    check(reduce(ReduceKind::Max, &[0, 2], true), &[x], (&[1, 2, 1], &[6., 7.]));
    check(reduce(ReduceKind::Min, &[1, 2], false), &[x], (&[2], &[1., -8.]));
    check(reduce(ReduceKind::Mean, &[0, 1, 2], false), &[x], (&[], &[2.5]));
    check(reduce(ReduceKind::Mean, &[], false), &[x], x);
    check(reduce(ReduceKind::Sum, &[1], false), &[(&[2, 0], &[])], (&[2], &[0., 0.]));
    for kind in [ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean] {
        check(reduce(kind, &[1], false), &[(&[2, 2], &[NAN, 1., 1., NAN])], (&[2], &[NAN, NAN]));
    }
}

#[test]
fn softmax_sums_to_one_over_its_axes_together() {
    let x: Numbers<'_> = (&[2, 2, 2], &[1., 2., 3., 4., 0., 0., 0., 0.]);
    let sum: f64 = [1f64, 2., 3., 4.].map(f64::exp).iter().sum();
    let first = [1f64, 2., 3., 4.].map(|x| x.exp() / sum);
    check(ops::Softmax { axes: vec![1, 2] }, &[x], (x.0, &[&first[..], &[0.25; 4]].concat()));
    let column = 1. / (1. + 2f64.exp());
    check(
        ops::Softmax { axes: vec![0] },
        &[(&[2, 2], &[1., 0., 3., 0.])],
        (&[2, 2], &[column, 0.5, 1. - column, 0.5]),
    );
}

#[test]
fn binary_operators_repeat_axes_of_one() {
    let (row, column): (Numbers<'_>, Numbers<'_>) = ((&[3], &[1., 2., 3.]), (&[2, 1], &[10., 20.]));
    let binary = |kind| ops::Binary { kind };
    check(binary(BinaryKind::Add), &[column, row], (&[2, 3], &[11., 12., 13., 21., 22., 23.]));
    check(binary(BinaryKind::Sub), &[row, column], (&[2, 3], &[-9., -8., -7., -19., -18., -17.]));
    check(binary(BinaryKind::Mul), &[SIX, row], (&[2, 3], &[1., 4., 9., 4., 10., 18.]));
    check(binary(BinaryKind::Div), &[(&[], &[6.]), row], (&[3], &[6., 3., 2.]));
    check(binary(BinaryKind::Max), &[SIX, (&[1], &[3.5])], (&[2, 3], &[3.5, 3.5, 3.5, 4., 5., 6.]));
    check(binary(BinaryKind::Min), &[SIX, (&[1], &[3.5])], (&[2, 3], &[1., 2., 3., 3.5, 3.5, 3.5]));
    check(binary(BinaryKind::Add), &[(&[0, 1], &[]), row], (&[0, 3], &[]));
    for kind in [BinaryKind::Max, BinaryKind::Min] {
        check(binary(kind), &[(&[2], &[NAN, 1.]), (&[2], &[1., NAN])], (&[2], &[NAN, NAN]));
    }
}

#[test]
fn convolution_reaches_over_two_axes_with_stride_and_dilation() {
    let windows =
        vec![Window::new(2, 1, 2, VALID).unwrap(), Window::new(2, 2, 1, Padding::Explicit(1, 0)).unwrap()];
    let x: Vec<f64> = (1..=9).map(f64::from).collect();
    // Rows 0 and 2; columns -1 and 0, then 1 and 2.
    let expected = [1. * 10. + 7. * 1000., 2. + 3. * 10. + 8. * 100. + 9. * 1000.];
    check(
        ops::Conv { windows, groups: 1 },
        &[(&[1, 3, 3, 1], &x), (&[2, 2, 1, 1], &[1., 10., 100., 1000.])],
        (&[1, 1, 2, 1], &expected),
    );
}

#[test]
fn convolution_without_middle_axes_is_a_matrix_product() {
    let kernel: Numbers<'_> = (&[3, 1], &[1., 10., 100.]);
    check(
        ops::Conv { windows: vec![], groups: 1 },
        &[SIX, kernel, (&[1], &[0.5])],
        (&[2, 1], &[321.5, 654.5]),
    );
}

#[test]
fn pooling_ignores_padding_on_every_axis() {
    let same = Window::new(2, 2, 1, Padding::Same).unwrap();
    let x: Vec<f64> = (1..=9).map(|n| -f64::from(n)).collect();
    let pool = |kind| ops::Pool { kind, windows: vec![same; 2] };
    check(pool(PoolKind::Max), &[(&[1, 3, 3, 1], &x)], (&[1, 2, 2, 1], &[-1., -3., -7., -9.]));
    check(pool(PoolKind::Average), &[(&[1, 3, 3, 1], &x)], (&[1, 2, 2, 1], &[-3., -4.5, -7.5, -9.]));
    let pair = ops::Pool { kind: PoolKind::Max, windows: vec![Window::new(2, 1, 1, VALID).unwrap()] };
    check(pair, &[(&[1, 4, 1], &[1., NAN, 2., 3.])], (&[1, 3, 1], &[NAN, NAN, 3.]));
}

#[test]
fn a_pooling_window_that_could_read_only_padding_is_refused() {
    let refused = |size, dilation, padding, steps: i64| {
        let window = Window::new(size, 1, dilation, padding).unwrap();
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", (DType::F32, vec![1.into(), steps.into(), 1.into()]).into()).unwrap();
        builder.add(ops::Pool { kind: PoolKind::Max, windows: vec![window] }, [x]).is_err()
    };
    assert!(refused(2, 1, Padding::Explicit(2, 0), 5));
    assert!(refused(2, 1, Padding::Explicit(1, 1), 0));
    // Taps at -1 and 1 of an input of one step.
    assert!(refused(2, 2, Padding::Same, 1));
    assert!(!refused(2, 2, Padding::Same, 2));
    assert!(!refused(3, 1, Padding::Explicit(2, 2), 1));
}

#[test]
fn operands_of_different_types_are_refused() {
    let mut builder = GraphBuilder::new();
    let mut input = |dtype| builder.input("x", (dtype, vec![2.into()]).into()).unwrap();
    let (float, integer) = (input(DType::F32), input(DType::I64));
    let error = builder.add(ops::Concat { axis: 0 }, [float, integer]).unwrap_err();
    assert_eq!(error.message(), "concat of float32 [2] and int64 [2]");
    let error = builder.add(ops::Binary { kind: BinaryKind::Add }, [float, integer]).unwrap_err();
    assert_eq!(error.message(), "add of float32 and int64");
}

#[test]
fn reshape_keeps_the_order_of_elements() {
    let target = vec![ReshapeDim::Infer, ReshapeDim::Fixed(2)];
    check(ops::Reshape { target }, &[SIX], (&[3, 2], SIX.1));
    check(ops::Reshape::flatten(), &[(&[2, 1, 3], SIX.1)], (&[2, 3], SIX.1));
}

/// Two inputs `[batch, steps, 2]` and `[batch]`; a valid window of 3, its halves, and 4 positions in all.
fn model() -> Graph {
    let mut builder = GraphBuilder::new();
    let (batch, steps) = (Dim::symbol("batch"), Dim::symbol("steps"));
    let a = builder.input("a", (DType::F32, vec![batch.clone(), steps, 2.into()]).into()).unwrap();
    builder.input("b", (DType::F32, vec![batch]).into()).unwrap();
    builder.within(Some(CallId(7)));
    let windows = vec![Window::new(3, 1, 1, VALID).unwrap()];
    let y = builder.add(ops::Pool { kind: PoolKind::Max, windows }, [a]).unwrap();
    builder.within(Some(CallId(8)));
    let target = vec![ReshapeDim::Keep, ReshapeDim::Infer, ReshapeDim::Fixed(4)];
    let y = builder.add(ops::Reshape { target }, [y]).unwrap();
    builder.within(Some(CallId(9)));
    let z = builder.input("c", (DType::F32, vec![4.into(), 4.into()]).into()).unwrap();
    let y = builder.add(ops::Binary { kind: BinaryKind::Add }, [y, z]).unwrap();
    builder.output("y", y);
    builder.finish()
}

#[track_caller]
fn check_bind(sizes: &[&[usize]], kind: ErrorKind, origin: Option<usize>, expected: &str) {
    let error = model().bind(sizes).unwrap_err();
    assert_eq!((error.kind(), error.message()), (kind, expected));
    assert_eq!(error.origin(), origin.map(CallId));
}

#[test]
fn sizes_that_fit_bind_the_symbols() {
    let bindings = model().bind(&[&[2, 10, 2], &[2], &[4, 4]]).unwrap();
    assert_eq!(bindings.into_iter().collect::<Vec<_>>(), [("batch".into(), 2), ("steps".into(), 10)]);
    assert_eq!(model().symbols(), ["batch".into(), "steps".into()]);
}

#[test]
fn inputs_that_do_not_fit_are_the_callers_fault() {
    check_bind(&[&[2, 10, 2]], ErrorKind::Input, None, "1 inputs were given; the model's are: a, b, c");
    check_bind(
        &[&[2, 10], &[2], &[4, 4]],
        ErrorKind::Input,
        None,
        "input \"a\" has shape [batch, steps, 2]; an array of shape [2, 10] was given",
    );
    check_bind(
        &[&[2, 10, 3], &[2], &[4, 4]],
        ErrorKind::Input,
        None,
        "input \"a\" has shape [batch, steps, 2]; an array of shape [2, 10, 3] was given",
    );
    check_bind(
        &[&[2, 10, 2], &[5], &[4, 4]],
        ErrorKind::Input,
        None,
        "input \"b\" has shape [batch]; an array of shape [5] was given",
    );
    check_bind(
        &[&[2, usize::MAX, 2], &[2], &[4, 4]],
        ErrorKind::Input,
        None,
        "input \"a\" has shape [batch, steps, 2]; an array of shape [2, 18446744073709551615, 2] was given",
    );
}

#[test]
fn sizes_that_break_a_rule_name_the_rule_and_the_layer() {
    check_bind(
        &[&[2, 2, 2], &[2], &[4, 4]],
        ErrorKind::Shape,
        Some(7),
        "a window of 3 steps does not fit an input of steps: (steps - 3) / 1 + 1 would be less than 1: \
         steps >= 3 does not hold (it is 2)",
    );
    check_bind(
        &[&[2, 9, 2], &[2], &[4, 4]],
        ErrorKind::Shape,
        Some(8),
        "an input [batch, steps - 2, 2] cannot be reshaped to [same, -1, 4]: 2*steps - 4 elements do not divide by 4: \
         2*steps - 4 is a multiple of 4 does not hold (it is 14)",
    );
    check_bind(
        &[&[2, 12, 2], &[2], &[4, 4]],
        ErrorKind::Shape,
        Some(9),
        "add of [batch, (2*steps - 4) / 4, 4] and [4, 4]: (2*steps - 4) / 4 and 4 differ: \
         (2*steps - 4) / 4 = 4 does not hold (it is 5)",
    );
}

#[test]
fn a_rule_that_numbers_break_is_an_error_at_once_and_names_the_layer() {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", (DType::F32, vec![1.into(), 2.into(), 2.into()]).into()).unwrap();
    builder.within(Some(CallId(3)));
    let windows = vec![Window::new(3, 1, 1, VALID).unwrap()];
    let error = builder.add(ops::Pool { kind: PoolKind::Max, windows }, [x]).unwrap_err();
    assert_eq!((error.kind(), error.origin()), (ErrorKind::Shape, Some(CallId(3))));
    assert_eq!(error.message(), "a window of 3 steps does not fit an input of 2: (2 - 3) / 1 + 1 would be 0");
}

#[test]
fn a_run_keeps_the_values_it_is_asked_for() {
    let graph = model();
    let tensor = |shape: &[usize]| Tensor::f64(shape, vec![1.0; shape.iter().product()]).unwrap();
    let wanted = [graph.inputs()[1].value, graph.nodes()[0].outputs[0], graph.outputs()[0].value];
    let inputs = [tensor(&[2, 10, 2]), tensor(&[2]), tensor(&[4, 4])];
    let run = run_reference(&graph, &inputs, &wanted).unwrap();
    assert_eq!(run.kept[&wanted[0]], inputs[1]);
    assert_eq!(run.kept[&wanted[1]].shape(), [2, 8, 2]);
    assert_eq!(run.kept[&wanted[2]], run.outputs[0]);
    assert_eq!(run.kept.len(), 3);
    let error = run_reference(&graph, &inputs[..2], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[test]
fn work_is_counted_per_output() {
    let (batch, steps) = (Dim::symbol("batch"), Dim::symbol("steps"));
    let types =
        |shapes: &[Vec<Dim>]| shapes.iter().map(|dims| (DType::F32, dims.clone()).into()).collect::<Vec<_>>();
    let x = vec![batch.clone(), steps.clone(), 4.into()];
    let y = vec![batch.clone(), steps.add_const(-2).unwrap(), 6.into()];
    let conv = ops::Conv { windows: vec![Window::new(3, 1, 1, VALID).unwrap()], groups: 2 };
    let kernel = vec![3.into(), 2.into(), 6.into()];
    let cost =
        conv.cost(&types(&[x.clone(), kernel, vec![6.into()]]), &types(std::slice::from_ref(&y))).unwrap();
    // Of 4 channels each filter sees the 2 of its group.
    assert_eq!(cost.multiply_adds.to_string(), "-72*batch + 36*batch*steps");
    assert_eq!(cost.element_ops.to_string(), "-12*batch + 6*batch*steps");
    let cost = ops::Dense
        .cost(&types(&[x.clone(), vec![4.into(), 5.into()]]), &types(&[vec![batch, steps, 5.into()]]));
    assert_eq!(cost.unwrap().multiply_adds.to_string(), "20*batch*steps");
}
