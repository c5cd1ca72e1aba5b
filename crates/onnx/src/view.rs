//! A constant's elements in another order and shape, without touching them.

/// The elements of a row-major tensor, read as `sizes`, its axes taken in `order`, and the result called `dims`.
///
/// Kept in one form: axes of size 1 are left out and axes that stay neighbours are one, so that equal views compare
/// equal and an unchanged order has at most one axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct View {
    sizes: Vec<usize>,
    order: Vec<usize>,
    dims: Vec<usize>,
}

impl View {
    /// All elements in their own order.
    pub fn of(shape: &[usize]) -> View {
        let order: Vec<usize> = (0..shape.len()).collect();
        View::permuted(shape, &order)
    }

    /// Axis `i` of the view is axis `order[i]` of the tensor.
    #[expect(
        clippy::indexing_slicing,
        reason = "`order` is a permutation of the axes of `shape`, `sorted` of `runs`"
    )]
    pub fn permuted(shape: &[usize], order: &[usize]) -> View {
        let dims = order.iter().map(|&axis| shape[axis]).collect();
        let kept: Vec<usize> = order.iter().copied().filter(|&axis| shape[axis] != 1).collect();
        // Runs of axes that are neighbours before and after; axes of size 1 stand in nobody's way.
        let rank_of = |axis: usize| (0..axis).filter(|&before| shape[before] != 1).count();
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for axis in kept {
            match runs.last_mut() {
                Some((_, last, size)) if *last + 1 == rank_of(axis) => {
                    *last += 1;
                    *size *= shape[axis];
                }
                _ => runs.push((rank_of(axis), rank_of(axis), shape[axis])),
            }
        }
        let mut sorted: Vec<usize> = (0..runs.len()).collect();
        sorted.sort_by_key(|&run| runs[run].0);
        let sizes = sorted.iter().map(|&run| runs[run].2).collect();
        let order =
            (0..runs.len()).map(|run| sorted.iter().filter(|&&other| runs[other].0 < runs[run].0).count());
        View { sizes, order: order.collect(), dims }
    }

    /// The same elements in the same order, called `dims`, which must be as many.
    pub fn called(self, dims: Vec<usize>) -> View {
        debug_assert_eq!(self.dims.iter().product::<usize>(), dims.iter().product::<usize>());
        View { dims, ..self }
    }

    /// The sizes along each axis of the view.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// How many elements each run has, if those of a run lie next to each other.
    pub fn run_len(&self) -> Option<usize> {
        match self.order.last() {
            Some(&last) if last + 1 == self.sizes.len() => self.sizes.last().copied(),
            Some(_) => None,
            None => Some(1),
        }
    }

    /// Calls `visit` with where each run of elements starts, how far its elements are apart, and how many they are.
    #[expect(clippy::indexing_slicing, reason = "`order` is a permutation of the axes that `sizes` has")]
    pub fn for_each_run<E>(
        &self,
        mut visit: impl FnMut(usize, usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.len() == 0 {
            return Ok(());
        }
        let mut strides = vec![1; self.sizes.len()];
        for axis in (1..self.sizes.len()).rev() {
            strides[axis - 1] = strides[axis] * self.sizes[axis];
        }
        let Some((&last, outer)) = self.order.split_last() else {
            return visit(0, 1, 1);
        };
        let mut index = vec![0; outer.len()];
        let mut start = 0;
        loop {
            visit(start, strides[last], self.sizes[last])?;
            let mut position = outer.len();
            loop {
                if position == 0 {
                    return Ok(());
                }
                position -= 1;
                let axis = outer[position];
                index[position] += 1;
                start += strides[axis];
                if index[position] < self.sizes[axis] {
                    break;
                }
                start -= strides[axis] * self.sizes[axis];
                index[position] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each element of the view lies.
    fn places(view: &View) -> Vec<usize> {
        let mut places = Vec::new();
        let visit = |start, step, n| {
            places.extend((0..n).map(|i| start + i * step));
            Ok::<(), ()>(())
        };
        view.for_each_run(visit).unwrap();
        places
    }

    #[test]
    fn a_view_visits_what_a_permuted_tensor_holds() {
        let shapes: [&[usize]; 6] = [&[2, 3, 4], &[2, 1, 3], &[1, 1, 5], &[2, 3, 1], &[3, 2, 2], &[0, 2, 3]];
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (shape, order) in shapes.iter().flat_map(|shape| orders.map(|order| (*shape, order))) {
            let n: usize = shape.iter().product();
            let runs = std::cell::Cell::new(true);
            let run_len = View::permuted(shape, &order).run_len();
            let visit = |_, step, n| {
                runs.set(runs.get() && (step == 1 && run_len == Some(n) || step != 1 && run_len.is_none()));
                Ok::<(), ()>(())
            };
            View::permuted(shape, &order).for_each_run(visit).unwrap();
            assert!(runs.get(), "{shape:?} {order:?}");
            let numbers = k2o_core::Tensor::f64(shape, (0..n).map(|i| i as f64).collect()).unwrap();
            let expected = numbers.permute(&order).unwrap();
            let view = View::permuted(shape, &order);
            assert_eq!(view.dims(), expected.shape());
            let places: Vec<f64> = places(&view).into_iter().map(|i| i as f64).collect();
            assert_eq!(places, expected.as_f64().unwrap(), "{shape:?} {order:?}");
        }
    }

    #[test]
    fn equal_views_have_one_form() {
        assert_eq!(View::permuted(&[4, 1], &[1, 0]), View::of(&[1, 4]));
        let moved = View::permuted(&[2, 3, 4, 5], &[2, 3, 0, 1]);
        assert_eq!(moved, View::permuted(&[6, 20], &[1, 0]).called(vec![4, 5, 2, 3]));
        assert_eq!(places(&View::of(&[])), [0]);
    }
}
