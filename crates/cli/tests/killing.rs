//! What is in the folder when a conversion was killed in the middle.
//!
//! `K2O_KILLS=200 cargo test -p k2o-cli --test killing` kills so many conversions; 48 without it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod run;

use k2o_fixtures::case;
use run::Run;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OLD: &[u8] = b"old";

fn start(run: &Run, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_k2o"))
        .args(args)
        .current_dir(run.path(""))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether a process has a file without a name open, or one with a temporary name is in the folder.
fn is_writing(child: &Child, folder: &Path) -> bool {
    let links = std::fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
    let is_unnamed = |path: &Path| path.starts_with(folder) && path.to_string_lossy().ends_with(" (deleted)");
    let mut links = links.filter_map(|link| link.path().read_link().ok());
    links.any(|path| is_unnamed(&path))
        || std::fs::read_dir(folder)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(".k2o-"))
}

/// Checks that `y.onnx` is as before or done and that no other file is in the folder, and removes it.
fn check(run: &Run, old: bool, new: &[u8], signal: Signal) {
    let mut files = run.files();
    let found = std::fs::read(run.path("y.onnx")).ok();
    let as_before = found.as_deref() == old.then_some(OLD);
    assert!(as_before || found.as_deref() == Some(new), "{signal:?}: y.onnx is neither old nor new");
    files.retain(|name| name != "y.onnx");
    if let ([name], true, true, Signal::KILL) = (files.as_slice(), old, as_before, signal) {
        // Between the two system calls that replace a file: the new one is whole, and has a name of its own.
        assert!(name.starts_with(".k2o-") && std::fs::read(run.path(name)).unwrap() == new, "{name}");
        std::fs::remove_file(run.path(name)).unwrap();
        files.clear();
    }
    assert_eq!(files, [""; 0], "{signal:?}");
    let _ = std::fs::remove_file(run.path("y.onnx"));
}

#[test]
fn a_conversion_that_is_killed_leaves_the_old_file_or_the_new_one_and_no_other() {
    let run = Run::new();
    let folder = run.path("").canonicalize().unwrap();
    let model = case("advanced").path("keras3.keras").display().to_string();
    let convert = ["convert", &model, "-o", "y.onnx"];
    let started = Instant::now();
    let outcome = run.k2o(&convert);
    assert_eq!(outcome.status, 0, "{}{}", outcome.stdout, outcome.stderr);
    let whole = started.elapsed();
    let new = std::fs::read(run.path("y.onnx")).unwrap();
    std::fs::remove_file(run.path("y.onnx")).unwrap();
    let mut random = fastrand::Rng::with_seed(0);
    let kills = std::env::var("K2O_KILLS").map_or(48, |kills| kills.parse::<usize>().unwrap());
    // Of each signal, with an old file and without.
    let kills = kills.div_ceil(8);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        for old in [false, true] {
            let (mut killed, mut while_writing) = (0, 0);
            let mut longest = whole;
            while killed < kills || while_writing < kills / 2 {
                if old {
                    std::fs::write(run.path("y.onnx"), OLD).unwrap();
                }
                let mut child = start(&run, &convert);
                // From any moment, and from one at which the file is being written.
                let wait_for_file = killed % 2 == 1;
                while wait_for_file && child.try_wait().unwrap().is_none() && !is_writing(&child, &folder) {}
                let most = if wait_for_file { longest / 8 } else { longest };
                std::thread::sleep(most.mul_f64(random.f64()));
                let was_writing = is_writing(&child, &folder);
                // A process that was waited for has no number any more.
                if child.try_wait().unwrap().is_none() {
                    kill_process(Pid::from_child(&child), signal).unwrap();
                }
                let status = child.wait().unwrap();
                if status.signal() == Some(signal.as_raw()) {
                    killed += 1;
                    while_writing += usize::from(was_writing);
                } else {
                    assert!(status.success(), "{signal:?}: {status}");
                    assert!(std::fs::read(run.path("y.onnx")).unwrap() == new);
                    longest = longest.mul_f64(0.9).max(Duration::from_micros(10));
                }
                check(&run, old, &new, signal);
            }
        }
    }
}
