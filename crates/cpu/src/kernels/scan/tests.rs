//! Scans against their references.

use crate::testing::{Problem, UNIT, run, tensor, values};
use crate::{ErrorKind, Plan, PlanOptions, TensorView};
use k2o_core::ops::{self, Binary, BinaryKind, Reverse, Scan, Select, Unary};
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Data, Dim, Graph, GraphBuilder, Operand, Shape, Tensor,
    TensorType, ValueId, run_reference,
};
use proptest::prelude::*;
use std::sync::Arc;

fn typed(dims: &[Dim], dtype: DType) -> TensorType {
    TensorType::new(Shape::new(dims), dtype)
}

/// Of numbers `x` and integers `id` in every step: sums of what a table has at `id` and how often `id` was 0, the sum
/// alone where `mask` holds; and of a step the sum, `x` moved by it, and the count.
fn body() -> Graph {
    let mut builder = GraphBuilder::new();
    let b = &mut builder;
    let [batch, width] = ["rows", "width"].map(Dim::symbol);
    let (column, matrix) = ([batch.clone()], [batch.clone(), width.clone()]);
    let sum = b.input("sum", typed(&matrix, DType::F32)).unwrap();
    let count = b.input("count", typed(&column, DType::I64)).unwrap();
    let x = b.input("x", typed(&matrix, DType::F32)).unwrap();
    let id = b.input("id", typed(&column, DType::I64)).unwrap();
    let mask = b.input("mask", typed(&[batch, 1.into()], DType::Bool)).unwrap();
    let table = b.input("table", typed(&[3.into(), width], DType::F32)).unwrap();
    let zero = b.input("zero", typed(&[1.into()], DType::I64)).unwrap();
    let picked = b.add(ops::Gather { axis: 0 }, [table, id]).unwrap();
    let moved = b.add(Binary { kind: BinaryKind::Sub }, [x, sum]).unwrap();
    let next = b.add(Binary { kind: BinaryKind::Add }, [sum, picked]).unwrap();
    let next = b.add(Select, [mask, next, sum]).unwrap();
    let is_zero = b.add(ops::Compare { kind: ops::CompareKind::Equal }, [id, zero]).unwrap();
    let counted = b.add(Select, [is_zero, id, count]).unwrap();
    let turned = b.add(Reverse { axis: 1 }, [next]).unwrap();
    for (name, value) in [("sum", next), ("count", counted), ("next", turned), ("moved", moved)] {
        b.output(name, value);
    }
    b.output("counts", counted);
    builder.finish()
}

proptest! {
    #[test]
    fn scans_are_the_reference(
        (batch, steps, width) in (0usize..5, 0usize..7, 0usize..20),
        reverse in any::<bool>(),
        constants in 0usize..8,
        seed in 0u64..1 << 40,
    ) {
        let scan = Scan { body: Arc::new(body()), states: 2, sequences: 3, reverse };
        let integers = |shape: &[usize], below: i64, seed: u64| {
            let (shape, data) = values(shape, seed);
            Tensor::new(shape, Data::I64(data.iter().map(|x| (x * 1e6) as i64 % below).map(i64::abs).collect())).unwrap()
        };
        let mask = values(&[batch, steps], seed + 4).1.iter().map(|&x| x > -1.0).collect();
        let problem = Problem::of(scan, [
            tensor(&values(&[batch, width], seed)),
            integers(&[batch], 100, seed + 1),
            tensor(&values(&[batch, steps, width], seed + 2)),
            integers(&[batch, steps], 3, seed + 3),
            Tensor::new([batch, steps, 1], Data::Bool(mask)).unwrap(),
            tensor(&values(&[3, width], seed + 5)),
            Tensor::new([1], Data::I64(vec![0])).unwrap(),
        ]);
        let references = problem.references();
        // Numbers below 2: every sum of up to `steps + 1` of them rounds.
        let bound = 2.0 * UNIT * ((steps + 1) * (steps + 1)) as f64;
        for wanted in [vec![0], vec![2], vec![3, 0], vec![0, 2, 3], vec![1], vec![4], vec![4, 1]] {
            let given = problem.run_some(constants, &wanted).unwrap();
            for (&at, given) in wanted.iter().zip(&given) {
                let expected = &references[at];
                prop_assert_eq!(given.shape(), expected.shape());
                match (given.data(), expected.data()) {
                    (Data::F64(given), Data::F64(expected)) => {
                        for (y, exact) in given.iter().zip(expected) {
                            prop_assert!((y - exact).abs() <= bound, "{} of output {}, exactly {}", y, at, exact);
                        }
                    }
                    (given, expected) => prop_assert_eq!(given, expected),
                }
            }
        }
        let mixed = problem.run_some(constants, &[0, 1]).unwrap_err();
        prop_assert_eq!(mixed.to_string(), "scan with outputs of types float32 and int64");
    }
}

/// A scan with a computed weight, a constant weight and a scan in its body.
#[test]
fn scans_may_be_nested_and_share_weights() {
    let doubled = |builder: &mut GraphBuilder, sequences: ValueId, weights: &[Operand]| {
        let mut body = GraphBuilder::new();
        let row = typed(&[Dim::symbol("n"), 2.into()], DType::F32);
        let (h, x) = (body.input("h", row.clone()).unwrap(), body.input("x", row).unwrap());
        let square = typed(&[2.into(), 2.into()], DType::F32);
        let w = body.input("w", square).unwrap();
        let product = body.add(ops::Dense, [h, w]).unwrap();
        let sum = body.add(Binary { kind: BinaryKind::Add }, [product, x]).unwrap();
        let next = body.add(Unary::Tanh, [sum]).unwrap();
        body.output("h", next);
        body.output("y", next);
        let scan = Scan { body: Arc::new(body.finish()), states: 1, sequences: 1, reverse: false };
        let zeros = builder.add(ops::Full::zeros_per_row(2, DType::F32), [sequences]).unwrap();
        let operands = [zeros.into(), sequences.into()].into_iter().chain(weights.iter().copied());
        builder.add_all(scan.into(), operands.collect()).unwrap()
    };
    let mut outer = GraphBuilder::new();
    let [n, frames, steps] = ["n", "frames", "steps"].map(Dim::symbol);
    let film = outer.input("film", typed(&[n.clone(), frames, steps.clone(), 2.into()], DType::F32)).unwrap();
    let expr = ConstantExpr::literal(tensor(&values(&[2, 2], 3)));
    let w = outer.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap();
    let computed = outer.add(Unary::Tanh, [w]).unwrap();

    // One frame's scan, of which the last state is added up.
    let mut body = GraphBuilder::new();
    let total = body.input("total", typed(&[n.clone(), 2.into()], DType::F32)).unwrap();
    let frame = body.input("frame", typed(&[n, steps, 2.into()], DType::F32)).unwrap();
    let square = typed(&[2.into(), 2.into()], DType::F32);
    let w_in = body.input("w", square.clone()).unwrap();
    let computed_in = body.input("computed", square).unwrap();
    let first = doubled(&mut body, frame, &[w_in.into()]);
    let second = doubled(&mut body, first[1], &[computed_in.into()]);
    let sum = body.add(Binary { kind: BinaryKind::Add }, [total, second[0]]).unwrap();
    body.output("total", sum);
    body.output("all", second[1]);
    let scan = Scan { body: Arc::new(body.finish()), states: 1, sequences: 1, reverse: true };
    let zeros = outer.add(ops::Full::zeros_per_row(2, DType::F32), [film]).unwrap();
    let outputs =
        outer.add_all(scan.into(), vec![zeros.into(), film.into(), w.into(), computed.into()]).unwrap();
    outer.output("total", outputs[0]);
    outer.output("all", outputs[1]);
    let graph = outer.finish();
    for shape in [[2, 3, 4, 2], [1, 1, 5, 2], [3, 2, 0, 2], [2, 0, 4, 2]] {
        let film = tensor(&values(&shape, 7));
        let given = run(&graph, std::slice::from_ref(&film)).unwrap();
        let expected = run_reference(&graph, &[film], &[]).unwrap().outputs;
        for (given, expected) in given.iter().zip(&expected) {
            assert_eq!(given.shape(), expected.shape());
            for (y, exact) in given.as_f64().unwrap().iter().zip(expected.as_f64().unwrap()) {
                assert!((y - exact).abs() < 1e-4, "{y}, exactly {exact}");
            }
        }
    }
}

#[test]
fn an_index_that_is_not_there_is_an_error_and_the_session_lives_on() {
    let mut builder = GraphBuilder::new();
    let b = &mut builder;
    let mut body = GraphBuilder::new();
    let state = body.input("state", typed(&[1.into()], DType::F32)).unwrap();
    let id = body.input("id", typed(&[1.into()], DType::I64)).unwrap();
    let table = body.input("table", typed(&[2.into()], DType::F32)).unwrap();
    let picked = body.add(ops::Gather { axis: 0 }, [table, id]).unwrap();
    let sum = body.add(Binary { kind: BinaryKind::Add }, [state, picked]).unwrap();
    body.output("sum", sum);
    let scan = Scan { body: Arc::new(body.finish()), states: 1, sequences: 1, reverse: false };
    let first = b.input("first", typed(&[1.into()], DType::F32)).unwrap();
    let ids = b.input("ids", typed(&[1.into(), Dim::symbol("steps")], DType::I64)).unwrap();
    let expr = ConstantExpr::literal(Tensor::f64([2], vec![1.0, 10.0]).unwrap());
    let table = b.constant(Constant { name: "table".into(), dtype: DType::F32, expr }).unwrap();
    b.within(Some(CallId(4)));
    let outputs = b.add_all(scan.into(), vec![first.into(), ids.into(), table.into()]).unwrap();
    b.output("sum", outputs[0]);
    let plan = Plan::new(&builder.finish(), &PlanOptions::default()).unwrap();
    let mut session = plan.session();
    let mut sum = |ids: &[i64]| {
        let shape = [1, ids.len()];
        let views = [TensorView::f32(&[1], &[0.5]).unwrap(), TensorView::i64(&shape, ids).unwrap()];
        session.run(&views).map(|outputs| outputs.get(0).unwrap().as_f32().unwrap()[0])
    };
    assert_eq!(sum(&[0, 1, 1]).unwrap(), 21.5);
    let error = sum(&[0, 2, 1]).unwrap_err();
    assert_eq!((error.kind(), error.origin()), (ErrorKind::Input, Some(CallId(4))));
    assert_eq!(sum(&[0, 1, 1]).unwrap(), 21.5);
    assert_eq!(sum(&[]).unwrap(), 0.5);
}
