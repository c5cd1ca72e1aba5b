//! `verify MODEL [--input X] [--expected Y] [--weights-type TYPE] [--threads N]`

use super::table::{Style, table};
use super::{JsonArgs, ModelArgs, Opened};
use crate::arrays;
use crate::computing::{ComputeArgs, instruction_set};
use crate::console;
use crate::failure::Failure;
use crate::progress::Progress;
use k2o::NonFinite;
use k2o::onnx::WeightsType;
use k2o_verify::{Change, Difference, Finding, Options, OutputRow, Report, Row};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The input: an .npy, an .npz with an array for each input, or CSV; - is standard input [default: random, the same every time]
    #[arg(short, long, value_name = "X")]
    input: Option<PathBuf>,
    /// What Keras computed for this input, in the same formats
    #[arg(short, long, value_name = "Y", requires = "input")]
    expected: Option<PathBuf>,
    /// Says what weights stored as f16 or bf16 change, and checks the runtime and the file that have them
    #[arg(long, value_name = "TYPE", default_value_t)]
    weights_type: WeightsType,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    if [&args.input, &args.expected].into_iter().flatten().filter(|path| arrays::is_stdio(path)).count() > 1 {
        return Err(Failure::Usage("--input and --expected cannot both be standard input".to_string()));
    }
    let mut options = Options::default();
    options.instruction_set = instruction_set()?;
    let Opened { model, weights, .. } = args.model.open_with_weights()?;
    options.threads = args.compute.threads(&model)?;
    options.inputs = args.input.as_ref().map(|path| arrays::read_inputs(path, &model)).transpose()?;
    options.expected = args.expected.as_ref().map(|path| arrays::read_outputs(path, &model)).transpose()?;
    options.weights_type = args.weights_type;
    let progress = Progress::of_time("comparing");
    let report = k2o_verify::verify(&model, &options)?;
    drop(progress);
    let text =
        console::answer(|| text(&report, args.weights_type), || json(&report, args, weights.as_deref()));
    if report.passed() {
        return Ok(text);
    }
    crate::print(&text)?;
    Err(Failure::Verification(format!("{}: a difference is past the bound", args.model.model.display())))
}

fn text(report: &Report, weights_type: WeightsType) -> String {
    let has_tract = report.layers.iter().any(|row| row.tract.is_some());
    let mut header = vec!["Layer (type)", "k2o - reference"];
    if has_tract {
        header.push("tract - reference");
    }
    header.push("bound");
    let row = |row: &Row| {
        let mut cells = vec![format!("{} ({})", row.name, row.class), finding(row.cpu)];
        cells.extend(row.tract.map(finding));
        cells.push(match row.cpu {
            Finding::Compared(difference) => format!("{:.1e}", difference.allowed),
            Finding::Folded => String::new(),
        });
        cells
    };
    let layers = findings(&header, &report.layers.iter().map(row).collect::<Vec<_>>());
    let mut outputs = Vec::new();
    for row in &report.outputs {
        for (what, difference) in row.differences() {
            let bound = format!("{:.1e}", difference.allowed);
            outputs.push(vec![row.name.clone(), what.to_string(), worst(difference), bound]);
        }
    }
    let outputs = findings(&["Output", "between", "worst difference", "bound"], &outputs);
    let verdict = if report.passed() {
        "all differences are within the bound"
    } else {
        "a difference is past the bound"
    };
    let non_finite: String = report.non_finite.iter().map(|found| format!("{found}\n")).collect();
    format!("{layers}{outputs}{}{non_finite}{verdict}\n", rounding(&report.rounding, weights_type))
}

fn json(report: &Report, args: &Args, weights: Option<&Path>) -> Value {
    let difference = |found: Difference| json!({ "worst": found.worst, "bound": found.allowed, "within": found.is_within() });
    let finding = |found: Finding| match found {
        Finding::Compared(found) => difference(found),
        Finding::Folded => json!("folded"),
    };
    let layer = |row: &Row| json!({ "name": row.name, "class": row.class, "k2o": finding(row.cpu), "tract": row.tract.map(finding) });
    let output = |row: &OutputRow| {
        let between = |(between, found): (&str, Difference)| {
            let mut value = difference(found);
            value["between"] = json!(between);
            value
        };
        json!({ "name": row.name, "differences": row.differences().into_iter().map(between).collect::<Vec<_>>() })
    };
    let change = |change: &Change| {
        json!({
            "name": change.name,
            "worst": change.worst,
            "largest": change.largest,
            "from_keras": change.keras,
        })
    };
    let non_finite = |found: &NonFinite| json!({ "layer": found.layer, "weight": found.weight, "nan": found.nan, "infinite": found.infinite });
    json!({
        "model": args.model.model.display().to_string(),
        "weights": weights.map(|path| path.display().to_string()),
        "passed": report.passed(),
        "weights_type": args.weights_type.to_string(),
        "layers": report.layers.iter().map(layer).collect::<Vec<_>>(),
        "outputs": report.outputs.iter().map(output).collect::<Vec<_>>(),
        "rounding": report.rounding.iter().map(change).collect::<Vec<_>>(),
        "non_finite": report.non_finite.iter().map(non_finite).collect::<Vec<_>>(),
    })
}

/// What rounding weights to this type changes; nothing where they are not rounded.
fn rounding(changes: &[Change], weights_type: WeightsType) -> String {
    let Some(first) = changes.first() else { return String::new() };
    let output = format!("Output with {weights_type} weights");
    let mut header = vec![&*output, "worst change", "of the largest value"];
    header.extend(first.keras.map(|_| "from Keras"));
    let row = |change: &Change| {
        let share = if change.worst == 0.0 { 0.0 } else { 100.0 * change.worst / change.largest };
        let mut cells = vec![change.name.clone(), format!("{:.1e}", change.worst), format!("{share:.3} %")];
        cells.extend(change.keras.map(|worst| format!("{worst:.1e}")));
        cells
    };
    findings(&header, &changes.iter().map(row).collect::<Vec<_>>())
}

/// A table of what was found for that which the first column names.
fn findings(header: &[&str], rows: &[Vec<String>]) -> String {
    table(Style::Terminal, header, header.get(1..).unwrap_or_default(), rows)
}

fn finding(finding: Finding) -> String {
    match finding {
        Finding::Compared(difference) => worst(difference),
        Finding::Folded => "folded".to_string(),
    }
}

fn worst(difference: Difference) -> String {
    let mark = if difference.is_within() { "" } else { " !" };
    format!("{:.1e}{mark}", difference.worst)
}
