//! What the operators compute, on tensors small enough to check by hand, and what a graph says to inputs that do not
//! fit it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{
    self, BinaryKind, FullDim, Infer, NormalizeKind, Operator, PoolKind, ReduceKind, ReshapeDim, Spread,
    Unary,
};
use k2o_core::{
    CallId, DType, Data, Dim, Error, ErrorKind, Graph, GraphBuilder, Op, Padding, Tensor, Window,
    run_reference,
};
use proptest::collection::vec;
use proptest::prelude::*;

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
fn operators_that_move_elements_move_those_of_any_type() {
    let bools = Tensor::new([1, 2], Data::Bool(vec![true, false])).unwrap();
    let joined = run(ops::Concat { axis: 0 }, &[bools.clone(), bools]);
    assert_eq!(joined.data(), &Data::Bool(vec![true, false, true, false]));
    let integers = Tensor::new([2, 2], Data::I64(vec![1, 2, 3, 4])).unwrap();
    assert_eq!(
        run(ops::Concat { axis: 1 }, &[integers.clone(), integers.clone()]).data(),
        &Data::I64(vec![1, 2, 1, 2, 3, 4, 3, 4])
    );
    assert_eq!(
        run(ops::Transpose { permutation: vec![1, 0] }, std::slice::from_ref(&integers)).data(),
        &Data::I64(vec![1, 3, 2, 4])
    );
    let bools = Tensor::new([2, 2], Data::Bool(vec![true, false, false, false])).unwrap();
    let last = Tensor::new([1], Data::I64(vec![1])).unwrap();
    let target = vec![ReshapeDim::Of(1), ReshapeDim::Of(0)];
    let moves: [(Op, &[Tensor], &[usize]); 4] = [
        (ops::Gather { axis: 0 }.into(), &[last], &[2, 3]),
        (ops::Repeat { axis: 1, times: 2 }.into(), &[], &[0, 0, 1, 1, 2, 2, 3, 3]),
        (ops::Slice { axis: 1, before: 1, after: 0 }.into(), &[], &[1, 3]),
        (ops::Reshape { target }.into(), &[], &[0, 1, 2, 3]),
    ];
    for (op, more, from) in moves {
        let moved = |x: &Tensor| run(op.clone(), &[std::slice::from_ref(x), more].concat()).data().clone();
        assert_eq!(moved(&integers), Data::I64(from.iter().map(|&i| i as i64 + 1).collect()));
        assert_eq!(moved(&bools), Data::Bool(from.iter().map(|&i| i == 0).collect()));
    }
}

#[test]
fn slices_drop_the_ends_of_their_axis() {
    let slice = |axis, before, after| ops::Slice { axis, before, after };
    check(slice(1, 1, 0), &[SIX], (&[2, 2], &[2., 3., 5., 6.]));
    check(slice(1, 0, 2), &[SIX], (&[2, 1], &[1., 4.]));
    check(slice(0, 1, 0), &[SIX], (&[1, 3], &[4., 5., 6.]));
    check(slice(0, 1, 1), &[SIX], (&[0, 3], &[]));
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    check(slice(1, 1, 1), &[(&[2, 3, 2], &x)], (&[2, 1, 2], &[2., 3., 8., 9.]));
}

#[test]
fn reverse_turns_its_axis_round() {
    let reverse = |axis| ops::Reverse { axis };
    check(reverse(1), &[SIX], (&[2, 3], &[3., 2., 1., 6., 5., 4.]));
    check(reverse(0), &[SIX], (&[2, 3], &[4., 5., 6., 1., 2., 3.]));
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let turned = [4., 5., 2., 3., 0., 1., 10., 11., 8., 9., 6., 7.];
    check(reverse(1), &[(&[2, 3, 2], &x)], (&[2, 3, 2], &turned));
    check(reverse(0), &[(&[0, 3], &[])], (&[0, 3], &[]));
    let type_of_x = (DType::F32, vec![2.into(), 3.into()]).into();
    assert!(reverse(2).infer(&[type_of_x], &mut Infer::default()).is_err());
}

#[test]
fn full_reads_nothing_but_sizes() {
    let full = |dims: &[FullDim], value, dtype| ops::Full { dims: dims.to_vec(), value, dtype };
    let dims = [FullDim::Of(1), FullDim::Fixed(2)];
    for like in [Data::F64(vec![NAN; 6]), Data::I64(vec![9; 6]), Data::Bool(vec![true; 6])] {
        let like = Tensor::new([2, 3], like).unwrap();
        let filled = |value, dtype| run(full(&dims, value, dtype), std::slice::from_ref(&like));
        assert_eq!(filled(2.5, DType::F32), Tensor::f64([3, 2], vec![2.5; 6]).unwrap());
        assert_eq!(filled(-7., DType::I32), Tensor::new([3, 2], Data::I64(vec![-7; 6])).unwrap());
        assert_eq!(filled(0.5, DType::Bool), Tensor::new([3, 2], Data::Bool(vec![true; 6])).unwrap());
        assert_eq!(filled(0., DType::Bool), Tensor::new([3, 2], Data::Bool(vec![false; 6])).unwrap());
    }
    check(ops::Full::zeros_per_row(2, DType::F32), &[SIX], (&[2, 2], &[0.; 4]));
    check(full(&[], 3., DType::F32), &[SIX], (&[], &[3.]));
    check(full(&[FullDim::Of(0), FullDim::Of(0)], 3., DType::F32), &[(&[0], &[])], (&[0, 0], &[]));
    let types = [(DType::I64, vec![Dim::symbol("batch"), 3.into()]).into()];
    let infer = |op: ops::Full| op.infer(&types, &mut Infer::default()).map(|y| y[0].to_string());
    assert_eq!(infer(full(&dims, 0., DType::F16)).unwrap(), "float16 [3, 2]");
    assert_eq!(infer(ops::Full::zeros_per_row(4, DType::Bool)).unwrap(), "bool [batch, 4]");
    let error = infer(full(&[FullDim::Of(2)], 0., DType::F32)).unwrap_err();
    assert_eq!(error.message(), "full with the size of axis 2 of a tensor of rank 2");
}

#[test]
fn repeated_elements_stand_in_a_row() {
    let repeat = |axis, times| ops::Repeat { axis, times };
    check(repeat(1, 2), &[SIX], (&[2, 6], &[1., 1., 2., 2., 3., 3., 4., 4., 5., 5., 6., 6.]));
    check(repeat(0, 2), &[SIX], (&[4, 3], &[1., 2., 3., 1., 2., 3., 4., 5., 6., 4., 5., 6.]));
    let x: Numbers<'_> = (&[1, 2, 2], &[1., 2., 3., 4.]);
    check(repeat(1, 3), &[x], (&[1, 6, 2], &[1., 2., 1., 2., 1., 2., 3., 4., 3., 4., 3., 4.]));
    check(repeat(1, 1), &[x], x);
}

fn indices(shape: &[usize], data: &[i64]) -> Tensor {
    Tensor::new(shape, Data::I64(data.to_vec())).unwrap()
}

#[test]
fn gathering_puts_the_axes_of_the_indices_in_place_of_the_axis() {
    let x = Tensor::f64(SIX.0, SIX.1.to_vec()).unwrap();
    let gathered = |axis, indices| {
        let y = run(ops::Gather { axis }, &[x.clone(), indices]);
        (y.shape().to_vec(), y.as_f64().unwrap().to_vec())
    };
    let rows = gathered(0, indices(&[2, 2], &[1, 0, 0, 1]));
    assert_eq!(rows, (vec![2, 2, 3], vec![4., 5., 6., 1., 2., 3., 1., 2., 3., 4., 5., 6.]));
    let columns = gathered(1, indices(&[1, 2], &[2, 0]));
    assert_eq!(columns, (vec![2, 1, 2], vec![3., 1., 6., 4.]));
    assert_eq!(gathered(1, indices(&[], &[1])), (vec![2], vec![2., 5.]));
    assert_eq!(gathered(0, indices(&[0], &[])), (vec![0, 3], vec![]));
    let cube = Tensor::f64([2, 2, 2], (0..8).map(f64::from).collect()).unwrap();
    let middle = run(ops::Gather { axis: 1 }, &[cube.clone(), indices(&[3], &[1, 1, 0])]);
    assert_eq!(middle.as_f64().unwrap(), [2., 3., 2., 3., 0., 1., 6., 7., 6., 7., 4., 5.]);
    let last = run(ops::Gather { axis: 2 }, &[cube, indices(&[1], &[1])]);
    assert_eq!(last.as_f64().unwrap(), [1., 3., 5., 7.]);
}

#[test]
fn an_index_that_is_not_there_is_the_callers_fault() {
    let gather = |index| {
        let x = Tensor::f64(SIX.0, SIX.1.to_vec()).unwrap();
        ops::Gather { axis: 1 }.reference(&[&x, &indices(&[2], &[0, index])])
    };
    for index in [3, -1, i64::MAX, i64::MIN] {
        let error = gather(index).unwrap_err();
        assert_eq!((error.kind(), error.origin()), (ErrorKind::Input, None));
        assert_eq!(error.message(), format!("the index {index} is not one of 0 to 2"));
    }
    assert!(gather(2).is_ok());

    let mut builder = GraphBuilder::new();
    let x = builder.input("x", (DType::F32, vec![3.into()]).into()).unwrap();
    let i = builder.input("i", (DType::I32, vec![Dim::symbol("n")]).into()).unwrap();
    builder.within(Some(CallId(4)));
    assert!(builder.add(ops::Gather { axis: 0 }, [x, x]).is_err(), "indices are whole numbers");
    let y = builder.add(ops::Gather { axis: 0 }, [x, i]).unwrap();
    builder.output("y", y);
    let inputs = [Tensor::f64([3], vec![0.; 3]).unwrap(), indices(&[1], &[3])];
    let error = run_reference(&builder.finish(), &inputs, &[]).unwrap_err();
    assert_eq!((error.kind(), error.origin()), (ErrorKind::Input, Some(CallId(4))));
}

#[track_caller]
fn check_cast(x: Data, to: DType, expected: Data) {
    let x = Tensor::new([x.len()], x).unwrap();
    assert_eq!(run(ops::Cast { to }, &[x]).data(), &expected, "{to}");
}

#[test]
fn numbers_are_cast_towards_zero_and_no_further_than_the_ends_of_the_type() {
    let x = || Data::F64(vec![1.9, -1.9, -0.0, NAN, 1e300, f64::NEG_INFINITY]);
    check_cast(x(), DType::I64, Data::I64(vec![1, -1, 0, 0, i64::MAX, i64::MIN]));
    check_cast(x(), DType::I32, Data::I64(vec![1, -1, 0, 0, i32::MAX.into(), i32::MIN.into()]));
    check_cast(x(), DType::Bool, Data::Bool(vec![true, true, false, true, true, true]));
    let x = || Data::I64(vec![-(1 << 40), -200, 0, 7, 1 << 40]);
    let ends = [
        (DType::I8, [-128, -128, 127]),
        (DType::U8, [0, 0, 255]),
        (DType::I16, [-32768, -200, 32767]),
        (DType::U16, [0, 0, 65535]),
        (DType::I32, [i32::MIN.into(), -200, i32::MAX.into()]),
        (DType::U32, [0, 0, u32::MAX.into()]),
        (DType::I64, [-(1 << 40), -200, 1 << 40]),
        (DType::U64, [0, 0, 1 << 40]),
    ];
    for (to, [least, less, most]) in ends {
        check_cast(x(), to, Data::I64(vec![least, less, 0, 7, most]));
    }
    check_cast(x(), DType::F32, Data::F64(vec![-(2f64.powi(40)), -200., 0., 7., 2f64.powi(40)]));
    check_cast(x(), DType::Bool, Data::Bool(vec![true, true, false, true, true]));
    let x = || Data::Bool(vec![true, false]);
    check_cast(x(), DType::I32, Data::I64(vec![1, 0]));
    check_cast(x(), DType::F32, Data::F64(vec![1., 0.]));
    check_cast(x(), DType::Bool, x());
    check_cast(Data::F64(vec![0.1]), DType::F32, Data::F64(vec![0.1]));
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
    check(ops::Softmax::over([1, 2]), &[x], (x.0, &[&first[..], &[0.25; 4]].concat()));
    let column = 1. / (1. + 2f64.exp());
    check(
        ops::Softmax::over([0]),
        &[(&[2, 2], &[1., 0., 3., 0.])],
        (&[2, 2], &[column, 0.5, 1. - column, 0.5]),
    );
    let log = ops::Softmax { axes: vec![1, 2], log: true };
    let first = [1f64, 2., 3., 4.].map(|x| x - sum.ln());
    check(log, &[x], (x.0, &[&first[..], &[-(4f64.ln()); 4]].concat()));
    let log = ops::Softmax { axes: vec![0], log: true };
    check(log, &[(&[2, 1], &[0., -1e4])], (&[2, 1], &[0., -1e4]));
}

#[test]
fn sparsemax_compares_the_elements_along_its_axis() {
    // Columns whose supports have one element and two: tau is 3 - 1, and (0.5 + (0.5 + 0.3) - 1) / 2.
    let x: Numbers<'_> = (&[3, 2], &[0., 0.3, 3., 0.5, 0., -2.]);
    check(ops::Sparsemax { axis: 0 }, &[x], (x.0, &[0., 0.15, 1., 0.35, 0., 0.]));
    let x: Numbers<'_> = (&[1, 2, 2], &[5., 9., 0., 1.]);
    check(ops::Sparsemax { axis: 2 }, &[x], (x.0, &[0., 1., 0., 1.]));
    check(ops::Sparsemax { axis: 0 }, &[x], (x.0, &[1.; 4]));
    for nan in [NAN, -NAN] {
        let x: Numbers<'_> = (&[2, 2], &[1., nan, 2., 0.]);
        check(ops::Sparsemax { axis: 1 }, &[x], (x.0, &[NAN, NAN, 1., 0.]));
    }
}

#[test]
fn normalization_divides_by_statistics_of_its_axes() {
    use NormalizeKind::{Deviation, RootMeanSquare, Standard};
    let norm = |kind, axes: &[usize], epsilon| ops::Normalize { kind, axes: axes.to_vec(), epsilon };
    let x: Numbers<'_> = (&[2, 2], &[1., 3., 10., 14.]);
    check(norm(Standard, &[1], 0.), &[x], (x.0, &[-1., 1., -1., 1.]));
    check(norm(Deviation, &[1], 0.), &[x], (x.0, &[1., 3., 5., 7.]));
    check(norm(Standard, &[0], 0.), &[x], (x.0, &[-1., -1., 1., 1.]));
    // Variances of 1 and 4 as 4 and 7 with what is added.
    check(norm(Deviation, &[1], 3.), &[x], (x.0, &[0.5, 1.5, 10. / 7f64.sqrt(), 14. / 7f64.sqrt()]));
    let weights: [Numbers<'_>; 2] = [(&[2], &[10., 20.]), (&[2], &[0.5, 0.25])];
    check(norm(Standard, &[1], 0.), &[x, weights[0]], (x.0, &[-10., 20., -10., 20.]));
    check(norm(Standard, &[1], 0.), &[x, weights[0], weights[1]], (x.0, &[-9.5, 20.25, -9.5, 20.25]));
    check(norm(Standard, &[0], 0.), &[x, weights[0]], (x.0, &[-10., -10., 20., 20.]));
    let x: Numbers<'_> = (&[1, 2, 2], &[1., -7., 5., 5.]);
    check(norm(RootMeanSquare, &[1, 2], 0.), &[x], (x.0, &[0.2, -1.4, 1., 1.]));
    check(norm(RootMeanSquare, &[2], 0.), &[x], (x.0, &[0.2, -1.4, 1., 1.]));
    check(norm(RootMeanSquare, &[1], 12.), &[x], (x.0, &[0.2, -1.4 * (25f64 / 49.).sqrt(), 1., 5. / 7.]));
    let scale: Numbers<'_> = (&[2, 2], &[10., 1., 2., 3.]);
    check(norm(RootMeanSquare, &[1, 2], 0.), &[x, scale], (x.0, &[2., -1.4, 2., 3.]));
}

#[test]
fn matrix_products_broadcast_their_other_axes() {
    let square: Numbers<'_> = (&[3, 2], &[1., 0., 0., 1., 10., 100.]);
    check(ops::MatMul, &[SIX, square], (&[2, 2], &[31., 302., 64., 605.]));
    check(ops::MatMul, &[square, SIX], (&[3, 3], &[1., 2., 3., 4., 5., 6., 410., 520., 630.]));
    let (rows, columns): (Numbers<'_>, Numbers<'_>) =
        ((&[2, 1, 1, 2], &[1., 2., 3., 4.]), (&[3, 2, 1], &[1., 0., 0., 1., 10., 10.]));
    check(ops::MatMul, &[rows, columns], (&[2, 3, 1, 1], &[1., 2., 30., 3., 4., 70.]));
    check(ops::MatMul, &[(&[1, 0], &[]), (&[0, 2], &[])], (&[1, 2], &[0., 0.]));
    let mut builder = GraphBuilder::new();
    let mut input = |dtype, dims: &[i64]| {
        let dims: Vec<Dim> = dims.iter().copied().map(Dim::fixed).collect();
        builder.input("x", (dtype, dims).into()).unwrap()
    };
    let [a, b, c] =
        [(DType::F32, 2), (DType::F32, 3), (DType::I32, 2)].map(|(dtype, n)| input(dtype, &[n, 4, 4]));
    let error = |error: Error| error.message().to_string();
    assert_eq!(
        builder.add(ops::MatMul, [a, b]).map_err(error),
        Err("mat_mul of [2, 4, 4] and [3, 4, 4]: 2 and 3 differ".to_string())
    );
    assert_eq!(
        builder.add(ops::MatMul, [a, c]).map_err(error),
        Err("mat_mul of float32 and int32".to_string())
    );
}

#[test]
fn elementwise_functions_follow_their_formulas() {
    let e = 1f64.exp();
    let half = |threshold| (Unary::HardShrink { threshold }, Unary::SoftShrink { threshold });
    let (hard, soft) = half(0.5);
    let points: &[(Unary, f64, f64)] = &[
        (Unary::Celu { alpha: 2. }, 3., 3.),
        (Unary::Celu { alpha: 2. }, -2., 2. / e - 2.),
        (Unary::LogSigmoid, 0., -(2f64.ln())),
        (Unary::LogSigmoid, -1e4, -1e4),
        (Unary::LogSigmoid, 1., -((1. + 1. / e).ln())),
        (Unary::TanhShrink, 1., 1. - 1f64.tanh()),
        (hard, 0.5, 0.),
        (hard, -0.5, 0.),
        (hard, 0.75, 0.75),
        (hard, -0.75, -0.75),
        (soft, 0.5, 0.),
        (soft, -0.5, 0.),
        (soft, 0.75, 0.25),
        (soft, -0.75, -0.25),
        (Unary::Squareplus { b: 4. }, 0., 1.),
        (Unary::Squareplus { b: 4. }, 1.5, 2.),
        (Unary::Squareplus { b: 4. }, -1.5, 0.5),
        (Unary::Squareplus { b: 0. }, -3., 0.),
        (Unary::SparsePlus, -2., 0.),
        (Unary::SparsePlus, -1., 0.),
        (Unary::SparsePlus, 0., 0.25),
        (Unary::SparsePlus, 1., 1.),
        (Unary::SparsePlus, 3., 3.),
        (Unary::Threshold { threshold: 0.5, value: 9. }, 0.5, 9.),
        (Unary::Threshold { threshold: 0.5, value: 9. }, 0.75, 0.75),
        (Unary::Sqrt, 2.25, 1.5),
        (Unary::Sqrt, -1., NAN),
        (Unary::Sqrt, NAN, NAN),
    ];
    for &(function, x, y) in points {
        check(function, &[(&[1], &[x])], (&[1], &[y]));
    }
}

fn function() -> impl Strategy<Value = Unary> {
    let n = || -2.0..2.0f64;
    prop_oneof![
        n().prop_map(|alpha| Unary::Celu { alpha }),
        n().prop_map(|threshold| Unary::HardShrink { threshold }),
        n().prop_map(|threshold| Unary::SoftShrink { threshold }),
        n().prop_map(|b| Unary::Squareplus { b }),
        (n(), n()).prop_map(|(threshold, value)| Unary::Threshold { threshold, value }),
        (n(), n()).prop_map(|(a, b)| Unary::Clip { min: a.min(b), max: a.max(b) }),
        n().prop_map(|slope| Unary::LeakyRelu { slope }),
        n().prop_map(|alpha| Unary::Elu { alpha }),
        (n(), n()).prop_map(|(slope, offset)| Unary::HardSigmoid { slope, offset }),
        prop::sample::select(vec![
            Unary::Relu,
            Unary::Selu,
            Unary::Sigmoid,
            Unary::Tanh,
            Unary::Softplus,
            Unary::Softsign,
            Unary::Exp,
            Unary::Silu,
            Unary::HardSilu,
            Unary::Gelu { approximate: false },
            Unary::Gelu { approximate: true },
            Unary::Mish,
            Unary::LogSigmoid,
            Unary::TanhShrink,
            Unary::SparsePlus,
            Unary::Sqrt,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn functions_called_monotonic_change_places_with_a_maximum(f in function(), a in -4.0..4.0f64, b in -4.0..4.0f64) {
        let max = |a, b| BinaryKind::Max.apply(a, b);
        let (one, other) = (f.apply(max(a, b)), max(f.apply(a), f.apply(b)));
        prop_assert!(!f.is_monotonic() || (one - other).abs() < 1e-12, "{one} and {other}");
    }

    /// What the transposed convolution of `x` has in common with `z` is what `x` has with the convolution of `z`.
    #[test]
    fn a_transposed_convolution_is_the_transpose_of_a_convolution(
        axes in vec((1..4i64, 1..4i64, 1..3i64, (0..3i64, 0..3i64), 0..3i64, 1..5usize), 0..3),
        (batch, channels, filters) in (1..3usize, 1..3usize, 1..4usize),
        seed: u32,
    ) {
        let mut random = seed;
        let mut numbers = |shape: &[usize]| {
            let next = |_| {
                random = random.wrapping_mul(1664525).wrapping_add(1013904223);
                f64::from(random >> 28) - 8.0
            };
            Tensor::f64(shape, (0..shape.iter().product::<usize>()).map(next).collect()).unwrap()
        };
        let (mut spreads, mut windows, mut steps, mut taps) = (vec![], vec![], vec![], vec![]);
        for (size, stride, dilation, crop, output_padding, n) in axes {
            // More zeros would have room for another position of the convolution.
            spreads.push(Spread::new(size, stride, dilation, crop, output_padding % stride).unwrap());
            windows.push(Window::new(size, stride, dilation, Padding::Explicit(crop.0, crop.1)).unwrap());
            steps.push(n);
            taps.push(size as usize);
        }
        let x = numbers(&[&[batch], &steps[..], &[channels]].concat());
        let kernel = numbers(&[&taps[..], &[channels, filters]].concat());
        let Ok(y) = (ops::ConvTranspose { windows: spreads }).reference(&[&x, &kernel]) else { return Ok(()) };
        let z = numbers(y[0].shape());
        let rank = steps.len();
        let swapped = kernel.permute(&[&(0..rank).collect::<Vec<_>>()[..], &[rank + 1, rank]].concat()).unwrap();
        let back = ops::Conv { windows, groups: 1 }.reference(&[&z, &swapped]).unwrap();
        prop_assert_eq!(back[0].shape(), x.shape());
        let common = |a: &Tensor, b: &Tensor| -> f64 {
            a.as_f64().unwrap().iter().zip(b.as_f64().unwrap()).map(|(a, b)| a * b).sum()
        };
        prop_assert_eq!(common(&y[0], &z), common(&x, &back[0]));
    }
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
    check(
        binary(BinaryKind::Prelu),
        &[(&[2, 2], &[-1., 2., 0., -4.]), (&[2], &[0.5, 0.25])],
        (&[2, 2], &[-0.5, 2., 0., -1.]),
    );
    check(binary(BinaryKind::Prelu), &[(&[2], &[NAN, -1.]), (&[2], &[1., NAN])], (&[2], &[NAN, NAN]));
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
    let inputs = [SIX, kernel, (&[1], &[0.5])];
    check(ops::Conv { windows: vec![], groups: 1 }, &inputs, (&[2, 1], &[321.5, 654.5]));
    check(ops::ConvTranspose { windows: vec![] }, &inputs, (&[2, 1], &[321.5, 654.5]));
}

#[test]
fn transposed_convolution_spreads_over_two_axes_and_adds_its_bias_everywhere() {
    // Rows 0 and 2 of two, columns 0 to 2 of two with stride 2, of which the first is cropped; then one of zeros.
    let windows = vec![Spread::new(2, 1, 2, (0, 0), 0).unwrap(), Spread::new(1, 2, 1, (1, 0), 1).unwrap()];
    let x: Numbers<'_> = (&[1, 1, 2, 2], &[9., 9., 1., 2.]);
    // Taps by channels by filters.
    let kernel: Numbers<'_> = (&[2, 1, 2, 1], &[1., 10., 100., 1000.]);
    check(
        ops::ConvTranspose { windows },
        &[x, kernel, (&[1], &[0.5])],
        (&[1, 3, 3, 1], &[0.5, 21.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2100.5, 0.5]),
    );
    let kernel: Numbers<'_> = (&[1, 1, 2], &[1., 10.]);
    check(
        ops::ConvTranspose { windows: vec![Spread::new(1, 1, 1, (0, 0), 0).unwrap()] },
        &[(&[2, 1, 1], &[3., 4.]), kernel, (&[2], &[0.5, 0.25])],
        (&[2, 1, 2], &[3.5, 30.25, 4.5, 40.25]),
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
    assert_eq!(error.message(), "concat of [2] and [2]: the types float32 and int64 differ");
    let error = builder.add(ops::Binary { kind: BinaryKind::Add }, [float, integer]).unwrap_err();
    assert_eq!(error.message(), "add of float32 and int64");
}

#[test]
fn reshape_keeps_the_order_of_elements() {
    let target = vec![ReshapeDim::Infer, ReshapeDim::Fixed(2)];
    check(ops::Reshape { target }, &[SIX], (&[3, 2], SIX.1));
    check(ops::Reshape::flatten(), &[(&[2, 1, 3], SIX.1)], (&[2, 3], SIX.1));
    let target = vec![ReshapeDim::Of(1), ReshapeDim::Infer];
    check(ops::Reshape { target }, &[SIX], (&[3, 2], SIX.1));
}

#[test]
fn a_reshape_like_another_tensor_reads_nothing_but_its_shape() {
    let x = Tensor::new([6], Data::I64(vec![1, 2, 3, 4, 5, 6])).unwrap();
    let target = vec![ReshapeDim::Like(1), ReshapeDim::Infer];
    for like in [Data::Bool(vec![true; 15]), Data::F64(vec![NAN; 15]), Data::I64(vec![-1; 15])] {
        let like = Tensor::new([5, 3], like).unwrap();
        let y = run(ops::Reshape { target: target.clone() }, &[x.clone(), like]);
        assert_eq!((y.shape(), y.data()), (&[3, 2][..], x.data()));
    }
    let infer = |inputs: &[Vec<Dim>]| {
        let types: Vec<_> = inputs.iter().map(|dims| (DType::F32, dims.clone()).into()).collect();
        let mut infer = Infer::default();
        let y = ops::Reshape { target: target.clone() }.infer(&types, &mut infer)?;
        let rules = infer.into_constraints();
        Ok::<_, Error>((y[0].shape.to_string(), rules.iter().map(ToString::to_string).collect::<Vec<_>>()))
    };
    let (n, six_n) = (Dim::symbol("n"), Dim::symbol("n").mul_const(6).unwrap());
    // Six for any n but 0, which says nothing of the other dimension.
    let given = infer(&[vec![six_n.clone()], vec![1.into(), n.clone()]]).unwrap();
    assert_eq!(given, ("[n, 6]".into(), vec!["n >= 1".to_string()]));
    assert!(infer(&[vec![six_n.clone()]]).is_err(), "without the other tensor");
    assert!(infer(&[vec![six_n.clone()], vec![n.clone()]]).is_err(), "without its axis 1");
    assert!(infer(&[vec![six_n], vec![n.clone(), 0.into()]]).is_err());
    assert!(infer(&[vec![7.into()], vec![n, 2.into()]]).is_err());
}

#[test]
fn dimensions_that_are_numbers_need_no_other_tensor() {
    use ReshapeDim::{Fixed, Infer, Keep, Like, Of};
    let shape =
        |text: &[i64]| text.iter().map(|&n| if n < 0 { Dim::symbol("n") } else { n.into() }).collect();
    let told = |target: &[ReshapeDim], x: &[i64], like: &[i64]| {
        ops::Reshape::with_numbers(target.to_vec(), &shape(x), Some(&shape(like))).target
    };
    let target = [Keep, Of(2), Like(1), Fixed(1), Infer];
    assert_eq!(told(&target, &[2, -1, 3], &[-1, 4]), [Keep, Fixed(3), Fixed(4), Fixed(1), Infer]);
    assert_eq!(told(&[Of(0), Like(0)], &[-1, 2], &[-1, 2]), [Of(0), Like(0)]);
    assert_eq!(told(&[Of(1), Infer], &[2, 0], &[]), [Of(1), Infer]);
    assert_eq!(told(&[Of(3), Like(3)], &[2], &[2]), [Of(3), Like(3)]);
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
        "a window of 3 steps does not fit an input of steps: (steps - 3) / 1 + 1 must be at least 1: \
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
    assert_eq!(error.message(), "a window of 3 steps does not fit an input of 2: (2 - 3) / 1 + 1 = 0");
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
    let spread = ops::ConvTranspose { windows: vec![Spread::new(3, 2, 1, (0, 0), 0).unwrap()] };
    let kernel = vec![3.into(), 4.into(), 6.into()];
    let cost =
        spread.cost(&types(&[x.clone(), kernel, vec![6.into()]]), &types(std::slice::from_ref(&y))).unwrap();
    // Every step of the input meets every weight.
    assert_eq!(cost.multiply_adds.to_string(), "72*batch*steps");
    assert_eq!(cost.element_ops.to_string(), "-12*batch + 6*batch*steps");
    let product = vec![batch.clone(), steps.clone(), steps.clone()];
    let turned = vec![batch.clone(), 4.into(), steps.clone()];
    let cost = ops::MatMul.cost(&types(&[x.clone(), turned]), &types(&[product])).unwrap();
    assert_eq!(cost.multiply_adds.to_string(), "4*batch*steps*steps");
    assert_eq!(cost.element_ops, Dim::ZERO);
    let per_element = |op: Op, inputs: &[Vec<Dim>]| {
        let given = types(inputs);
        let cost = op.cost(&given, &op.infer(&given, &mut Infer::default()).unwrap()).unwrap();
        assert_eq!(cost.multiply_adds, Dim::ZERO);
        cost.element_ops.to_string()
    };
    let only_x = std::slice::from_ref(&x);
    assert_eq!(per_element(ops::Cast { to: DType::I32 }.into(), only_x), "4*batch*steps");
    assert_eq!(per_element(ops::Sparsemax { axis: 2 }.into(), only_x), "20*batch*steps");
    assert_eq!(per_element(ops::Slice { axis: 1, before: 1, after: 0 }.into(), only_x), "0");
    assert_eq!(per_element(ops::Repeat { axis: 1, times: 2 }.into(), only_x), "0");
    let normalize = ops::Normalize { kind: NormalizeKind::Standard, axes: vec![2], epsilon: 0.001 };
    assert_eq!(per_element(normalize.clone().into(), only_x), "20*batch*steps");
    assert_eq!(per_element(normalize.into(), &[x.clone(), vec![4.into()]]), "24*batch*steps");
    let cost = ops::Dense
        .cost(&types(&[x.clone(), vec![4.into(), 5.into()]]), &types(&[vec![batch, steps, 5.into()]]));
    assert_eq!(cost.unwrap().multiply_adds.to_string(), "20*batch*steps");
}
