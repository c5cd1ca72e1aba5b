//! The contest with onnxruntime, OpenVINO, rten and tract: `benches/README.md` says how it is set up and read.

#![allow(missing_docs, reason = "a program")]

use k2o_benches::peers::Peers;
use k2o_benches::selection::{Selection, variable};
use k2o_benches::{plot, report, write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    k2o_benches::run(contest)
}

fn contest() -> Result<(), String> {
    let selection = Selection::new(variable)?;
    let folder = k2o_benches::folder();
    let report = Peers::open(&folder)?.run(&selection, |what| eprintln!("{what}"))?;

    println!("{}\n\nMicroseconds of a run:\n\n{}", report.circumstances(), report.times());
    println!("Milliseconds from a file to a session:\n\n{}", report.load_times());
    println!("Microseconds of a pushed step of an endless sequence:\n\n{}", report.stream_times());
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
