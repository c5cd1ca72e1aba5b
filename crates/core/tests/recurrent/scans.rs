//! A recurrent operator and its scan compute the same.

use crate::{Cell, graph, operands, recurrences};
use k2o_core::ops::{Recurrence, Unary};
use k2o_core::{Graph, Op, Tensor, run_reference, to_scans};
use proptest::prelude::*;

const ACTIVATIONS: [Option<Unary>; 6] = [
    None,
    Some(Unary::Tanh),
    Some(Unary::Sigmoid),
    Some(Unary::Relu),
    Some(Unary::HardSigmoid { slope: 0.2, offset: 0.5 }),
    Some(Unary::Elu { alpha: 0.7 }),
];

fn ports(graph: &Graph) -> Vec<(String, String)> {
    let ports = graph.inputs().iter().chain(graph.outputs());
    ports.map(|port| (port.name.clone(), graph.value(port.value).r#type.to_string())).collect()
}

#[track_caller]
fn check_near(given: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(given.shape(), expected.shape(), "{what}");
    let (given, expected) = (given.as_f64().unwrap(), expected.as_f64().unwrap());
    let largest = expected.iter().fold(1.0f64, |largest, x| largest.max(x.abs()));
    for (x, expected) in given.iter().zip(expected) {
        assert!((x - expected).abs() <= 1e-12 * largest, "{what}: {x} instead of {expected}");
    }
}

fn check(op: Op, recurrence: Recurrence, operands: &[Tensor]) {
    for with_constants in [true, false] {
        let (graph, inputs) = graph(op.clone(), recurrence, operands, with_constants);
        let scans = to_scans(&graph, &|_| true).unwrap();
        let is_recurrent = |op: &Op| matches!(op, Op::Gru(_) | Op::Lstm(_) | Op::Rnn(_));
        assert!(!scans.nodes().iter().any(|node| is_recurrent(&node.op)));
        assert_eq!(scans.nodes().iter().filter(|node| matches!(node.op, Op::Scan(_))).count(), 1);
        assert_eq!(ports(&scans), ports(&graph));
        let expected = run_reference(&graph, &inputs, &[]).unwrap().outputs;
        let given = run_reference(&scans, &inputs, &[]).unwrap().outputs;
        assert_eq!(given.len(), expected.len());
        for (port, (given, expected)) in graph.outputs().iter().zip(given.iter().zip(&expected)) {
            check_near(given, expected, &format!("{} of {op:?}, {with_constants}", port.name));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_recurrent_operator_is_its_scan(
        sizes in (0..4usize, 0..7usize, 1..4usize, 1..5usize),
        activations in prop::array::uniform2(prop::sample::select(ACTIVATIONS.to_vec())),
        seed: u64,
    ) {
        let sizes = [sizes.0, sizes.1, sizes.2, sizes.3];
        for cell in Cell::ALL {
            for recurrence in recurrences() {
                let operands = operands(cell, recurrence, sizes, seed);
                check(cell.op(activations, recurrence), recurrence, &operands);
            }
        }
    }
}
