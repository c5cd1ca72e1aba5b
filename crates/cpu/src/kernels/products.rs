//! Matrix products whose left rows lie anywhere in an array: what convolutions, dense layers and recurrences have in
//! common.
//!
//! The right side is packed into panels of a few vectors of columns. A tile of a few rows by one panel is summed in
//! registers. The terms of one sum come in the order of the packed rows and are summed in blocks of [`BLOCK`] whose
//! bounds do not depend on where the left side is padded or how many rows there are; the sums of the blocks are then
//! added in their order. So a result's bits depend on neither the tile's shape nor the order in which tiles come.

mod depthwise;
mod finish;
mod layout;
mod terms;
mod tile;

pub(crate) use super::windows::Row;
pub(crate) use finish::Finish;
pub(crate) use layout::Layout;
pub use terms::BLOCK;
pub(crate) use terms::{RowRun, Rows, Terms};

use crate::simd::Isa;
use finish::Epilogue;
use std::ops::Range;
use tile::{Bf16, F16, F32, MOST_ROWS, Stored, Strip};

/// Rows that are multiplied with one panel after the other, so that they stay in the nearest cache.
const CHUNK: usize = 48;

/// Bytes of a panel from which on it is read block by block, each for all rows.
const LARGE_PANEL: usize = 128 << 10;

/// The packed right side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Packed<'a> {
    F32(&'a [f32]),
    /// The bits of IEEE 754 binary16.
    F16(&'a [u16]),
    /// The bits of `bfloat16`.
    Bf16(&'a [u16]),
}

/// A left and a right side and what happens to the sums.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub isa: Isa,
    pub x: &'a [f32],
    pub layout: &'a Layout,
    pub packed: Packed<'a>,
    pub finish: Finish<'a>,
}

impl Product<'_> {
    /// Multiplies `rows` of the left side, whose terms are `terms`, with the matrix of a group, and stores the finished
    /// sums in `y`. Channel 0 of the group is channel `group * columns` of bias and functions.
    ///
    /// # Panics
    /// Where rows reach beyond the left side or `y`.
    pub fn multiply(&self, group: usize, terms: &Terms, rows: RowRun, y: &mut [f32]) {
        self.multiply_panels(0..self.layout.panels(), group, terms, rows, y);
    }

    /// As [`multiply`](Product::multiply), for some of the panels only.
    pub fn multiply_panels(
        &self,
        panels: Range<usize>,
        group: usize,
        terms: &Terms,
        rows: RowRun,
        y: &mut [f32],
    ) {
        if rows.count == 0 || self.layout.columns == 0 {
            return;
        }
        let last = rows.part(rows.count - 1, 1);
        assert!(
            terms.runs().is_empty() || last.x + terms.reach <= self.x.len(),
            "a row beyond the left side"
        );
        assert!(last.y + self.layout.columns <= y.len(), "a row beyond the results");
        let own = self.layout.group(group);
        match self.packed {
            Packed::F32(packed) => self.of::<F32>(&packed[own], panels, group, terms, rows, y),
            Packed::F16(packed) => self.of::<F16>(&packed[own], panels, group, terms, rows, y),
            Packed::Bf16(packed) => self.of::<Bf16>(&packed[own], panels, group, terms, rows, y),
        }
    }

    fn of<W: Stored>(
        &self,
        packed: &[W::Element],
        panels: Range<usize>,
        group: usize,
        terms: &Terms,
        rows: RowRun,
        y: &mut [f32],
    ) {
        let layout = self.layout;
        let epilogue = Epilogue::new(&self.finish, layout.groups * layout.columns);
        let target = y.as_mut_ptr();
        let strip = |index: usize| {
            let panel = layout.panel(index);
            let weights = &packed[panel.start..][..panel.vectors * layout.lanes * layout.depth];
            let strip = Strip {
                x: self.x.as_ptr(),
                y: target,
                x_step: rows.x_step,
                y_step: rows.y_step,
                tiles: 0,
                weights: weights.as_ptr(),
                runs: terms.runs(),
                columns: panel.columns,
                channel: group * layout.columns + panel.first,
                adds: false,
                epilogue: Some(&epilogue),
            };
            (panel, strip, size_of_val(weights))
        };
        let large = panels.clone().next().is_some_and(|first| strip(first).2 > LARGE_PANEL);
        if large && rows.count > MOST_ROWS {
            for index in panels.clone() {
                let (panel, whole, _) = strip(index);
                let blocks = terms.blocks();
                let last = blocks.len() - 1;
                for (at, runs) in blocks.enumerate() {
                    let epilogue = (at == last).then_some(&epilogue);
                    let part = Strip { runs, adds: at > 0, epilogue, ..whole };
                    // SAFETY: as below.
                    unsafe { strips::<W>(self.isa, rows, (panel.vectors, panel.first), part) };
                }
            }
            self.rest(&epilogue, panels, group, rows, y);
        } else {
            for skip in (0..rows.count).step_by(CHUNK) {
                let chunk = rows.part(skip, CHUNK.min(rows.count - skip));
                for index in panels.clone() {
                    let (panel, whole, _) = strip(index);
                    // SAFETY: the caller has made sure that the last row, and so each, has its terms in `x` and its
                    // columns in `y`; the panel was sliced.
                    unsafe { strips::<W>(self.isa, chunk, (panel.vectors, panel.first), whole) };
                }
                self.rest(&epilogue, panels.clone(), group, chunk, y);
            }
        }
    }

    /// Applies the functions that are not computed in registers.
    fn rest(&self, epilogue: &Epilogue<'_>, panels: Range<usize>, group: usize, rows: RowRun, y: &mut [f32]) {
        let links = &self.finish.chain.links[epilogue.links()..];
        if links.is_empty() || panels.is_empty() {
            return;
        }
        let (first, last) = (self.layout.panel(panels.start), self.layout.panel(panels.end - 1));
        let width = last.first + last.columns - first.first;
        let channel = group * self.layout.columns + first.first;
        let start = rows.y + first.first;
        let operands = self.finish.operands;
        if rows.y_step == width {
            return self.finish.chain.apply_from(
                epilogue.links(),
                operands,
                &mut y[start..][..rows.count * width],
                width,
                channel,
            );
        }
        for row in 0..rows.count {
            let row = &mut y[start + row * rows.y_step..][..width];
            self.finish.chain.apply_from(epilogue.links(), operands, row, width, channel);
        }
    }
}

/// The most rows of a tile of so many vectors: with the weights, as many as the registers hold.
fn tile_rows(isa: Isa, vectors: usize) -> usize {
    match (isa.lanes(), vectors) {
        (16, 4) => 6,
        (16, _) => 8,
        (8, 1) => 8,
        (8, _) => 6,
        _ => 4,
    }
}

/// Cuts `rows` into tiles that are as large as possible and as equal as possible, and computes them.
///
/// # Safety
/// As for [`tile::run`], for all rows.
unsafe fn strips<W: Stored>(
    isa: Isa,
    rows: RowRun,
    (vectors, first): (usize, usize),
    strip: Strip<'_, W::Element>,
) {
    let tiles = rows.count.div_ceil(tile_rows(isa, vectors));
    let (each, taller) = (rows.count / tiles, rows.count % tiles);
    for (skip, rows_of_tile, tiles) in [(0, each + 1, taller), (taller * (each + 1), each, tiles - taller)] {
        if tiles > 0 {
            let at = rows.part(skip, 0);
            // SAFETY: the caller's.
            unsafe {
                let (x, y) = (strip.x.wrapping_add(at.x), strip.y.add(at.y + first));
                tile::run::<W>(isa, rows_of_tile, vectors, Strip { x, y, tiles, ..strip });
            }
        }
    }
}
