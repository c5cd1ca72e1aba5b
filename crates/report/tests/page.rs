//! What holds of every page.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run must fail")]

use k2o_core::CallId;
use k2o_report::{Diagram, Kind, LayerRow, Link, Node, Page, Statistics, VerifiedRow, WeightRow};
use roxmltree::{Document, ParsingOptions};
use std::collections::BTreeSet;

/// A page of a chain of layers, with everything that a page may have; `name` makes all texts.
fn page(layers: usize, name: impl Fn(usize) -> String) -> Page {
    let node = |id: usize| Node {
        kind: if id == 0 { Kind::Input } else { Kind::Layer },
        name: name(id),
        class: name(id),
        call: Some(CallId(id)),
        group: None,
    };
    let link = |id: usize| Link { from: id, output: 0, shape: name(id), to: vec![id + 1] };
    let row = |id: usize| LayerRow {
        call: CallId(id),
        depth: usize::from(id % 5 == 3),
        path: name(id),
        class: name(id),
        shape: name(id),
        parameters: 3 * id as u64,
        multiply_adds: (id * id) as u64,
        microseconds: (id % 2 == 1).then_some(0.25 * id as f64),
    };
    let weights = [0.5f32, -1.0, f32::NAN, 0.0].repeat(40);
    let visit = |each: &mut dyn FnMut(&[f32])| {
        each(&weights);
        Ok::<(), ()>(())
    };
    let statistics = Statistics::new(visit).unwrap();
    let worst = [Some(0.0), Some(3e-7), None, Some(0.1), Some(f64::INFINITY), Some(f64::NAN)];
    Page {
        title: name(0),
        provenance: vec![(name(0), name(1))],
        totals: vec![(name(2), name(3))],
        advice: vec![name(4)],
        diagram: Diagram {
            title: name(0),
            nodes: (0..layers).map(node).collect(),
            links: (0..layers - 1).map(link).collect(),
        },
        layers: (0..layers).map(row).collect(),
        counted_for: name(5),
        weights: (0..2 * layers)
            .map(|id| WeightRow { name: name(id), shape: vec![40, 4], statistics: statistics.clone() })
            .collect(),
        verification: worst
            .iter()
            .enumerate()
            .map(|(id, &worst)| VerifiedRow { name: name(id), worst, allowed: 1e-5 })
            .collect(),
    }
}

fn parse(html: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(html, options).unwrap()
}

fn plain(id: usize) -> String {
    format!("layer_{id}")
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_runs_nothing() {
    let html = page(20, plain).to_html();
    let namespaces = ["xmlns=\"http://www.w3.org/1999/xhtml\"", "xmlns=\"http://www.w3.org/2000/svg\""];
    let text = namespaces.iter().fold(html.clone(), |text, namespace| text.replace(namespace, ""));
    for reference in ["http:", "https:", "//", "url(", "@import", "<script", "javascript:"] {
        assert!(!text.contains(reference), "{reference}");
    }
    for node in parse(&html).descendants().filter(|node| node.is_element()) {
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on") && attribute.name() != "src", "{attribute:?}");
            if attribute.name() == "href" {
                assert!(attribute.value().starts_with('#'), "{attribute:?}");
            }
        }
    }
}

#[test]
fn what_is_led_to_is_there_and_once() {
    let html = page(20, plain).to_html();
    let document = parse(&html);
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len());
    let attributes = document.descendants().flat_map(|node| node.attributes());
    for attribute in attributes.filter(|attribute| matches!(attribute.name(), "href" | "aria-labelledby")) {
        assert!(distinct.contains(attribute.value().trim_start_matches('#')), "{attribute:?}");
    }
}

#[test]
fn those_who_do_not_see_or_point_can_read_it() {
    let html = page(20, plain).to_html();
    let document = parse(&html);
    let all = |tag: &'static str| document.descendants().filter(move |node| node.tag_name().name() == tag);
    assert_eq!(document.root_element().attribute("lang"), Some("en"));
    assert!(all("th").all(|th| matches!(th.attribute("scope"), Some("col" | "row"))));
    for table in all("table") {
        let columns = |row: roxmltree::Node<'_, '_>| row.children().filter(|cell| cell.is_element()).count();
        let rows = table.descendants().filter(|node| node.tag_name().name() == "tr");
        let widths: BTreeSet<usize> = rows.map(columns).collect();
        assert_eq!(widths.len(), 1, "{widths:?}");
    }
    assert!(
        all("figure").all(|figure| figure.children().any(|child| child.tag_name().name() == "figcaption"))
    );
    let scrolls = document.descendants().filter(|node| {
        node.attribute("class").is_some_and(|class| class.split(' ').any(|class| class == "scroll"))
    });
    assert!(scrolls.clone().count() >= 4);
    for node in scrolls {
        assert_eq!((node.attribute("tabindex"), node.attribute("role")), (Some("0"), Some("region")));
        assert!(node.attribute("aria-label").is_some());
    }
    for svg in all("svg") {
        let has_title = svg.children().any(|child| child.tag_name().name() == "title");
        assert!(has_title || svg.attribute("aria-label").is_some());
    }
}

#[test]
fn hostile_names_stay_names() {
    let tags = |html: &str| -> Vec<String> {
        let document = parse(html);
        let elements = document.descendants().filter(|node| node.is_element());
        elements.map(|node| node.tag_name().name().to_string()).collect()
    };
    let expected = tags(&page(8, plain).to_html());
    for hostile in [
        "<script>alert(1)</script>",
        "\" onload=\"alert(1)",
        "</title></style><img src=x onerror=alert(1)>",
        "' autofocus onfocus='alert(1)",
        "]]> --> &lt; &#60; \\ \u{0} \u{202e}",
        "a\nb\tc 層🙂",
    ] {
        let html = page(8, |_| hostile.to_string()).to_html();
        assert_eq!(tags(&html), expected, "{hostile:?}");
        let document = parse(&html);
        let attributes = document.descendants().flat_map(|node| node.attributes());
        assert!(
            attributes.map(|attribute| attribute.name()).all(|name| !name.starts_with("on") && name != "src")
        );
        let shown: String = hostile.chars().filter(|c| c.is_alphabetic()).collect();
        let title = document.descendants().find(|node| node.tag_name().name() == "h1").unwrap();
        let title: String = title.text().unwrap().chars().filter(|c| c.is_alphabetic()).collect();
        assert_eq!(title, shown);
    }
}

#[test]
fn what_is_past_its_bound_or_not_finite_is_marked() {
    let html = page(8, plain).to_html();
    let document = parse(&html);
    let marks = document.descendants().filter(|node| node.attribute("class") == Some("past"));
    assert_eq!(marks.count(), 3);
    assert!(html.contains("Past their bounds: 3."));
    assert!(html.contains("Elements that are not finite are in 16."));
    assert!(html.contains("folded"));
}

#[test]
fn parts_without_content_are_left_out() {
    let html = Page { title: "empty".to_string(), ..Page::default() }.to_html();
    assert_eq!(parse(&html).descendants().filter(|node| node.tag_name().name() == "section").count(), 0);
    assert_eq!(page(9, plain).to_html(), page(9, plain).to_html());
}

#[test]
fn a_page_of_154_layers_is_below_a_megabyte() {
    let html = page(154, |id| format!("block_{id}_depthwise_batch_normalization")).to_html();
    assert!(html.len() < 1_000_000, "{}", html.len());
}
