//! Boxes and lines of a diagram, with groups as drawings of their own inside the one around them.

use crate::layout::{At, Link, Point, Size, layout};
use crate::text::{shortened, width};
use crate::{Diagram, Kind};
use std::collections::BTreeMap;

/// Sizes of the text.
pub(crate) const NAME_SIZE: f64 = 13.0;
pub(crate) const SMALL_SIZE: f64 = 11.0;

/// The height of a line with a shape, below a box.
pub(crate) const LABEL_HEIGHT: f64 = 17.0;

/// How many characters of a name are shown.
const NAME_LIMIT: usize = 36;

/// The space around the drawing in a group, and above for its name.
const PADDING: f64 = 14.0;
const TITLE_HEIGHT: f64 = 20.0;
const MARGIN: f64 = 12.0;

/// A box; the upper left corner and the sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Frame {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// A line, or several that are one link's.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Which link.
    pub link: usize,
    /// Where the shape is written: the middle of the line's baseline.
    pub label: Option<Point>,
    /// Points to be joined, and whether an arrow is at the end.
    pub paths: Vec<(Vec<Point>, bool)>,
}

/// Where everything goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub width: f64,
    pub height: f64,
    /// One for each node.
    pub frames: Vec<Frame>,
    pub lines: Vec<Line>,
}

/// The lines of text in a box.
pub(crate) struct Caption {
    pub name: String,
    pub class: String,
    /// Such as the share of the cost.
    pub note: String,
}

impl Caption {
    pub fn new(name: &str, class: &str, note: &str) -> Caption {
        let short = |text: &str| shortened(text, NAME_LIMIT);
        Caption { name: short(name), class: short(class), note: note.to_string() }
    }

    fn size(&self) -> (f64, f64) {
        // The name is bold.
        let name = 1.06 * width(&self.name, NAME_SIZE);
        let widest = name.max(width(&self.class, SMALL_SIZE)).max(width(&self.note, SMALL_SIZE));
        (widest.max(52.0) + 24.0, if self.note.is_empty() { 44.0 } else { 59.0 })
    }
}

impl Picture {
    /// Places a diagram whose nodes have these captions.
    pub fn new(diagram: &Diagram, captions: &[Caption]) -> Picture {
        let mut levels = Levels { diagram, captions, placed: BTreeMap::new(), labels: labels(diagram) };
        // Inner groups stand behind outer ones.
        for (node, _) in diagram.nodes.iter().enumerate().rev().filter(|(_, node)| node.kind == Kind::Group) {
            let level = levels.place(Some(node));
            levels.placed.insert(node, level);
        }
        let outermost = levels.place(None);
        let mut picture = Picture {
            width: outermost.width + 2.0 * MARGIN,
            height: outermost.height + 2.0 * MARGIN,
            frames: vec![Frame::default(); diagram.nodes.len()],
            lines: Vec::new(),
        };
        let mut open = vec![(&outermost, MARGIN, MARGIN)];
        while let Some((level, x, y)) = open.pop() {
            for &(node, frame) in &level.frames {
                let frame = Frame { x: frame.x + x, y: frame.y + y, ..frame };
                picture.frames[node] = frame;
                open.extend(levels.placed.get(&node).map(|inner| (inner, frame.x, frame.y)));
            }
            let moved = |point: &Point| Point { x: point.x + x, y: point.y + y };
            let lines = level.lines.iter().map(|line| Line {
                link: line.link,
                label: line.label.as_ref().map(moved),
                paths: line
                    .paths
                    .iter()
                    .map(|(points, arrow)| (points.iter().map(moved).collect(), *arrow))
                    .collect(),
            });
            picture.lines.extend(lines);
        }
        picture
    }
}

/// For each node, the links that leave it, each with the width of its label.
fn labels(diagram: &Diagram) -> Vec<Vec<(usize, f64)>> {
    let mut labels = vec![Vec::new(); diagram.nodes.len()];
    for (index, link) in diagram.links.iter().enumerate() {
        if let Some(labels) = labels.get_mut(link.from) {
            labels.push((index, width(&link.shape, SMALL_SIZE) + 12.0));
        }
    }
    labels
}

/// A group, or the whole, with places relative to its corner.
struct Level {
    width: f64,
    height: f64,
    frames: Vec<(usize, Frame)>,
    lines: Vec<Line>,
    /// Where links enter and leave, right of the middle.
    entries: BTreeMap<usize, f64>,
    exits: BTreeMap<usize, f64>,
}

struct Levels<'a> {
    diagram: &'a Diagram,
    captions: &'a [Caption],
    /// The groups that are placed already.
    placed: BTreeMap<usize, Level>,
    labels: Vec<Vec<(usize, f64)>>,
}

impl Levels<'_> {
    /// Places what lies directly in a group: its nodes, and a point at its border for each link that enters or leaves.
    fn place(&self, group: Option<usize>) -> Level {
        let diagram = self.diagram;
        let inside = |node: usize| diagram.at_level(node, group);
        let enters = |link: &crate::Link| {
            inside(link.from).is_none() && link.to.iter().any(|&to| inside(to).is_some())
        };
        let leaves = |link: &crate::Link| {
            inside(link.from).is_some() && link.to.iter().any(|&to| inside(to).is_none())
        };
        let at_border = |crosses: &dyn Fn(&crate::Link) -> bool| -> Vec<usize> {
            (0..diagram.links.len()).filter(|&link| crosses(&diagram.links[link])).collect()
        };
        let (entries, exits) = (at_border(&enters), at_border(&leaves));
        let nodes: Vec<usize> =
            (0..diagram.nodes.len()).filter(|&node| diagram.nodes[node].group == group).collect();
        let first_exit = entries.len() + nodes.len();

        let border = |at| Size { at, ..Size::default() };
        let mut boxes = vec![border(At::Top); entries.len()];
        boxes.extend(nodes.iter().map(|&node| self.size(node)));
        boxes.extend(vec![border(At::Bottom); exits.len()]);
        let item = |node: usize| Some(entries.len() + nodes.binary_search(&inside(node)?).ok()?);
        let mut links = Vec::new();
        let mut drawn = Vec::new();
        for (index, link) in diagram.links.iter().enumerate() {
            let entry = entries.binary_search(&index).ok();
            let Some(from) = item(link.from).or(entry) else { continue };
            let mut to: Vec<(usize, Option<f64>)> = Vec::new();
            for (target, item) in link.to.iter().filter_map(|&target| Some((target, item(target)?))) {
                let is_known = item == from || to.iter().any(|&(known, _)| known == item);
                let group = inside(target).and_then(|node| self.placed.get(&node));
                match group {
                    // A group is entered once.
                    Some(group) if !is_known => to.push((item, group.entries.get(&index).copied())),
                    Some(_) => {}
                    None => to.push((item, None)),
                }
            }
            to.extend(exits.binary_search(&index).ok().map(|exit| (first_exit + exit, Some(0.0))));
            if !to.is_empty() {
                links.push(Link { from, offset: self.start(link.from, inside(link.from), index), to });
                drawn.push(index);
            }
        }

        let layout = layout(&boxes, &links);
        let title = group.map(|node| {
            1.06 * width(&self.captions[node].name, NAME_SIZE) + width(&self.captions[node].class, SMALL_SIZE)
        });
        let level_width =
            title.map_or(layout.width, |title| (layout.width + 2.0 * PADDING).max(title + 36.0));
        let left = (level_width - layout.width) / 2.0;
        let (above, below) = if group.is_some() { (TITLE_HEIGHT, PADDING) } else { (0.0, 0.0) };
        let height = layout.height + above + below;
        let moved = |point: &Point| Point { x: point.x + left, y: point.y + above };
        let frame = |(at, &node): (usize, &usize)| {
            let (corner, size) = (moved(&layout.corners[entries.len() + at]), boxes[entries.len() + at]);
            let labels = if self.has_label(node) { LABEL_HEIGHT } else { 0.0 };
            // A box is in the middle of its place, which labels may need wider.
            let width = self.width(node);
            let x = corner.x + (size.width - width) / 2.0;
            (node, Frame { x, y: corner.y, width, height: size.height - labels })
        };
        let mut lines = Vec::new();
        for (route, (&link, ends)) in layout.routes.iter().zip(drawn.iter().zip(&links)) {
            let mut trunk: Vec<Point> = route.trunk.iter().map(moved).collect();
            let mut label = None;
            if let Some(first) = trunk.first_mut() {
                if ends.from < entries.len() {
                    first.y = 0.0;
                } else if self.has_label(nodes[ends.from - entries.len()]) {
                    label = Some(Point { x: first.x, y: first.y - 4.0 });
                }
            }
            let mut paths = vec![(trunk, false)];
            for (to, points) in &route.branches {
                let mut points: Vec<Point> = points.iter().map(moved).collect();
                if let Some(last) = points.last_mut().filter(|_| *to >= first_exit) {
                    last.y = height;
                }
                let is_group = nodes
                    .get(to.wrapping_sub(entries.len()))
                    .is_some_and(|node| self.placed.contains_key(node));
                paths.push((points, *to < first_exit && !is_group));
            }
            lines.push(Line { link, label, paths });
        }
        let middle = |item: usize| moved(&layout.corners[item]).x - level_width / 2.0;
        let at = |links: &[usize], first: usize| {
            links.iter().enumerate().map(|(at, &link)| (link, middle(first + at))).collect()
        };
        Level {
            width: level_width,
            height,
            frames: nodes.iter().enumerate().map(frame).collect(),
            lines,
            entries: at(&entries, 0),
            exits: at(&exits, first_exit),
        }
    }

    fn has_label(&self, node: usize) -> bool {
        !self.placed.contains_key(&node) && !self.labels[node].is_empty()
    }

    /// The width of the box.
    fn width(&self, node: usize) -> f64 {
        self.placed.get(&node).map_or_else(|| self.captions[node].size().0, |group| group.width)
    }

    /// The place that a node takes, with the labels below it.
    fn size(&self, node: usize) -> Size {
        if let Some(group) = self.placed.get(&node) {
            return Size { width: group.width, height: group.height, at: At::Anywhere };
        }
        let (width, height) = self.captions[node].size();
        let labels: f64 = self.labels[node].iter().map(|(_, width)| width).sum();
        let below = if self.has_label(node) { LABEL_HEIGHT } else { 0.0 };
        Size { width: width.max(labels), height: height + below, at: At::Anywhere }
    }

    /// Where a link leaves what is at this level, right of the middle: above its label, or where it leaves the group.
    fn start(&self, from: usize, at_level: Option<usize>, link: usize) -> f64 {
        match at_level.map(|node| self.placed.get(&node)) {
            None => 0.0,
            Some(Some(group)) => group.exits.get(&link).copied().unwrap_or(0.0),
            Some(None) => {
                let labels = &self.labels[from];
                let all: f64 = labels.iter().map(|(_, width)| width).sum();
                let before: f64 =
                    labels.iter().take_while(|(other, _)| *other != link).map(|(_, width)| width).sum();
                let own = labels.iter().find(|(other, _)| *other == link).map_or(0.0, |(_, width)| *width);
                before + own / 2.0 - all / 2.0
            }
        }
    }
}
