//! Threads are started where they are asked for, and nowhere else. Alone in its file and without the usual harness, which
//! starts threads too.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

mod every_operator;

use k2o_cpu::{Plan, PlanOptions, Session, TensorView, Threads};
use std::num::NonZero;
use std::sync::Arc;

/// The threads of this process; `None` where the system does not say.
fn running() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

fn run(plan: &Plan, threads: Threads) -> Vec<u32> {
    let mut session = Session::with_threads(plan, threads);
    let (image, ids) = (vec![0.5; 40 * 30 * 48], [7; 80]);
    let views = [TensorView::f32(&[40, 30, 8, 6], &image).unwrap(), TensorView::i32(&[40, 2], &ids).unwrap()];
    let outputs = session.run(&views).unwrap();
    outputs.by_name("scores").unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect()
}

fn main() {
    if running().is_none() {
        println!("test threads_are_started_where_they_are_asked_for ... ignored: no /proc");
        return;
    }
    let plan = Plan::new(&every_operator::graph(), &PlanOptions::default()).unwrap();
    let number = |count| NonZero::new(count).unwrap();
    let expected = run(&plan, Threads::one());
    assert_eq!(run(&plan, Threads::new(number(1)).unwrap()), expected);
    assert_eq!(running(), Some(1));

    // Those of a pool of the caller's, by handle and from within.
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
    assert_eq!(Threads::of_pool(pool.clone()).count(), 2);
    assert_eq!(run(&plan, Threads::of_pool(pool.clone())), expected);
    let within = pool.install(|| {
        assert_eq!(Threads::current().count(), 2);
        run(&plan, Threads::current())
    });
    assert_eq!(within, expected);
    assert_eq!(running(), Some(3));

    // The caller's is one of three.
    let own = Threads::new(number(3)).unwrap();
    assert_eq!((own.count(), running()), (3, Some(5)));
    assert_eq!(run(&plan, own), expected);
    // They have ended with it, though the system may say so a little later.
    let is_told = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        running() == Some(3)
    });
    assert!(is_told, "{:?} threads", running());
    assert_eq!(pool.install(|| run(&plan, Threads::one())), expected);

    // Nobody has started the global pool.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    println!("test threads_are_started_where_they_are_asked_for ... ok");
}
