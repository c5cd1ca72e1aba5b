//! A tile of a product: a few rows by one panel of columns, summed in registers.

use super::finish::Epilogue;
use super::terms::Run;
use crate::simd::{Isa, Simd, Task};
use std::marker::PhantomData;

/// The most rows of a tile.
pub(super) const MOST_ROWS: usize = 8;

/// How weights are stored.
pub(super) trait Stored: 'static {
    /// An element.
    type Element: Copy;

    /// A vector of elements at `from` as single-precision numbers.
    ///
    /// # Safety
    /// As many elements as the vector has lanes must be readable there.
    unsafe fn load<S: Simd>(simd: S, from: *const Self::Element) -> S::F;
}

/// Single precision.
pub(super) struct F32;
/// IEEE 754 binary16.
pub(super) struct F16;
/// `bfloat16`.
pub(super) struct Bf16;

impl Stored for F32 {
    type Element = f32;
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const f32) -> S::F {
        // SAFETY: the caller's.
        unsafe { simd.load(from) }
    }
}

impl Stored for F16 {
    type Element = u16;
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const u16) -> S::F {
        // SAFETY: the caller's.
        unsafe { simd.load_f16(from) }
    }
}

impl Stored for Bf16 {
    type Element = u16;
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const u16) -> S::F {
        // SAFETY: the caller's.
        unsafe { simd.load_bf16(from) }
    }
}

/// Tiles of equally many rows by one panel, one below the other.
#[derive(Clone, Copy)]
pub(super) struct Strip<'a, T> {
    pub x: *const f32,
    pub y: *mut f32,
    pub x_step: usize,
    pub y_step: usize,
    pub tiles: usize,
    pub weights: *const T,
    pub runs: &'a [Run],
    /// Columns of the panel; its last vector may have fewer than its lanes.
    pub columns: usize,
    /// The channel of the first column.
    pub channel: usize,
    /// Whether sums are added to what is in `y`.
    pub adds: bool,
    /// What happens to the sums before they are stored, if they are whole.
    pub epilogue: Option<&'a Epilogue<'a>>,
}

/// Computes strips of tiles of `rows` rows by `vectors` vectors.
///
/// # Safety
/// For each of `tiles * rows` rows, everything that `runs` reach must be readable from `x` on, and `columns` elements
/// writable from `y` on; the panel must have the rows that `runs` name.
pub(super) unsafe fn run<W: Stored>(isa: Isa, rows: usize, vectors: usize, strip: Strip<'_, W::Element>) {
    macro_rules! run {
        ($m:literal, $v:literal) => {
            isa.run(Tiles::<W, $m, $v>(strip, PhantomData))
        };
    }
    macro_rules! by_rows {
        ($v:literal) => {
            match rows {
                1 => run!(1, $v),
                2 => run!(2, $v),
                3 => run!(3, $v),
                4 => run!(4, $v),
                5 => run!(5, $v),
                6 => run!(6, $v),
                7 => run!(7, $v),
                _ => run!(8, $v),
            }
        };
    }
    debug_assert!((1..=MOST_ROWS).contains(&rows) && (1..=4).contains(&vectors));
    match vectors {
        1 => by_rows!(1),
        2 => by_rows!(2),
        3 => by_rows!(3),
        _ => match rows {
            1 => run!(1, 4),
            2 => run!(2, 4),
            3 => run!(3, 4),
            4 => run!(4, 4),
            5 => run!(5, 4),
            _ => run!(6, 4),
        },
    }
}

/// A strip of tiles of `M` rows by `V` vectors, whose caller vouches for what [`run`] asks.
struct Tiles<'a, W: Stored, const M: usize, const V: usize>(Strip<'a, W::Element>, PhantomData<W>);

impl<W: Stored, const M: usize, const V: usize> Task for Tiles<'_, W, M, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let strip = self.0;
        for tile in 0..strip.tiles {
            // SAFETY: these rows are among those that the caller of `run` vouches for.
            unsafe {
                let x = strip.x.wrapping_add(tile * M * strip.x_step);
                let y = strip.y.add(tile * M * strip.y_step);
                let mut sums = sums::<S, W, M, V>(simd, &strip, x);
                if strip.adds {
                    for m in 0..M {
                        for v in 0..V {
                            let before = load_columns(simd, y.add(m * strip.y_step), v, strip.columns);
                            sums[m][v] = simd.add(before, sums[m][v]);
                        }
                    }
                }
                if let Some(epilogue) = strip.epilogue {
                    epilogue.apply(simd, &mut sums, strip.channel, strip.columns);
                }
                for m in 0..M {
                    for v in 0..V {
                        store_columns(simd, y.add(m * strip.y_step), v, strip.columns, sums[m][v]);
                    }
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

/// The sums of one tile.
#[inline(always)]
unsafe fn sums<S: Simd, W: Stored, const M: usize, const V: usize>(
    s: S,
    strip: &Strip<'_, W::Element>,
    x: *const f32,
) -> [[S::F; V]; M] {
    let mut sums = [[s.splat(0.0); V]; M];
    let mut total: Option<[[S::F; V]; M]> = None;
    for run in strip.runs {
        // SAFETY: the caller's: the run is in the panel, and in reach of every row.
        unsafe {
            let x = x.add(run.offset);
            let mut w = strip.weights.add(run.row * V * S::LANES);
            for i in 0..run.len {
                let mut weights = [s.splat(0.0); V];
                for v in 0..V {
                    weights[v] = W::load(s, w.add(v * S::LANES));
                }
                for m in 0..M {
                    let x = s.splat(*x.add(m * strip.x_step + i));
                    for v in 0..V {
                        sums[m][v] = s.mul_add(x, weights[v], sums[m][v]);
                    }
                }
                w = w.add(V * S::LANES);
            }
        }
        if run.ends_block {
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
