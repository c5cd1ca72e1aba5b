//! Sums of many terms that lose little: in blocks, and blocks of blocks.

use super::matmul::BLOCK;

/// Sums of `N` lanes, each of at most [`BLOCK`] terms at a time.
///
/// Sums of blocks are again summed in blocks, so that a sum of a million terms rounds about three times 128 times.
#[derive(Clone, Copy)]
pub(crate) struct BlockedSum<const N: usize> {
    levels: [[f32; N]; 3],
    counts: [usize; 2],
}

impl<const N: usize> BlockedSum<N> {
    pub fn new() -> BlockedSum<N> {
        BlockedSum { levels: [[0.0; N]; 3], counts: [0; 2] }
    }

    /// Adds one term to each of the first lanes.
    #[inline(always)]
    pub fn add(&mut self, terms: &[f32]) {
        for (sum, term) in self.levels[0].iter_mut().zip(terms) {
            *sum += term;
        }
        self.counts[0] += 1;
        if self.counts[0] == BLOCK {
            self.carry();
        }
    }

    fn carry(&mut self) {
        self.counts[0] = 0;
        self.raise(0);
        self.counts[1] += 1;
        if self.counts[1] == BLOCK {
            self.counts[1] = 0;
            self.raise(1);
        }
    }

    fn raise(&mut self, level: usize) {
        for lane in 0..N {
            self.levels[level + 1][lane] += self.levels[level][lane];
            self.levels[level][lane] = 0.0;
        }
    }

    /// The sums.
    pub fn total(mut self) -> [f32; N] {
        self.raise(0);
        self.raise(1);
        self.levels[2]
    }
}

/// The sum of contiguous elements, in an order that depends on their number only.
pub(crate) fn sum(elements: &[f32]) -> f32 {
    const LANES: usize = 16;
    if elements.len() > BLOCK {
        // Halves that are whole blocks, down to one block.
        let (left, right) = elements.split_at(elements.len().div_ceil(2).next_multiple_of(BLOCK));
        return sum(left) + sum(right);
    }
    let (whole, rest) = elements.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for chunk in whole {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sums_stay_close() {
        let terms: Vec<f32> = (0..1_000_003).map(|i| 0.1 + (i % 7) as f32).collect();
        let exact: f64 = terms.iter().map(|&x| f64::from(x)).sum();
        let mut blocked = BlockedSum::<1>::new();
        terms.iter().for_each(|&x| blocked.add(&[x]));
        for given in [sum(&terms), blocked.total()[0]] {
            assert!((f64::from(given) / exact - 1.0).abs() < 16.0 * f64::from(f32::EPSILON) / 2.0, "{given} {exact}");
        }
    }

    #[test]
    fn short_sums_are_exact_where_they_can_be() {
        for n in [0, 1, 15, 16, 17, 127, 128, 129, 255, 256, 257, 1000] {
            let terms: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum(&terms), (0..n).sum::<i32>() as f32, "{n} terms");
        }
    }
}
