//! Layouts: how the axes of an ONNX tensor stand to those of the graph's value.
//!
//! The graph is channels-last throughout; ONNX's convolution and pooling are channels-first. [`assign`] walks the
//! graph once: every operator says in which layout it reads its inputs and in which it leaves its output, and only
//! that pass moves axes, where the two differ, each tensor at most once per layout. [`hints`] looks ahead where
//! an operator could do either.

pub(crate) mod assign;
pub(crate) mod hints;

use crate::IoLayout;

/// The order of a tensor's axes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layout {
    /// The tensor's axis `i` is the value's axis `order[i]`.
    Axes(Vec<usize>),
    /// `[batch, everything else]`, flattened while its axes stood in another order than the graph's.
    Flat(Flat),
}

/// What was flattened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flat {
    /// The sizes of the flattened axes, in the graph's order.
    pub sizes: Vec<usize>,
    /// The order in which they were flattened: the `i`-th was the graph's axis `order[i]`.
    pub order: Vec<usize>,
}

impl Layout {
    /// The graph's own order.
    pub fn keras(rank: usize) -> Layout {
        Layout::Axes((0..rank).collect())
    }

    /// The last axis moved to the second place.
    pub fn channels_first(rank: usize) -> Layout {
        let mut order: Vec<usize> = (0..rank).collect();
        if rank > 2 {
            order.remove(rank - 1);
            order.insert(1, rank - 1);
        }
        Layout::Axes(order)
    }

    /// The layout of an input or output of the model.
    pub fn of_port(io_layout: IoLayout, rank: usize) -> Layout {
        match io_layout {
            IoLayout::ChannelsLast => Layout::keras(rank),
            IoLayout::ChannelsFirst => Layout::channels_first(rank),
        }
    }

    /// Whether the tensor is the value as it stands in the graph.
    pub fn is_keras(&self) -> bool {
        self.axes().is_some_and(|order| order.iter().copied().eq(0..order.len()))
    }

    /// The order of the axes, unless they were flattened.
    pub fn axes(&self) -> Option<&[usize]> {
        match self {
            Layout::Axes(order) => Some(order),
            Layout::Flat(_) => None,
        }
    }

    /// The tensor's axis that is the value's `axis`.
    pub fn position(&self, axis: usize) -> usize {
        match self {
            Layout::Axes(order) => order.iter().position(|&a| a == axis).unwrap_or(axis),
            Layout::Flat(_) => axis,
        }
    }

    /// The tensor's axes that are the value's `axes`, in increasing order.
    pub fn positions(&self, axes: &[usize]) -> Vec<usize> {
        let mut positions: Vec<usize> = axes.iter().map(|&axis| self.position(axis)).collect();
        positions.sort_unstable();
        positions
    }

    /// The layout of what is left when the value's `axes` are dropped.
    pub fn without(&self, axes: &[usize]) -> Layout {
        let Layout::Axes(order) = self else {
            return self.clone();
        };
        let dropped_before = |axis: usize| axes.iter().filter(|&&dropped| dropped < axis).count();
        let kept = order.iter().filter(|axis| !axes.contains(axis));
        Layout::Axes(kept.map(|&axis| axis - dropped_before(axis)).collect())
    }

    /// The permutation that makes a tensor in layout `to` of one in this layout; `None` where none does.
    pub fn permutation(&self, to: &Layout) -> Option<Vec<usize>> {
        match (self, to) {
            (Layout::Axes(from), Layout::Axes(to)) if from.len() == to.len() => {
                to.iter().map(|axis| from.iter().position(|a| a == axis)).collect()
            }
            (Layout::Flat(from), Layout::Flat(to)) if from == to => Some(vec![0, 1]),
            _ => None,
        }
    }
}

/// What there is for each axis, in another order of the axes.
#[expect(
    clippy::indexing_slicing,
    reason = "an order has axes of its tensor, and each tensor's rank was checked"
)]
pub(crate) fn permuted<T: Clone>(each: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|&axis| each[axis].clone()).collect()
}

/// The permutation that undoes `order`.
pub(crate) fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse: Vec<usize> = (0..order.len()).collect();
    inverse.sort_by_key(|&i| order.get(i));
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_to_the_second_place() {
        assert_eq!(Layout::channels_first(4), Layout::Axes(vec![0, 3, 1, 2]));
        assert_eq!(Layout::channels_first(3), Layout::Axes(vec![0, 2, 1]));
        assert_eq!(Layout::channels_first(2), Layout::keras(2));
    }

    #[test]
    fn a_permutation_leads_from_one_layout_to_another() {
        let (first, last) = (Layout::channels_first(4), Layout::keras(4));
        assert_eq!(last.permutation(&first), Some(vec![0, 3, 1, 2]));
        assert_eq!(first.permutation(&last), Some(vec![0, 2, 3, 1]));
        assert_eq!(first.permutation(&first), Some(vec![0, 1, 2, 3]));
        assert_eq!(first.permutation(&Layout::keras(3)), None);
    }

    #[test]
    fn dropped_axes_leave_the_others_in_their_order() {
        let first = Layout::channels_first(4);
        assert_eq!(first.positions(&[1, 2]), [2, 3]);
        assert_eq!(first.without(&[1, 2]), Layout::keras(2));
        assert_eq!(first.without(&[1]), Layout::channels_first(3));
        assert_eq!(first.without(&[3]), Layout::keras(3));
    }
}
