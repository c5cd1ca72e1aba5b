//! What `convert` says of the models that it wrote.

use crate::commands::table::{self, Style};
use crate::commands::{bytes, grouped};
use crate::console::milliseconds;
use crate::failure::Failure;
use k2o::onnx::Choice;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A model that was written.
pub(super) struct Converted {
    /// Where it was read from.
    pub model: PathBuf,
    /// The kind of file that it was read from.
    pub format: String,
    pub keras_version: Option<String>,
    /// The file of its weights, if they were in one of their own.
    pub weights: Option<PathBuf>,
    pub layers: usize,
    pub parameters: u64,
    pub target: PathBuf,
    pub opset: i64,
    pub nodes: usize,
    pub written: Written,
    pub choices: Vec<Choice>,
    pub elapsed: Duration,
}

/// How much was written.
pub(super) struct Written {
    /// The bytes of the model.
    pub bytes: u64,
    /// The name of the file of its weights, and how many bytes that has, if they went there.
    pub data: Option<(String, u64)>,
}

impl Written {
    /// `4.2 kB + 12.7 MB`
    fn size(&self) -> String {
        match &self.data {
            Some((_, len)) => format!("{} + {}", bytes(self.bytes), bytes(*len)),
            None => bytes(self.bytes),
        }
    }

    fn text(&self) -> String {
        match &self.data {
            Some((name, _)) => format!("{} in {name}", self.size()),
            None => self.size(),
        }
    }
}

impl Converted {
    /// The line that says it all.
    pub fn line(&self) -> String {
        let version =
            self.keras_version.as_ref().map_or_else(String::new, |version| format!(", Keras {version}"));
        format!(
            "{} ({}{version}): {} layers, {} parameters -> {} (opset {}, {} nodes, {}) in {:.1} ms{}\n",
            self.model.display(),
            self.format,
            self.layers,
            grouped(self.parameters),
            self.target.display(),
            self.opset,
            self.nodes,
            self.written.text(),
            self.elapsed.as_secs_f64() * 1e3,
            self.choices.iter().map(|choice| format!(", {choice}")).collect::<String>(),
        )
    }

    pub fn json(&self) -> Value {
        let choice = |choice: &Choice| json!({ "operator": choice.operator, "form": choice.form, "reason": choice.reason });
        json!({
            "model": self.model.display().to_string(),
            "format": self.format,
            "keras_version": self.keras_version,
            "weights": self.weights.as_ref().map(|path| path.display().to_string()),
            "layers": self.layers,
            "parameters": self.parameters,
            "output": self.target.display().to_string(),
            "opset": self.opset,
            "nodes": self.nodes,
            "bytes": self.written.bytes,
            "external_data": self.written.data.as_ref().map(|(name, len)| json!({ "file": name, "bytes": len })),
            "milliseconds": milliseconds(self.elapsed),
            "choices": self.choices.iter().map(choice).collect::<Vec<_>>(),
        })
    }
}

/// What became of one of several models.
pub(super) type Outcome<'a> = (&'a Path, Result<Converted, Failure>);

/// A row for each of several models, and below it the files of their weights and what was chosen for them.
pub(super) fn table(outcomes: &[Outcome<'_>]) -> String {
    let numbers = ["Layers", "Param #", "Opset", "Nodes", "Size", "ms"];
    let header = [&["Model"], &numbers[..], &["Written to"]].concat();
    let mut rows = Vec::new();
    let mut more = String::new();
    for (model, outcome) in outcomes {
        let model = model.display().to_string();
        let cells = match outcome {
            Ok(done) => {
                // Writing to a String does not fail.
                if let Some((name, _)) = &done.written.data {
                    let _ = writeln!(more, "{model}: weights in {name}");
                }
                for choice in &done.choices {
                    let _ = writeln!(more, "{model}: {choice}");
                }
                [
                    model,
                    done.layers.to_string(),
                    grouped(done.parameters),
                    done.opset.to_string(),
                    done.nodes.to_string(),
                    done.written.size(),
                    format!("{:.1}", done.elapsed.as_secs_f64() * 1e3),
                    done.target.display().to_string(),
                ]
            }
            Err(failure) => {
                let nothing = String::new;
                let error = format!("error: {}", failure.kind());
                [model, nothing(), nothing(), nothing(), nothing(), nothing(), nothing(), error]
            }
        };
        rows.push(cells.to_vec());
    }
    table::table(Style::Terminal, &header, &numbers, &rows) + &more
}

/// An object for each of several models.
pub(super) fn json_of_several(outcomes: &[Outcome<'_>]) -> Value {
    let object = |(model, outcome): &Outcome<'_>| match outcome {
        Ok(done) => done.json(),
        Err(failure) => json!({ "model": model.display().to_string(), "error": failure.to_json() }),
    };
    outcomes.iter().map(object).collect()
}
