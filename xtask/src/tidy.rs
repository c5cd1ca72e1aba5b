//! What the compiler cannot check.

use crate::readme;
use k2o::keras::LAYERS;
use std::path::{Path, PathBuf};

/// Which of the project's crates each crate may depend on; dependencies for tests aside.
const MAY_KNOW: [(&str, &[&str]); 11] = [
    ("crates/core", &[]),
    ("crates/cpu", &["k2o-core"]),
    ("crates/keras", &["k2o-core"]),
    ("crates/onnx", &["k2o-core"]),
    ("crates/k2o", &["k2o-core", "k2o-cpu", "k2o-keras", "k2o-onnx"]),
    ("crates/verify", &["k2o"]),
    ("crates/report", &["k2o-core"]),
    ("crates/cli", &["k2o", "k2o-report", "k2o-verify"]),
    ("fixtures", &[]),
    ("benches", &["k2o", "k2o-verify", "k2o-fixtures"]),
    ("xtask", &["k2o", "k2o-cli"]),
];

/// Crates that take and return bytes and values, and leave files, clocks, threads and the environment to others.
const PURE: [&str; 5] = ["crates/core", "crates/cpu", "crates/keras", "crates/onnx", "crates/report"];

/// The file whose subject are threads, which are behind a feature.
const THREADS: &str = "crates/cpu/src/threads.rs";

/// Crates with files that allow themselves unsafe code.
const MAY_BE_UNSAFE: [&str; 2] = ["crates/cpu", "benches"];

/// Crates that know operators and no layers.
const WITHOUT_LAYERS: [&str; 3] = ["crates/core", "crates/cpu", "crates/onnx"];

/// Class names that are also names of operators, here or in ONNX.
const ALSO_OPERATORS: [&str; 16] = [
    "Activation",
    "Add",
    "Average",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GRU",
    "Identity",
    "LSTM",
    "LayerNormalization",
    "Permute",
    "RMSNormalization",
    "RNN",
    "Reshape",
    "Softmax",
];

/// Runs every check.
pub(crate) fn check(root: &Path) -> Result<String, String> {
    let mut problems = Vec::new();
    let mut files = 0;
    for (folder, known) in MAY_KNOW {
        for path in rust_files(&root.join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            problems.extend(file(folder, &shown, &text));
            files += 1;
        }
        problems.extend(dependencies(root, folder, known));
    }
    problems.extend(fixtures(root));
    problems.extend(readme::check(root));
    match problems.is_empty() {
        true => Ok(format!("{files} files are tidy")),
        false => Err(problems.join("\n")),
    }
}

/// The Rust files below a folder, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return files };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn file(folder: &str, shown: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push(format!("{shown}: starts without `//!`, so nobody knows what it is"));
    }
    let is_root = shown.ends_with("src/lib.rs") || shown.ends_with("src/main.rs");
    let lint = if MAY_BE_UNSAFE.contains(&folder) { "deny" } else { "forbid" };
    if is_root && !text.contains(&format!("#![{lint}(unsafe_code)]")) {
        problems.push(format!("{shown}: no `#![{lint}(unsafe_code)]`"));
    }
    if !shown.starts_with(&format!("{folder}/src/")) {
        return problems;
    }
    // Tests may do what they like.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (number, line) in code.lines().enumerate() {
        let mut problem = |what: String| problems.push(format!("{shown}:{}: {what}", number + 1));
        if PURE.contains(&folder) {
            for module in ["std::fs", "std::time", "std::thread", "std::env"] {
                if line.contains(module) && (module, shown) != ("std::thread", THREADS) {
                    problem(format!("{module} is for the crates above"));
                }
            }
        }
        if WITHOUT_LAYERS.contains(&folder) && !line.trim_start().starts_with("//") {
            let words = line.split(|c: char| !c.is_alphanumeric());
            for word in words.filter(|word| !ALSO_OPERATORS.contains(word)) {
                if LAYERS.iter().any(|layer| layer.class == word) {
                    problem(format!("{word} is a Keras layer, which this crate does not know"));
                }
            }
        }
    }
    problems
}

/// Dependencies on the project's own crates, which point one way.
fn dependencies(root: &Path, folder: &str, known: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap_or_default();
    let mut section = "";
    let mut problems = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let own = name == "k2o" || name.starts_with("k2o-");
        if section == "[dependencies]" && own && !known.contains(&name) {
            problems.push(format!("{folder}/Cargo.toml: {folder} may not depend on {name}"));
        }
    }
    problems
}

/// Every layer in the list occurs in a model that Keras made.
fn fixtures(root: &Path) -> Vec<String> {
    let mut seen = String::new();
    for entry in std::fs::read_dir(root.join("fixtures/models")).into_iter().flatten().flatten() {
        // Cells are parts of layers, and only in the configs.
        for name in ["case.json", "keras3.json", "keras2.json"] {
            seen += &std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        }
    }
    let is_seen =
        |class: &str| ["class", "class_name"].iter().any(|key| seen.contains(&format!("{key:?}: {class:?}")));
    let missing = LAYERS.iter().filter(|layer| !is_seen(layer.class));
    missing.map(|layer| format!("fixtures: no model has a {}", layer.class)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(folder: &str, text: &str, expected: &[&str]) {
        let shown = format!("{folder}/src/thing.rs");
        let found = file(folder, &shown, text);
        let expected: Vec<String> = expected.iter().map(|what| format!("{shown}{what}")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_crate_may_not_do_is_found() {
        check("crates/core", "//! Fine.\n", &[]);
        check("crates/core", "fn main() {}\n", &[": starts without `//!`, so nobody knows what it is"]);
        check("crates/cpu", "//! No.\nuse std::thread;\n", &[":2: std::thread is for the crates above"]);
        check("crates/k2o", "//! Fine.\nuse std::fs;\n", &[]);
        check(
            "crates/onnx",
            "//! No.\nlet class = \"Conv1D\";\n",
            &[":2: Conv1D is a Keras layer, which this crate does not know"],
        );
        check("crates/onnx", "//! Fine.\n// Conv1D is lowered elsewhere.\n#[cfg(test)]\nConv1D\n", &[]);
    }
}
