//! A layered drawing of a directed acyclic graph, from top to bottom (Sugiyama's method).
//!
//! Boxes get the rank of the longest path that leads to them; each rank is ordered by barycenters so that few links cross;
//! then positions within ranks are found that keep links short and, where they pass ranks, straight. What one output
//! gives to many boxes runs down in one trunk, so that a box that everything below reads is one line and not hundreds.

mod order;
mod positions;
mod ranks;

use order::Slots;

/// What is drawn for one node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub width: f64,
    pub height: f64,
    /// Where in the drawing it must be, if not where its links put it.
    pub at: At,
}

/// Which rank a box is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum At {
    /// Below what it reads.
    #[default]
    Anywhere,
    /// In the first rank.
    Top,
    /// In the last rank, alone with others that must be.
    Bottom,
}

/// One output and the boxes that read it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub from: usize,
    /// Where it leaves, right of the middle of the box's lower edge.
    pub offset: f64,
    /// The boxes, each with where it enters right of the middle of the upper edge, if that is given. Those whose index is not
    /// above `from` are left out.
    pub to: Vec<(usize, Option<f64>)>,
}

/// A place; y grows downward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    pub x: f64,
    pub y: f64,
}

/// Where everything goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub width: f64,
    pub height: f64,
    /// The upper left corner of each box.
    pub corners: Vec<Point>,
    /// The lines of each link.
    pub routes: Vec<Route>,
}

/// The lines of one link. Between two points that follow each other it is vertical or leads through the space between two
/// ranks, where no boxes are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    /// From the box's lower edge to where the last branch leaves.
    pub trunk: Vec<Point>,
    /// One for each box that reads it, and which it is: from a point of the trunk to the box's upper edge.
    pub branches: Vec<(usize, Vec<Point>)>,
}

/// The distances that are kept.
const BETWEEN_BOXES: f64 = 24.0;
const BETWEEN_LINES: f64 = 12.0;
const BETWEEN_RANKS: f64 = 34.0;
const BETWEEN_ENTRIES: f64 = 16.0;

/// Places the boxes and routes the links.
pub(crate) fn layout(boxes: &[Size], links: &[Link]) -> Layout {
    if boxes.is_empty() {
        return Layout::default();
    }
    let ranks = ranks::ranks(boxes, links);
    let mut slots = Slots::new(boxes, links, &ranks);
    slots.order();
    slots.spread_entries(boxes);
    let x = positions::positions(&slots);
    route(boxes, links, &slots, &x)
}

/// Fills in the heights of ranks and puts the lines together.
fn route(boxes: &[Size], links: &[Link], slots: &Slots, x: &[f64]) -> Layout {
    let gaps = slots.gaps(x);
    let mut tops = Vec::with_capacity(slots.ranks.len());
    let mut bottoms = Vec::with_capacity(slots.ranks.len());
    let mut y = 0.0;
    for (rank, members) in slots.ranks.iter().enumerate() {
        let heights =
            members.iter().filter_map(|&slot| slots.slots[slot].node).map(|node| boxes[node].height);
        tops.push(y);
        y += heights.fold(0.0, f64::max);
        bottoms.push(y);
        y += gaps.get(rank).copied().unwrap_or(0.0);
    }
    let corner =
        |node: usize| Point { x: x[node] - boxes[node].width / 2.0, y: tops[slots.slots[node].rank] };
    let corners: Vec<Point> = (0..boxes.len()).map(corner).collect();
    let routes = links.iter().zip(&slots.chains).map(|(link, chain)| {
        let at = x[link.from] + link.offset;
        let mut trunk = vec![
            Point { x: at, y: corners[link.from].y + boxes[link.from].height },
            Point { x: at, y: bottoms[slots.slots[link.from].rank] },
        ];
        // How much of the trunk there is at the lower edge of each rank that it passes.
        let mut passed = vec![1];
        for &bend in &chain.bends {
            let rank = slots.slots[bend].rank;
            trunk.push(Point { x: x[bend], y: tops[rank] });
            trunk.push(Point { x: x[bend], y: bottoms[rank] });
            passed.push(trunk.len() - 1);
        }
        let branch = |entry: &order::Entry| {
            let rank = slots.slots[entry.node].rank;
            let x = x[entry.node] + entry.offset;
            let start = trunk[passed[entry.bend]];
            (entry.node, vec![start, Point { x, y: tops[rank] }])
        };
        let branches = chain.entries.iter().map(branch).collect();
        Route { trunk, branches }
    });
    let routes = routes.collect();
    let right = (0..boxes.len()).map(|node| corners[node].x + boxes[node].width);
    let width = x.iter().copied().chain(right).fold(0.0, f64::max);
    Layout { width, height: bottoms.last().copied().unwrap_or(0.0), corners, routes }
}

#[cfg(test)]
mod tests;
