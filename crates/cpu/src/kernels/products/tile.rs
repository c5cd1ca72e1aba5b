//! A tile of a product: a few rows by one panel of columns, summed in registers.

use super::finish::{self, Epilogue};
use super::terms::Run;
use crate::simd::{Isa, Simd, Task};

/// The most rows of a tile.
pub(super) const MOST_ROWS: usize = 8;

/// Elements between a weight that is multiplied and one that is asked for, where each is read once.
const PREFETCH: usize = 2048;

/// How weights are stored.
pub(crate) trait Stored: 'static {
    /// An element.
    type Element: Copy;
    /// Whether it is narrower than what is computed with.
    const IS_NARROW: bool;
    /// The most rows of a tile.
    const MOST_ROWS: usize = if Self::IS_NARROW { 4 } else { MOST_ROWS };

    /// A vector of elements at `from` as single-precision numbers.
    ///
    /// # Safety
    /// As many elements as the vector has lanes must be readable there.
    unsafe fn load<S: Simd>(simd: S, from: *const Self::Element) -> S::F;
}

/// Single precision.
pub(crate) struct F32;
/// IEEE 754 binary16.
pub(crate) struct F16;
/// `bfloat16`.
pub(crate) struct Bf16;

impl Stored for F32 {
    type Element = f32;
    const IS_NARROW: bool = false;
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const f32) -> S::F {
        // SAFETY: the caller's.
        unsafe { simd.load(from) }
    }
}

impl Stored for F16 {
    type Element = u16;
    const IS_NARROW: bool = true;
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const u16) -> S::F {
        // SAFETY: the caller's.
        unsafe { simd.load_f16(from) }
    }
}

impl Stored for Bf16 {
    type Element = u16;
    const IS_NARROW: bool = true;
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const u16) -> S::F {
        // SAFETY: the caller's.
        unsafe { simd.load_bf16(from) }
    }
}

/// Tiles of equally many rows by one panel, one below the other.
#[derive(Clone, Copy)]
pub(super) struct Strip<'a> {
    pub x: *const f32,
    /// Where all results go, and which of them those of the first row are.
    pub y: *mut f32,
    pub first: usize,
    pub x_step: usize,
    pub y_step: usize,
    /// How many neighbouring rows become one result.
    pub pool: usize,
    pub tiles: usize,
    /// The row of the panel that the weights start with.
    pub first_row: usize,
    pub runs: &'a [Run],
    /// Columns of the panel; its last vector may have fewer than its lanes.
    pub columns: usize,
    /// The channel of the first column.
    pub channel: usize,
    /// Whether sums are added to what is in `y`.
    pub adds: bool,
    /// What happens to the sums before they are stored, if they are whole.
    pub epilogue: Option<&'a Epilogue<'a>>,
    /// What memory is asked for meanwhile, a line for each term.
    pub ahead: &'a [u8],
}

impl<'a> Strip<'a> {
    /// What memory has still to be asked for after so many tiles.
    #[inline(always)]
    pub fn ahead_of(&self, tiles: usize) -> &'a [u8] {
        rest_of(self.ahead, self.runs, tiles)
    }
}

/// What memory has still to be asked for after so many tiles, a line for each of their terms.
#[inline(always)]
pub(super) fn rest_of<'b>(ahead: &'b [u8], runs: &[Run], tiles: usize) -> &'b [u8] {
    if ahead.is_empty() {
        return &[];
    }
    let terms = runs.iter().map(|run| run.len).sum::<usize>();
    ahead.get(tiles * terms * LINE..).unwrap_or_default()
}

/// Bytes that memory gives at once.
const LINE: usize = 64;

/// Computes strips of tiles of so many rows by so many vectors.
///
/// # Safety
/// For each of the tiles' rows, everything that `runs` reach must be readable from `x` on, and `columns` elements
/// writable from `first` on; `weights` must have the rows that `runs` name, from `first_row` on.
pub(super) unsafe fn run<W: Stored>(
    isa: Isa,
    shape: [usize; 2],
    weights: *const W::Element,
    strip: Strip<'_>,
) {
    macro_rules! run {
        ($($m:literal $v:literal)*) => {
            match shape {
                $([$m, $v] => isa.run(Tiles::<W, $m, $v>(strip, weights)),)*
                _ => debug_assert!(false, "no tile of such a shape"),
            }
        };
    }
    run! {
        1 1 2 1 3 1 4 1 5 1 6 1 7 1 8 1
        1 2 2 2 3 2 4 2 5 2 6 2 7 2 8 2
        1 3 2 3 3 3 4 3 5 3 6 3 7 3 8 3
        1 4 2 4 3 4 4 4 5 4 6 4
    }
}

/// Narrow weights on their way to wide ones.
pub(super) struct Widen<'a, W: Stored> {
    pub from: &'a [W::Element],
    pub to: &'a mut [f32],
}

impl<W: Stored> Task for Widen<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (to, from) in self.to.chunks_exact_mut(S::LANES).zip(self.from.chunks_exact(S::LANES)) {
            // SAFETY: both have as many elements as a vector has lanes.
            unsafe { simd.store(to.as_mut_ptr(), W::load(simd, from.as_ptr())) };
        }
    }
}

/// A strip of tiles of `M` rows by `V` vectors and its weights, whose caller vouches for what [`run`] asks.
struct Tiles<'a, W: Stored, const M: usize, const V: usize>(Strip<'a>, *const W::Element);

impl<W: Stored, const M: usize, const V: usize> Task for Tiles<'_, W, M, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Decided when this is compiled, so that there is no code for tiles that are never used.
        if V > S::PANEL_VECTORS || M > S::TILE_ROWS[V] || M > W::MOST_ROWS {
            return;
        }
        let Tiles(strip, weights) = self;
        let results = M / strip.pool;
        for tile in 0..strip.tiles {
            // SAFETY: these rows are among those that the caller of `run` vouches for.
            unsafe {
                let x = strip.x.wrapping_add(tile * M * strip.x_step);
                let mut rows = [0; M];
                for m in 0..M {
                    rows[m] = strip.first + (tile * results + m) * strip.y_step;
                }
                let ahead = strip.ahead_of(tile);
                let mut before = None;
                if strip.adds {
                    let mut sums = [[simd.splat(0.0); V]; M];
                    for m in 0..M {
                        for v in 0..V {
                            sums[m][v] = load_columns(simd, strip.y.add(rows[m]), v, strip.columns);
                        }
                    }
                    before = Some(sums);
                }
                let sums = sums::<S, W, M, V>(simd, &Strip { ahead, ..strip }, x, weights, before);
                match strip.epilogue {
                    Some(epilogue) => {
                        let to = (strip.y, &rows, strip.pool);
                        epilogue.store(simd, sums, [strip.channel, strip.columns], to);
                    }
                    None => finish::store(simd, &sums, strip.columns, (strip.y, &rows)),
                }
            }
        }
    }
}

/// Vector `v` of the `columns` elements at `from`; zeros past the last.
#[inline(always)]
pub(super) unsafe fn load_columns<S: Simd>(s: S, from: *const f32, v: usize, columns: usize) -> S::F {
    let (at, end) = (v * S::LANES, (v + 1) * S::LANES);
    // SAFETY: the caller's; a part of a vector is at most what is left of the columns.
    unsafe {
        match end <= columns {
            true => s.load(from.add(at)),
            false => s.load_first(from.wrapping_add(at), columns.saturating_sub(at)),
        }
    }
}

/// Writes vector `v` of the `columns` elements at `to`.
#[inline(always)]
pub(super) unsafe fn store_columns<S: Simd>(s: S, to: *mut f32, v: usize, columns: usize, x: S::F) {
    let (at, end) = (v * S::LANES, (v + 1) * S::LANES);
    // SAFETY: the caller's; a part of a vector is at most what is left of the columns.
    unsafe {
        match end <= columns {
            true => s.store(to.add(at), x),
            false => s.store_first(to.wrapping_add(at), x, columns.saturating_sub(at)),
        }
    }
}

/// The sums of one tile, added block by block to those `before`.
#[inline(always)]
pub(super) unsafe fn sums<S: Simd, W: Stored, const M: usize, const V: usize>(
    s: S,
    strip: &Strip<'_>,
    x: *const f32,
    weights: *const W::Element,
    before: Option<[[S::F; V]; M]>,
) -> [[S::F; V]; M] {
    let mut sums = [[s.splat(0.0); V]; M];
    let mut total = before;
    // What is near already costs next to nothing to ask for.
    let (mut ahead, line) = match strip.ahead {
        [] => (weights.cast(), 0),
        ahead => (ahead.as_ptr(), LINE),
    };
    // What is written meanwhile could be these for all that the compiler knows.
    let (x_step, first_row) = (strip.x_step, strip.first_row);
    for run in strip.runs {
        let &Run { offset, row, len, ends_block } = run;
        // SAFETY: the caller's: the run is in the panel, and in reach of every row.
        unsafe {
            let x = x.add(offset);
            let mut w = weights.add((row - first_row) * V * S::LANES);
            for i in 0..len {
                let mut right = [s.splat(0.0); V];
                for v in 0..V {
                    right[v] = W::load(s, w.add(v * S::LANES));
                }
                if M == 1 {
                    // As many steps ahead as memory needs to answer.
                    for v in 0..V {
                        s.prefetch(w.wrapping_add(PREFETCH + v * S::LANES).cast());
                    }
                } else {
                    s.prefetch_farther(ahead);
                    ahead = ahead.wrapping_add(line);
                }
                for m in 0..M {
                    let x = s.splat(*x.add(m * x_step + i));
                    for v in 0..V {
                        sums[m][v] = s.mul_add(x, right[v], sums[m][v]);
                    }
                }
                w = w.add(V * S::LANES);
            }
        }
        if ends_block {
            total = Some(merge(s, total, sums));
            sums = [[s.splat(0.0); V]; M];
        }
    }
    merge(s, total, sums)
}

/// The total of the blocks so far and one more.
#[inline(always)]
pub(super) fn merge<S: Simd, const M: usize, const V: usize>(
    s: S,
    total: Option<[[S::F; V]; M]>,
    sums: [[S::F; V]; M],
) -> [[S::F; V]; M] {
    let Some(mut total) = total else { return sums };
    for m in 0..M {
        for v in 0..V {
            total[m][v] = s.add(total[m][v], sums[m][v]);
        }
    }
    total
}
