//! Results that are the largest of rows with different terms: windows of a pooling that start or end in the padding of a
//! convolution.

use super::finish::{Epilogue, larger};
use super::terms::Run;
use super::tile::{self, Bf16, F16, F32, Stored, Strip, load_columns};
use super::{Packed, Product, Target, Terms};
use crate::simd::{Simd, Task};
use std::ops::Range;

/// A row: its terms, and where it starts on the left.
pub(super) type Apart<'a> = (&'a Terms, usize);

/// A result that is the largest of some rows.
#[derive(Clone)]
pub(super) struct Largest<'a> {
    pub rows: &'a [Apart<'a>],
    /// Where the result goes.
    pub at: usize,
    pub panels: Range<usize>,
    /// Whether the largest of other rows is there already, unfinished.
    pub adds: bool,
}

impl Product<'_> {
    /// Multiplies each of `rows`, which are terms and where they start on the left, with the matrix, which is the only
    /// group's, and stores the largest of the sums from `at` on in `y`.
    ///
    /// # Panics
    /// Where a row reaches beyond the left side, or the result beyond `y`.
    pub fn multiply_apart(&self, rows: &[Apart<'_>], at: usize, y: &mut [f32]) {
        let largest = Largest { rows, at, panels: 0..self.layout.panels(), adds: false };
        self.store_largest(&largest, Target { start: y.as_mut_ptr(), len: y.len() });
    }

    /// Computes a result while other threads compute others.
    ///
    /// # Panics
    /// As [`multiply_apart`](Product::multiply_apart).
    pub(super) fn store_largest(&self, largest: &Largest<'_>, y: Target) {
        for (terms, x) in largest.rows {
            let reads = !terms.runs().is_empty();
            assert!(!reads || x + terms.reach <= self.x.len(), "a row beyond the left side");
        }
        assert!(largest.at + self.layout.columns <= y.len, "a row beyond the results");
        match self.packed {
            Packed::F32(packed) => self.apart::<F32>(packed, largest, y),
            Packed::F16(packed) => self.apart::<F16>(packed, largest, y),
            Packed::Bf16(packed) => self.apart::<Bf16>(packed, largest, y),
        }
    }

    fn apart<W: Stored>(&self, packed: &[W::Element], largest: &Largest<'_>, y: Target) {
        let Largest { rows, at, panels, adds } = largest.clone();
        let layout = self.layout;
        let epilogue = Epilogue::new(&self.finish, layout.columns, y.len);
        for index in panels {
            let panel = layout.panel(index);
            let strip = Strip {
                x: self.x.as_ptr(),
                y: y.start,
                first: at + panel.first,
                x_step: 0,
                y_step: 0,
                pool: rows.len(),
                tiles: 1,
                first_row: 0,
                runs: &[],
                columns: panel.columns,
                channel: panel.first,
                adds,
                epilogue: Some(&epilogue),
                ahead: &[],
            };
            let weights = packed[panel.start..][..panel.vectors * layout.lanes * layout.depth].as_ptr();
            // The rows and the result are there.
            match panel.vectors {
                1 => self.isa.run(Window::<W, 1>(rows, strip, weights)),
                2 => self.isa.run(Window::<W, 2>(rows, strip, weights)),
                3 => self.isa.run(Window::<W, 3>(rows, strip, weights)),
                4 => self.isa.run(Window::<W, 4>(rows, strip, weights)),
                _ => debug_assert!(false, "no panel is as wide"),
            }
        }
    }
}

/// Rows by one panel of `V` vectors, whose caller vouches for terms, weights and results.
struct Window<'a, W: Stored, const V: usize>(&'a [Apart<'a>], Strip<'a>, *const W::Element);

impl<W: Stored, const V: usize> Task for Window<'_, W, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Window(rows, strip, weights) = self;
        let Some(epilogue) = strip.epilogue.filter(|_| V <= S::PANEL_VECTORS) else { return };
        let (channels, places) = ([strip.channel, strip.columns], [strip.first]);
        let mut largest = [[s.splat(f32::NEG_INFINITY); V]];
        if strip.adds {
            for v in 0..V {
                // SAFETY: the caller's.
                largest[0][v] = unsafe { load_columns(s, strip.y.add(strip.first), v, strip.columns) };
            }
        }
        for (terms, x) in rows {
            let runs: &[Run] = terms.runs();
            // SAFETY: the caller's.
            unsafe {
                let x = strip.x.wrapping_add(*x);
                let mut sums = tile::sums::<S, W, 1, V>(s, &Strip { runs, ..strip }, x, weights, None);
                epilogue.apply(s, &mut sums, channels, &places);
                larger(s, &mut largest[0], &sums[0]);
            }
        }
        // SAFETY: the caller's.
        unsafe {
            epilogue.follow(s, &mut largest, channels, &places);
            super::finish::store(s, &largest, strip.columns, (strip.y, &places));
        }
    }
}
