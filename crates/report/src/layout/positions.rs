//! Where in its rank each slot lies.

use super::order::Slots;

/// How strongly two boxes that only have each other, or more strongly two bends, are to be one below the other.
const IN_CHAIN: f64 = 6.0;

/// How often all ranks are gone through, downward and upward.
const SWEEPS: usize = 16;

/// What a slot is drawn to: another slot, how far right of its middle, and how strongly.
struct Pull {
    other: usize,
    offset: f64,
    weight: f64,
}

/// The middle of each slot; the leftmost edge of all is at 0.
///
/// Each sweep moves the slots of a rank as near as their distances allow to where their neighbours are: those above or those
/// below in turn, and both in the end; at last, what is part of a chain goes below what it comes from.
pub(super) fn positions(slots: &Slots) -> Vec<f64> {
    let mut above: Vec<Vec<Pull>> = slots.slots.iter().map(|_| Vec::new()).collect();
    let mut below: Vec<Vec<Pull>> = slots.slots.iter().map(|_| Vec::new()).collect();
    let (mut leaving, mut entering) = (vec![0; slots.slots.len()], vec![0; slots.slots.len()]);
    for segment in &slots.segments {
        leaving[segment.from] += 1;
        entering[segment.to] += 1;
    }
    for segment in &slots.segments {
        // Long lines are to be straight, and chains of layers rather than what branches.
        let is_bend = |slot: usize| slots.slots[slot].node.is_none();
        let weight = match (is_bend(segment.from), is_bend(segment.to)) {
            (true, true) => 8.0,
            (false, false) if leaving[segment.from] == 1 && entering[segment.to] == 1 => IN_CHAIN,
            (false, false) => 1.0,
            _ => 2.0,
        };
        let offset = segment.start - segment.end;
        above[segment.to].push(Pull { other: segment.from, offset, weight });
        below[segment.from].push(Pull { other: segment.to, offset: -offset, weight });
    }
    let mut x = vec![0.0; slots.slots.len()];
    for members in &slots.ranks {
        place_row(slots, members, &vec![(0.0, 1.0); members.len()], &mut x);
    }
    let count = slots.ranks.len();
    for sweep in 0..SWEEPS {
        let is_last = sweep + 4 >= SWEEPS;
        let is_downward = sweep % 2 == 0;
        for step in 0..count {
            let rank = if is_downward { step } else { count - 1 - step };
            let members = &slots.ranks[rank];
            let wanted = |&slot: &usize| {
                let (first, second) = match is_downward {
                    true => (&above[slot], &below[slot]),
                    false => (&below[slot], &above[slot]),
                };
                let pulls = first.iter().chain(second.iter().filter(|_| is_last || first.is_empty()));
                let (mut sum, mut weights) = (0.0, 0.0);
                for pull in pulls {
                    sum += pull.weight * (x[pull.other] + pull.offset);
                    weights += pull.weight;
                }
                if weights > 0.0 { (sum / weights, weights) } else { (x[slot], 0.1) }
            };
            let wanted: Vec<(f64, f64)> = members.iter().map(wanted).collect();
            place_row(slots, members, &wanted, &mut x);
        }
    }
    for members in &slots.ranks {
        let wanted = |&slot: &usize| match above[slot].as_slice() {
            [only] if only.weight >= IN_CHAIN => (x[only.other] + only.offset, 100.0),
            _ => (x[slot], 1.0),
        };
        let wanted: Vec<(f64, f64)> = members.iter().map(wanted).collect();
        place_row(slots, members, &wanted, &mut x);
    }
    align(slots, &mut x);
    let left = |(slot, x): (usize, &f64)| x - slots.slots[slot].width / 2.0;
    let leftmost = x.iter().enumerate().map(left).fold(f64::INFINITY, f64::min);
    x.iter().map(|x| x - leftmost).collect()
}

/// Puts what is alone in its rank below the first that is so, and moves what is between with the former, so that a long chain
/// of blocks does not drift aside.
fn align(slots: &Slots, x: &mut [f64]) {
    let mut axis = None;
    let mut shift = 0.0;
    for members in &slots.ranks {
        if let [only] = members.as_slice() {
            shift = *axis.get_or_insert(x[*only]) - x[*only];
        }
        members.iter().for_each(|&slot| x[slot] += shift);
    }
}

/// Places a rank: the weighted sum of squares of the distances from where the slots want to be is least, and their order and
/// their distances from each other are kept. (Pooled adjacent violators.)
fn place_row(slots: &Slots, members: &[usize], wanted: &[(f64, f64)], x: &mut [f64]) {
    // Without the distances, positions need only not decrease.
    let mut shifts = Vec::with_capacity(members.len());
    let mut shift = 0.0;
    for (at, &slot) in members.iter().enumerate() {
        if at > 0 {
            shift += slots.distance(members[at - 1], slot);
        }
        shifts.push(shift);
    }
    // Mean, weight and number of slots that move as one.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (&(want, weight), shift) in wanted.iter().zip(&shifts) {
        let mut pool = (want - shift, weight, 1);
        while let Some(&(mean, before, count)) = pools.last() {
            if mean <= pool.0 {
                break;
            }
            let sum = before + pool.1;
            pool = ((mean * before + pool.0 * pool.1) / sum, sum, count + pool.2);
            pools.pop();
        }
        pools.push(pool);
    }
    let means = pools.iter().flat_map(|&(mean, _, count)| std::iter::repeat_n(mean, count));
    for ((mean, shift), &slot) in means.zip(&shifts).zip(members) {
        x[slot] = mean + shift;
    }
}
