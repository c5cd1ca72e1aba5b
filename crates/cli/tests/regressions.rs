//! What once failed in a fuzz target does not any more: `fuzz/regressions/<target>` holds the inputs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// A target by its name.
type Target = (&'static str, fn(&[u8]));

/// The targets of `fuzz/fuzz_targets`.
const TARGETS: [Target; 7] = [
    ("archive", targets::archive),
    ("arrays", targets::arrays),
    ("config", targets::config),
    ("graphs", targets::graphs),
    ("layer", targets::layer),
    ("shapes", targets::shapes),
    ("weights", targets::weights),
];

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn inputs_that_once_failed_do_not_any_more() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let names = TARGETS.map(|(name, _)| name);
    assert_eq!(names_in(&fuzz.join("fuzz_targets")), names.map(|name| format!("{name}.rs")));
    for folder in names_in(&fuzz.join("regressions")) {
        assert!(names.contains(&folder.as_str()), "fuzz/regressions/{folder} is of no target");
    }
    for (name, target) in TARGETS {
        let folder = fuzz.join("regressions").join(name);
        for file in names_in(&folder) {
            println!("{name}/{file}");
            target(&std::fs::read(folder.join(file)).unwrap());
        }
    }
}

#[test]
fn targets_bear_bytes_that_mean_nothing() {
    for (_, target) in TARGETS {
        target(b"");
        target(&[0; 300]);
        target(&[0xff; 300]);
        target(&(0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<u8>>());
    }
}
