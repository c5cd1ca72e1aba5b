//! Whatever is changed in a file, it gives a result or an error: no panic, no abort, no overflowing stack, no hang, and no
//! memory past the limit.
//!
//! A few mutations of the fixtures are tried in each run of the tests; `K2O_MUTATIONS=100000` tries so many, best in
//! release, and `K2O_FIRST_MUTATION` says which is the first. One alone is tried by
//! `K2O_MUTATION=N cargo test -p k2o-cli --test mutations -- --ignored --exact --nocapture one_mutation`, which leaves its
//! files in the target folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod bytes;
mod config;
mod examine;
mod mutation;
mod workers;

use k2o::{Limits, Model, OpenOptions};
use mutation::{Fixture, Mutation, fixtures};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use workers::{Report, Terms};

/// How many mutations are tried if nothing is said.
const USUALLY: u64 = 2000;

/// What files may ask for; the address space of a worker is several times as large.
const LIMITS: Limits = Limits { max_memory: 256 << 20, max_layers: 100_000, max_config_bytes: 64 << 20 };

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn terms(worker: &'static str) -> Terms {
    Terms { worker, patience: Duration::from_secs(20), addresses: 3 << 20, at_a_time: 500 }
}

#[test]
fn mutated_files_give_a_result_or_an_error() {
    let first = number("K2O_FIRST_MUTATION").unwrap_or(0);
    let count = number("K2O_MUTATIONS").unwrap_or(USUALLY);
    let Report { results, failures, slowest } = workers::run(first, first + count, &terms("worker"));
    println!("{count} mutations from {first} on: {results:#?}");
    println!("the slowest is {}, which takes {:?}", slowest.1, slowest.0);
    let fixtures = fixtures();
    let shown = failures.iter().map(|(&number, failure)| {
        let what = Mutation::new(number, &fixtures).description;
        format!("mutation {number}, {what}:\n  {failure}\n")
    });
    assert!(failures.is_empty(), "\n{}", shown.collect::<String>());
    // Most changes break something; were all refused, little of the library would be reached.
    let reached = |what: &str| {
        results.iter().filter(|(result, _)| result.starts_with(what)).map(|(_, n)| n).sum::<u64>()
    };
    for what in ["run", "predict: ", "refused: malformed", "refused: layers"] {
        assert!(reached(what) > 0, "no mutation came to the result {what:?}");
    }
}

#[test]
#[ignore = "is started by another test, in a process of its own"]
fn worker() {
    let (fixtures, folder) = (fixtures(), folder("worker"));
    workers::work(|number| attempt(number, &Mutation::new(number, &fixtures), &folder));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
#[ignore = "is for looking into a mutation that failed"]
fn one_mutation() {
    let number = number("K2O_MUTATION").expect("K2O_MUTATION is the number of the mutation");
    let (mutation, folder) = (Mutation::new(number, &fixtures()), folder("one"));
    println!("{}, in {}", mutation.description, folder.display());
    println!("{}", attempt(number, &mutation, &folder));
}

/// An empty folder for files of this process.
fn folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutations-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Opens the mutated files and does with them what can be done. Returns what became of them.
fn attempt(number: u64, mutation: &Mutation, folder: &Path) -> String {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let path = write("model", &mutation.model);
    if let Some(input) = &mutation.input {
        let input = write("input", input);
        let args = ["predict", "--threads", "2", "--input"].map(OsString::from);
        return format!("predict: {:?}", command(args, [&input, &path], folder));
    }
    let mut options = OpenOptions::default();
    options.limits = LIMITS;
    options.weights = mutation.weights.as_ref().map(|weights| write("weights", weights));
    options.expose_states = number.is_multiple_of(5);
    if number % 32 < 2 {
        // The command has its own reading of what it draws.
        command([["report"], ["plot"]][number as usize % 2].map(OsString::from), [&path], folder);
    }
    match Model::open_with(&path, &options) {
        Ok(model) => examine::examine(&model, number, 4 << 20).to_owned(),
        Err(error) => {
            if error.is_shape_mismatch() && number.is_multiple_of(2) {
                let _ = Model::fewest_steps(&path, &options);
            }
            examine::refused(&error).to_owned()
        }
    }
}

/// Runs a command of `k2o` that writes a file.
fn command<const N: usize, const M: usize>(
    args: [OsString; N],
    paths: [&PathBuf; M],
    folder: &Path,
) -> ExitCode {
    let start = ["k2o", "--quiet"].map(OsString::from).into_iter().chain(args);
    let paths = paths.into_iter().map(|path| path.clone().into_os_string());
    let output = ["--output".into(), folder.join("output.svg").into_os_string()];
    k2o_cli::run(start.chain(paths).chain(output))
}

#[test]
fn a_mutation_follows_from_its_number() {
    let fixtures = fixtures();
    let differs = |n: &u64| Mutation::new(*n, &fixtures) != Mutation::new(n + 1, &fixtures);
    assert_eq!((0..20).filter(differs).count(), 20);
    assert!((0..20).all(|n| Mutation::new(n, &fixtures) == Mutation::new(n, &fixtures)));
}

#[test]
fn every_kind_of_file_is_changed() {
    let fixtures = fixtures();
    let count = |is: fn(&Fixture) -> bool| fixtures.iter().filter(|fixture| is(fixture)).count();
    let ends = |path: &Path, end: &str| path.to_string_lossy().ends_with(end);
    assert!(count(|fixture| fixture.input.is_some()) > 500);
    assert!(count(|fixture| fixture.weights.is_some()) > 1000);
    for end in [".keras", ".h5", ".json", ".pt"] {
        assert!(fixtures.iter().any(|fixture| ends(&fixture.model, end)), "{end}");
    }
    // What is changed in JSON, wherever it is, is JSON again, often of a model.
    let described = |n: u64| Mutation::new(n, &fixtures).description;
    for part in
        ["in config.json: /config", ".h5, /config/", ".json, /config", "in model.weights.h5: ", "npz, in "]
    {
        assert!((0..2000).any(|n| described(n).contains(part)), "{part}");
    }
}

#[test]
#[ignore = "is started by another test, in a process of its own"]
fn failing_worker() {
    #[expect(unconditional_recursion, reason = "it is to overflow the stack")]
    fn overflow(n: u64) -> u64 {
        std::hint::black_box(overflow(std::hint::black_box(n)) + 1)
    }
    workers::work(|number| {
        match number {
            1 => panic!("a panic"),
            2 => drop(std::thread::spawn(|| panic!("a panic elsewhere")).join()),
            3 => drop(overflow(0)),
            4 => drop(std::hint::black_box(vec![1_u8; 4 << 30])),
            5 => std::thread::sleep(Duration::from_secs(60)),
            6 => std::process::exit(0),
            _ => {}
        }
        "done".to_owned()
    });
}

/// Without this, no failure could mean that none is noticed.
#[test]
fn what_ends_a_worker_or_takes_too_long_is_noticed_and_the_rest_is_done() {
    let terms = Terms { patience: Duration::from_secs(5), at_a_time: 5, ..terms("failing_worker") };
    let Report { results, failures, .. } = workers::run(0, 9, &terms);
    assert_eq!(results.get("done"), Some(&3), "{results:?} {failures:?}");
    for (number, text) in [
        (1, "a panic"),
        (2, "a panic elsewhere"),
        (3, "overflowed its stack"),
        (4, "memory allocation of 4294967296 bytes failed"),
        (5, "not done in 5s (killed)"),
        (6, "the process ended"),
    ] {
        let failure = failures.get(&number).unwrap_or_else(|| panic!("{number} was not noticed"));
        assert!(failure.contains(text), "{number}: {failure}");
    }
    assert_eq!(failures.len(), 6);
}
