//! What holds of every drawing.

use super::*;
use proptest::prelude::*;

/// Boxes of many sizes, and links from each to some behind it.
fn graphs() -> impl Strategy<Value = (Vec<Size>, Vec<Link>)> {
    let at = prop_oneof![8 => Just(At::Anywhere), 1 => Just(At::Top), 1 => Just(At::Bottom)];
    let size = (1.0f64..200.0, 0.0f64..90.0, at).prop_map(|(width, height, at)| Size { width, height, at });
    proptest::collection::vec(size, 1..24).prop_flat_map(|boxes| {
        let count = boxes.len();
        let target = (0..count, proptest::option::weighted(0.2, -0.5f64..0.5));
        let link = (0..count, -0.5f64..0.5, proptest::collection::vec(target, 1..5));
        let links = proptest::collection::vec(link, 0..40);
        links.prop_map(move |links| {
            let (mut boxes, mut kept) = (boxes.clone(), Vec::new());
            for (from, offset, mut to) in links {
                to.retain(|&(to, _)| to > from);
                if !to.is_empty() && kept.iter().all(|link: &Link| link.from != from) {
                    let to = to.into_iter().map(|(to, at)| (to, at.map(|at| at * boxes[to].width))).collect();
                    kept.push(Link { from, offset: offset * boxes[from].width, to });
                }
            }
            // What must be at the top reads nothing, and nothing reads what must be at the bottom.
            for link in &kept {
                if boxes[link.from].at == At::Bottom {
                    boxes[link.from].at = At::Anywhere;
                }
                for &(to, _) in &link.to {
                    if boxes[to].at == At::Top {
                        boxes[to].at = At::Anywhere;
                    }
                }
            }
            (boxes, kept)
        })
    })
}

/// Whether the insides of a box and of a rectangle have a point in common.
fn overlaps(corner: Point, size: Size, (left, right): (f64, f64), (top, bottom): (f64, f64)) -> bool {
    const SLACK: f64 = 1e-6;
    corner.x + SLACK < right
        && left + SLACK < corner.x + size.width
        && corner.y + SLACK < bottom
        && top + SLACK < corner.y + size.height
}

proptest! {
    #[test]
    fn boxes_do_not_overlap((boxes, links) in graphs()) {
        let layout = layout(&boxes, &links);
        for (i, (&a, &size)) in layout.corners.iter().zip(&boxes).enumerate() {
            prop_assert!(a.x >= -1e-6 && a.x + size.width <= layout.width + 1e-6);
            prop_assert!(a.y >= 0.0 && a.y + size.height <= layout.height + 1e-6);
            for (&b, &other) in layout.corners.iter().zip(&boxes).skip(i + 1) {
                let sides = (b.x - BETWEEN_LINES, b.x + other.width + BETWEEN_LINES);
                prop_assert!(!overlaps(a, size, sides, (b.y, b.y + other.height)));
            }
        }
    }

    #[test]
    fn every_link_leads_downward_from_its_box_to_each_that_reads_it((boxes, links) in graphs()) {
        let layout = layout(&boxes, &links);
        for (link, route) in links.iter().zip(&layout.routes) {
            let readers: Vec<usize> = route.branches.iter().map(|(to, _)| *to).collect();
            prop_assert_eq!(readers, link.to.iter().map(|(to, _)| *to).collect::<Vec<_>>());
            let (corner, size) = (layout.corners[link.from], boxes[link.from]);
            let start = Point { x: corner.x + size.width / 2.0 + link.offset, y: corner.y + size.height };
            prop_assert!((route.trunk[0].x - start.x).abs() < 1e-6 && route.trunk[0].y == start.y);
            prop_assert!(route.trunk.is_sorted_by(|a, b| a.y <= b.y));
            for ((to, points), (_, given)) in route.branches.iter().zip(&link.to) {
                prop_assert!(route.trunk.contains(&points[0]));
                prop_assert!(points.is_sorted_by(|a, b| a.y < b.y));
                let (corner, size, end) = (layout.corners[*to], boxes[*to], points[points.len() - 1]);
                prop_assert_eq!(end.y, corner.y);
                prop_assert!((end.x - corner.x - size.width / 2.0).abs() <= size.width / 2.0 + 1e-6);
                if let Some(given) = given {
                    prop_assert!((end.x - corner.x - size.width / 2.0 - given).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn lines_do_not_run_through_boxes((boxes, links) in graphs()) {
        let layout = layout(&boxes, &links);
        for route in &layout.routes {
            let paths = std::iter::once(&route.trunk).chain(route.branches.iter().map(|(_, points)| points));
            for pair in paths.flat_map(|points| points.windows(2)) {
                // A curve stays between its ends.
                let sides = (pair[0].x.min(pair[1].x), pair[0].x.max(pair[1].x));
                for (&corner, &size) in layout.corners.iter().zip(&boxes) {
                    prop_assert!(!overlaps(corner, size, sides, (pair[0].y, pair[1].y)));
                }
            }
        }
    }

    #[test]
    fn boxes_that_must_be_at_an_end_are((boxes, links) in graphs()) {
        let layout = layout(&boxes, &links);
        let lowest = layout.corners.iter().map(|corner| corner.y).fold(0.0, f64::max);
        for (corner, size) in layout.corners.iter().zip(&boxes) {
            match size.at {
                At::Top => prop_assert_eq!(corner.y, 0.0),
                At::Bottom => prop_assert_eq!(corner.y, lowest),
                At::Anywhere => {}
            }
        }
    }
}

const BOX: Size = Size { width: 100.0, height: 40.0, at: At::Anywhere };

fn link(from: usize, to: &[usize]) -> Link {
    Link { from, offset: 0.0, to: to.iter().map(|&to| (to, None)).collect() }
}

#[test]
fn a_chain_is_a_straight_line() {
    let links: Vec<Link> = (0..499).map(|from| link(from, &[from + 1])).collect();
    let layout = layout(&[BOX; 500], &links);
    assert_eq!(layout.width, 100.0);
    assert!(layout.corners.iter().all(|corner| corner.x == 0.0));
    assert!(layout.corners.is_sorted_by(|a, b| a.y + 40.0 < b.y));
}

#[test]
fn residual_blocks_do_not_drift_aside() {
    // Each block: a chain of three, and around it a line.
    let blocks = 60;
    let mut links = Vec::new();
    for block in 0..blocks {
        let first = 4 * block;
        links.push(link(first, &[first + 1, first + 4]));
        links.extend((1..4).map(|at| link(first + at, &[first + at + 1])));
    }
    let layout = layout(&vec![BOX; 4 * blocks + 1], &links);
    let middles = layout.corners.iter().step_by(4).map(|corner| corner.x);
    assert!(layout.width < 300.0, "{}", layout.width);
    assert!(middles.clone().fold(0.0, f64::max) - middles.fold(f64::INFINITY, f64::min) < 1e-6);
}

#[test]
fn two_branches_are_uncrossed() {
    // 0 and 1 are read by 3 and 2; in the order of the boxes they cross.
    let layout = layout(&[BOX; 4], &[link(0, &[3]), link(1, &[2])]);
    assert_eq!(layout.corners[0].x < layout.corners[1].x, layout.corners[3].x < layout.corners[2].x);
}

#[test]
fn what_enters_a_box_does_so_side_by_side() {
    let layout = layout(&[BOX; 3], &[link(0, &[2, 2]), link(1, &[2])]);
    let ends = layout.routes.iter().flat_map(|route| &route.branches).map(|(_, points)| points[1].x);
    let mut ends: Vec<f64> = ends.collect();
    ends.sort_by(f64::total_cmp);
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] > 10.0), "{ends:?}");
}

#[test]
fn what_everything_reads_stays_small() {
    // Each of 500 reads all before it: 124,750 connections.
    let links: Vec<Link> = (0..499).map(|from| link(from, &(from + 1..500).collect::<Vec<_>>())).collect();
    let layout = layout(&[BOX; 500], &links);
    assert_eq!(layout.routes.iter().map(|route| route.branches.len()).sum::<usize>(), 124_750);
    assert!(layout.width < 500.0 * 2.0 * BETWEEN_LINES + 200.0, "{}", layout.width);
}

#[test]
fn nothing_is_drawn_of_nothing_and_links_upward_are_left_out() {
    assert_eq!(layout(&[], &[]).height, 0.0);
    let drawn = layout(&[BOX; 2], &[link(1, &[0, 1])]);
    assert!(drawn.routes[0].branches.is_empty());
}
