//! A rewritten graph computes what the graph computes: random small networks of convolutions, affine maps and what may
//! stand between them, and by name the cases in which a map must be folded, moved, or left where it is, what is
//! dropped, and what recurrent operators become as scans.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests fail by panic too")]

mod dead;
mod named;
mod network;
mod random;
mod scans;

use k2o_core::{Graph, Op, Tensor, rewrite, run_reference};

/// The rewritten graph, which was found to compute the same on an input of these sizes.
#[track_caller]
fn equal(graph: &Graph, sizes: &[usize]) -> Graph {
    let new = rewrite(graph).unwrap();
    let again = rewrite(&new).unwrap();
    assert_eq!(again.nodes(), new.nodes(), "a second rewrite finds nothing to do");
    assert_eq!(again.constants().len(), new.constants().len());
    assert!(new.nodes().len() <= graph.nodes().len(), "{:?}", new.nodes());
    assert!(new.nodes().iter().all(|node| !matches!(node.op, Op::Identity(_))));

    let ports = |graph: &Graph| {
        let ports = graph.inputs().iter().chain(graph.outputs());
        ports.map(|port| (port.name.clone(), graph.value(port.value).r#type.clone())).collect::<Vec<_>>()
    };
    assert_eq!(ports(&new), ports(graph));
    for rule in graph.constraints() {
        assert!(new.constraints().contains(rule), "lost: {rule}");
    }
    for rule in new.constraints() {
        let known =
            graph.constraints().iter().any(|old| (&old.left, &old.relation) == (&rule.left, &rule.relation));
        assert!(known, "a new demand: {rule}");
    }
    for node in new.nodes() {
        assert!(graph.nodes().iter().any(|old| old.origin == node.origin), "an unknown origin: {node:?}");
    }

    let mut taps = Vec::new();
    assert_eq!(new.taps().len(), graph.taps().len());
    for (old, new) in graph.taps().iter().zip(new.taps()) {
        assert_eq!((new.call, new.output), (old.call, old.output));
        if let Some(value) = new.value {
            taps.push((old.value.expect("a tap of a value that was folded away before"), value));
        }
    }
    let count: usize = sizes.iter().product();
    let x = Tensor::f64(sizes, (0..count).map(|i| ((i * 37 % 101) as f64 - 50.0) / 40.0).collect()).unwrap();
    let (old_taps, new_taps): (Vec<_>, Vec<_>) = taps.iter().copied().unzip();
    let expected = run_reference(graph, std::slice::from_ref(&x), &old_taps).unwrap();
    let given = run_reference(&new, &[x], &new_taps).unwrap();
    assert_eq!(given.outputs.len(), expected.outputs.len());
    let outputs = given.outputs.iter().zip(&expected.outputs);
    for (given, expected) in
        outputs.chain(taps.iter().map(|(old, new)| (&given.kept[new], &expected.kept[old])))
    {
        assert_eq!(given.shape(), expected.shape());
        let (given, expected) = (given.as_f64().unwrap(), expected.as_f64().unwrap());
        let largest = expected.iter().fold(1.0f64, |largest, x| largest.max(x.abs()));
        assert!(largest.is_finite());
        for (given, expected) in given.iter().zip(expected) {
            assert!((given - expected).abs() <= 1e-9 * largest, "{given} instead of {expected}");
        }
    }
    new
}
