//! Tables for people, and for pages of Markdown.

use comfy_table::{CellAlignment, Table, presets};

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// With lines around it.
    Terminal,
    Markdown,
}

/// A table, whose columns named in `numbers` are aligned to the right; ends with a line break.
pub(crate) fn table(style: Style, header: &[&str], numbers: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(match style {
        Style::Terminal => presets::UTF8_BORDERS_ONLY,
        Style::Markdown => presets::ASCII_MARKDOWN,
    });
    table.set_header(header);
    for row in rows {
        match style {
            Style::Terminal => table.add_row(row),
            Style::Markdown => table.add_row(row.iter().map(|cell| cell.replace('|', "\\|"))),
        };
    }
    for (at, _) in header.iter().enumerate().filter(|(_, name)| numbers.contains(name)) {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}
