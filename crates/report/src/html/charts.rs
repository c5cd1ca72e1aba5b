//! Bars of what layers take, and where their differences from the reference lie on a logarithmic axis.

use super::{Html, grouped, short};
use crate::escape::markup;
use crate::svg::share_text;
use crate::{LayerRow, Page, VerifiedRow};
use std::fmt::Write;

/// How many bars are shown at once.
const SHOWN: usize = 15;

/// Parameters, multiply-adds and time of each layer, the largest first.
pub(super) fn layers(html: &mut Html, page: &Page) {
    html.0.push_str("<div class=\"charts\">\n");
    bars(html, page, "Parameters", |row| row.parameters as f64, |n| grouped(n as u64));
    bars(html, page, "Multiply-adds", |row| row.multiply_adds as f64, |n| grouped(n as u64));
    bars(html, page, "Time (µs)", |row| row.microseconds.unwrap_or(0.0), short);
    html.0.push_str("</div>\n");
}

fn bars(
    html: &mut Html,
    page: &Page,
    title: &str,
    of: impl Fn(&LayerRow) -> f64,
    text: impl Fn(f64) -> String,
) {
    let mut rows: Vec<(&LayerRow, f64)> = page.layers.iter().map(|row| (row, of(row))).collect();
    rows.retain(|(_, value)| *value > 0.0);
    // Equal ones stay in order of execution.
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some(&(_, largest)) = rows.first() else { return };
    let total: f64 = rows.iter().map(|(_, value)| value).sum();
    let list = |html: &mut Html, rows: &[(&LayerRow, f64)]| {
        html.0.push_str("<ol class=\"bars\">\n");
        for (row, value) in rows {
            let path = markup(&row.path);
            html.add(format_args!(
                "<li><a class=\"what\" href=\"#layer-{}\" title=\"{path}\">{path}</a><i><b style=\"width:{:.1}%\"></b></i>\
                 <span class=\"n\">{} ({})</span></li>\n",
                row.call.0,
                100.0 * value / largest,
                text(*value),
                markup(&share_text(value / total)),
            ));
        }
        html.0.push_str("</ol>\n");
    };
    html.add(format_args!("<figure>\n<figcaption><h3>{title}, largest first</h3></figcaption>\n"));
    let (first, rest) = rows.split_at(SHOWN.min(rows.len()));
    list(html, first);
    if !rest.is_empty() {
        html.add(format_args!("<details><summary>{} more</summary>\n", rest.len()));
        list(html, rest);
        html.0.push_str("</details>\n");
    }
    html.0.push_str("</figure>\n");
}

/// The least decade of the axis: what is smaller is at its end.
const LEAST: i32 = -18;
/// The largest, and where what is not finite is.
const LARGEST: i32 = 6;

/// One row for each layer: the worst difference as a dot, and what it may be as a line.
pub(super) fn verification(html: &mut Html, rows: &[VerifiedRow]) {
    let decade = |x: f64| (x.log10().floor().clamp(f64::from(LEAST), f64::from(LARGEST))) as i32;
    let positive = |x: &f64| *x > 0.0;
    let differences = || rows.iter().filter_map(|row| row.worst);
    let bounds = rows.iter().filter(|row| row.worst.is_some()).map(|row| row.allowed);
    let all: Vec<i32> = differences().chain(bounds).filter(positive).map(decade).collect();
    let low = all.iter().copied().min().unwrap_or(-8);
    let high = all.iter().copied().max().unwrap_or(-5) + 1;
    let decades = f64::from(high - low);
    let place = |x: f64| {
        let at = if x > 0.0 { (x.log10() - f64::from(low)) / decades } else { 0.0 };
        100.0 * at.clamp(0.0, 1.0)
    };
    let is_past = |row: &VerifiedRow| row.worst.is_some_and(|worst| worst > row.allowed || worst.is_nan());
    let past = rows.iter().filter(|row| is_past(row)).count();
    html.add(format_args!(
        "<p class=\"note\">The worst difference of each layer's output in single precision from the same in double precision, \
         on random inputs, on a logarithmic axis: a dot for the difference, an upright line for what it may be. {}</p>\n",
        match past {
            0 => "All are within their bounds.".to_string(),
            past => format!("<strong class=\"bad\">Past their bounds: {past}.</strong>"),
        }
    ));
    html.0.push_str(
        "<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"Differences from the reference\">\n<table>\n\
         <thead><tr><th scope=\"col\">Layer</th><th scope=\"col\" class=\"n\">Difference</th>\
         <th scope=\"col\" class=\"n\">Bound</th><th scope=\"col\" class=\"wide\"><span class=\"axis\">",
    );
    // About ten names for any number of decades.
    let step = ((high - low) / 10 + 1).max(1) as usize;
    let mut lines = String::new();
    for at in (low..=high).step_by(step) {
        html.add(format_args!("<span>1e{at}</span>"));
        // Writing to a String does not fail.
        let _ = write!(lines, "<s style=\"left:{:.2}%\"></s>", 100.0 * f64::from(at - low) / decades);
    }
    html.0.push_str("</span></th></tr></thead>\n<tbody>\n");
    for row in rows {
        html.add(format_args!("<tr><th scope=\"row\">{}</th>", markup(&row.name)));
        match row.worst {
            None => html.0.push_str("<td class=\"n\">folded</td><td></td><td></td>"),
            Some(worst) => {
                let (bad, shape) = if is_past(row) { (" bad", " class=\"past\"") } else { ("", "") };
                let worst_text =
                    if worst.is_finite() { format!("{worst:.1e}") } else { "not finite".to_string() };
                let worst = if worst.is_finite() { worst } else { f64::MAX };
                html.add(format_args!(
                    "<td class=\"n{bad}\">{worst_text}</td><td class=\"n\">{:.1e}</td><td class=\"wide\"><span class=\"dots\">\
                     {lines}<u style=\"left:{:.2}%\"></u><b{shape} style=\"left:{:.2}%\"></b></span></td>",
                    row.allowed,
                    place(row.allowed),
                    place(worst),
                ));
            }
        }
        html.0.push_str("</tr>\n");
    }
    html.0.push_str("</tbody>\n</table>\n</div>\n");
}
