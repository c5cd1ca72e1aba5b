//! Time per batch of whole models, ours and tract's in the same run, after checking that they agree.

#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use k2o::cpu::Session;
use k2o_benches::peak::clear_registers;
use k2o_benches::{BATCHES, Contest, MODELS};

fn predict(criterion: &mut Criterion) {
    for name in MODELS {
        let mut group = criterion.benchmark_group(name);
        for batch in BATCHES {
            let contest = Contest::new(name, batch);
            group.throughput(Throughput::Elements(batch as u64));
            let mut session = Session::new(contest.model.plan().unwrap());
            // tract has run before.
            clear_registers();
            group.bench_function(BenchmarkId::new("k2o", batch), |bencher| {
                bencher.iter(|| contest.model.run(&mut session, &contest.inputs).unwrap());
            });
            group.bench_function(BenchmarkId::new("tract", batch), |bencher| {
                bencher.iter(|| contest.tract.run(&contest.inputs).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = predict
}
criterion_main!(benches);
