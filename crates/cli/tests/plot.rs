//! `plot` as users run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run must fail")]

mod run;

use k2o_fixtures::{case, cases};
use run::Run;

/// The name of a fixture's file.
fn model(name: &str) -> String {
    case(name).forms()[0].model.display().to_string()
}

#[test]
fn every_fixture_is_drawn_folded_and_unfolded() {
    for case in cases() {
        let run = Run::new();
        let path = case.forms()[0].model.display().to_string();
        for (expand, output) in [(None, "a.svg"), (Some("--expand"), "b.svg")] {
            let args: Vec<&str> = ["plot", &path, "-o", output].into_iter().chain(expand).collect();
            let outcome = run.k2o(&args);
            assert_eq!(outcome.status, 0, "{}: {}", case.name, outcome.stderr);
            let svg = std::fs::read_to_string(run.path(output)).unwrap();
            let parsed = roxmltree::Document::parse(&svg).unwrap();
            let boxes = parsed.descendants().filter(|node| node.attribute("class") == Some("port"));
            assert!(boxes.count() >= 2, "{}: no inputs and outputs", case.name);
            // Every box but the inputs' is led to.
            let class = |class: &'static str| {
                parsed.descendants().filter(|node| node.attribute("class") == Some(class))
            };
            let arrows: usize =
                class("head").map(|node| node.attribute("d").unwrap().matches('M').count()).sum();
            let boxes = class("layer").chain(class("port")).count();
            assert!(arrows + case.inputs().len() >= boxes, "{}: {arrows} arrows, {boxes} boxes", case.name);
        }
    }
}

#[test]
fn the_ending_or_the_option_says_the_format() {
    let run = Run::new();
    let model = model("basic");
    for (args, file, start) in [
        (vec!["-o", "a.svg"], "a.svg", "<svg "),
        (vec!["-o", "a.dot"], "a.dot", "digraph "),
        (vec!["-o", "a.mmd"], "a.mmd", "flowchart "),
        (vec!["-o", "a.txt", "--format", "mermaid"], "a.txt", "flowchart "),
    ] {
        let outcome = run.k2o(&[&["plot", &model], args.as_slice()].concat());
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert!(
            outcome.stdout.ends_with(&format!("-> {file} (7 layers, 8 connections)\n")),
            "{}",
            outcome.stdout
        );
        assert!(std::fs::read_to_string(run.path(file)).unwrap().starts_with(start));
    }
    let outcome = run.k2o(&["plot", &model, "-o", "a.png"]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("expected .svg, .dot or .mmd"), "{}", outcome.stderr);
    assert_eq!(run.files().len(), 4);
}
