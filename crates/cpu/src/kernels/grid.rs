//! Walks over the elements of several arrays that share an index space.

use crate::{Error, Result};
use std::ops::Range;

/// The sizes of an index space and, along each axis, the step that each of `N` arrays takes.
///
/// Axes of size 1 are left out and neighbours that every array walks through evenly are joined, so that most grids
/// have one or two axes, whatever the rank of the arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid<const N: usize> {
    axes: Vec<(usize, [usize; N])>,
}

impl<const N: usize> Grid<N> {
    /// The grid of these sizes and steps, outermost first.
    pub fn new(axes: impl IntoIterator<Item = (usize, [usize; N])>) -> Grid<N> {
        let mut joined: Vec<(usize, [usize; N])> = Vec::new();
        for (size, steps) in axes.into_iter().filter(|(size, _)| *size != 1) {
            match joined.last_mut() {
                Some((outer, wide)) if (0..N).all(|i| steps[i].checked_mul(size) == Some(wide[i])) => {
                    *outer *= size;
                    *wide = steps;
                }
                _ => joined.push((size, steps)),
            }
        }
        Grid { axes: joined }
    }

    /// Takes the innermost axis off, as its size and steps; one of size 1 if there is none.
    pub fn split_innermost(&mut self) -> (usize, [usize; N]) {
        self.axes.pop().unwrap_or((1, [0; N]))
    }

    /// Takes the innermost axis off if all arrays take steps of 1 along it, and returns its size, else 1.
    pub fn split_run(&mut self) -> usize {
        match self.axes.last() {
            Some(&(size, steps)) if steps == [1; N] => {
                self.axes.pop();
                size
            }
            _ => 1,
        }
    }

    /// The number of indices.
    pub fn len(&self) -> usize {
        self.axes.iter().map(|(size, _)| size).product()
    }

    /// The arrays' offsets for each index, in row-major order.
    #[inline(always)]
    pub fn offsets(&self) -> Offsets<'_, N> {
        let (inner, outer) = match self.axes.split_last() {
            Some((inner, outer)) => (*inner, outer),
            None => ((1, [0; N]), self.axes.as_slice()),
        };
        let rows = if inner.0 == 0 { 0 } else { outer.iter().map(|(size, _)| size).product() };
        Offsets { outer, inner, row: 0..rows, left: 0, at: [0; N] }
    }

    /// Calls `visit` with the arrays' offsets for each index, in row-major order.
    #[inline]
    pub fn visit(&self, mut visit: impl FnMut([usize; N])) {
        for at in self.offsets() {
            visit(at);
        }
    }
}

/// The offsets of a [`Grid`], one index after the other.
pub(crate) struct Offsets<'a, const N: usize> {
    outer: &'a [(usize, [usize; N])],
    inner: (usize, [usize; N]),
    /// The indices of the outer axes that are left, in one number.
    row: Range<usize>,
    /// How many of the inner axis are left.
    left: usize,
    at: [usize; N],
}

impl<const N: usize> Iterator for Offsets<'_, N> {
    type Item = [usize; N];

    #[inline(always)]
    fn next(&mut self) -> Option<[usize; N]> {
        match self.left {
            0 => {
                let mut row = self.row.next()?;
                self.left = self.inner.0;
                self.at = [0; N];
                for (size, steps) in self.outer.iter().rev() {
                    for i in 0..N {
                        self.at[i] += row % size * steps[i];
                    }
                    row /= size;
                }
            }
            _ => {
                for i in 0..N {
                    self.at[i] += self.inner.1[i];
                }
            }
        }
        self.left -= 1;
        Some(self.at)
    }
}

/// The number of elements of an array of these sizes.
///
/// A size of 0 does not excuse others that no array could have: so every product of sizes fits.
pub(crate) fn elements(shape: &[usize]) -> Result<usize> {
    let too_large = || Error::limit(format!("an array of shape {shape:?} does not fit memory"));
    let bound = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size.max(1))).ok_or_else(too_large)?;
    match bound > isize::MAX as usize / size_of::<i64>() {
        true => Err(too_large()),
        false => Ok(shape.iter().product()),
    }
}

/// Elements between neighbours along each axis of a row-major array.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_neighbours_are_joined() {
        let grid = Grid::new([(2, [12, 4]), (1, [9, 9]), (3, [4, 0]), (4, [1, 1])]);
        assert_eq!(grid.axes, [(2, [12, 4]), (3, [4, 0]), (4, [1, 1])]);
        let grid = Grid::new([(2, [12]), (3, [4]), (4, [1])]);
        assert_eq!(grid.axes, [(24, [1])]);
        assert_eq!(grid.len(), 24);
    }

    #[test]
    fn offsets_come_in_row_major_order() {
        let mut seen = Vec::new();
        Grid::new([(2, [1, 3]), (3, [2, 1])]).visit(|at| seen.push(at));
        assert_eq!(seen, [[0, 0], [2, 1], [4, 2], [1, 3], [3, 4], [5, 5]]);
        let three: Vec<_> = Grid::new([(2, [100]), (2, [10]), (2, [2])]).offsets().flatten().collect();
        assert_eq!(three, [0, 2, 10, 12, 100, 102, 110, 112]);
        assert_eq!(Grid::<1>::new([]).offsets().count(), 1);
        for empty in [[(0, [7]), (2, [1])], [(2, [7]), (0, [1])]] {
            assert_eq!(Grid::new(empty).offsets().count(), 0);
        }
    }

    #[test]
    fn sizes_that_no_array_could_have_are_refused() {
        assert_eq!(elements(&[2, 0, 3]).unwrap(), 0);
        assert!(elements(&[1 << 40, 0, 1 << 40]).is_err());
        assert!(elements(&[1 << 62]).is_err());
    }
}
