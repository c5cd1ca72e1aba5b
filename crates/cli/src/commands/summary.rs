//! `summary MODEL`: the columns and totals of Keras's own summary.

use super::{ModelArgs, grouped};
use crate::failure::Failure;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let summary = args.model.open()?.summary();
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["Layer (type)", "Output Shape", "Param #"]);
    for row in &summary.rows {
        let layer = format!("{} ({})", row.name, row.class);
        table.add_row([layer, row.shape_text(), grouped(row.parameters)]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("Model: {:?}\n{table}\n", summary.name);
    let mut total = |what: &str, n: u64| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{what}: {}", grouped(n));
    };
    total("Total params", summary.total_parameters);
    total("Trainable params", summary.trainable_parameters);
    total("Non-trainable params", summary.non_trainable_parameters);
    if summary.optimizer_parameters > 0 {
        total("Optimizer params", summary.optimizer_parameters);
    }
    Ok(text)
}
