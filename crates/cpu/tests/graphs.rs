//! Random graphs: the plan of the rewritten graph against the reference of the graph as it was.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

mod random_graph;

use k2o_core::{Tensor, ValueId, rewrite, run_reference};
use k2o_cpu::{Plan, PlanOptions, Session, TensorView};
use proptest::prelude::*;
use random_graph::{Array, random_graph, random_inputs};

fn run(session: &mut Session, inputs: &[Array]) -> Result<Vec<Array>, k2o_cpu::Error> {
    let views: Vec<TensorView<'_>> =
        inputs.iter().map(|(shape, data)| TensorView::f32(shape, data).unwrap()).collect();
    let outputs = session.run(&views)?;
    Ok(outputs.iter().map(|(_, view)| (view.shape().to_vec(), view.as_f32().unwrap().to_vec())).collect())
}

#[track_caller]
fn assert_close(given: TensorView<'_>, exact: &Tensor, bound: f64) {
    assert_eq!(given.shape(), exact.shape());
    for (given, exact) in given.as_f32().unwrap().iter().zip(exact.as_f64().unwrap()) {
        assert!((f64::from(*given) - exact).abs() <= bound, "{given}, exactly {exact}, bound {bound:e}");
    }
}

fn bits(array: &Array) -> Vec<u32> {
    array.1.iter().map(|x| x.to_bits()).collect()
}

fn check(seed: u64, nodes: usize) {
    let graph = random_graph(seed, nodes);
    let small = rewrite(&graph).unwrap();
    let plan = Plan::new(&small, &PlanOptions::default()).unwrap();
    let tapped = Plan::new(&small, &PlanOptions { keep_taps: true, ..PlanOptions::default() }).unwrap();
    let (mut session, mut tapped) = (plan.session(), tapped.session());

    let inputs = random_inputs(&graph, 3, seed);
    let tensor = |(shape, data): &Array| {
        Tensor::f64(shape.clone(), data.iter().map(|&x| f64::from(x)).collect()).unwrap()
    };
    let keep: Vec<ValueId> = graph.taps().iter().filter_map(|tap| tap.value).collect();
    let reference = match run_reference(&graph, &inputs.iter().map(tensor).collect::<Vec<_>>(), &keep) {
        Ok(reference) => reference,
        Err(_) => {
            run(&mut session, &inputs).unwrap_err();
            return;
        }
    };
    let magnitudes =
        reference.kept.values().flat_map(|tensor| tensor.as_f64().unwrap().iter().map(|x| x.abs()));
    let bound = 2e-6 * nodes as f64 * magnitudes.fold(1.0, f64::max);

    let outputs = run(&mut session, &inputs).unwrap();
    for ((_, view), exact) in session.outputs().unwrap().iter().zip(&reference.outputs) {
        assert_close(view, exact, bound);
    }

    let mut raw = Plan::new(&graph, &PlanOptions::default()).unwrap().session();
    run(&mut raw, &inputs).unwrap();
    for ((_, view), exact) in raw.outputs().unwrap().iter().zip(&reference.outputs) {
        assert_close(view, exact, bound);
    }

    // Keeping taps changes no bit, and every tap is the layer's output.
    let with_taps = run(&mut tapped, &inputs).unwrap();
    assert_eq!(outputs.iter().map(bits).collect::<Vec<_>>(), with_taps.iter().map(bits).collect::<Vec<_>>());
    for (tap, old) in small.taps().iter().zip(graph.taps()) {
        let view = tapped.tap(tap.call, tap.output);
        assert_eq!(view.is_some(), tap.value.is_some());
        if let Some(view) = view {
            assert_close(view, &reference.kept[&old.value.unwrap()], bound);
        }
    }

    // Every sample alone gives the same bits as in a batch; no samples give nothing.
    for at in 0..3 {
        let alone: Vec<Array> = inputs
            .iter()
            .map(|(shape, data)| {
                let size = data.len() / 3;
                let mut shape = shape.clone();
                shape[0] = 1;
                (shape, data[at * size..(at + 1) * size].to_vec())
            })
            .collect();
        for (one, all) in run(&mut session, &alone).unwrap().iter().zip(&outputs) {
            let size = all.1.len() / 3;
            assert_eq!(bits(one), bits(all)[at * size..(at + 1) * size]);
        }
    }
    for (shape, data) in run(&mut session, &random_inputs(&graph, 0, seed)).unwrap() {
        assert_eq!((shape[0], data.len()), (0, 0));
    }
    assert_eq!(run(&mut session, &inputs).unwrap(), outputs);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_compute_what_graphs_mean(seed: u64, nodes in 1usize..20) {
        check(seed, nodes);
    }
}
