//! Help, completions and manual pages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod run;

use run::Run;

/// The commands, as the help lists them.
fn commands(run: &Run) -> Vec<String> {
    let help = run.k2o(&["--help"]).stdout;
    let names: Vec<String> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_string))
        .filter(|name| name != "help")
        .collect();
    for name in ["convert", "summary", "predict", "verify", "completions", "man"] {
        assert!(names.iter().any(|found| found == name), "{help}");
    }
    names
}

#[test]
fn every_example_in_the_help_is_one_that_the_command_takes() {
    let run = Run::new();
    let program = env!("CARGO_BIN_EXE_k2o");
    let described = [
        "convert",
        "summary",
        "check",
        "what-if",
        "plot",
        "report",
        "predict",
        "verify",
        "completions",
        "man",
    ];
    for command in std::iter::once(&[][..]).chain(described.iter().map(std::slice::from_ref)) {
        let help = run.k2o(&[command, &["--help"]].concat()).stdout;
        let examples: Vec<&str> = help
            .lines()
            .skip_while(|line| *line != "Examples:")
            .filter(|line| line.starts_with("    ") || line.starts_with("  k2o "))
            .filter(|line| line.contains("k2o "))
            .collect();
        assert!(examples.len() >= 2, "{command:?}: {help}");
        for example in examples {
            // The files are absent, which is another failure than a wrong use.
            let script = example.replace("k2o ", "\"$0\" ");
            let outcome = run.run("sh", &["-c", &script, program]);
            assert!([0, 6].contains(&outcome.status), "{example}: {}", outcome.stderr);
        }
    }
}

#[test]
fn what_is_spelled_wrong_is_answered_with_what_may_have_been_meant() {
    let run = Run::new();
    for (args, tip) in [
        (&["convrt", "net.keras"][..], "'convert'"),
        (&["predict", "net.keras", "--inptu", "x"], "'--input'"),
        (&["convert", "net.keras", "--wieghts-type", "f16"], "'--weights-type'"),
        (&["completions", "bsh"], "'bash'"),
    ] {
        let outcome = run.k2o(args);
        assert_eq!(outcome.status, 2);
        let found = outcome.stderr.lines().find(|line| line.contains("tip: "));
        assert!(found.is_some_and(|line| line.contains(tip)), "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn completions_know_every_command_and_its_options() {
    let run = Run::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = run.k2o(&["completions", shell]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
        for word in commands(&run).iter().map(String::as_str).chain(["weights-type", "batch-size"]) {
            assert!(outcome.stdout.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let run = Run::new();
    let outcome = run.k2o(&["man", "-o", "share/man1"]);
    assert_eq!((outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, "", ""));
    assert_eq!(run.files(), ["share"]);
    let page = |name: &str| std::fs::read_to_string(run.path("share/man1").join(name)).unwrap();
    for name in commands(&run) {
        let text = page(&format!("k2o-{name}.1"));
        assert!(text.contains(&format!(".TH k2o-{name} 1")), "{text}");
    }
    assert!(page("k2o-convert.1").contains("\\-\\-weights\\-type"));
    let outcome = run.k2o(&["man"]);
    assert_eq!((outcome.status, outcome.stdout), (0, page("k2o.1")));
}
