//! What a recurrent layer makes of its sums.

use crate::simd::Simd;

/// What a recurrent operator does in one step, for one vector of units of one row at a time.
///
/// A step has one or more passes, each of which multiplies a vector with the recurrent weights of some gates: the first
/// pass the first state, any other what the pass before has made.
pub(crate) trait Cell: Send + Sync + 'static {
    /// Sums per unit.
    const GATES: usize;
    /// States per unit, of which the first is the output.
    const STATES: usize;
    /// The first gate and the number of gates of each pass.
    const PASSES: &'static [(usize, usize)];
    /// Whether the bias has a second row, which is added to the recurrent products.
    const HAS_INNER_BIAS: bool = false;

    /// The new states; of any pass but the last, what takes the place of gate 0's sums, and what the next pass multiplies.
    fn update<S: Simd>(&self, s: S, pass: usize, sums: Sums<S>) -> [S::F; 2];
}

/// What [`update`](Cell::update) reads. What a cell does not have is 0.
#[derive(Clone, Copy)]
pub(crate) struct Sums<S: Simd> {
    /// The products of the inputs with the bias, by gate.
    pub x: [S::F; 4],
    /// The products of the pass, by its gates.
    pub h: [S::F; 4],
    /// The second row of the bias, by gate.
    pub inner: [S::F; 4],
    pub states: [S::F; 2],
}

/// The sums of the elements.
#[inline(always)]
pub(super) fn add<S: Simd>(s: S, a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
    [s.add(a[0], b[0]), s.add(a[1], b[1]), s.add(a[2], b[2]), s.add(a[3], b[3])]
}
