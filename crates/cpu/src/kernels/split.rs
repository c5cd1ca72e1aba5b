//! An array's axes, split into those that stay and those that are reduced, and how vectors walk through them.

use super::grid::{Grid, strides};
use crate::simd::Simd;

/// An array's axes, split into those that stay and those that are reduced.
///
/// Either the innermost axes stay, and `lanes` is their size: then `run` is 1. Or they are reduced, and `run` is
/// their size: then `lanes` is 1.
pub(crate) struct Split {
    pub kept: Grid<1>,
    pub reduced: Grid<1>,
    pub lanes: usize,
    pub run: usize,
}

impl Split {
    /// The split of an array of these sizes.
    pub fn new(shape: &[usize], axes: &[usize]) -> Split {
        let steps = strides(shape);
        let part = |reduced: bool| {
            let axes = (0..shape.len()).filter(move |axis| axes.contains(axis) == reduced);
            Grid::new(axes.map(|axis| (shape[axis], [steps[axis]])))
        };
        let (mut kept, mut reduced) = (part(false), part(true));
        let lanes = kept.split_run();
        let run = reduced.split_run();
        Split { kept, reduced, lanes, run }
    }

    /// The number of elements that become one.
    pub fn count(&self) -> usize {
        self.reduced.len() * self.run
    }
}

/// Work on neighbouring columns, a few vectors of them at a time.
pub(crate) trait Columns {
    /// Works on `G` vectors of columns from column `first`. Of the last vector, only `last` lanes are columns.
    fn group<S: Simd, const G: usize>(&mut self, s: S, first: usize, last: usize);
}

/// Works on `count` columns.
#[inline(always)]
pub(crate) fn in_groups<S: Simd>(s: S, count: usize, columns: &mut impl Columns) {
    for first in (0..count).step_by(4 * S::LANES) {
        let left = count - first;
        match left.div_ceil(S::LANES) {
            1 => columns.group::<S, 1>(s, first, left),
            2 => columns.group::<S, 2>(s, first, left - S::LANES),
            3 => columns.group::<S, 3>(s, first, left - 2 * S::LANES),
            _ => columns.group::<S, 4>(s, first, (left - 3 * S::LANES).min(S::LANES)),
        }
    }
}

/// Vector `g` of a group's elements at `from`, with zeros where there are no columns.
///
/// # Safety
/// The elements of the group's columns must be readable there.
#[inline(always)]
pub(crate) unsafe fn load_column<S: Simd, const G: usize>(
    s: S,
    from: *const f32,
    g: usize,
    last: usize,
) -> S::F {
    // SAFETY: the caller's; of the last vector no more than its columns are read.
    unsafe {
        match g + 1 < G || last == S::LANES {
            true => s.load(from.add(g * S::LANES)),
            false => s.load_first(from.add(g * S::LANES), last),
        }
    }
}

/// Writes vector `g` of a group's elements at `to`.
///
/// # Safety
/// The elements of the group's columns must be writable there.
#[inline(always)]
pub(crate) unsafe fn store_column<S: Simd, const G: usize>(
    s: S,
    to: *mut f32,
    x: S::F,
    g: usize,
    last: usize,
) {
    // SAFETY: the caller's; of the last vector no more than its columns are written.
    unsafe {
        match g + 1 < G || last == S::LANES {
            true => s.store(to.add(g * S::LANES), x),
            false => s.store_first(to.add(g * S::LANES), x, last),
        }
    }
}
