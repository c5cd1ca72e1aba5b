//! Runs the command as users do.

use assert_cmd::Command;
use std::path::PathBuf;
use tempfile::TempDir;

/// Runs `k2o` in an empty folder.
pub struct Run {
    folder: TempDir,
}

/// What a command did.
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn new() -> Run {
        Run { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn k2o(&self, args: &[&str]) -> Outcome {
        self.run(env!("CARGO_BIN_EXE_k2o"), args)
    }

    /// Runs another program there, such as a shell that runs `k2o`.
    pub fn run(&self, program: &str, args: &[&str]) -> Outcome {
        let output = Command::new(program).current_dir(self.folder.path()).args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Outcome {
            status: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
