//! Several arrays, element by element; a missing or 1-sized axis repeats.

use super::grid::{Grid, strides};

/// The steps of an array of sizes `shape` when it is broadcast to `target`.
pub(crate) fn broadcast(shape: &[usize], target: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let axis = |axis: usize| (axis + shape.len()).checked_sub(target.len()).filter(|&at| shape[at] != 1);
    (0..target.len()).map(|at| axis(at).map_or(0, |at| own[at])).collect()
}

/// Where the elements of `N` arrays are that meet in one element of the output.
pub(crate) struct Broadcast<const N: usize> {
    /// All but the innermost axis.
    rows: Grid<N>,
    /// The innermost axis.
    size: usize,
    steps: [usize; N],
}

impl<const N: usize> Broadcast<N> {
    /// The first `N` operands broadcast to `output`.
    pub fn new(operands: &[&[usize]], output: &[usize]) -> Broadcast<N> {
        let all: [Vec<usize>; N] = std::array::from_fn(|i| broadcast(operands[i], output));
        let steps = |axis: usize| std::array::from_fn(|i| all[i][axis]);
        let mut rows = Grid::new((0..output.len()).map(|axis| (output[axis], steps(axis))));
        let (size, steps) = rows.split_innermost();
        Broadcast { rows, size, steps }
    }

    /// Calls `visit` with each row of the output and where it starts in the arrays.
    #[inline(always)]
    fn rows<T>(&self, out: &mut [T], mut visit: impl FnMut(&mut [T], [usize; N])) {
        let mut rows = out.chunks_exact_mut(self.size);
        self.rows.visit(|starts| {
            if let Some(row) = rows.next() {
                visit(row, starts);
            }
        });
    }
}

impl Broadcast<2> {
    /// Makes each element of `out` the function of the two that meet in it.
    #[inline(always)]
    pub fn map<A: Copy, B: Copy, T>(&self, (a, b): (&[A], &[B]), out: &mut [T], f: impl Fn(A, B) -> T) {
        self.rows(out, |out, [at_a, at_b]| {
            let (a, b) = (&a[at_a..], &b[at_b..]);
            match self.steps {
                [1, 1] => out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = f(a, b)),
                [1, 0] => out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b[0])),
                [0, 1] => out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a[0], b)),
                [sa, sb] => out.iter_mut().enumerate().for_each(|(i, out)| *out = f(a[i * sa], b[i * sb])),
            }
        });
    }
}

impl Broadcast<3> {
    /// Makes each element of `out` that of `a` where the one of `condition` is not 0, else that of `b`.
    pub fn select<T: Copy>(&self, condition: &[i64], (a, b): (&[T], &[T]), out: &mut [T]) {
        self.rows(out, |out, [at, at_a, at_b]| {
            let (condition, a, b) = (&condition[at..], &a[at_a..], &b[at_b..]);
            match self.steps {
                [0, 1, 1] => out.copy_from_slice(&if condition[0] != 0 { a } else { b }[..out.len()]),
                [s, sa, sb] => out.iter_mut().enumerate().for_each(|(i, out)| {
                    *out = if condition[i * s] != 0 { a[i * sa] } else { b[i * sb] };
                }),
            }
        });
    }
}
