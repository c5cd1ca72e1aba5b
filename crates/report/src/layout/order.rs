//! The order within each rank, with places for the links that pass it.

use super::{BETWEEN_BOXES, BETWEEN_ENTRIES, BETWEEN_LINES, BETWEEN_RANKS, Link, Size};

/// Boxes, and bends where links pass ranks; the first slots are the boxes.
pub(super) struct Slots {
    pub slots: Vec<Slot>,
    /// The slots of each rank, from left to right.
    pub ranks: Vec<Vec<usize>>,
    /// One for each link.
    pub chains: Vec<Chain>,
    /// Between neighbouring ranks.
    pub segments: Vec<Segment>,
}

/// One place in a rank.
pub(super) struct Slot {
    pub rank: usize,
    /// The box, if it is no bend.
    pub node: Option<usize>,
    pub width: f64,
}

/// The bends of a link, one in each rank that it passes, and where it ends.
#[derive(Default)]
pub(super) struct Chain {
    pub bends: Vec<usize>,
    pub entries: Vec<Entry>,
}

/// Where a link enters a box.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub node: usize,
    /// How many bends there are before.
    pub bend: usize,
    pub segment: usize,
    /// Right of the middle of the box.
    pub offset: f64,
    /// Whether it must be there.
    pub is_given: bool,
}

/// A part of a link from a slot to one in the next rank, and where it starts and ends right of their middles.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub from: usize,
    pub to: usize,
    pub start: f64,
    pub end: f64,
}

/// How often the whole drawing is put in order, downward and upward.
const SWEEPS: usize = 12;
/// How often without fewer crossings.
const PATIENCE: usize = 4;

impl Slots {
    /// The slots in the order of boxes and links.
    pub fn new(boxes: &[Size], links: &[Link], ranks: &[usize]) -> Slots {
        let slot =
            |(node, size): (usize, &Size)| Slot { rank: ranks[node], node: Some(node), width: size.width };
        let mut slots: Vec<Slot> = boxes.iter().enumerate().map(slot).collect();
        let mut segments: Vec<Segment> = Vec::new();
        let mut chains = Vec::with_capacity(links.len());
        for link in links {
            let mut chain = Chain::default();
            let is_below = |(to, _): &&(usize, _)| *to > link.from && ranks[*to] > ranks[link.from];
            let targets = || link.to.iter().filter(is_below);
            let last = targets().map(|&(to, _)| ranks[to]).max().unwrap_or(0);
            let mut tail = (link.from, link.offset);
            for rank in ranks[link.from] + 1..last {
                slots.push(Slot { rank, node: None, width: 0.0 });
                let bend = slots.len() - 1;
                segments.push(Segment { from: tail.0, to: bend, start: tail.1, end: 0.0 });
                chain.bends.push(bend);
                tail = (bend, 0.0);
            }
            for &(node, given) in targets() {
                let offset = given.unwrap_or(0.0);
                let bend = ranks[node] - ranks[link.from] - 1;
                let (from, start) = match bend.checked_sub(1) {
                    Some(before) => (chain.bends[before], 0.0),
                    None => (link.from, link.offset),
                };
                chain.entries.push(Entry {
                    node,
                    bend,
                    segment: segments.len(),
                    offset,
                    is_given: given.is_some(),
                });
                segments.push(Segment { from, to: node, start, end: offset });
            }
            chains.push(chain);
        }
        let mut members = vec![Vec::new(); slots.iter().map(|slot| slot.rank + 1).max().unwrap_or(0)];
        for (index, slot) in slots.iter().enumerate() {
            members[slot.rank].push(index);
        }
        Slots { slots, ranks: members, chains, segments }
    }

    /// Orders each rank so that few segments cross.
    pub fn order(&mut self) {
        let mut above = vec![Vec::new(); self.slots.len()];
        let mut below = vec![Vec::new(); self.slots.len()];
        for segment in &self.segments {
            above[segment.to].push((segment.from, segment.start));
            below[segment.from].push((segment.to, segment.end));
        }
        let mut place = vec![0; self.slots.len()];
        for members in &self.ranks {
            note_places(members, &mut place);
        }
        let mut best = (usize::MAX, self.ranks.clone());
        let mut since = 0;
        for sweep in 0..SWEEPS {
            let is_downward = sweep % 2 == 0;
            let neighbours = if is_downward { &above } else { &below };
            let count = self.ranks.len();
            for step in 1..count {
                let rank = if is_downward { step } else { count - 1 - step };
                let members = &mut self.ranks[rank];
                sort_by_barycenter(members, neighbours, &place, &self.slots);
                note_places(members, &mut place);
            }
            let crossings = self.crossings(&place);
            since += 1;
            if crossings < best.0 {
                best = (crossings, self.ranks.clone());
                since = 0;
            }
            if crossings == 0 || since == PATIENCE {
                break;
            }
        }
        self.ranks = best.1;
    }

    /// How many pairs of segments cross.
    fn crossings(&self, place: &[usize]) -> usize {
        let mut ends: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.ranks.len()];
        for segment in &self.segments {
            ends[self.slots[segment.from].rank].push((place[segment.from], place[segment.to]));
        }
        let mut crossings = 0usize;
        for (rank, ends) in ends.iter_mut().enumerate() {
            ends.sort_unstable();
            let width = self.ranks.get(rank + 1).map_or(0, Vec::len);
            // A Fenwick tree of how many segments seen so far end at each place.
            let mut tree = vec![0usize; width + 1];
            for (seen, &(_, end)) in ends.iter().enumerate() {
                let mut up_to = 0;
                let mut at = end + 1;
                while at > 0 {
                    up_to += tree[at];
                    at &= at - 1;
                }
                crossings = crossings.saturating_add(seen - up_to);
                let mut at = end + 1;
                while at <= width {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
            }
        }
        crossings
    }

    /// Lets what enters a box do so side by side, in the order in which it comes, unless it was given where.
    pub fn spread_entries(&mut self, boxes: &[Size]) {
        let mut place = vec![0; self.slots.len()];
        for members in &self.ranks {
            note_places(members, &mut place);
        }
        let mut entering: Vec<Vec<(usize, f64, usize, usize)>> = vec![Vec::new(); boxes.len()];
        for (link, chain) in self.chains.iter().enumerate() {
            for (index, entry) in chain.entries.iter().enumerate().filter(|(_, entry)| !entry.is_given) {
                let segment = &self.segments[entry.segment];
                entering[entry.node].push((place[segment.from], segment.start, link, index));
            }
        }
        for (node, mut entering) in entering.into_iter().enumerate().filter(|(_, list)| list.len() > 1) {
            entering.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let gaps = (entering.len() - 1) as f64;
            let apart = BETWEEN_ENTRIES.min((boxes[node].width - BETWEEN_ENTRIES).max(0.0) / gaps);
            for (nth, &(_, _, link, index)) in entering.iter().enumerate() {
                let entry = &mut self.chains[link].entries[index];
                entry.offset = apart * (nth as f64 - gaps / 2.0);
                self.segments[entry.segment].end = entry.offset;
            }
        }
    }

    /// How far the middles of two slots that are side by side must be apart.
    pub fn distance(&self, left: usize, right: usize) -> f64 {
        let (left, right) = (&self.slots[left], &self.slots[right]);
        let between = match (left.node, right.node) {
            (Some(_), Some(_)) => BETWEEN_BOXES,
            _ => BETWEEN_LINES,
        };
        (left.width + right.width) / 2.0 + between
    }

    /// The height of the space below each rank: more where lines go far to the side.
    pub fn gaps(&self, x: &[f64]) -> Vec<f64> {
        let mut gaps = vec![BETWEEN_RANKS; self.ranks.len().saturating_sub(1)];
        for segment in &self.segments {
            let aside = (x[segment.from] + segment.start - x[segment.to] - segment.end).abs();
            let rank = self.slots[segment.from].rank;
            if let Some(gap) = gaps.get_mut(rank) {
                *gap = gap.max((0.12 * aside).min(4.0 * BETWEEN_RANKS));
            }
        }
        gaps
    }
}

fn note_places(members: &[usize], place: &mut [usize]) {
    for (at, &slot) in members.iter().enumerate() {
        place[slot] = at;
    }
}

/// Sorts slots by the mean place of their neighbours; those without any stay where they are.
fn sort_by_barycenter(
    members: &mut [usize],
    neighbours: &[Vec<(usize, f64)>],
    place: &[usize],
    slots: &[Slot],
) {
    let key = |&slot: &usize| {
        let near = &neighbours[slot];
        // Where in the neighbour a segment ends tells those apart that come from the same one.
        let at = |&(other, offset): &(usize, f64)| {
            let half = slots[other].width / 2.0;
            place[other] as f64 + if half > 0.0 { 0.4 * (offset / half).clamp(-1.0, 1.0) } else { 0.0 }
        };
        (!near.is_empty()).then(|| near.iter().map(at).sum::<f64>() / near.len() as f64)
    };
    let mut moving: Vec<(f64, usize)> = members.iter().filter_map(|slot| Some((key(slot)?, *slot))).collect();
    moving.sort_by(|a, b| a.0.total_cmp(&b.0).then(place[a.1].cmp(&place[b.1])));
    let mut moving = moving.into_iter();
    for slot in members.iter_mut().filter(|slot| !neighbours[**slot].is_empty()) {
        if let Some((_, next)) = moving.next() {
            *slot = next;
        }
    }
}
