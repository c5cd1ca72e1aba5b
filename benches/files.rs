//! Time to import a model from memory and to export it to memory.

#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use k2o::{ExportOptions, Model};

const FILES: [&str; 2] = ["keras3.keras", "keras2.h5"];

fn import(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("import");
    for name in ["basic", "advanced"] {
        for file in FILES {
            let bytes = std::fs::read(k2o_fixtures::case(name).path(file)).unwrap();
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(format!("{name}/{file}"), |bencher| {
                bencher.iter(|| Model::from_bytes(bytes.clone()).unwrap());
            });
        }
    }
    group.finish();
}

fn plan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    for name in ["basic", "advanced"] {
        let path = k2o_benches::path(name);
        group.bench_function(name, |bencher| {
            bencher.iter(|| Model::open(&path).unwrap().plan().map(drop).unwrap());
        });
    }
    group.finish();
}

fn export(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("export");
    for name in ["basic", "advanced"] {
        let model = Model::open(k2o_benches::path(name)).unwrap();
        let size = model.to_onnx(&ExportOptions::default()).unwrap().len().unwrap();
        group.throughput(Throughput::Bytes(size));
        group.bench_function(name, |bencher| {
            bencher.iter(|| model.to_onnx(&ExportOptions::default()).unwrap().to_bytes().unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, import, plan, export);
criterion_main!(benches);
