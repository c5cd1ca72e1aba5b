//! Time per step of endless sequences, pushed one step and 64 steps at a time, and per second of 16 kHz audio.

#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use k2o::cpu::TensorView;
use k2o_benches::streams::plan;

/// The samples of a second of audio.
const SAMPLES: usize = 16_000;

fn steps(criterion: &mut Criterion) {
    for name in ["stream_tcn", "stream_conv_lstm", "stream_conv_gru"] {
        let (plan, channels) = plan(name).unwrap();
        let mut group = criterion.benchmark_group(name);
        for steps in [1, 64] {
            let chunk: Vec<f32> = (0..steps * channels).map(|i| (i as f32 / 7.0).sin()).collect();
            let shape = [1, steps, channels];
            let mut session = plan.session();
            group.throughput(Throughput::Elements(steps as u64));
            group.bench_function(BenchmarkId::new("steps at a time", steps), |bencher| {
                bencher.iter(|| session.push(&[TensorView::f32(&shape, &chunk).unwrap()]).unwrap().len());
            });
        }
        group.finish();
    }
}

fn audio(criterion: &mut Criterion) {
    let (plan, _) = plan("stream_audio").unwrap();
    let samples: Vec<f32> = (0..SAMPLES).map(|i| (i as f32 / 11.0).sin()).collect();
    let mut group = criterion.benchmark_group("a second of 16 kHz audio");
    // 10 ms, 100 ms and all of it at a time.
    for steps in [160, 1_600, SAMPLES] {
        let shape = [1, steps, 1];
        let mut session = plan.session();
        group.bench_function(BenchmarkId::new("samples at a time", steps), |bencher| {
            bencher.iter(|| {
                for chunk in samples.chunks(steps) {
                    session.push(&[TensorView::f32(&shape, chunk).unwrap()]).unwrap();
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = steps, audio
}
criterion_main!(benches);
