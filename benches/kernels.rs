//! How near layers come to what the processor can do, by geometry: `benches/README.md` says how it is read.

#![allow(missing_docs, reason = "a program")]

use k2o_benches::kernels::{self, GEOMETRIES};
use k2o_benches::machine::{Machine, today};
use k2o_benches::peak::Peak;
use k2o_benches::{selection, write};
use serde_json::json;
use std::process::ExitCode;

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    k2o_benches::run(rooflines)
}

fn rooflines() -> Result<(), String> {
    let wanted = selection::variable("K2O_BENCH_LAYERS").unwrap_or_default();
    let chosen: Vec<_> =
        GEOMETRIES.into_iter().filter(|geometry| geometry.name().contains(&wanted)).collect();
    let before = Peak::measure();
    let points = kernels::measure(&chosen, ROUNDS)?;
    let peak = before.max(Peak::measure());
    println!(
        "one core: {:.0} GFLOP/s of fused multiply-adds, {:.1} GB/s read\n\n{}",
        peak.fma_gflops,
        peak.read_gbps,
        kernels::table(&points, &peak)
    );
    let json = json!({
        "date": today(),
        "machine": Machine::this().json(),
        "fma_peak_gflops": peak.fma_gflops,
        "read_gbps": peak.read_gbps,
        "layers": kernels::json(&points, &peak),
    });
    write(&k2o_benches::folder().join("kernels.json"), &format!("{json:#}\n"))
}
