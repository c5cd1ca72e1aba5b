//! Matrix products whose left rows lie anywhere in an array: what convolutions, dense layers and recurrences have in
//! common.
//!
//! The right side is packed into panels of a few vectors of columns. A tile of a few rows by one panel is summed in
//! registers. The terms of one sum come in the order of the packed rows and are summed in blocks of [`BLOCK`] whose
//! bounds do not depend on where the left side is padded or how many rows there are; the sums of the blocks are then
//! added in their order. So a result's bits depend on neither the tile's shape nor the order in which tiles come.

mod ahead;
mod apart;
mod depthwise;
mod finish;
mod layout;
mod terms;
mod tile;
mod winograd;

pub(crate) use super::windows::Row;
pub(crate) use ahead::Ahead;
pub(crate) use finish::{Finish, MOST_LINKS, MOST_POOLED};
pub(crate) use layout::Layout;
pub use terms::BLOCK;
pub(crate) use terms::{RowRun, Rows, Terms};
pub(crate) use winograd::{Steps, Winograd};

use crate::simd::Isa;
use crate::threads::Team;
use finish::Epilogue;
use layout::Panel;
use std::ops::Range;
use terms::Run;
pub(crate) use tile::{Bf16, F16, F32, Stored};
use tile::{MOST_ROWS, Strip};

/// Rows that are multiplied with one panel after the other, so that they stay in the nearest cache.
const CHUNK: usize = 48;

/// Bytes of a panel that stays in the nearest cache, and of one that hardly stays in the second nearest, and is read in
/// parts, each for many rows.
const SMALL_PANEL: usize = 32 << 10;
const LARGE_PANEL: usize = 512 << 10;

/// Rows for which a part of a large panel is read, and its blocks, after which the next panel's turn comes: what they
/// read on the left stays in the second nearest cache.
const LARGE_ROWS: usize = 256;
const LARGE_BLOCKS: usize = 4;

/// Products of numbers from which on several threads share a product.
const LARGE_WORK: usize = 1 << 20;

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
    pub team: Team<'a>,
    pub x: &'a [f32],
    pub layout: &'a Layout,
    pub packed: Packed<'a>,
    pub finish: Finish<'a>,
    pub ahead: Ahead<'a>,
}

/// Where results go: `len` elements, different ones of which several threads write.
#[derive(Clone, Copy)]
struct Target {
    start: *mut f32,
    len: usize,
}

// SAFETY: threads write different elements.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// One group's product with some of the rows and panels.
#[derive(Clone)]
struct Share<'a> {
    group: usize,
    terms: &'a Terms,
    rows: RowRun,
    panels: Range<usize>,
    /// What memory is asked for meanwhile.
    ahead: &'a [u8],
}

/// Whether the largest of neighbouring rows can be found while the sums of so many terms are in registers, and that pays:
/// sums of very many are added up in memory.
pub(crate) fn can_pool(pool: usize, terms: usize) -> bool {
    (2..=MOST_POOLED).contains(&pool) && terms.saturating_mul(WIDEST * size_of::<f32>()) <= LARGE_PANEL
}

/// Whether so many rows with so many terms and columns are worth sharing between threads.
pub(crate) fn is_large(rows: usize, terms: usize, columns: usize) -> bool {
    rows.saturating_mul(terms).saturating_mul(columns) >= LARGE_WORK
}

impl Product<'_> {
    /// Multiplies `rows` of the left side, whose terms are `terms`, with the matrix of a group, and stores the finished
    /// sums, or the largest of several rows', in `y`. Channel 0 of the group is channel `group * columns` of bias and
    /// functions.
    ///
    /// # Panics
    /// Where rows reach beyond the left side or `y`.
    pub fn multiply(&self, group: usize, terms: &Terms, rows: RowRun, y: &mut [f32]) {
        if rows.count == 0 || self.layout.columns == 0 {
            return;
        }
        let last = rows.part(rows.count - 1, 1);
        let last_row = last.x + (rows.pool - 1) * rows.x_step;
        assert!(
            terms.runs().is_empty() || last_row + terms.reach <= self.x.len(),
            "a row beyond the left side"
        );
        assert!(last.y + self.layout.columns <= y.len(), "a row beyond the results");
        let target = Target { start: y.as_mut_ptr(), len: y.len() };
        let ahead = self.ahead.part(0, 1);
        let all = Share { group, terms, rows, panels: 0..self.layout.panels(), ahead };
        let threads = self.team.count();
        if threads == 1 || !is_large(rows.count * rows.pool, self.layout.depth, self.layout.columns) {
            return self.run(all, target);
        }
        // Few rows share the columns, so that each weight is read once.
        let (by_rows, parts) = match rows.count * rows.pool >= threads * MOST_ROWS {
            true => (true, threads),
            false => (false, threads.min(all.panels.end)),
        };
        self.team.each(parts, &|part| {
            let share = |count: usize| count * part / parts..count * (part + 1) / parts;
            let own = share(if by_rows { rows.count } else { all.panels.end });
            let share = match by_rows {
                true => Share { rows: rows.part(own.start, own.len()), ..all.clone() },
                false => Share { panels: own, ..all.clone() },
            };
            let share = Share { ahead: self.ahead.part(part, parts), ..share };
            self.run(share, target);
        });
    }

    /// Computes a share whose terms and results are known to be there.
    fn run(&self, share: Share<'_>, y: Target) {
        let own = self.layout.group(share.group);
        match self.packed {
            Packed::F32(packed) => self.stored::<F32>(&packed[own], share, y),
            Packed::F16(packed) => self.stored::<F16>(&packed[own], share, y),
            Packed::Bf16(packed) => self.stored::<Bf16>(&packed[own], share, y),
        }
    }

    fn stored<W: Stored>(&self, packed: &[W::Element], share: Share<'_>, y: Target) {
        let layout = self.layout;
        let epilogue = Epilogue::new(&self.finish, layout.groups * layout.columns, y.len);
        let panel = |index: usize| {
            let panel = layout.panel(index);
            (panel, &packed[panel.start..][..panel.vectors * layout.lanes * layout.depth])
        };
        let strip = |panel: &Panel| Strip {
            x: self.x.as_ptr(),
            y: y.start,
            first: 0,
            x_step: share.rows.x_step,
            y_step: share.rows.y_step,
            pool: share.rows.pool,
            tiles: 0,
            first_row: 0,
            runs: share.terms.runs(),
            columns: panel.columns,
            channel: share.group * layout.columns + panel.first,
            adds: false,
            epilogue: Some(&epilogue),
            ahead: &[],
        };
        let bytes_of_panel = share.panels.clone().next().map_or(0, |first| size_of_val(panel(first).1));
        // What is summed in memory cannot be pooled in registers.
        let by_blocks = match W::IS_NARROW {
            _ if share.rows.pool > 1 => false,
            true => share.rows.count > W::MOST_ROWS,
            false => share.rows.count > MOST_ROWS && bytes_of_panel > LARGE_PANEL,
        };
        let chunk = if by_blocks || bytes_of_panel <= SMALL_PANEL { LARGE_ROWS } else { CHUNK };
        let chunk = chunk / share.rows.pool;
        let mut ahead = share.ahead;
        for skip in (0..share.rows.count).step_by(chunk) {
            let rows = share.rows.part(skip, chunk.min(share.rows.count - skip));
            if !by_blocks {
                for (panel, weights) in share.panels.clone().map(panel) {
                    // SAFETY: the last row, and so each, has its terms in `x` and its columns in `y`, as `multiply` has made
                    // sure of; the panel has all rows.
                    unsafe {
                        ahead = strips::<W>(self.isa, rows, panel, weights, Strip { ahead, ..strip(&panel) });
                    }
                }
            } else {
                let count = share.terms.blocks();
                let at_once = if W::IS_NARROW { 1 } else { LARGE_BLOCKS };
                // Panels' turns of some blocks each.
                let parts = (0..count).step_by(LARGE_BLOCKS).flat_map(|first| {
                    let end = count.min(first + LARGE_BLOCKS);
                    let parts = move |panel| {
                        (first..end).step_by(at_once).map(move |at| (panel, at..end.min(at + at_once)))
                    };
                    share.panels.clone().flat_map(parts)
                });
                let mut parts = parts.map(|(index, blocks)| {
                    let (panel, weights) = panel(index);
                    let runs = share.terms.some(blocks.clone());
                    let [first, end] =
                        [runs.first().map_or(0, |run| run.row), runs.last().map_or(0, Run::end)];
                    let width = panel.vectors * layout.lanes;
                    (panel, weights, blocks, runs, bytes(&weights[first * width..end * width]))
                });
                let mut next = parts.next();
                while let Some((panel, weights, blocks, runs, _)) = next {
                    next = parts.next();
                    // While some blocks are multiplied, memory has time for the next.
                    let ahead = next.as_ref().map_or(&[][..], |(.., weights)| weights);
                    let epilogue = (blocks.end == count).then_some(&epilogue);
                    let part = Strip { runs, adds: blocks.start > 0, epilogue, ahead, ..strip(&panel) };
                    // SAFETY: as above.
                    unsafe { block::<W>(self.isa, rows, panel, weights, part) };
                }
            }
            self.rest(&epilogue, &share, rows, y);
        }
    }

    /// Applies the functions that are not computed in registers to `rows`, which are some of the share's.
    fn rest(&self, epilogue: &Epilogue<'_>, share: &Share<'_>, rows: RowRun, y: Target) {
        let chain = self.finish.chain;
        if chain.links.len() == epilogue.links() || share.panels.is_empty() {
            return;
        }
        let (first, last) = (self.layout.panel(share.panels.start), self.layout.panel(share.panels.end - 1));
        let width = last.first + last.columns - first.first;
        let channel = share.group * self.layout.columns + first.first;
        let apply = |start: usize, len: usize| {
            assert!(start + len <= y.len);
            // SAFETY: these are results of the share, which no other writes.
            let values = unsafe { std::slice::from_raw_parts_mut(y.start.add(start), len) };
            chain.apply_from(epilogue.links(), self.finish.operands, values, width, channel);
        };
        let start = rows.y + first.first;
        match rows.y_step == width {
            true => apply(start, rows.count * width),
            false => (0..rows.count).for_each(|row| apply(start + row * rows.y_step, width)),
        }
    }
}

/// Tiles of equally many rows, one below the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stack {
    /// The rows before the first tile.
    skip: usize,
    /// The rows of a tile.
    height: usize,
    tiles: usize,
}

/// Cuts rows into as few tiles of at most `tallest` as can be, as equal as possible: at most two stacks.
fn stacks(rows: usize, tallest: usize) -> impl Iterator<Item = Stack> {
    let tiles = rows.div_ceil(tallest);
    let (height, taller) = (rows.checked_div(tiles).unwrap_or(0), rows.checked_rem(tiles).unwrap_or(0));
    let first = Stack { skip: 0, height: height + 1, tiles: taller };
    let second = Stack { skip: taller * (height + 1), height, tiles: tiles - taller };
    [first, second].into_iter().filter(|stack| stack.tiles > 0)
}

/// Computes `rows` tile by tile, and returns what memory has still to be asked for.
///
/// # Safety
/// As for [`tile::run`], for all rows.
unsafe fn strips<'a, W: Stored>(
    isa: Isa,
    rows: RowRun,
    panel: Panel,
    weights: &[W::Element],
    strip: Strip<'a>,
) -> &'a [u8] {
    let mut ahead = strip.ahead;
    let tallest = isa.tile_rows(panel.vectors).min(W::MOST_ROWS) / rows.pool;
    for Stack { skip, height, tiles } in stacks(rows.count, tallest) {
        let at = rows.part(skip, 0);
        let x = strip.x.wrapping_add(at.x);
        let strip = Strip { x, first: at.y + panel.first, tiles, ahead, ..strip };
        ahead = strip.ahead_of(tiles);
        // SAFETY: the caller's.
        unsafe { tile::run::<W>(isa, [height * rows.pool, panel.vectors], weights.as_ptr(), strip) };
    }
    ahead
}

/// As [`strips`], for some blocks of terms; of narrow weights for one, which is widened once for all rows.
///
/// # Safety
/// As for [`strips`].
unsafe fn block<W: Stored>(isa: Isa, rows: RowRun, panel: Panel, weights: &[W::Element], strip: Strip<'_>) {
    let mut wide = Wide([0.0; BLOCK * WIDEST]);
    let ends = strip.runs.first().zip(strip.runs.last());
    match ends.map(|(first, last)| first.row..last.row + last.len) {
        Some(own) if W::IS_NARROW => {
            let width = panel.vectors * isa.lanes();
            let (from, to) = (&weights[own.start * width..own.end * width], &mut wide.0[..own.len() * width]);
            isa.run(tile::Widen::<W> { from, to });
            // SAFETY: the caller's; these are the panel's rows from the block's first on.
            unsafe { strips::<F32>(isa, rows, panel, to, Strip { first_row: own.start, ..strip }) }
        }
        // SAFETY: the caller's.
        _ => unsafe { strips::<W>(isa, rows, panel, weights, strip) },
    };
}

/// The bytes of weights.
pub(crate) fn bytes<T: Copy>(weights: &[T]) -> &[u8] {
    // SAFETY: numbers, which have no padding, as as many bytes.
    unsafe { std::slice::from_raw_parts(weights.as_ptr().cast(), size_of_val(weights)) }
}

/// The most columns of a panel.
const WIDEST: usize = 64;

/// A block of a panel.
#[repr(align(64))]
struct Wide([f32; BLOCK * WIDEST]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_few_tiles_of_nearly_the_same_height() {
        let stack = |skip, height, tiles| Stack { skip, height, tiles };
        for (rows, expected) in [
            (0, vec![]),
            (1, vec![stack(0, 1, 1)]),
            (6, vec![stack(0, 6, 1)]),
            (7, vec![stack(0, 4, 1), stack(4, 3, 1)]),
            (12, vec![stack(0, 6, 2)]),
            (23, vec![stack(0, 6, 3), stack(18, 5, 1)]),
        ] {
            assert_eq!(stacks(rows, 6).collect::<Vec<_>>(), expected, "{rows} rows");
        }
    }
}
