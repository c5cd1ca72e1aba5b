//! What is said of models that cannot be: for every `fixtures/invalid/<name>.json` the text in `<name>.txt` beside it.
//!
//! `K2O_GOLDEN=write cargo test -p k2o-cli --test invalid` rewrites the texts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod run;

use run::Run;
use std::fs;
use std::path::PathBuf;

fn configs() -> Vec<PathBuf> {
    let files =
        fs::read_dir(k2o_fixtures::root().join("invalid")).unwrap().map(|entry| entry.unwrap().path());
    let is_config = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "json") && !path.ends_with("keras_says.json")
    };
    let mut configs: Vec<PathBuf> = files.filter(is_config).collect();
    configs.sort();
    configs
}

#[test]
fn models_that_cannot_be_are_explained_as_written_down() {
    let rewrites = std::env::var("K2O_GOLDEN").is_ok_and(|value| value == "write");
    let configs = configs();
    assert!(configs.len() >= 20, "{}", configs.len());
    let mut differing = Vec::new();
    for config in configs {
        let run = Run::new();
        let name = config.file_name().unwrap().to_str().unwrap();
        fs::copy(&config, run.path(name)).unwrap();
        let outcome = run.k2o(&["check", name]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (4, ""), "{name}");
        let golden = config.with_extension("txt");
        if rewrites {
            fs::write(&golden, &outcome.stderr).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != outcome.stderr {
            differing.push(format!("{name}:\n{}", outcome.stderr));
        }
        // Every way to look at the model says the same of it.
        for command in ["summary", "convert"] {
            let other = run.k2o(&[command, name]);
            let first = |text: &str| text.lines().next().unwrap_or_default().to_string();
            assert_eq!((other.status, first(&other.stderr)), (4, first(&outcome.stderr)), "{command} {name}");
        }
        assert_eq!(run.files(), [name]);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_text_names_layer_numbers_and_a_mend() {
    for config in configs() {
        let text = fs::read_to_string(config.with_extension("txt")).unwrap();
        let problems = text.lines().filter(|line| line.contains("layer \"")).count();
        for part in ["\n  shapes: ", "\n  help: "] {
            assert!(text.matches(part).count() >= problems, "{}: {part}\n{text}", config.display());
        }
    }
}
