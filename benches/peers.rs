//! The contest with onnxruntime, OpenVINO, rten and tract: `benches/README.md` says how it is set up and read.

#![allow(missing_docs, reason = "a program")]

use k2o_benches::peers::Peers;
use k2o_benches::selection::Selection;
use k2o_benches::{plot, report};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // `cargo test --benches` runs this too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match contest() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn contest() -> Result<(), String> {
    let selection = Selection::new(|name| std::env::var(name).ok())?;
    let folder = k2o_benches::folder();
    let report = Peers::open(&folder)?.run(&selection, |what| eprintln!("{what}"))?;

    println!("{}\n\nMicroseconds of a run:\n\n{}", report.circumstances(), report.times());
    println!("Milliseconds from a file to a session:\n\n{}", report.load_times());
    for failure in report.failures() {
        println!("not timed: {failure}");
    }
    write(&folder.join("peers.json"), &format!("{:#}\n", report.json()))?;
    write(&folder.join("peers.svg"), &plot::ratios(&report.cells, &report.peers)?)?;
    if selection.readme {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        write(&path, &report::rewritten(&text, &report.readme())?)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}
