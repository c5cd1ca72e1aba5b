//! What no output needs.

use crate::{equal, network::Net};
use k2o_core::ops::{self, Operator, Unary};
use k2o_core::{CallId, Dim, rewrite};

#[test]
fn nodes_that_no_output_needs_are_dropped_and_their_taps_folded() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 3.into(), 2.into()]);
    let x = net.last();
    let kept = net.add(Unary::Tanh, [x.into()]).unwrap();
    let dead = net.add(Unary::Exp, [kept.into()]).unwrap();
    net.add(Unary::Sigmoid, [dead.into()]).unwrap();
    let weights = net.constant("kernel", &[2, 4], |_, x| x);
    net.add(ops::Dense, [x.into(), weights.into()]).unwrap();
    let last = net.add(Unary::Softsign, [kept.into()]).unwrap();
    net.output(last);
    let new = equal(&net.finish(), &[2, 3, 2]);
    let names: Vec<_> = new.nodes().iter().map(|node| node.op.name()).collect();
    assert_eq!(names, ["tanh", "softsign"]);
    let taps: Vec<_> = new.taps().iter().map(|tap| (tap.call, tap.value.is_some())).collect();
    let expected = [(1, true), (2, false), (3, false), (4, false), (5, true)];
    assert_eq!(taps, expected.map(|(call, known)| (CallId(call), known)));
    assert!(new.constants().is_empty(), "a weight that nothing reads");
}

#[test]
fn a_node_is_needed_where_any_of_its_outputs_is() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 3.into(), 2.into()]);
    let x = net.last();
    let [kernel, recurrent] = [("kernel", [2, 8]), ("recurrent_kernel", [2, 8])]
        .map(|(name, shape)| net.constant(name, &shape, |_, x| x));
    let lstm = ops::Lstm {
        activation: Some(Unary::Tanh),
        recurrent_activation: Some(Unary::Sigmoid),
        recurrence: ops::Recurrence::default(),
    };
    let operands = vec![x.into(), kernel.into(), recurrent.into()];
    let outputs = net.builder.add_all(lstm.into(), operands).unwrap();
    net.builder.tap(CallId(1), 0, Some(outputs[0]));
    net.add(Unary::Exp, [outputs[0].into()]).unwrap();
    net.output(outputs[2]);
    let graph = net.finish();
    let new = equal(&graph, &[2, 3, 2]);
    assert_eq!(new.nodes().len(), 1);
    assert_eq!(new.nodes()[0].outputs.len(), 3);
    assert!(new.taps()[0].value.is_some(), "the sequence is computed with the state");
    assert_eq!(new.taps()[1].value, None);
}

#[test]
fn inputs_stay_where_nothing_reads_them() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 2.into()]);
    let x = net.last();
    net.add(Unary::Exp, [x.into()]).unwrap();
    net.output(x);
    let new = rewrite(&net.finish()).unwrap();
    assert_eq!((new.inputs().len(), new.nodes().len()), (1, 0));
}
