//! `golden`: rewrites the texts that exported files are compared with.

use std::path::Path;
use std::process::Command;

/// Builds the test that compares, and then removes every text.
pub(crate) fn clear(root: &Path) -> Result<(), String> {
    let built = test(root).arg("--no-run").status().is_ok_and(|status| status.success());
    if !built {
        return Err("the test `golden` does not build; nothing was removed".to_string());
    }
    let folder = root.join("crates/k2o/tests/golden");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".snap") || name.ends_with(".snap.new") {
            std::fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// The test, told to write what it would compare.
pub(crate) fn write(root: &Path) -> Command {
    let mut command = test(root);
    command.env("INSTA_UPDATE", "always");
    command
}

fn test(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["test", "--quiet", "--package", "k2o", "--test", "golden", "--manifest-path"])
        .arg(root.join("Cargo.toml"));
    command
}
