//! `report` as users run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run must fail")]

mod run;

use k2o_fixtures::{case, cases};
use run::Run;

fn model(name: &str) -> String {
    case(name).forms()[0].model.display().to_string()
}

fn parts(html: &str) -> Vec<String> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(html, options).unwrap();
    let titles = document.descendants().filter(|node| node.tag_name().name() == "h2");
    titles.map(|node| node.text().unwrap().to_string()).collect()
}

#[test]
fn every_fixture_has_a_page_with_the_totals_of_its_summary() {
    for case in cases() {
        let run = Run::new();
        let form = case.forms().remove(0);
        let path = form.model.display().to_string();
        let weights = form.weights.map(|path| path.display().to_string());
        let weights: Vec<&str> = weights.iter().flat_map(|path| ["--weights", path]).collect();
        let outcome = run.k2o(&[&["report", &path, "-o", "page.html"], weights.as_slice()].concat());
        assert_eq!(outcome.status, 0, "{}: {}", case.name, outcome.stderr);
        assert_eq!(run.files(), ["page.html"]);
        let html = std::fs::read_to_string(run.path("page.html")).unwrap();
        let mut parts = parts(&html);
        // Advice only where there is something odd.
        let count = parts.len();
        parts.retain(|part| part != "Advice");
        assert!(parts.starts_with(&["Totals".into(), "Graph".into(), "Layers".into()]), "{}", case.name);
        let summary = run.k2o(&["summary", &path]).stdout;
        assert_eq!(count > parts.len(), summary.contains("\nAdvice:\n"), "{}", case.name);
        let total = summary.lines().find_map(|line| line.strip_prefix("Total params: ")).unwrap();
        assert!(html.contains(&format!("<dt>Parameters</dt><dd>{total}</dd>")), "{}: {total}", case.name);
    }
}

#[test]
fn a_page_says_what_was_counted_and_checked() {
    let run = Run::new();
    let outcome = run.k2o(&["report", &model("basic"), "-o", "page.html", "--verify", "--time"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let html = std::fs::read_to_string(run.path("page.html")).unwrap();
    assert_eq!(
        parts(&html),
        ["Totals", "Advice", "Graph", "Layers", "Weights", "Check against the reference"]
    );
    // 98 steps of 3 x 1 x 32, 47 of 3 x 32 x 64, 1472 x 128, and 128.
    let work = 98 * 96 + 47 * 6144 + 1472 * 128 + 128;
    assert_eq!(work, 486_720);
    for text in [
        "<dt>Multiply-adds</dt><dd>486,720</dd>",
        "conv1d_1/kernel",
        "All are within their bounds.",
        "max_pooling1d_1 drops",
    ] {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn lengths_that_are_not_known_are_named_or_given() {
    let run = Run::new();
    let model = model("symbolic_time");
    let page = |args: &[&str]| {
        let outcome = run.k2o(&[&["report", &model, "-o", "page.html"], args].concat());
        let html = std::fs::read_to_string(run.path("page.html")).unwrap_or_default();
        (outcome.status, html)
    };
    let total = |html: &str| {
        html.split("<dt>Multiply-adds</dt><dd>").nth(1).unwrap().split('<').next().unwrap().to_string()
    };
    let (status, hundred) = page(&[]);
    assert_eq!(status, 0);
    assert!(hundred.contains("one example, with 100 for what is of unknown size"));
    let (status, thousand) = page(&["--steps", "1000"]);
    assert_eq!(status, 0);
    assert!(thousand.contains("with 1000 for"));
    assert_ne!(total(&hundred), total(&thousand));
    assert_eq!(page(&["--steps", "0"]).0, 2);
    assert_eq!(page(&["--steps", "1"]).0, 2);
}
