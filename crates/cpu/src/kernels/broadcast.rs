//! Several arrays, element by element; a missing or 1-sized axis repeats.

use super::grid::{Grid, strides};
use crate::simd::{Isa, Simd, Task};
use std::iter::repeat;

/// The steps of an array of sizes `shape` when it is broadcast to `target`.
pub(crate) fn broadcast(shape: &[usize], target: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let axis = |axis: usize| (axis + shape.len()).checked_sub(target.len()).filter(|&at| shape[at] != 1);
    (0..target.len()).map(|at| axis(at).map_or(0, |at| own[at])).collect()
}

/// Where the elements of `N` arrays are that meet in one element of the output.
pub(crate) struct Broadcast<const N: usize> {
    /// All but the two innermost axes.
    tiles: Grid<N>,
    /// The axis before the innermost.
    rows: (usize, [usize; N]),
    /// The innermost axis, along which steps are 0 or 1.
    row: (usize, [usize; N]),
}

impl<const N: usize> Broadcast<N> {
    /// The first `N` operands broadcast to `output`.
    pub fn new(operands: &[&[usize]], output: &[usize]) -> Broadcast<N> {
        let all: [Vec<usize>; N] = std::array::from_fn(|i| broadcast(operands[i], output));
        let steps = |axis: usize| std::array::from_fn(|i| all[i][axis]);
        let mut tiles = Grid::new((0..output.len()).map(|axis| (output[axis], steps(axis))));
        let row = tiles.split_innermost();
        let rows = tiles.split_innermost();
        Broadcast { tiles, rows, row }
    }

    /// The elements of a tile.
    fn tile(&self) -> usize {
        self.rows.0 * self.row.0
    }
}

impl Broadcast<2> {
    /// Makes each element of `out`, of which there are some, the function of the two that meet in it.
    pub fn map<A: Copy, B: Copy, T>(
        &self,
        isa: Isa,
        (a, b): (&[A], &[B]),
        out: &mut [T],
        f: impl Fn(A, B) -> T + Copy,
    ) {
        isa.run(Map { broadcast: self, a, b, out, f });
    }
}

struct Map<'a, A, B, T, F> {
    broadcast: &'a Broadcast<2>,
    a: &'a [A],
    b: &'a [B],
    out: &'a mut [T],
    f: F,
}

impl<A: Copy, B: Copy, T, F: Fn(A, B) -> T + Copy> Task for Map<'_, A, B, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Map { broadcast, a, b, out, f } = self;
        let (count, between) = broadcast.rows;
        let (size, steps) = broadcast.row;
        let tiles = out.chunks_exact_mut(broadcast.tile());
        for ([at_a, at_b], out) in broadcast.tiles.offsets().zip(tiles) {
            let (a, b) = (&a[at_a..], &b[at_b..]);
            match (between, steps) {
                ([step, 0], [1, 1]) if step == size => {
                    let mut room = [b[0]; ROOM];
                    let b = repeated(&b[..size], count, &mut room);
                    for (out, a) in out.chunks_mut(b.len()).zip(a.chunks(b.len())) {
                        zip(out, a, b, f);
                    }
                }
                ([0, step], [1, 1]) if step == size => {
                    let mut room = [a[0]; ROOM];
                    let a = repeated(&a[..size], count, &mut room);
                    for (out, b) in out.chunks_mut(a.len()).zip(b.chunks(a.len())) {
                        zip(out, a, b, f);
                    }
                }
                _ => {
                    for (i, out) in out.chunks_exact_mut(size).enumerate() {
                        let (a, b) = (&a[i * between[0]..], &b[i * between[1]..]);
                        match steps {
                            [1, 1] => zip(out, a, b, f),
                            [1, _] => out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b[0])),
                            [_, 1] => out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a[0], b)),
                            _ => out.iter_mut().for_each(|out| *out = f(a[0], b[0])),
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn zip<A: Copy, B: Copy, T>(out: &mut [T], a: &[A], b: &[B], f: impl Fn(A, B) -> T) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(a, b);
    }
}

/// Room for short rows that are repeated, so that vectors are full.
pub(crate) const ROOM: usize = 256;

/// The row, at most `times` times, as often as it fits or once.
#[inline(always)]
pub(crate) fn repeated<'a, T: Copy>(row: &'a [T], times: usize, room: &'a mut [T; ROOM]) -> &'a [T] {
    let times = times.min(ROOM / row.len());
    if times <= 1 {
        return row;
    }
    let all = &mut room[..times * row.len()];
    all[..row.len()].copy_from_slice(row);
    let mut done = row.len();
    while done < all.len() {
        let more = done.min(all.len() - done);
        all.copy_within(..more, done);
        done += more;
    }
    all
}

impl Broadcast<3> {
    /// Makes each element of `out`, of which there are some, that of `a` where the one of `condition` is not 0, else that
    /// of `b`.
    pub fn select<T: Copy>(&self, isa: Isa, condition: &[i64], (a, b): (&[T], &[T]), out: &mut [T]) {
        isa.run(Select { broadcast: self, condition, a, b, out });
    }
}

struct Select<'a, T> {
    broadcast: &'a Broadcast<3>,
    condition: &'a [i64],
    a: &'a [T],
    b: &'a [T],
    out: &'a mut [T],
}

impl<T: Copy> Task for Select<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Select { broadcast, condition, a, b, out } = self;
        let (_, [step, step_a, step_b]) = broadcast.rows;
        let (size, steps) = broadcast.row;
        let tiles = out.chunks_exact_mut(broadcast.tile());
        for ([at, at_a, at_b], out) in broadcast.tiles.offsets().zip(tiles) {
            for (i, out) in out.chunks_exact_mut(size).enumerate() {
                let (condition, a, b) =
                    (&condition[at + i * step..], &a[at_a + i * step_a..], &b[at_b + i * step_b..]);
                let (all, all_a, all_b) = (condition.iter(), a.iter().copied(), b.iter().copied());
                match steps {
                    [1, 1, 1] => pick(out, all, all_a, all_b),
                    [1, 1, _] => pick(out, all, all_a, repeat(b[0])),
                    [1, _, 1] => pick(out, all, repeat(a[0]), all_b),
                    [1, _, _] => pick(out, all, repeat(a[0]), repeat(b[0])),
                    [_, step_a, step_b] => {
                        let (from, step) = if condition[0] != 0 { (a, step_a) } else { (b, step_b) };
                        match step {
                            1 => out.copy_from_slice(&from[..size]),
                            _ => out.fill(from[0]),
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn pick<'a, T>(
    out: &mut [T],
    condition: impl Iterator<Item = &'a i64>,
    a: impl Iterator<Item = T>,
    b: impl Iterator<Item = T>,
) {
    for (((out, condition), a), b) in out.iter_mut().zip(condition).zip(a).zip(b) {
        *out = if *condition != 0 { a } else { b };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_rows_are_repeated_as_often_as_there_is_room() {
        for (len, times, expected) in
            [(3, 2, 2), (3, 1000, 85), (1, 1000, 256), (100, 7, 2), (200, 7, 1), (300, 7, 1)]
        {
            let row: Vec<usize> = (0..len).collect();
            let all: Vec<usize> = row.iter().copied().cycle().take(len * expected).collect();
            assert_eq!(repeated(&row, times, &mut [0; ROOM]), all, "{len} elements {times} times");
        }
    }
}
