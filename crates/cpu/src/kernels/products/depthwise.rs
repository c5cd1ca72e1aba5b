//! Sums over taps only, where every channel of the left side is a group of its own.

use super::finish::Epilogue;
use super::terms::Run;
use super::tile::{Bf16, F16, F32, Stored, load_columns, store_columns};
use super::{Packed, Product, RowRun, Share, Target, Terms};
use crate::simd::{Simd, Task};
use std::marker::PhantomData;

impl Product<'_> {
    /// As [`multiply`](Product::multiply), but column `f` has terms of channel `f / multiplier` only, one for each tap
    /// in `terms`. The weights are packed as those of one group that has all columns.
    ///
    /// # Panics
    /// Where rows reach beyond the left side or `y`.
    pub fn multiply_depthwise(&self, multiplier: usize, terms: &Terms, rows: RowRun, y: &mut [f32]) {
        let columns = self.layout.columns;
        if rows.count == 0 || columns == 0 {
            return;
        }
        let last = rows.part(rows.count - 1, 1);
        let reach = terms.reach + (columns - 1) / multiplier;
        assert!(terms.runs().is_empty() || last.x + reach <= self.x.len(), "a row beyond the left side");
        assert!(last.y + columns <= y.len(), "a row beyond the results");
        match self.packed {
            Packed::F32(packed) => self.depthwise::<F32>(packed, multiplier, terms, rows, y),
            Packed::F16(packed) => self.depthwise::<F16>(packed, multiplier, terms, rows, y),
            Packed::Bf16(packed) => self.depthwise::<Bf16>(packed, multiplier, terms, rows, y),
        }
    }

    fn depthwise<W: Stored>(
        &self,
        packed: &[W::Element],
        multiplier: usize,
        terms: &Terms,
        rows: RowRun,
        y: &mut [f32],
    ) {
        let layout = self.layout;
        let epilogue = Epilogue::new(&self.finish, layout.columns, y.len());
        let all = Share { group: 0, terms, rows, panels: 0..layout.panels(), ahead: &[] };
        let target = Target { start: y.as_mut_ptr(), len: y.len() };
        for skip in (0..rows.count).step_by(super::CHUNK) {
            let chunk = rows.part(skip, super::CHUNK.min(rows.count - skip));
            for index in 0..layout.panels() {
                let panel = layout.panel(index);
                let weights = &packed[panel.start..][..panel.vectors * layout.lanes * layout.depth];
                self.isa.run(Panel::<W> {
                    x: self.x.as_ptr().wrapping_add(chunk.x),
                    y: target.start,
                    first: chunk.y + panel.first,
                    rows: chunk,
                    runs: terms.runs(),
                    weights: weights.as_ptr(),
                    vectors: panel.vectors,
                    columns: panel.columns,
                    channel: panel.first,
                    multiplier,
                    epilogue: &epilogue,
                    stored: PhantomData,
                });
            }
            self.rest(&epilogue, &all, chunk, target);
        }
    }
}

/// Rows whose inputs are read once for all of them.
const SLIDE: usize = 8;

/// Their inputs at most.
const SLIDE_INPUTS: usize = SLIDE + 6;

/// Rows by one panel, whose terms, weights and results [`Product::multiply_depthwise`] has found to be there.
struct Panel<'a, W: Stored> {
    x: *const f32,
    y: *mut f32,
    first: usize,
    rows: RowRun,
    runs: &'a [Run],
    weights: *const W::Element,
    vectors: usize,
    columns: usize,
    channel: usize,
    multiplier: usize,
    epilogue: &'a Epilogue<'a>,
    stored: PhantomData<W>,
}

impl<W: Stored> Task for Panel<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let whole = match self.multiplier {
            1 => self.columns / S::LANES,
            _ => 0,
        };
        let slid = match self.neighbouring_taps() {
            Some(3) => self.slide::<S, 3>(simd, whole),
            Some(5) => self.slide::<S, 5>(simd, whole),
            Some(7) => self.slide::<S, 7>(simd, whole),
            _ => 0,
        };
        // Whole vectors of channels are by far the most; together they share what a tap takes to find.
        let mut v = 0;
        while v < self.vectors {
            let channel = self.channel + v * S::LANES;
            v += match whole.saturating_sub(v) {
                4.. => self.columns::<S, usize, 4>(simd, slid, v, channel),
                2.. => self.columns::<S, usize, 2>(simd, slid, v, channel),
                1 => self.columns::<S, usize, 1>(simd, slid, v, channel),
                0 => self.columns::<S, Spread<S>, 1>(simd, 0, v, self.spread(simd, v)),
            };
        }
    }
}

impl<W: Stored> Panel<'_, W> {
    /// How many taps there are, if they are as far apart as rows are and their weights follow each other.
    #[inline(always)]
    fn neighbouring_taps(&self) -> Option<usize> {
        let first = self.runs.first()?;
        let is_next = |(t, run): (usize, &Run)| {
            let is_even = run.offset == first.offset + t * self.rows.x_step;
            run.len == 1 && run.row == first.row + t && is_even && !run.ends_block
        };
        let are_few = self.runs.len() <= SLIDE_INPUTS - SLIDE + 1;
        (are_few && self.runs.iter().enumerate().all(is_next)).then_some(self.runs.len())
    }

    /// Computes the first rows, as many as can be together, of whole vectors, and returns how many.
    #[inline(always)]
    fn slide<S: Simd, const T: usize>(&self, s: S, whole: usize) -> usize {
        let count = self.rows.count - self.rows.count % SLIDE;
        let (x_step, y_step) = (self.rows.x_step, self.rows.y_step);
        for v in 0..whole {
            let channel = self.channel + v * S::LANES;
            let mut weights = [s.splat(0.0); T];
            for t in 0..T {
                let at = ((self.runs[0].row + t) * self.vectors + v) * S::LANES;
                // SAFETY: the panel has a vector for each tap.
                weights[t] = unsafe { W::load(s, self.weights.add(at)) };
            }
            let x = self.x.wrapping_add(self.runs[0].offset + channel);
            for row in (0..count).step_by(SLIDE) {
                let mut sums = [[s.splat(0.0)]; SLIDE];
                let mut inputs = [s.splat(0.0); SLIDE_INPUTS];
                let mut rows = [0; SLIDE];
                // Otherwise every input would have a pointer of its own, more than there are registers.
                let first = hide(self.first + row * y_step + v * S::LANES);
                let quarters = [0, 4, 8, 12].map(|i| x.wrapping_add(hide((row + i) * x_step)));
                // SAFETY: the rows are there, the vectors are the panel's.
                unsafe {
                    for i in 0..SLIDE + T - 1 {
                        inputs[i] = s.load(quarters[i / 4].wrapping_add(i % 4 * x_step));
                    }
                    for t in 0..T {
                        for m in 0..SLIDE {
                            sums[m][0] = s.mul_add(inputs[m + t], weights[t], sums[m][0]);
                        }
                    }
                    for m in 0..SLIDE {
                        rows[m] = first + m * y_step;
                    }
                    self.epilogue.store(s, sums, [channel, S::LANES], (self.y, &rows, 1));
                }
            }
        }
        count
    }

    /// Computes all rows of `V` vectors from row `row` and vector `v` on, and returns `V`.
    #[inline(always)]
    fn columns<S: Simd, I: Inputs<S>, const V: usize>(
        &self,
        simd: S,
        mut row: usize,
        v: usize,
        inputs: I,
    ) -> usize {
        if V > S::PANEL_VECTORS {
            return V;
        }
        while row < self.rows.count {
            // SAFETY: the rows are there, the vectors are the panel's.
            row += unsafe {
                match self.rows.count - row {
                    8.. if V < 4 => self.tile::<S, I, 8, V>(simd, row, v, inputs),
                    4.. => self.tile::<S, I, 4, V>(simd, row, v, inputs),
                    _ => self.tile::<S, I, 1, V>(simd, row, v, inputs),
                }
            };
        }
        V
    }

    /// Computes `M` rows from `row` on by `V` vectors from `v` on, and returns `M`.
    #[inline(always)]
    unsafe fn tile<S: Simd, I: Inputs<S>, const M: usize, const V: usize>(
        &self,
        s: S,
        row: usize,
        v: usize,
        inputs: I,
    ) -> usize {
        let mut sums = [[s.splat(0.0); V]; M];
        let mut total: Option<[[S::F; V]; M]> = None;
        for run in self.runs {
            for i in 0..run.len {
                // SAFETY: the caller's.
                unsafe {
                    let at = (run.row + i) * self.vectors + v;
                    let mut weights = [s.splat(0.0); V];
                    for w in 0..V {
                        weights[w] = W::load(s, self.weights.add((at + w) * S::LANES));
                    }
                    let x = self.x.wrapping_add(row * self.rows.x_step + run.offset + i);
                    for m in 0..M {
                        for w in 0..V {
                            let x = inputs.load(s, x.wrapping_add(m * self.rows.x_step), w);
                            sums[m][w] = s.mul_add(x, weights[w], sums[m][w]);
                        }
                    }
                }
            }
            if run.ends_block {
                total = Some(super::tile::merge(s, total, sums));
                sums = [[s.splat(0.0); V]; M];
            }
        }
        sums = super::tile::merge(s, total, sums);
        let (first, columns) = (self.channel + v * S::LANES, self.columns - v * S::LANES);
        // SAFETY: the caller's.
        unsafe {
            let mut rows = [0; M];
            for m in 0..M {
                rows[m] = self.first + (row + m) * self.rows.y_step + v * S::LANES;
            }
            self.epilogue.apply(s, &mut sums, [first, columns], &rows);
            for m in 0..M {
                for w in 0..V {
                    store_columns(s, self.y.add(rows[m]), w, columns, sums[m][w]);
                }
            }
        }
        M
    }

    /// The channels that vector `v` is multiplied with.
    #[inline(always)]
    fn spread<S: Simd>(&self, s: S, v: usize) -> Spread<S> {
        let first = self.channel + v * S::LANES;
        let end = first + (self.columns - v * S::LANES).min(S::LANES);
        let channel = first / self.multiplier;
        let mut lanes = [0.0; MOST_LANES];
        for (lane, from) in lanes.iter_mut().enumerate().take(end - first) {
            *from = f32::from_bits(((first + lane) / self.multiplier - channel) as u32);
        }
        // SAFETY: there are as many numbers as lanes at most.
        let lanes = s.bits(unsafe { s.load(lanes.as_ptr()) });
        Spread { channel, count: (end - 1) / self.multiplier + 1 - channel, lanes }
    }
}

/// A number that the compiler does not know where it comes from.
#[inline(always)]
fn hide(mut number: usize) -> usize {
    // SAFETY: nothing happens.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags))
    };
    number
}

/// The channels that vectors of columns are multiplied with.
trait Inputs<S: Simd>: Copy {
    /// What vector `v` is multiplied with, if channel 0 is at `x`.
    ///
    /// # Safety
    /// The channels must be readable there.
    unsafe fn load(self, s: S, x: *const f32, v: usize) -> S::F;
}

/// As many channels as lanes, from this one on.
impl<S: Simd> Inputs<S> for usize {
    #[inline(always)]
    unsafe fn load(self, s: S, x: *const f32, v: usize) -> S::F {
        // SAFETY: the caller's.
        unsafe { s.load(x.add(self + v * S::LANES)) }
    }
}

/// The most lanes of a vector.
const MOST_LANES: usize = 16;

/// Some channels from `channel` on, and which of them each lane's is, of one vector.
#[derive(Clone, Copy)]
struct Spread<S: Simd> {
    channel: usize,
    count: usize,
    lanes: S::I,
}

impl<S: Simd> Inputs<S> for Spread<S> {
    #[inline(always)]
    unsafe fn load(self, s: S, x: *const f32, _: usize) -> S::F {
        // SAFETY: the caller's.
        s.permute(unsafe { load_columns(s, x.add(self.channel), 0, self.count) }, self.lanes)
    }
}
