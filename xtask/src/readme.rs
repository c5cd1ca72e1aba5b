//! The parts of `README.md` that are made from the code.

use k2o::keras::LAYERS;
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- begin generated: layers -->\n";
const END: &str = "<!-- end generated: layers -->\n";

/// The table of supported layers, as Markdown.
fn layers() -> String {
    let mut table = String::from("| layer | also spelled | refused |\n| --- | --- | --- |\n");
    for layer in LAYERS {
        let aliases: Vec<String> = layer.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(table, "| `{}` | {} | {} |", layer.class, aliases.join(", "), layer.refused);
    }
    table
}

/// `README.md` as it should be.
fn expected(text: &str) -> Result<String, String> {
    let missing = || format!("README.md has no lines {BEGIN:?} and {END:?}");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", layers()))
}

/// Rewrites the generated parts.
pub(crate) fn rewrite(root: &Path) -> Result<String, String> {
    let path = root.join("README.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("README.md: {error}"))?;
    let expected = expected(&text)?;
    std::fs::write(&path, expected).map_err(|error| format!("README.md: {error}"))?;
    Ok("README.md is current".to_string())
}

/// Whether the generated parts are current.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("README.md")).unwrap_or_default();
    match expected(&text) {
        Ok(expected) if expected == text => Vec::new(),
        Ok(_) => vec!["README.md: the table of layers is not current; run `cargo xtask readme`".to_string()],
        Err(error) => vec![error],
    }
}
