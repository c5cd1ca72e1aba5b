//! A diagram as SVG.

use crate::escape::markup;
use crate::layout::Point;
use crate::picture::{Caption, Frame, NAME_SIZE, Picture, SMALL_SIZE};
use crate::{Diagram, Kind, Node};
use k2o_core::CallId;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The colours, for light and dark, of a drawing that stands alone.
const STYLE: &str = "\
.k2o-graph{--ink:#1d2733;--muted:#5b6776;--line:#8894a3;--box:#fff;--edge:#a9b4c1;--group:#f3f6f9;--accent:#0b6bcb;\
--back:#fbfcfd;--heat:#e8710a}
@media (prefers-color-scheme:dark){.k2o-graph{--ink:#e6ebf0;--muted:#9aa7b5;--line:#7b8896;--box:#1f2730;\
--edge:#4a5766;--group:#192028;--accent:#63aef5;--back:#12171d;--heat:#c2600f}}
";

/// The shapes, which a page has beside colours of its own.
pub(crate) const SHAPES: &str = "\
.k2o-graph{font-family:system-ui,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif;background:var(--back)}
.k2o-graph text{text-anchor:middle;fill:var(--ink)}
.k2o-graph .name{font-size:13px;font-weight:600}
.k2o-graph .small{font-size:11px;fill:var(--muted)}
.k2o-graph .label{font-size:11px;fill:var(--muted)}
.k2o-graph .title{text-anchor:start;stroke:var(--group);stroke-width:4px;paint-order:stroke;stroke-linejoin:round}
.k2o-graph .box{fill:var(--box);stroke:var(--edge)}
.k2o-graph .port .box{stroke:var(--accent);stroke-width:1.5}
.k2o-graph .group{fill:var(--group);stroke:var(--edge);stroke-dasharray:5 4}
.k2o-graph .heat{fill:var(--heat)}
.k2o-graph .hot .small{fill:var(--ink)}
.k2o-graph .line{fill:none;stroke:var(--line);stroke-width:1.3}
.k2o-graph .head{fill:var(--line)}
.k2o-graph a:hover .box,.k2o-graph a:focus .box{stroke:var(--accent);stroke-width:2.5}
";

/// What a page adds to a drawing.
#[derive(Default)]
pub(crate) struct Additions<'a> {
    /// The share of the cost of each layer call, from 0 to 1: colours it, and is written below the class.
    pub shares: BTreeMap<CallId, f64>,
    /// Where a layer call leads to when it is clicked on.
    pub link: Option<&'a dyn Fn(CallId) -> String>,
}

impl Diagram {
    /// The diagram as a file of SVG, light or dark as its reader prefers.
    pub fn to_svg(&self) -> String {
        draw(self, &Additions::default(), Some(STYLE))
    }
}

/// The drawing; with a style of its own unless it becomes part of a page that has one.
pub(crate) fn draw(diagram: &Diagram, additions: &Additions<'_>, style: Option<&str>) -> String {
    let note = |node: &Node| {
        let share = node.call.and_then(|call| additions.shares.get(&call)).filter(|share| **share > 0.0);
        share.map_or_else(String::new, |share| share_text(*share))
    };
    let captions: Vec<Caption> =
        diagram.nodes.iter().map(|node| Caption::new(&node.name, &node.class, &note(node))).collect();
    let picture = Picture::new(diagram, &captions);
    let (width, height) = (Number(picture.width), Number(picture.height));
    let mut svg = Writer(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"k2o-graph\" role=\"img\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>{}</title>\n",
        markup(&diagram.title)
    ));
    if let Some(style) = style {
        svg.add(format_args!("<style>\n{style}{SHAPES}</style>\n"));
        svg.add(format_args!("<rect width=\"100%\" height=\"100%\" style=\"fill:var(--back)\"/>\n"));
    }
    let of_kind = |is_group| move |index: &usize| (diagram.nodes[*index].kind == Kind::Group) == is_group;
    let groups = (0..diagram.nodes.len()).filter(of_kind(true));
    for index in groups.clone() {
        svg.rectangle("group", picture.frames[index], 10.0, "");
        svg.0.push('\n');
    }
    for line in &picture.lines {
        svg.line(&line.paths);
    }
    for line in &picture.lines {
        if let (Some(at), Some(link)) = (line.label, diagram.links.get(line.link)) {
            svg.text("label", at.x, at.y, &link.shape);
            svg.0.push('\n');
        }
    }
    for index in groups {
        let (frame, caption) = (picture.frames[index], &captions[index]);
        svg.add(format_args!(
            "<text class=\"title\" x=\"{}\" y=\"{}\"><tspan class=\"name\">{}</tspan> <tspan class=\"small\">{}</tspan></text>\n",
            Number(frame.x + 12.0),
            Number(frame.y + 17.0),
            markup(&caption.name),
            markup(&caption.class),
        ));
    }
    for index in (0..diagram.nodes.len()).filter(of_kind(false)) {
        let (node, frame, caption) = (&diagram.nodes[index], picture.frames[index], &captions[index]);
        let target = additions.link.zip(node.call).map(|(link, call)| link(call));
        let is_port = node.kind != Kind::Layer;
        let share = node.call.and_then(|call| additions.shares.get(&call)).copied().unwrap_or(0.0);
        let (class, hot) = (if is_port { "port" } else { "layer" }, if share > 0.0 { " hot" } else { "" });
        svg.add(format_args!("<g class=\"{class}{hot}\">"));
        if let Some(target) = &target {
            svg.add(format_args!("<a href=\"{}\" tabindex=\"-1\">", markup(target)));
        }
        svg.add(format_args!("<title>{}: {}</title>", markup(&node.name), markup(&node.class)));
        let radius = if is_port { frame.height / 2.0 } else { 6.0 };
        svg.rectangle("box", frame, radius, "");
        if share > 0.0 {
            // Small shares are to be told apart too.
            let opacity = format!(" fill-opacity=\"{:.2}\"", 0.06 + 0.7 * share.clamp(0.0, 1.0).sqrt());
            svg.rectangle("heat", frame, radius, &opacity);
        }
        let middle = frame.x + frame.width / 2.0;
        svg.text("name", middle, frame.y + 7.0 + NAME_SIZE, &caption.name);
        svg.text("small", middle, frame.y + 12.0 + NAME_SIZE + SMALL_SIZE, &caption.class);
        if !caption.note.is_empty() {
            svg.text("small", middle, frame.y + 16.0 + NAME_SIZE + 2.0 * SMALL_SIZE, &caption.note);
        }
        svg.0.push_str(if target.is_some() { "</a></g>\n" } else { "</g>\n" });
    }
    svg.0.push_str("</svg>\n");
    svg.0
}

/// A share as percent, with at least one digit that is not 0.
pub(crate) fn share_text(share: f64) -> String {
    match 100.0 * share {
        percent if percent <= 0.0 => "0 %".to_string(),
        percent if percent < 0.1 => "< 0.1 %".to_string(),
        percent if percent < 9.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// A coordinate with at most one decimal.
#[derive(Clone, Copy)]
pub(crate) struct Number(pub f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = (10.0 * self.0).round();
        // Of zeros, the one without a sign.
        let value = if tenths == 0.0 { 0.0 } else { tenths / 10.0 };
        write!(f, "{value}")
    }
}

struct Writer(String);

impl Writer {
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.0.write_fmt(text);
    }

    fn rectangle(&mut self, class: &str, frame: Frame, radius: f64, more: &str) {
        let Frame { x, y, width, height } = frame;
        let [x, y, width, height, radius] = [x, y, width, height, radius].map(Number);
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"{more}/>"
        ));
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let (x, y) = (Number(x), Number(y));
        self.add(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", markup(text)));
    }

    /// The lines of a link in one path, and its arrows in another.
    fn line(&mut self, paths: &[(Vec<Point>, bool)]) {
        let (mut lines, mut heads) = (String::new(), String::new());
        for (points, has_arrow) in paths {
            lines.push_str(&path(points));
            if let Some(tip) = points.last().filter(|_| *has_arrow) {
                let _ = write!(heads, "M{} {}l-4 -7h8z", Number(tip.x), Number(tip.y));
            }
        }
        self.add(format_args!("<path class=\"line\" d=\"{lines}\"/>"));
        if !heads.is_empty() {
            self.add(format_args!("<path class=\"head\" d=\"{heads}\"/>"));
        }
        self.0.push('\n');
    }
}

/// Straight where it goes down, curved where it goes aside.
fn path(points: &[Point]) -> String {
    let Some(mut last) = points.first() else { return String::new() };
    let mut text = format!("M{} {}", Number(last.x), Number(last.y));
    let mut rest = points[1..].iter().peekable();
    while let Some(point) = rest.next() {
        let is_straight = |a: &Point, b: &Point| (a.x - b.x).abs() < 0.05;
        if !is_straight(last, point) {
            let middle = Number((last.y + point.y) / 2.0);
            let (from, x, y) = (Number(last.x), Number(point.x), Number(point.y));
            let _ = write!(text, "C{from} {middle} {x} {middle} {x} {y}");
        } else if rest.peek().is_some_and(|next| is_straight(point, next)) {
            // One line is as good as two.
            continue;
        } else if point.y != last.y {
            let _ = write!(text, "V{}", Number(point.y));
        }
        last = point;
    }
    // What only marks a place is no line.
    if text.contains(['C', 'V']) { text } else { String::new() }
}
