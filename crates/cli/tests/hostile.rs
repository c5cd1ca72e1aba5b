//! Files that would do harm: for every file in `fixtures/hostile` the exit status and the message in `expected.txt` there,
//! nothing left behind, and no other file opened.
//!
//! `K2O_GOLDEN=write cargo test -p k2o-cli --test hostile` rewrites the messages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod large;
mod run;

use run::{Outcome, Run};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many seconds a file may keep a processor busy, in a build without optimisation.
const MOST_SECONDS: u64 = 20;
/// How long it may take where that is not counted, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(120);
/// How many KiB of addresses a file may take; the program and its threads have some hundred thousand.
const MOST_MEMORY: u64 = 3 << 20;
/// The folders of files that are models for all that.
const MODELS: [&str; 2] = ["ignored", "odd"];

fn root() -> PathBuf {
    k2o_fixtures::root().join("hostile")
}

/// The files as `family/name`, in order.
fn files() -> Vec<String> {
    let mut files = Vec::new();
    for family in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()) {
        if family.is_dir() {
            for file in fs::read_dir(&family).unwrap() {
                let part = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
                files.push(format!("{}/{}", part(&family), part(&file.unwrap().path())));
            }
        }
    }
    files.sort();
    files
}

/// What is done with the model `name`: converting reads all of it; a configuration alone has no weights to convert.
fn command(name: &str) -> Vec<&str> {
    match name.ends_with(".json") {
        true => vec!["summary", name],
        false => vec!["convert", name, "-o", "to/out.onnx"],
    }
}

/// Does it in the folder of the run, with bounded memory and in bounded time.
fn open(run: &Run, name: &str) -> Outcome {
    fs::create_dir(run.path("to")).unwrap();
    let started = Instant::now();
    let program = env!("CARGO_BIN_EXE_k2o");
    let outcome = match cfg!(target_os = "linux") {
        true => {
            let limited =
                format!("ulimit -v {MOST_MEMORY} && ulimit -t {MOST_SECONDS} && exec \"$0\" \"$@\"");
            run.run("sh", &[&["-c", &limited, program], command(name).as_slice()].concat())
        }
        false => run.k2o(&command(name)),
    };
    assert!(started.elapsed() < LONGEST, "{name}: {:?}", started.elapsed());
    outcome
}

/// What `expected.txt` says of each file: the exit status and the text on standard error.
fn expected() -> BTreeMap<String, (i32, String)> {
    let text = fs::read_to_string(root().join("expected.txt")).unwrap_or_default();
    let mut expected = BTreeMap::new();
    for block in text.split("== ").skip(1) {
        let (head, message) = block.split_once('\n').unwrap();
        let (name, status) = head.rsplit_once(": ").unwrap();
        expected.insert(name.to_owned(), (status.parse().unwrap(), message.to_owned()));
    }
    expected
}

#[test]
fn every_file_is_refused_by_name_or_is_a_model() {
    let files = files();
    assert!(files.len() >= 300, "{}", files.len());
    let mut found = BTreeMap::new();
    for file in &files {
        let (family, name) = file.split_once('/').unwrap();
        let run = Run::new();
        fs::copy(root().join(file), run.path(name)).unwrap();
        let outcome = open(&run, name);
        let Outcome { status, stdout, stderr } = &outcome;
        let written = fs::read_dir(run.path("to")).unwrap().count();
        assert_eq!(
            BTreeSet::from_iter(run.files()),
            BTreeSet::from(["to", name].map(str::to_owned)),
            "{file}"
        );
        assert!(!stderr.contains("panicked"), "{file}: {stderr}");
        assert!(!stderr.contains(|c: char| c.is_control() && c != '\n'), "{file}: {stderr:?}");
        if MODELS.contains(&family) {
            assert_eq!((*status, written), (0, usize::from(!name.ends_with(".json"))), "{file}: {stderr}");
        } else {
            assert!([3, 4, 5].contains(status), "{file}: {status} {stdout}{stderr}");
            assert!(stderr.starts_with(&format!("error: {name}:")), "{file}: {stderr}");
            assert_eq!((stdout.as_str(), written), ("", 0), "{file}");
            assert!(stderr.len() < 20_000, "{file}: a message of {} bytes", stderr.len());
        }
        found.insert(file.clone(), (*status, outcome.stderr));
    }
    if std::env::var("K2O_GOLDEN").is_ok_and(|value| value == "write") {
        let mut text = String::new();
        for (file, (status, message)) in &found {
            write!(text, "== {file}: {status}\n{message}").unwrap();
        }
        fs::write(root().join("expected.txt"), text).unwrap();
    }
    let expected = expected();
    let of = |file: &String| (found.get(file), expected.get(file));
    let differing: Vec<_> =
        found.keys().chain(expected.keys()).filter(|file| of(file).0 != of(file).1).collect();
    let shown = differing.iter().map(|file| format!("{file}: {:#?}", of(file))).collect::<Vec<_>>();
    assert!(differing.is_empty(), "{}", shown.join("\n"));
}

/// A file that is only looked at is refused in the same words, or is one whose weights alone are at fault.
#[test]
fn looking_says_what_converting_says() {
    for (file, (status, message)) in expected() {
        let (_, name) = file.split_once('/').unwrap();
        let run = Run::new();
        fs::copy(root().join(&file), run.path(name)).unwrap();
        let outcome = run.k2o(&["summary", name]);
        if outcome.status != 0 {
            assert_eq!((outcome.status, outcome.stderr), (status, message), "{file}");
        }
        let acts = |c: char| c.is_control() && c != '\n' || c == '\u{202e}' || c == '\u{2066}';
        assert!(!outcome.stdout.contains(acts), "{file}: {:?}", outcome.stdout);
        assert_eq!(run.files(), [name], "{file}");
    }
}

/// Files that are large, or many times as large as they are when they are compressed.
#[test]
fn large_files_are_refused_or_opened_as_quickly() {
    for (name, bytes, status, words) in large::files() {
        let run = Run::new();
        fs::write(run.path(name), bytes).unwrap();
        let outcome = open(&run, name);
        assert_eq!(outcome.status, status, "{name}: {}", outcome.stderr);
        assert!(
            [&outcome.stdout, &outcome.stderr].iter().any(|text| text.contains(words)),
            "{name}: {}",
            outcome.stderr
        );
        assert_eq!(fs::read_dir(run.path("to")).unwrap().count(), 0, "{name}");
    }
}

#[cfg(target_os = "linux")]
mod opened {
    use super::{command, files, root};
    use crate::run::Run;
    use std::collections::BTreeSet;
    use std::fs;
    use std::process::Command;

    /// System calls by which a process gets at other files, programs and machines.
    const CALLS: &str = "trace=%file,socket,connect,bind,execveat,open_by_handle_at,memfd_create,ptrace";

    /// What the program does to convert the model `name`, as `call path`: `strace`'s lines without numbers, the input
    /// and the output left out.
    fn calls(run: &Run, name: &str) -> BTreeSet<String> {
        let folder = run.path("");
        fs::create_dir(folder.join("to")).unwrap();
        let program = env!("CARGO_BIN_EXE_k2o");
        let traced = ["-f", "-qq", "-s", "4096", "-e", CALLS, "-e", "signal=none", "-o", "trace", program];
        run.run("strace", &[&traced[..], &command(name)].concat());
        let trace = fs::read_to_string(run.path("trace")).unwrap();
        let folder = folder.canonicalize().unwrap().display().to_string();
        let mut calls = BTreeSet::new();
        for line in trace.lines() {
            // The ends of calls that were interrupted are no calls, nor is what a thread does while it ends.
            let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            let Some((call, rest)) = line.split_once('(').filter(|_| !line.starts_with(['<', '?'])) else {
                continue;
            };
            let path = rest.split('"').nth(1).unwrap_or(rest);
            let own = path.strip_prefix(&folder).map_or(path, |rest| rest.trim_start_matches('/'));
            if own != name && own != "to" && !own.starts_with("to/") {
                // The numbers of processes and of open files.
                let own: String =
                    own.replace(name, "MODEL").chars().filter(|c| !c.is_ascii_digit()).collect();
                calls.insert(format!("{call} {own}"));
            }
        }
        assert!(!calls.is_empty(), "{name}: {trace}");
        calls
    }

    #[test]
    fn no_other_file_is_opened_and_no_program_run() {
        let works = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
        if !works.is_ok_and(|output| output.status.success()) {
            eprintln!("strace is missing here, or may not trace: what hostile files open was not looked at");
            return;
        }
        let mut innocent = BTreeSet::new();
        for file in
            ["odd/archive_of_stored_members.keras", "ignored/training_config.h5", "odd/mark_of_utf8.json"]
        {
            innocent.extend(traced(file));
        }
        for file in files() {
            let other: Vec<String> = traced(&file).difference(&innocent).cloned().collect();
            assert_eq!(other, [""; 0], "{file}");
        }
    }

    fn traced(file: &str) -> BTreeSet<String> {
        let (_, name) = file.split_once('/').unwrap();
        let run = Run::new();
        fs::copy(root().join(file), run.path(name)).unwrap();
        calls(&run, name)
    }
}
