//! `plot` as users run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run must fail")]

mod run;

use k2o_fixtures::{case, cases};
use run::Run;

/// The name of a fixture's file.
fn model(name: &str) -> String {
    let forms = case(name).forms();
    let archive = forms.iter().find(|form| form.model.extension().is_some_and(|ending| ending == "keras"));
    archive.unwrap().model.display().to_string()
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

#[test]
fn a_part_of_the_model_is_drawn_and_its_file_is_not_replaced() {
    let run = Run::new();
    let model = model("basic");
    let outcome = run.k2o(&["plot", &model, "-o", "a.dot", "--until", "conv1d_1"]);
    assert!(outcome.stdout.ends_with("-> a.dot (3 layers, 4 connections)\n"), "{}", outcome.stdout);

    let folder = run.path("model");
    std::fs::create_dir(&folder).unwrap();
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&model).unwrap()).unwrap();
    zip.extract(&folder).unwrap();
    for file in ["config.json", "metadata.json", "model.weights.h5"] {
        let before = std::fs::read(folder.join(file)).unwrap();
        let outcome = run.k2o(&["plot", "model", "--format", "dot", "-o", &format!("model/{file}")]);
        assert_eq!(outcome.status, 2, "{}", outcome.stderr);
        assert_eq!(std::fs::read(folder.join(file)).unwrap(), before);
    }
}
