//! Where the elements of a permuted or repeated tensor lie in the tensor.

use crate::tensor::strides;

/// Positions in a row-major tensor as a function of positions in another one of these sizes.
///
/// Axes of size 1 are left out and axes that stay neighbours are one, so that runs are as long as they can be.
#[derive(Debug)]
pub(super) struct Order {
    /// At least one, none of them 0.
    sizes: Vec<usize>,
    strides: Vec<usize>,
}

/// Elements side by side in the one tensor and evenly spaced in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How many of the range's elements come before.
    pub at: usize,
    /// Where the first lies.
    pub from: usize,
    /// How far they are apart; 0 for one that repeats.
    pub step: usize,
    /// How many they are.
    pub len: usize,
}

impl Order {
    /// Nothing for a tensor without elements.
    pub fn new(sizes: &[usize], strides: &[usize]) -> Option<Order> {
        let mut order = Order { sizes: Vec::new(), strides: Vec::new() };
        for (&size, &stride) in sizes.iter().zip(strides).filter(|&(&size, _)| size != 1) {
            match (size, order.sizes.last_mut(), order.strides.last_mut()) {
                (0, ..) => return None,
                (_, Some(last), Some(apart)) if stride.checked_mul(size) == Some(*apart) => {
                    // At most the number of elements.
                    (*last, *apart) = (last.saturating_mul(size), stride)
                }
                _ => {
                    order.sizes.push(size);
                    order.strides.push(stride);
                }
            }
        }
        if order.sizes.is_empty() {
            order = Order { sizes: vec![1], strides: vec![1] };
        }
        Some(order)
    }

    /// Axis `i` is axis `permutation[i]` of a tensor of `shape`; nothing for a tensor without elements.
    #[expect(clippy::indexing_slicing, reason = "the permutation was checked against the axes")]
    pub fn permuted(shape: &[usize], permutation: &[usize]) -> Option<Order> {
        let of = |from: &[usize]| permutation.iter().map(|&axis| from[axis]).collect::<Vec<usize>>();
        Order::new(&of(shape), &of(&strides(shape)))
    }

    /// Whether every element stays in its place.
    pub fn is_identity(&self) -> bool {
        self.strides == [1]
    }

    /// Where the element at `position` lies.
    #[expect(clippy::arithmetic_side_effects, reason = "no size is 0, and the place is one in memory")]
    pub fn place(&self, mut position: usize) -> usize {
        let mut place = 0;
        for (&size, &stride) in self.sizes.iter().zip(&self.strides).rev() {
            place += position % size * stride;
            position /= size;
        }
        place
    }

    /// Calls `visit` with the runs that make up the `len` elements from `start` on, one after the other.
    #[expect(clippy::arithmetic_side_effects, reason = "no size is 0, and runs are within the elements")]
    #[expect(clippy::indexing_slicing, reason = "one index, step and size for each axis")]
    pub fn for_each_run(&self, start: usize, len: usize, mut visit: impl FnMut(Run)) {
        let (Some((&size, outer)), Some((&step, steps))) =
            (self.sizes.split_last(), self.strides.split_last())
        else {
            return;
        };
        let (mut row, mut column) = (start / size, start % size);
        let mut index = vec![0; outer.len()];
        let mut from = 0;
        for axis in (0..outer.len()).rev() {
            index[axis] = row % outer[axis];
            from += index[axis] * steps[axis];
            row /= outer[axis];
        }
        let mut at = 0;
        while at < len {
            let n = (size - column).min(len - at);
            visit(Run { at, from: from + column * step, step, len: n });
            (at, column) = (at + n, 0);
            for axis in (0..outer.len()).rev() {
                index[axis] += 1;
                from += steps[axis];
                if index[axis] < outer[axis] {
                    break;
                }
                from -= steps[axis] * outer[axis];
                index[axis] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{dot, for_each_index};

    #[test]
    fn runs_visit_what_indices_say() {
        // Sizes and strides: in order, permuted, repeated, and with axes of size 1 between.
        let cases: [(&[usize], &[usize]); 7] = [
            (&[2, 3, 4], &[12, 4, 1]),
            (&[4, 2, 3], &[1, 12, 4]),
            (&[3, 4, 2], &[4, 1, 12]),
            (&[5, 3], &[0, 1]),
            (&[3, 5], &[1, 0]),
            (&[2, 1, 3, 1, 2], &[1, 7, 4, 9, 2]),
            (&[], &[]),
        ];
        for (sizes, strides) in cases {
            let order = Order::new(sizes, strides).unwrap();
            let mut expected = Vec::new();
            for_each_index(sizes, |index| expected.push(dot(index, strides)));
            let places: Vec<usize> = (0..expected.len()).map(|position| order.place(position)).collect();
            assert_eq!(places, expected, "{sizes:?} {strides:?}");
            for (start, end) in (0..=expected.len()).flat_map(|end| (0..=end).map(move |start| (start, end)))
            {
                let mut found = Vec::new();
                order.for_each_run(start, end - start, |run| {
                    assert_eq!(run.at, found.len());
                    found.extend((0..run.len).map(|i| run.from + i * run.step));
                });
                assert_eq!(found, expected[start..end], "{sizes:?} {strides:?} {start}..{end}");
            }
        }
        assert!(Order::new(&[2, 0], &[1, 1]).is_none());
    }

    #[test]
    fn runs_are_as_long_as_they_can_be() {
        let runs = |order: &Order, len| {
            let mut runs = 0;
            order.for_each_run(0, len, |_| runs += 1);
            runs
        };
        assert!(Order::permuted(&[2, 1, 3], &[1, 0, 2]).unwrap().is_identity());
        assert_eq!(runs(&Order::permuted(&[2, 3, 4, 5], &[0, 1, 2, 3]).unwrap(), 120), 1);
        assert_eq!(runs(&Order::permuted(&[2, 3, 4, 5], &[1, 0, 2, 3]).unwrap(), 120), 6);
        assert_eq!(runs(&Order::new(&[4, 3, 5], &[0, 0, 0]).unwrap(), 60), 1);
    }
}
