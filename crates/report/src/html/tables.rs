//! The table of layers.

use super::{Html, Sums, grouped, short};
use crate::Page;
use crate::escape::markup;
use crate::svg::share_text;

/// One row for each layer call; the numbers of a nested model are those of all that is in it.
pub(super) fn layers(html: &mut Html, page: &Page, sums: &[Sums]) {
    let total = page.total(|row| row.multiply_adds);
    let is_measured = page.layers.iter().any(|row| row.microseconds.is_some());
    let has_inner = page.layers.iter().any(|row| row.depth > 0);
    html.add(format_args!(
        "<p class=\"note\">Multiply-adds are counted for {}.{}{}</p>\n",
        markup(&page.counted_for),
        if is_measured {
            " Times are of the same, on one thread; what is computed together counts for its first layer."
        } else {
            ""
        },
        if has_inner {
            " The numbers of a nested model are those of all layers in it, which follow it."
        } else {
            ""
        }
    ));
    html.0.push_str(
        "<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"Table of layers\">\n<table>\n<thead><tr>\
         <th scope=\"col\">Layer</th><th scope=\"col\">Class</th><th scope=\"col\">Output shape</th>\
         <th scope=\"col\" class=\"n\">Parameters</th><th scope=\"col\" class=\"n\">Multiply-adds</th><th scope=\"col\">Share</th>",
    );
    if is_measured {
        html.0.push_str("<th scope=\"col\" class=\"n\">Time (µs)</th>");
    }
    html.0.push_str("</tr></thead>\n<tbody>\n");
    for (row, sum) in page.layers.iter().zip(sums) {
        let share = if total > 0 { sum.multiply_adds as f64 / total as f64 } else { 0.0 };
        let inner = if row.depth > 0 { " class=\"inner\"" } else { "" };
        let indent = match row.depth {
            0 => String::new(),
            depth => format!(" style=\"padding-left:{}rem\"", 0.7 + 1.2 * depth.min(12) as f64),
        };
        html.add(format_args!(
            "<tr id=\"layer-{}\"{inner}><th scope=\"row\"{indent}>{}</th><td>{}</td><td class=\"s\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"share\">",
            row.call.0,
            markup(&row.path),
            markup(&row.class),
            markup(&row.shape),
            grouped(sum.parameters),
            grouped(sum.multiply_adds),
        ));
        if share > 0.0 {
            html.add(format_args!(
                "{}<i><b style=\"width:{:.1}%\"></b></i>",
                markup(&share_text(share)),
                100.0 * share
            ));
        }
        html.0.push_str("</td>");
        if is_measured {
            html.add(format_args!(
                "<td class=\"n\">{}</td>",
                sum.microseconds.map(short).unwrap_or_default()
            ));
        }
        html.0.push_str("</tr>\n");
    }
    html.0.push_str("</tbody>\n</table>\n</div>\n");
}
