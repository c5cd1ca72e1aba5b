//! The table of weights with their histograms.

use super::{Html, grouped, short};
use crate::WeightRow;
use crate::escape::markup;
use crate::statistics::Statistics;
use std::fmt::Write;

const WIDTH: usize = 160;
const HEIGHT: f64 = 36.0;

pub(super) fn table(html: &mut Html, rows: &[WeightRow]) {
    let broken = rows.iter().filter(|row| row.statistics.is_broken()).count();
    let odd = rows.iter().filter(|row| row.statistics.outliers > 0).count();
    html.add(format_args!(
        "<p class=\"note\">{} weights. {} {} An outlier is more than six standard deviations from the mean; histograms leave \
         outliers out.</p>\n",
        grouped(rows.len() as u64),
        match broken {
            0 => "All elements are finite.".to_string(),
            n => format!("<strong class=\"bad\">Elements that are not finite are in {n}.</strong>"),
        },
        match odd {
            0 => "There are no outliers.".to_string(),
            n => format!("Outliers are in {n}."),
        },
    ));
    html.0.push_str(
        "<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"Table of weights\">\n<table>\n<thead><tr>\
         <th scope=\"col\">Weight</th><th scope=\"col\">Shape</th><th scope=\"col\">Histogram</th>",
    );
    for what in ["Least", "Largest", "Mean", "Deviation", "Zero", "Outliers", "NaN", "Infinite"] {
        html.add(format_args!("<th scope=\"col\" class=\"n\">{what}</th>"));
    }
    html.0.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        let s = &row.statistics;
        html.add(format_args!(
            "<tr><th scope=\"row\">{}</th><td class=\"s\">{}</td><td>",
            markup(&row.name),
            shape(&row.shape)
        ));
        histogram(html, s);
        html.0.push_str("</td>");
        for number in [s.range.0, s.range.1, s.mean, s.deviation] {
            html.add(format_args!("<td class=\"n\">{}</td>", short(number)));
        }
        for (count, is_bad) in [(s.zero, false), (s.outliers, false), (s.nan, true), (s.infinite, true)] {
            let bad = if is_bad && count > 0 { " bad" } else { "" };
            html.add(format_args!("<td class=\"n{bad}\">{}</td>", grouped(count)));
        }
        html.0.push_str("</tr>\n");
    }
    html.0.push_str("</tbody>\n</table>\n</div>\n");
}

fn shape(sizes: &[usize]) -> String {
    match sizes {
        [only] => format!("({only},)"),
        _ => format!("({})", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The bins as bars of a path; those with any elements at all can be seen.
fn histogram(html: &mut Html, s: &Statistics) {
    let largest = s.bins.iter().copied().max().unwrap_or(0);
    if largest == 0 {
        return;
    }
    // A single one is a line in the middle.
    let (width, left) = match s.bins.len() {
        1 => (6, WIDTH / 2 - 3),
        count => (WIDTH / count, 0),
    };
    let mut path = String::new();
    for (at, &count) in s.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (HEIGHT * count as f64 / largest as f64).max(1.0);
        // Writing to a String does not fail.
        let _ = write!(
            path,
            "M{} {HEIGHT}v-{:.1}h{}V{HEIGHT}z",
            left + at * width,
            height,
            width.saturating_sub(1).max(1)
        );
    }
    html.add(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"histogram\" role=\"img\" aria-label=\"from {} to {}\" width=\"{WIDTH}\" \
         height=\"37\" viewBox=\"0 0 {WIDTH} 37\"><rect class=\"base\" y=\"{HEIGHT}\" width=\"{WIDTH}\" height=\"1\"/>\
         <path d=\"{path}\"/></svg>",
        short(s.shown.0),
        short(s.shown.1),
    ));
}
