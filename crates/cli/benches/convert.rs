//! `k2o convert`, from the start of the process to the file on disk, beside `dd`, which copies the model to disk.
//!
//! `cargo bench --package k2o-cli --bench convert`. Both take turns, so that a disk that is slow for a while is so for
//! both. The bound is three times `dd` and ten milliseconds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot run must fail"
)]

use k2o_fixtures::case;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

const ROUNDS: usize = 51;

fn main() {
    // The file system of the build: that of temporary files may be in memory.
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (onnx, copy) = (folder.path().join("model.onnx"), folder.path().join("copy"));
    println!("medians of {ROUNDS} rounds, ms");
    println!("{:24} {:>8} {:>8} {:>7} {:>8}", "model", "convert", "dd", "ratio", "bound");
    for (name, file) in [
        ("basic", "keras3.keras"),
        ("basic", "keras2.h5"),
        ("advanced", "keras3.keras"),
        ("advanced", "keras2.h5"),
    ] {
        let model = case(name).path(file);
        let mut convert = Command::new(env!("CARGO_BIN_EXE_k2o"));
        convert.arg("convert").arg(&model).arg("-o").arg(&onnx);
        let mut dd = Command::new("dd");
        dd.arg(argument("if=", &model)).arg(argument("of=", &copy)).args(["bs=1M", "conv=fsync"]);
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            for ((command, output), times) in
                [(&mut convert, &onnx), (&mut dd, &copy)].into_iter().zip(&mut times)
            {
                let elapsed = milliseconds(command, output);
                // The first round warms the caches.
                if round > 0 {
                    times.push(elapsed);
                }
            }
        }
        let [convert, dd] = times.map(median);
        let bound = 3.0 * dd + 10.0;
        let verdict = if convert <= bound { "within" } else { "past" };
        let label = format!("{name}/{file}");
        println!("{label:24} {convert:8.2} {dd:8.2} {:7.2} {bound:8.2} {verdict}", convert / dd);
    }
}

fn argument(key: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(key);
    argument.push(path);
    argument
}

/// How long a command takes to make `output`, which is removed first.
fn milliseconds(command: &mut Command, output: &Path) -> f64 {
    let _ = std::fs::remove_file(output);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    assert!(status.success() && output.is_file(), "{command:?}: {status}");
    elapsed
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
