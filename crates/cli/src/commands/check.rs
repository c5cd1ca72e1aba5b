//! `check MODEL`: whether the layers fit each other, and what is odd.

use super::{JsonArgs, ModelArgs, grouped, number_of_steps};
use crate::console;
use crate::failure::Failure;
use k2o::{Error, Model};
use serde_json::{Value, json};
use std::fmt::Write;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let model = args.model.open().map_err(|failure| with_fewest_steps(&args.model, failure))?;
    Ok(console::answer(|| text(args, &model), || value(&model)))
}

fn text(args: &Args, model: &Model) -> String {
    let summary = model.summary();
    let names = |ports: Vec<k2o::Port>| {
        let port = |port: &k2o::Port| format!("{} {}", port.name, port.r#type.shape);
        ports.iter().map(port).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "{}: {} layers, {} parameters, {} -> {}: the layers fit each other{}\n",
        args.model.model.display(),
        summary.rows.len(),
        grouped(summary.total_parameters),
        names(model.inputs()),
        names(model.outputs()),
        if model.provenance().has_weights { ", and so do the weights" } else { "" },
    );
    if let Some(steps) = model.shortest_input() {
        let _ = writeln!(text, "the shortest input that works has {}", number_of_steps(steps));
    }
    for sentence in model.advice() {
        let _ = writeln!(text, "- {sentence}");
    }
    text
}

fn value(model: &Model) -> Value {
    let summary = model.summary();
    let ports = |ports: Vec<k2o::Port>| {
        let port = |port: &k2o::Port| {
            let sizes: Vec<Option<i64>> = port.r#type.shape.iter().map(|dim| dim.as_fixed()).collect();
            json!({"name": port.name, "shape": sizes, "dtype": port.r#type.dtype.to_string()})
        };
        ports.iter().map(port).collect::<Vec<_>>()
    };
    json!({
        "ok": true,
        "layers": summary.rows.len(),
        "params": summary.total_parameters,
        "inputs": ports(model.inputs()),
        "outputs": ports(model.outputs()),
        "has_weights": model.provenance().has_weights,
        "shortest_input": model.shortest_input(),
        "advice": model.advice(),
    })
}

/// A failure of layers that do not fit, with the least number of steps with which they would.
pub(crate) fn with_fewest_steps(args: &ModelArgs, failure: Failure) -> Failure {
    let Failure::Model(error) = failure else { return failure };
    let options = if error.is_shape_mismatch() { args.options().ok() } else { None };
    match options.and_then(|options| Model::fewest_steps(&args.model, &options)) {
        Some(steps) => {
            let text =
                format!("{error}\nwith an input of {} or more, all layers fit", number_of_steps(steps));
            Failure::Model(Error::new(error.kind(), text))
        }
        None => Failure::Model(error),
    }
}
