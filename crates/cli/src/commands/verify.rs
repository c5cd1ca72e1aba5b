//! `verify MODEL [--input X] [--expected Y]`

use super::{ModelArgs, Opened};
use crate::arrays;
use crate::failure::Failure;
use comfy_table::{CellAlignment, Table, presets};
use k2o_verify::{Difference, Finding, Options, Report};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The input: an .npy, or an .npz with an array for each input [default: random, the same every time]
    #[arg(short, long, value_name = "X")]
    input: Option<PathBuf>,
    /// What Keras computed for this input, in the same formats
    #[arg(short, long, value_name = "Y", requires = "input")]
    expected: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let Opened { model, .. } = args.model.open_with_weights()?;
    let mut options = Options::default();
    options.inputs = args.input.as_ref().map(|path| arrays::read_inputs(path, &model)).transpose()?;
    options.expected = args.expected.as_ref().map(|path| arrays::read_outputs(path, &model)).transpose()?;
    let report = k2o_verify::verify(&model, &options)?;
    let text = text(&report);
    if report.passed() {
        return Ok(text);
    }
    crate::print(&text)?;
    Err(Failure::Verification(format!("{}: a difference is past the bound", args.model.model.display())))
}

fn text(report: &Report) -> String {
    let has_tract = report.layers.iter().any(|row| row.tract.is_some());
    let mut layers = Table::new();
    layers.load_style(presets::UTF8_BORDERS_ONLY);
    let mut header = vec!["Layer (type)", "k2o - reference"];
    if has_tract {
        header.push("tract - reference");
    }
    header.push("bound");
    layers.set_header(header);
    for row in &report.layers {
        let mut cells = vec![format!("{} ({})", row.name, row.class), finding(row.cpu)];
        cells.extend(row.tract.map(finding));
        cells.push(match row.cpu {
            Finding::Compared(difference) => format!("{:.1e}", difference.allowed),
            Finding::Folded => String::new(),
        });
        layers.add_row(cells);
    }
    let mut outputs = Table::new();
    outputs.load_style(presets::UTF8_BORDERS_ONLY);
    outputs.set_header(["Output", "between", "worst difference", "bound"]);
    for row in &report.outputs {
        for (what, difference) in row.differences() {
            outputs.add_row([
                row.name.clone(),
                what.to_string(),
                worst(difference),
                format!("{:.1e}", difference.allowed),
            ]);
        }
    }
    for table in [&mut layers, &mut outputs] {
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let verdict = if report.passed() {
        "all differences are within the bound"
    } else {
        "a difference is past the bound"
    };
    format!("{layers}\n{outputs}\n{verdict}\n")
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
