//! The rank of each box: the length of the longest path that leads to it.

use super::{At, Link, Size};

/// The rank of each box, from 0.
pub(super) fn ranks(boxes: &[Size], links: &[Link]) -> Vec<usize> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); boxes.len()];
    let mut has_source = vec![false; boxes.len()];
    for link in links {
        for &(to, _) in link.to.iter().filter(|(to, _)| *to > link.from) {
            readers[link.from].push(to);
            has_source[to] = true;
        }
    }
    let mut ranks = vec![0; boxes.len()];
    for from in 0..boxes.len() {
        for &to in &readers[from] {
            ranks[to] = ranks[to].max(ranks[from] + 1);
        }
    }
    // What reads nothing goes near what reads it.
    for node in 0..boxes.len() {
        if !has_source[node] && boxes[node].at == At::Anywhere {
            let nearest = readers[node].iter().map(|&to| ranks[to] - 1).min();
            ranks[node] = nearest.unwrap_or(0);
        }
    }
    let is_bottom = |node: &usize| boxes[*node].at == At::Bottom;
    let above = (0..boxes.len()).filter(|node| !is_bottom(node)).map(|node| ranks[node] + 1).max();
    for node in (0..boxes.len()).filter(is_bottom) {
        ranks[node] = above.unwrap_or(0);
    }
    // Ranks that the above has left empty are closed.
    let mut used = ranks.clone();
    used.sort_unstable();
    used.dedup();
    ranks.iter().map(|rank| used.partition_point(|other| other < rank)).collect()
}
