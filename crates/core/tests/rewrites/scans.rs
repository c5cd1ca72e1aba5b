//! What recurrent operators become as scans, and what stays beside them.

use k2o_core::ops::{Binary, BinaryKind, Gru, Lstm, Operator, Recurrence, Rnn, Unary};
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Node, Op, Operand, Tensor, ValueId,
    run_reference, to_scans,
};

/// `[batch, steps, 2]` through a tanh, an lstm, a gru and an rnn, each a call of its own of which every output is
/// tapped, then the sum with the tanh.
fn graph() -> Graph {
    let mut builder = GraphBuilder::new();
    let dims = vec![Dim::symbol("batch"), Dim::symbol("steps"), 2.into()];
    let x = builder.input("x", (DType::F32, dims).into()).unwrap();
    builder.within(Some(CallId(1)));
    let start = builder.add(Unary::Tanh, [x]).unwrap();
    builder.tap(CallId(1), 0, Some(start));
    let recurrence = Recurrence::default();
    let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
    let reversed = Recurrence { reverse: true, ..recurrence };
    let ops: [(Op, usize); 3] = [
        (Lstm { activation, recurrent_activation, recurrence }.into(), 8),
        (Gru { activation, recurrent_activation, reset_after: false, recurrence: reversed }.into(), 6),
        (Rnn { activation, recurrence }.into(), 2),
    ];
    let mut last = start;
    for (call, (op, columns)) in (2..).map(CallId).zip(ops) {
        let operands = [Operand::from(last), weights(&mut builder, columns), weights(&mut builder, columns)];
        builder.within(Some(call));
        let outputs = builder.add_all(op, operands.to_vec()).unwrap();
        for (at, &output) in outputs.iter().enumerate() {
            builder.tap(call, at, Some(output));
        }
        last = outputs[0];
    }
    builder.within(Some(CallId(5)));
    let sum = builder.add(Binary { kind: BinaryKind::Add }, [last, start]).unwrap();
    builder.tap(CallId(5), 0, Some(sum));
    builder.output("sum", sum);
    builder.output("last", last);
    builder.finish()
}

/// Weights `[2, columns]`.
fn weights(builder: &mut GraphBuilder, columns: usize) -> Operand {
    let data = (0..2 * columns).map(|i| ((i * 7 % 11) as f64 - 5.0) / 8.0).collect();
    let expr = ConstantExpr::literal(Tensor::f64([2, columns], data).unwrap());
    builder.constant(Constant { name: "cell/weights".into(), dtype: DType::F32, expr }).unwrap().into()
}

/// The graph with scans for some of its operators, which was found to compute the same at every tap.
#[track_caller]
fn equal(graph: &Graph, which: &dyn Fn(&Node) -> bool) -> Graph {
    let new = to_scans(graph, which).unwrap();
    let taps =
        |graph: &Graph| -> Vec<ValueId> { graph.taps().iter().map(|tap| tap.value.unwrap()).collect() };
    let calls = |graph: &Graph| graph.taps().iter().map(|tap| (tap.call, tap.output)).collect::<Vec<_>>();
    assert_eq!(calls(&new), calls(graph));
    let (old_taps, new_taps) = (taps(graph), taps(&new));
    let data = (0..24).map(|i| ((i * 5 % 13) as f64 - 6.0) / 5.0).collect();
    let x = [Tensor::f64([3, 4, 2], data).unwrap()];
    let expected = run_reference(graph, &x, &old_taps).unwrap();
    let given = run_reference(&new, &x, &new_taps).unwrap();
    let pairs = given.outputs.iter().zip(&expected.outputs);
    let kept = old_taps.iter().zip(&new_taps).map(|(old, new)| (&given.kept[new], &expected.kept[old]));
    for (given, expected) in pairs.chain(kept) {
        assert_eq!(given.shape(), expected.shape());
        let pairs = given.as_f64().unwrap().iter().zip(expected.as_f64().unwrap());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-13), "{given:?} instead of {expected:?}");
    }
    new
}

fn names(graph: &Graph) -> Vec<(&'static str, Option<usize>)> {
    graph.nodes().iter().map(|node| (node.op.name(), node.origin.map(|CallId(call)| call))).collect()
}

#[test]
fn no_node_is_touched_where_none_is_to_be_a_scan() {
    let graph = graph();
    let new = equal(&graph, &|_| false);
    assert_eq!(new.nodes(), graph.nodes());
    assert_eq!(new.constants().len(), graph.constants().len());
}

#[test]
fn only_the_operators_that_are_asked_for_become_scans() {
    let graph = graph();
    let new = equal(&graph, &|node| matches!(node.op, Op::Gru(_)));
    let expected = [("tanh", 1), ("lstm", 2), ("dense", 3), ("full", 3), ("scan", 3), ("rnn", 4), ("add", 5)];
    assert_eq!(names(&new), expected.map(|(name, call)| (name, Some(call))));
    let Op::Scan(scan) = &new.nodes()[4].op else { unreachable!("{new:?}") };
    assert!(scan.reverse);
    let by_call = equal(&graph, &|node| node.origin == Some(CallId(2)));
    assert_eq!(names(&by_call)[1..4], [("dense", Some(2)), ("full", Some(2)), ("scan", Some(2))]);
}

#[test]
fn which_is_asked_of_recurrent_operators_only() {
    let new = equal(&graph(), &|node| {
        assert!(matches!(node.op, Op::Gru(_) | Op::Lstm(_) | Op::Rnn(_)), "{node:?}");
        true
    });
    assert_eq!(names(&new).iter().filter(|(name, _)| *name == "scan").count(), 3);
}

#[test]
fn scans_share_no_constants_with_their_bodies_and_name_the_parts_of_weights() {
    let new = equal(&graph(), &|_| true);
    for node in new.nodes() {
        if let Op::Scan(scan) = &node.op {
            assert!(scan.body.constants().is_empty());
        }
    }
    let named = |name: &str| new.constants().iter().any(|constant| constant.name == name);
    assert!(named("cell/recurrent_kernel_gates") && named("cell/recurrent_kernel_new"));
}
