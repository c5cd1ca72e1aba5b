//! `what-if MODEL --input 64,1`: the shapes that the layers have with another input.

use super::check::with_fewest_steps;
use super::summary::shapes_json;
use super::table::{Style, table};
use super::{JsonArgs, ModelArgs, number_of_steps};
use crate::failure::Failure;
use k2o::{InputShape, Model, OpenOptions, SummaryRow};
use serde_json::{Value, json};
use std::fmt::Write;
use std::str::FromStr;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The sizes of an input without the batch, such as 64,1 or, of one of several inputs, NAME=64,1; None for a size that
    /// is not known; may be given several times
    #[arg(long, value_name = "SIZES", required = true)]
    input: Vec<Sizes>,
    #[command(flatten)]
    json: JsonArgs,
}

/// An input's sizes as they are written on the command line.
#[derive(Clone, Debug)]
struct Sizes(InputShape);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let (name, sizes) = match text.rsplit_once('=') {
            Some((name, sizes)) => (Some(name.to_string()), sizes),
            None => (None, text),
        };
        let sizes = sizes.trim().trim_start_matches(['(', '[']).trim_end_matches([')', ']', ',']);
        let size = |size: &str| match size.trim() {
            "None" | "?" => Ok(None),
            size => size.parse().map(Some).map_err(|_| {
                format!("{size:?} is no size; expected sizes such as 64,1, or None for one that is not known")
            }),
        };
        let sizes = sizes.split(',').map(size).collect::<Result<_, _>>()?;
        Ok(Sizes(InputShape { name, sizes }))
    }
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let mut options = args.model.options()?;
    options.without_weights = true;
    // What the file says need not fit: the other sizes may be the mend.
    let saved = args.model.open_as(&options).ok();
    options.input_shapes = args.input.iter().map(|Sizes(shape)| shape.clone()).collect();
    let model = args.model.open_as(&options).map_err(|failure| with_fewest_steps(&args.model, failure))?;
    let shortest = shortest(args, &model, &options);
    let differing = match &saved {
        Some(saved) => saved.weights_that_differ(&model).unwrap_or_default(),
        None => Vec::new(),
    };
    let (rows, saved) = (model.summary().rows, saved.map(|saved| saved.summary().rows).unwrap_or_default());
    Ok(match args.json.json {
        true => format!("{}\n", value(&rows, &saved, &differing, shortest)),
        false => text(&rows, &saved, &differing, shortest),
    })
}

/// The fewest steps: of the layers' conditions where the length is not known, else by trying.
fn shortest(args: &Args, model: &Model, options: &OpenOptions) -> Option<u64> {
    model.shortest_input().or_else(|| Model::fewest_steps(&args.model.model, options))
}

fn saved_row<'a>(saved: &'a [SummaryRow], row: &SummaryRow) -> Option<&'a SummaryRow> {
    saved.iter().find(|other| other.own_calls == row.own_calls && other.name == row.name)
}

fn text(rows: &[SummaryRow], saved: &[SummaryRow], differing: &[String], shortest: Option<u64>) -> String {
    let cells = |row: &SummaryRow| {
        vec![
            format!("{} ({})", row.name, row.class),
            saved_row(saved, row).map_or_else(|| "-".to_string(), SummaryRow::shape_text),
            row.shape_text(),
        ]
    };
    let header = ["Layer (type)", "Output Shape as saved", "With this input"];
    let mut text = table(Style::Terminal, &header, &[], &rows.iter().map(cells).collect::<Vec<_>>());
    if let Some(steps) = shortest {
        let _ = writeln!(text, "The shortest input that works has {}.", number_of_steps(steps));
    }
    if !differing.is_empty() {
        text += "The saved weights do not fit this input; these have other shapes:\n";
        differing.iter().for_each(|sentence| {
            let _ = writeln!(text, "- {sentence}");
        });
    }
    text
}

fn value(rows: &[SummaryRow], saved: &[SummaryRow], differing: &[String], shortest: Option<u64>) -> Value {
    let layer = |row: &SummaryRow| {
        json!({
            "name": row.name,
            "class": row.class,
            "output_shape": shapes_json(&row.output_shapes),
            "saved_output_shape": saved_row(saved, row).map(|row| shapes_json(&row.output_shapes)),
        })
    };
    json!({
        "layers": rows.iter().map(layer).collect::<Vec<_>>(),
        "shortest_input": shortest,
        "weights_that_differ": differing,
    })
}
