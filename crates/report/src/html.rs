//! A page about a model as one document of HTML.
//!
//! It is well-formed XML too. It has no scripts, and says so to the browser; all else is in it.

mod charts;
mod style;
mod tables;
mod weights;

use crate::escape::markup;
use crate::svg::{Additions, draw};
use crate::{LayerRow, Page};
use k2o_core::{CallId, grouped};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A document that is being written.
struct Html(String);

impl Html {
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.0.write_fmt(text);
    }
}

/// Numbers of a layer call with those of the calls in it.
#[derive(Clone, Copy, Default)]
struct Sums {
    parameters: u64,
    multiply_adds: u64,
    microseconds: Option<f64>,
}

impl Page {
    /// The page, for any browser, light or dark as its reader prefers, and for paper. The same data gives the same bytes.
    pub fn to_html(&self) -> String {
        let title = markup(&self.title);
        let mut html = Html(String::new());
        html.add(format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n",
            style::STYLE,
            crate::svg::SHAPES,
        ));
        html.add(format_args!("<header>\n<h1>{title}</h1>\n"));
        html.list("provenance", &self.provenance);
        html.0.push_str("</header>\n<nav aria-label=\"Parts of this page\"><ul>\n");
        for (id, title, _) in self.parts() {
            html.add(format_args!("<li><a href=\"#{id}\">{title}</a></li>\n"));
        }
        html.0.push_str("</ul></nav>\n<main>\n");
        let sums = self.sums();
        for (id, title, write) in self.parts() {
            html.add(format_args!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n"));
            write(self, &mut html, &sums);
            html.0.push_str("</section>\n");
        }
        html.0.push_str("</main>\n</body>\n</html>\n");
        html.0
    }

    /// The parts that there is something to say in: id, title and what writes it.
    fn parts(&self) -> Vec<(&'static str, &'static str, Part)> {
        let all: [(bool, &str, &str, Part); 6] = [
            (!self.totals.is_empty(), "totals", "Totals", |page, html, _| html.list("totals", &page.totals)),
            (!self.advice.is_empty(), "advice", "Advice", |page, html, _| html.advice(&page.advice)),
            (!self.diagram.nodes.is_empty(), "graph", "Graph", |page, html, sums| page.graph(html, sums)),
            (!self.layers.is_empty(), "layers", "Layers", |page, html, sums| {
                tables::layers(html, page, sums);
                charts::layers(html, page);
            }),
            (!self.weights.is_empty(), "weights", "Weights", |page, html, _| {
                weights::table(html, &page.weights)
            }),
            (!self.verification.is_empty(), "check", "Check against the reference", |page, html, _| {
                charts::verification(html, &page.verification);
            }),
        ];
        all.into_iter().filter(|(has, ..)| *has).map(|(_, id, title, part)| (id, title, part)).collect()
    }

    /// For each row, its numbers with those of the rows in it.
    fn sums(&self) -> Vec<Sums> {
        let mut sums = vec![Sums::default(); self.layers.len()];
        let mut around: Vec<usize> = Vec::new();
        for (index, row) in self.layers.iter().enumerate() {
            while around.last().is_some_and(|&outer| self.layers[outer].depth >= row.depth) {
                around.pop();
            }
            around.push(index);
            for &outer in &around {
                let sum = &mut sums[outer];
                sum.parameters = sum.parameters.saturating_add(row.parameters);
                sum.multiply_adds = sum.multiply_adds.saturating_add(row.multiply_adds);
                if let Some(time) = row.microseconds {
                    sum.microseconds = Some(sum.microseconds.unwrap_or(0.0) + time);
                }
            }
        }
        sums
    }

    fn graph(&self, html: &mut Html, sums: &[Sums]) {
        let total = self.total(|row| row.multiply_adds);
        let share = |sum: &Sums| if total > 0 { sum.multiply_adds as f64 / total as f64 } else { 0.0 };
        let shares: BTreeMap<CallId, f64> =
            self.layers.iter().zip(sums).map(|(row, sum)| (row.call, share(sum))).collect();
        let link = |CallId(id): CallId| format!("#layer-{id}");
        let additions = Additions { shares, link: Some(&link) };
        html.0.push_str("<figure>\n<figcaption>");
        if total > 0 {
            html.add(format_args!(
                "The stronger a layer's colour, the larger its share of the multiply-adds, counted for {}. ",
                markup(&self.counted_for)
            ));
        }
        html.0.push_str(
            "Nested models are one box. A box leads to its row in the table of layers.</figcaption>\n",
        );
        html.0
            .push_str("<div class=\"scroll drawing\" tabindex=\"0\" role=\"region\" aria-label=\"Graph\">\n");
        html.0.push_str(&draw(&self.diagram, &additions, None));
        html.0.push_str("</div>\n</figure>\n");
    }

    fn total(&self, of: impl Fn(&LayerRow) -> u64) -> u64 {
        self.layers.iter().map(of).fold(0, u64::saturating_add)
    }
}

type Part = fn(&Page, &mut Html, &[Sums]);

impl Html {
    fn list(&mut self, class: &str, pairs: &[(String, String)]) {
        self.add(format_args!("<dl class=\"{class}\">\n"));
        for (what, value) in pairs {
            self.add(format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", markup(what), markup(value)));
        }
        self.0.push_str("</dl>\n");
    }

    fn advice(&mut self, advice: &[String]) {
        self.0.push_str("<ul class=\"advice\">\n");
        for sentence in advice {
            self.add(format_args!("<li>{}</li>\n", markup(sentence)));
        }
        self.0.push_str("</ul>\n");
    }
}

/// A number in a few characters, to three digits.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_string(),
        magnitude if (1e-3..1e4).contains(&magnitude) => {
            let decimals = (2.0 - magnitude.log10().floor()).clamp(0.0, 5.0) as usize;
            format!("{x:.decimals$}")
        }
        _ => format!("{x:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (1.0, "1.00"),
            (-0.03125, "-0.0312"),
            (123.456, "123"),
            (9999.0, "9999"),
            (1e4, "1.00e4"),
            (-7.3e-5, "-7.30e-5"),
        ] {
            assert_eq!(short(x), text);
        }
    }

    #[test]
    fn numbers_of_a_call_include_those_of_calls_in_it() {
        let row = |id: usize, depth: usize, parameters: u64| LayerRow {
            call: CallId(id),
            depth,
            path: String::new(),
            class: String::new(),
            shape: String::new(),
            parameters,
            multiply_adds: 10 * parameters,
            microseconds: (id == 2).then_some(1.5),
        };
        let layers = vec![row(0, 0, 1), row(1, 1, 2), row(2, 2, 4), row(3, 1, 8), row(4, 0, 16)];
        let sums = Page { layers, ..Page::default() }.sums();
        assert_eq!(sums.iter().map(|sum| sum.parameters).collect::<Vec<_>>(), [15, 6, 4, 8, 16]);
        assert_eq!(sums.iter().map(|sum| sum.multiply_adds).collect::<Vec<_>>(), [150, 60, 40, 80, 160]);
        assert_eq!(
            sums.iter().map(|sum| sum.microseconds).collect::<Vec<_>>(),
            [Some(1.5), Some(1.5), Some(1.5), None, None]
        );
    }
}
