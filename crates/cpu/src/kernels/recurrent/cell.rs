//! What a recurrent layer makes of its sums.

use crate::simd::Simd;

/// What a recurrent operator does in one step, for one vector of units of one row at a time.
///
/// A step has one or more passes, each of which multiplies a vector with the recurrent weights of some gates: the first
/// pass the first state, any other what the pass before has made.
pub(crate) trait Cell: PartialEq + Send + Sync + Sized + 'static {
    /// The cell with Keras's functions, which is compiled for these.
    const USUAL: Self;
    /// Sums per unit.
    const GATES: usize;
    /// States per unit, of which the first is the output.
    const STATES: usize;
    /// The first gate and the number of gates of each pass.
    const PASSES: &'static [(usize, usize)];
    /// The gate, if there is one, whose recurrent products are not added to those of the inputs. The bias then has a
    /// second row, for the recurrent products.
    const APART: Option<usize> = None;

    /// The gate, if there is one, whose products [`prepare`](Cell::prepare) replaces.
    const PREPARED: Option<usize> = None;

    /// The first part of an update, which is computed for some vectors of units before the rest is for any of them: each
    /// part is a chain of operations of which each waits for the one before.
    #[inline(always)]
    fn prepare<S: Simd>(&self, s: S, _: &Sums<S>) -> S::F {
        s.splat(0.0)
    }

    /// The new states; of any pass but the last, what takes the place of gate 0's sums, and what the next pass multiplies.
    fn update<S: Simd>(&self, s: S, pass: usize, sums: &Sums<S>) -> [S::F; 2];
}

/// What [`prepare`](Cell::prepare) and [`update`](Cell::update) read. What a cell does not have is 0.
#[derive(Clone, Copy)]
pub(crate) struct Sums<S: Simd> {
    /// The products of the inputs with the bias, by gate.
    pub x: [S::F; 4],
    /// The products of the pass, by its gates, added to those of the inputs but for [`Cell::APART`].
    pub h: [S::F; 4],
    pub states: [S::F; 2],
}
