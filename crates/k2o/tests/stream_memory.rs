//! The memory of a stream does not grow with the sequence. Alone in its file, because what other tests allocate would
//! count.

#![allow(clippy::unwrap_used, reason = "a test that cannot run must fail")]

use k2o::Model;
use k2o::cpu::TensorView;
use k2o_fixtures::case;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A million steps, or as many as the variable `K2O_STREAM_STEPS` says.
#[test]
fn memory_does_not_grow_with_the_sequence() {
    let steps: usize = std::env::var("K2O_STREAM_STEPS").map_or(1_000_000, |n| n.parse().unwrap());
    for name in ["stream_tcn", "stream_conv_lstm", "stream_conv_gru"] {
        let plan = Model::open(case(name).path("keras3.keras")).unwrap().stream_plan().unwrap();
        let channels = plan.inputs().next().unwrap().1.shape[2].as_usize().unwrap();
        let x: Vec<f32> = (0..97 * channels).map(|i| (i as f32).sin()).collect();
        let mut session = plan.session();
        let mut push = |from: usize, to: usize| {
            // Chunks of 1 to 97 steps, the same over and over.
            let mut at = from;
            for size in (0..).map(|i| 1 + i * 7 % 97) {
                if at >= to {
                    break;
                }
                let shape = [1, size, channels];
                session.push(&[TensorView::f32(&shape, &x[..size * channels]).unwrap()]).unwrap();
                at += size;
            }
        };
        push(0, 20_000);
        let region = Region::new(GLOBAL);
        push(20_000, steps);
        let change = region.change();
        let grown = change.bytes_allocated as i64 - change.bytes_deallocated as i64;
        assert!(grown.abs() < 4096, "{name}: {grown} bytes more after {steps} steps");
    }
}
