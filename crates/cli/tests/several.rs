//! `convert` of several models.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod run;

use k2o_fixtures::{case, other};
use run::Run;

/// A folder with `a.h5`, `b.keras`, and `c.keras`, which is none.
fn folder() -> Run {
    let run = Run::new();
    for (from, to) in [
        (case("conv_only").path("keras2.h5"), "a.h5"),
        (case("basic").path("keras3.keras"), "b.keras"),
        (other("lambda.keras"), "c.keras"),
    ] {
        std::fs::copy(from, run.path(to)).unwrap();
    }
    run
}

const GIVEN: [&str; 3] = ["a.h5", "b.keras", "c.keras"];

#[test]
fn each_of_several_models_is_written_as_it_is_alone() {
    let run = folder();
    for model in &GIVEN[..2] {
        let target = format!("{model}.alone");
        assert_eq!(run.k2o(&["convert", model, "-o", &target]).status, 0);
    }
    for (more, [a, b]) in [
        (&[][..], ["a.onnx", "b.onnx"]),
        (&["-o", "."], ["a.onnx", "b.onnx"]),
        (&["-o", "new/folder/"], ["new/folder/a.onnx", "new/folder/b.onnx"]),
    ] {
        let outcome = run.k2o(&[&["convert", "a.h5", "b.keras"], more].concat());
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
        for (model, target) in [("a.h5", a), ("b.keras", b)] {
            let read = |name: &str| std::fs::read(run.path(name)).unwrap();
            assert!(read(target) == read(&format!("{model}.alone")), "{target}");
            std::fs::remove_file(run.path(target)).unwrap();
        }
        for (model, words) in [("a.h5", a), ("b.keras", "195,009")] {
            let row = outcome.stdout.lines().find(|line| line.contains(model)).unwrap();
            assert!(row.contains(words) && row.contains(" 17 "), "{}", outcome.stdout);
        }
    }
}

#[test]
fn a_model_that_fails_does_not_stop_the_others() {
    let run = folder();
    // The first failure's status: a file that is absent, or something unsupported.
    for (models, status) in [
        (["a.h5", "c.keras", "absent.keras", "b.keras"], 3),
        (["absent.keras", "a.h5", "b.keras", "c.keras"], 6),
    ] {
        let outcome = run.k2o(&[&["convert"], &models[..], &["-o", "out"]].concat());
        assert_eq!(outcome.status, status, "{}", outcome.stderr);
        assert_eq!(outcome.stderr.matches("error: ").count(), 3, "{}", outcome.stderr);
        assert!(
            outcome.stderr.ends_with("error: 2 of 4 models could not be converted\n"),
            "{}",
            outcome.stderr
        );
        assert!(outcome.stdout.contains("error: unsupported"), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("error: io"), "{}", outcome.stdout);
        for (name, is_there) in [("a", true), ("b", true), ("c", false), ("absent", false)] {
            assert_eq!(run.path(&format!("out/{name}.onnx")).exists(), is_there, "{name}");
        }
        std::fs::remove_dir_all(run.path("out")).unwrap();
    }
    // Where none could be converted there is no folder either.
    let outcome = run.k2o(&["convert", "c.keras", "absent.keras", "-o", "out"]);
    assert_eq!((outcome.status, run.files().len()), (3, 3), "{}", outcome.stderr);
}

#[test]
fn what_does_not_fit_the_table_is_below_it() {
    let run = folder();
    std::fs::copy(case("masking_gru").path("keras3.keras"), run.path("gru.keras")).unwrap();
    let outcome = run.k2o(&["convert", "b.keras", "gru.keras", "--external-data"]);
    let data = run.files().into_iter().find(|name| name.ends_with(".onnx_data")).unwrap();
    let below =
        format!("b.keras: weights in {data}\ngru.keras: gru as Scan (its mask may leave out any step)\n");
    assert!(outcome.stdout.ends_with(&below), "{}", outcome.stdout);
}

#[test]
fn names_that_clash_are_refused_before_anything_is_written() {
    let run = folder();
    std::fs::copy(run.path("a.h5"), run.path("a.keras")).unwrap();
    std::fs::create_dir(run.path("sub")).unwrap();
    std::fs::copy(run.path("a.h5"), run.path("sub/b.h5")).unwrap();
    let before = run.files();
    for (args, words) in [
        (&["b.keras", "a.h5", "a.keras"][..], "a.h5 and a.keras would both be written to a.onnx"),
        (&["b.keras", "a.h5", "./a.keras"], "a.h5 and ./a.keras would both"),
        (&["b.keras", "a.h5", "sub/../a.keras"], "would both"),
        (
            &["a.h5", "b.keras", "sub/b.h5", "-o", "out"],
            "b.keras and sub/b.h5 would both be written to out/b.onnx",
        ),
        (&["a.h5", "a.h5"], "would both"),
        (&["a.h5", "b.keras", "-o", "c.keras"], "several models need a folder"),
        (&["a.h5", "b.keras", "-o", "-"], "several models need a folder"),
        (&["a.h5", "b.keras", "--weights", "a.h5"], "--weights"),
    ] {
        let outcome = run.k2o(&[&["convert"], args].concat());
        assert_eq!(outcome.status, 2, "{args:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{args:?}: {}", outcome.stderr);
        assert_eq!(run.files(), before, "{args:?}");
    }
    // Beside themselves they do not clash.
    assert_eq!(run.k2o(&["convert", "b.keras", "sub/b.h5"]).status, 0);
}

#[cfg(unix)]
#[test]
fn no_model_is_written_over_another() {
    let run = folder();
    let original = std::fs::read(run.path("b.keras")).unwrap();
    std::os::unix::fs::symlink("b.keras", run.path("a.onnx")).unwrap();
    for models in [["a.h5", "b.keras"], ["b.keras", "a.h5"]] {
        let outcome = run.k2o(&[&["convert"], &models[..]].concat());
        assert_eq!(outcome.status, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("the output a.onnx is the input b.keras"), "{}", outcome.stderr);
        assert!(std::fs::read(run.path("b.keras")).unwrap() == original);
        std::fs::remove_file(run.path("b.onnx")).unwrap();
    }
}
