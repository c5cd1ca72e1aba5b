//! A session allocates nothing for sizes that it has seen.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

mod every_operator;

use k2o_core::to_scans;
use k2o_cpu::{Plan, PlanOptions, Session, TensorView};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    sizes_that_were_seen_cost_no_allocation();
    println!("test sizes_that_were_seen_cost_no_allocation ... ok");
    #[cfg(feature = "rayon")]
    {
        sizes_that_were_seen_cost_none_with_several_threads_either();
        println!("test sizes_that_were_seen_cost_none_with_several_threads_either ... ok");
    }
}

/// Plans of a graph that has every operator.
fn plans() -> Vec<Plan> {
    let recurrent = every_operator::graph();
    let scans = to_scans(&recurrent, &|_| true).unwrap();
    let plan =
        |graph, keep_taps| Plan::new(graph, &PlanOptions { keep_taps, ..PlanOptions::default() }).unwrap();
    vec![plan(&recurrent, false), plan(&recurrent, true), plan(&scans, false)]
}

/// Runs one size after the other, a batch of several chunks among them, until all have been seen, and then counts
/// allocations.
fn check(session: &mut Session) {
    let sizes = [(1, 9), (4, 9), (33, 30), (2, 30)];
    let shapes = sizes.map(|(batch, height)| ([batch, height, 8, 6], [batch, 2]));
    let data: Vec<(Vec<f32>, Vec<i32>)> =
        sizes.iter().map(|(batch, height)| (vec![0.5; batch * height * 48], vec![7; batch * 2])).collect();
    let views: Vec<[TensorView<'_>; 2]> = shapes
        .iter()
        .zip(&data)
        .map(|((image, ids), (x, i))| [TensorView::f32(image, x).unwrap(), TensorView::i32(ids, i).unwrap()])
        .collect();
    for views in &views {
        session.run(views).unwrap();
    }
    let counted = (0..8).map(|_| {
        let region = Region::new(GLOBAL);
        for views in views.iter().chain(&views) {
            let outputs = session.run(views).unwrap();
            let scores = outputs.by_name("scores").unwrap().as_f32().unwrap();
            assert!(scores.iter().sum::<f32>().is_finite());
            assert_eq!(outputs.get(1).unwrap().as_i64().unwrap()[0], 7);
        }
        let change = region.change();
        [change.allocations, change.reallocations, change.deallocations]
    });
    // A pool's thread that the system starts late allocates what is its own whenever that is, but once.
    assert_eq!(counted.min(), Some([0; 3]));
}

fn sizes_that_were_seen_cost_no_allocation() {
    plans().iter().for_each(|plan| check(&mut plan.session()));
}

#[cfg(feature = "rayon")]
fn sizes_that_were_seen_cost_none_with_several_threads_either() {
    use k2o_cpu::Threads;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for plan in plans() {
        pool.install(|| check(&mut Session::with_threads(&plan, Threads::current())));
        check(&mut Session::with_threads(&plan, Threads::new(std::num::NonZero::new(3).unwrap()).unwrap()));
    }

    // What is handed to the pool from outside goes through a queue of blocks, each of which is for many runs.
    let pool = std::sync::Arc::new(pool);
    let (image, ids) = (vec![0.5; 33 * 30 * 48], [7; 66]);
    let views = [TensorView::f32(&[33, 30, 8, 6], &image).unwrap(), TensorView::i32(&[33, 2], &ids).unwrap()];
    let mut session = Session::with_threads(&plans()[0], Threads::of_pool(pool));
    session.run(&views).unwrap();
    let region = Region::new(GLOBAL);
    (0..128).for_each(|_| assert!(session.run(&views).is_ok()));
    let change = region.change();
    assert!(change.allocations <= 128 / 16, "{change:?}");
    assert!(change.bytes_allocated <= 4096 * change.allocations, "{change:?}");
}
