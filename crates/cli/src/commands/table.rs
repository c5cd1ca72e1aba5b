//! Tables for people, and for pages of Markdown.

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// With lines around it.
    Terminal,
    Markdown,
}

/// A table, whose columns named in `numbers` are aligned to the right; ends with a line break.
pub(crate) fn table(style: Style, header: &[&str], numbers: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let is_number: Vec<bool> = header.iter().map(|name| numbers.contains(&&**name)).collect();
    let row = |cells: &Vec<String>| cells.iter().map(|cell| shown(style, cell)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = std::iter::once(&header).chain(rows).map(row).collect();
    let mut widths = vec![0; header.len()];
    for row in &rows {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = width(cell).max(*most);
        }
    }
    let (edge, between) = match style {
        Style::Terminal => ("│", " "),
        Style::Markdown => ("|", "|"),
    };
    let rule = |left: &str, line: &str, between: &str, right: &str| {
        let lines: Vec<String> = widths.iter().map(|width| line.repeat(width + 2)).collect();
        format!("{left}{}{right}\n", lines.join(between))
    };
    let mut lines = rows.iter().map(|row| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths.iter().zip(&is_number))
            .map(|(cell, (most, is_number))| {
                let room = " ".repeat(most - width(cell));
                if *is_number { format!(" {room}{cell} ") } else { format!(" {cell}{room} ") }
            })
            .collect();
        format!("{edge}{}{edge}\n", cells.join(between))
    });
    let (top, line, bottom) = match style {
        Style::Terminal => (rule("┌", "─", "─", "┐"), rule("╞", "═", "═", "╡"), rule("└", "─", "─", "┘")),
        Style::Markdown => (String::new(), rule("|", "-", "|", "|"), String::new()),
    };
    let header = lines.next().unwrap_or_default();
    top + &header + &line + &lines.collect::<String>() + &bottom
}

/// What of a cell can be in a table: a line break would end its row, and a terminal obeys control characters.
fn shown(style: Style, cell: &str) -> String {
    let mut shown = String::with_capacity(cell.len());
    for c in cell.chars() {
        match c {
            '|' if style == Style::Markdown => shown.push_str("\\|"),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// The columns that text takes on a terminal: two for a character of East Asian scripts, or a pictogram.
fn width(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// Whether a character is wide, by the blocks of Unicode Standard Annex 11.
fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        [["a|b", "1"], ["卷积", "1,234"], ["a\nb\u{1b}[2J", "0"]]
            .map(|row| row.map(String::from).to_vec())
            .to_vec()
    }

    #[test]
    fn a_table_for_a_terminal_has_columns_of_one_width_and_a_line_for_each_row() {
        let expected = "\
┌─────────────────────────┐
│ Layer           Param # │
╞═════════════════════════╡
│ a|b                   1 │
│ 卷积              1,234 │
│ a\\nb\\u{1b}[2J         0 │
└─────────────────────────┘
";
        assert_eq!(table(Style::Terminal, &["Layer", "Param #"], &["Param #"], &rows()), expected);
    }

    #[test]
    fn a_table_for_markdown_keeps_its_bars_apart() {
        let expected = "\
| Layer         | Param # |
|---------------|---------|
| a\\|b          |       1 |
| 卷积          |   1,234 |
| a\\nb\\u{1b}[2J |       0 |
";
        assert_eq!(table(Style::Markdown, &["Layer", "Param #"], &["Param #"], &rows()), expected);
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(table(Style::Markdown, &["a"], &[], &[]), "| a |\n|---|\n");
    }
}
