//! Matrix products whose left rows lie anywhere in an array: what convolutions and dense layers have in common.
//!
//! The right side is packed into panels of [`LANES`] columns. A tile of a few rows by one panel is summed in
//! registers. The terms of one sum come in the order of the packed rows and are summed in blocks of [`BLOCK`] whose
//! bounds do not depend on where the left side is padded or how many rows there are; the sums of the blocks are then
//! added in their order.

use super::Operands;
use super::chain::Chain;
use crate::arena::Buffer;
use crate::{Error, Result};

/// The largest number of terms that are added into one accumulator.
pub const BLOCK: usize = 128;

/// Columns of a panel.
pub(crate) const LANES: usize = 16;

/// Rows of a tile: with [`LANES`] columns, as many as the registers of the target hold.
pub(crate) const ROWS: usize = if cfg!(target_feature = "avx") { 6 } else { 2 };

/// Panels that one row is multiplied with at once.
const PANELS: usize = if cfg!(target_feature = "avx") { 4 } else { 2 };

/// Rows whose offsets are gathered before they are multiplied panel by panel.
pub(crate) const ROW_CHUNK: usize = 60;

type Tile<const M: usize> = [[f32; LANES]; M];

/// The sizes of a right side: `groups` matrices of `depth` rows and `columns` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layout {
    pub groups: usize,
    pub depth: usize,
    pub columns: usize,
    /// Rows that keep their order; blocks of so many rows are packed from the last to the first.
    block: usize,
}

impl Layout {
    /// The layout of a kernel `[.., filters]`, of which each group has an equal share of the filters.
    pub fn new(kernel: &[usize], groups: usize) -> Result<Layout> {
        let (filters, rows) = kernel.split_last().ok_or_else(|| Error::shape("a kernel without axes"))?;
        let depth = super::grid::elements(rows)?;
        let layout = Layout { groups, depth, columns: filters / groups.max(1), block: depth };
        layout.packed_len()?;
        Ok(layout)
    }

    /// The layout of a kernel `[taps.., channels, filters]` whose taps are packed from the last to the first.
    pub fn with_taps_reversed(kernel: &[usize]) -> Result<Layout> {
        let layout = Layout::new(kernel, 1)?;
        let block = kernel.len().checked_sub(2).map_or(layout.depth, |axis| kernel[axis]);
        Ok(Layout { block, ..layout })
    }

    fn panels(&self) -> usize {
        self.columns.div_ceil(LANES)
    }

    /// Elements of the packed matrices.
    pub fn packed_len(&self) -> Result<usize> {
        let lanes = self.columns.checked_next_multiple_of(LANES);
        let len = lanes.and_then(|lanes| lanes.checked_mul(self.depth)?.checked_mul(self.groups));
        len.ok_or_else(|| Error::limit("packed weights do not fit memory"))
    }

    /// Packs the matrices, whose columns stand beside each other in `kernel`, into `packed`:
    /// `[group][panel][row][lane]`, with zeros where the last panel has no column.
    pub fn pack(&self, kernel: &[f32], packed: &mut [f32]) {
        let filters = self.groups * self.columns;
        let mut panels = packed.chunks_exact_mut((self.depth * LANES).max(1));
        for group in 0..self.groups {
            for panel in 0..self.panels() {
                let first = panel * LANES;
                let lanes = LANES.min(self.columns - first);
                let Some(panel) = panels.next() else { return };
                let mut block_row = self.depth;
                for block in panel.chunks_exact_mut((self.block * LANES).max(1)) {
                    block_row -= self.block;
                    for (row, target) in block.chunks_exact_mut(LANES).enumerate() {
                        let start = (block_row + row) * filters + group * self.columns + first;
                        target[..lanes].copy_from_slice(&kernel[start..start + lanes]);
                        target[lanes..].fill(0.0);
                    }
                }
            }
        }
    }

    /// The packed matrices in a buffer of their own.
    pub fn packed(&self, kernel: &[f32]) -> Result<Buffer<f32>> {
        let mut packed = Buffer::zeros(self.packed_len()?)?;
        self.pack(kernel, &mut packed);
        Ok(packed)
    }

    /// The part of `packed` that is one group's.
    pub fn group<'a>(&self, packed: &'a [f32], group: usize) -> &'a [f32] {
        let len = self.panels() * LANES * self.depth;
        &packed[group * len..(group + 1) * len]
    }
}

/// The terms of a sum: runs of elements that stand next to each other on the left and on the right.
pub(crate) trait Terms {
    /// Calls `visit` with each run's offset from the row's start, its first row on the right, and its length; the
    /// right rows increase.
    fn visit(&self, visit: impl FnMut(usize, usize, usize));
}

/// Left rows without gaps.
struct Contiguous(usize);

impl Terms for Contiguous {
    #[inline(always)]
    fn visit(&self, mut visit: impl FnMut(usize, usize, usize)) {
        visit(0, 0, self.0);
    }
}

/// What happens to a sum before it is stored.
pub(crate) struct Finish<'a> {
    pub bias: Option<&'a [f32]>,
    pub chain: &'a Chain,
    pub operands: &'a Operands<'a>,
}

impl Finish<'_> {
    /// Replaces sums whose first lane is `channel`; lanes past the last channel become anything.
    #[inline(always)]
    pub fn apply(&self, sums: &mut [[f32; LANES]], channel: usize) {
        if let Some(bias) = self.bias {
            let bias = &bias[channel..];
            match bias.first_chunk::<LANES>() {
                Some(bias) => sums.iter_mut().for_each(|row| add(row, bias)),
                None => {
                    sums.iter_mut().for_each(|row| row.iter_mut().zip(bias).for_each(|(sum, b)| *sum += b))
                }
            }
        }
        if !self.chain.links.is_empty() {
            self.chain.apply(self.operands, sums.as_flattened_mut(), LANES, channel);
        }
    }
}

/// Where a row starts on the left and where its result goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub x: usize,
    pub y: usize,
}

/// Rows that wait to be multiplied panel by panel.
pub(crate) struct Chunk {
    rows: [Row; ROW_CHUNK],
    len: usize,
}

impl Default for Chunk {
    fn default() -> Chunk {
        Chunk { rows: [Row::default(); ROW_CHUNK], len: 0 }
    }
}

impl Chunk {
    /// Adds a row; if the chunk is then full, its rows, and none waits any more.
    #[inline(always)]
    pub fn push(&mut self, row: Row) -> Option<&mut [Row]> {
        self.rows[self.len] = row;
        self.len = (self.len + 1) % ROW_CHUNK;
        (self.len == 0).then_some(&mut self.rows)
    }

    /// The rows that wait.
    pub fn rest(&mut self) -> &mut [Row] {
        &mut self.rows[..self.len]
    }
}

/// Multiplies the first `count` rows of `x`, which follow each other, with a matrix and stores the finished sums in `y`.
pub(crate) fn multiply_matrix(
    x: &[f32],
    count: usize,
    (layout, packed): (&Layout, &[f32]),
    finish: &Finish<'_>,
    y: &mut [f32],
) {
    let rows = (0..count).map(|at| Row { x: at * layout.depth, y: at * layout.columns });
    multiply_rows(x, rows, (layout, packed), (finish, 0), y);
}

/// Multiplies `rows` of `x`, each without gaps, as [`multiply`] does.
pub(crate) fn multiply_rows(
    x: &[f32],
    rows: impl Iterator<Item = Row>,
    (layout, panels): (&Layout, &[f32]),
    (finish, channel): (&Finish<'_>, usize),
    y: &mut [f32],
) {
    let mut chunk = Chunk::default();
    let terms = Contiguous(layout.depth);
    for row in rows {
        if let Some(rows) = chunk.push(row) {
            multiply(x, rows, &terms, (layout, panels), (finish, channel), y);
        }
    }
    multiply(x, chunk.rest(), &terms, (layout, panels), (finish, channel), y);
}

/// Multiplies `rows` of `x` with one group's panels and stores the finished sums in `y`; channel 0 of the group is
/// channel `channel` of the bias.
pub(crate) fn multiply(
    x: &[f32],
    rows: &[Row],
    terms: &impl Terms,
    (layout, panels): (&Layout, &[f32]),
    (finish, channel): (&Finish<'_>, usize),
    y: &mut [f32],
) {
    let store = |y: &mut [f32], rows: &[Row], sums: &mut [[f32; LANES]], first: usize| {
        finish.apply(sums, channel + first);
        let lanes = LANES.min(layout.columns - first);
        for (row, sums) in rows.iter().zip(sums) {
            let target = &mut y[row.y + first..][..lanes];
            match target.first_chunk_mut::<LANES>() {
                Some(target) => *target = *sums,
                None => target.copy_from_slice(&sums[..lanes]),
            }
        }
    };
    // With few rows, several panels at once keep as many independent sums in flight.
    let (panel, count) = (layout.depth * LANES, layout.panels());
    let mut at = 0;
    while at < count {
        let first = at * LANES;
        if rows.len() == 1 && count - at >= PANELS {
            for (i, sums) in
                one_row::<PANELS>(x, rows[0].x, terms, &panels[at * panel..], panel).iter_mut().enumerate()
            {
                store(y, rows, std::slice::from_mut(sums), first + i * LANES);
            }
            at += PANELS;
            continue;
        }
        let panel = &panels[at * panel..][..panel];
        for rows in rows.chunks(ROWS) {
            match rows.len() {
                1 => store(y, rows, &mut tile::<1>(x, rows, terms, panel), first),
                2 => store(y, rows, &mut tile::<2>(x, rows, terms, panel), first),
                _ => store(y, rows, &mut tile::<ROWS>(x, rows, terms, panel), first),
            }
        }
        at += 1;
    }
}

/// One row by `P` panels.
#[inline(always)]
fn one_row<const P: usize>(
    x: &[f32],
    start: usize,
    terms: &impl Terms,
    panels: &[f32],
    panel: usize,
) -> Tile<P> {
    blocked(terms, |sums: &mut Tile<P>, offset, k, len| {
        let x = &x[start + offset..][..len];
        let w: [&[[f32; LANES]]; P] =
            std::array::from_fn(|p| &lanes_of(&panels[p * panel..][..panel], k, len)[..len]);
        let mut local = *sums;
        for i in 0..len {
            for p in 0..P {
                accumulate(&mut local[p], x[i], &w[p][i]);
            }
        }
        *sums = local;
    })
}

/// `M` rows by one panel; where there are fewer rows, the last is repeated.
#[inline(always)]
fn tile<const M: usize>(x: &[f32], rows: &[Row], terms: &impl Terms, panel: &[f32]) -> Tile<M> {
    let starts: [usize; M] = std::array::from_fn(|m| rows[m.min(rows.len() - 1)].x);
    blocked(terms, |sums: &mut Tile<M>, offset, k, len| {
        let x: [&[f32]; M] = std::array::from_fn(|m| &x[starts[m] + offset..][..len]);
        let w = lanes_of(panel, k, len);
        let mut local = *sums;
        for i in 0..len {
            for m in 0..M {
                accumulate(&mut local[m], x[m][i], &w[i]);
            }
        }
        *sums = local;
    })
}

#[inline(always)]
fn lanes_of(panel: &[f32], k: usize, len: usize) -> &[[f32; LANES]] {
    panel[k * LANES..][..len * LANES].as_chunks().0
}

/// The sums over all terms, block by block; `accumulate` adds a run of them that lies in one block.
#[inline(always)]
pub(crate) fn blocked<const M: usize>(
    terms: &impl Terms,
    mut accumulate: impl FnMut(&mut Tile<M>, usize, usize, usize),
) -> Tile<M> {
    let mut total = [[0.0; LANES]; M];
    let mut sums = [[0.0; LANES]; M];
    let mut block = 0;
    terms.visit(|mut offset, mut k, mut len| {
        while len > 0 {
            if k / BLOCK != block {
                total.iter_mut().zip(&sums).for_each(|(total, sums)| add(total, sums));
                sums = [[0.0; LANES]; M];
                block = k / BLOCK;
            }
            let run = len.min(BLOCK - k % BLOCK);
            accumulate(&mut sums, offset, k, run);
            (offset, k, len) = (offset + run, k + run, len - run);
        }
    });
    total.iter_mut().zip(&sums).for_each(|(total, sums)| add(total, sums));
    total
}

#[inline(always)]
fn add(sums: &mut [f32; LANES], terms: &[f32; LANES]) {
    for lane in 0..LANES {
        sums[lane] += terms[lane];
    }
}

/// `sum + x * w`, rounded once where the target has an instruction for that.
#[inline(always)]
pub(crate) fn multiply_add(sum: f32, x: f32, w: f32) -> f32 {
    match cfg!(target_feature = "fma") {
        true => x.mul_add(w, sum),
        false => sum + x * w,
    }
}

#[inline(always)]
fn accumulate(sums: &mut [f32; LANES], x: f32, w: &[f32; LANES]) {
    for lane in 0..LANES {
        sums[lane] = multiply_add(sums[lane], x, w[lane]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_puts_the_columns_of_each_group_into_panels() {
        // 2 rows; 2 groups of 17 columns.
        let layout = Layout::new(&[2, 34], 2).unwrap();
        let kernel: Vec<f32> = (0..68).map(|i| i as f32).collect();
        let packed = layout.packed(&kernel).unwrap();
        assert_eq!(packed.len(), 2 * 2 * 2 * LANES);
        let second = layout.group(&packed, 1);
        assert_eq!(second[..3], [17., 18., 19.]);
        assert_eq!(second[LANES..LANES + 2], [51., 52.]);
        assert_eq!(second[2 * LANES..2 * LANES + 2], [33., 0.]);
        assert_eq!(second[3 * LANES..3 * LANES + 2], [67., 0.]);
    }

    #[test]
    fn reversed_taps_keep_their_channels_in_order() {
        let layout = Layout::with_taps_reversed(&[3, 2, 1]).unwrap();
        let packed = layout.packed(&[1., 2., 3., 4., 5., 6.]).unwrap();
        assert_eq!(packed.iter().step_by(LANES).copied().collect::<Vec<_>>(), [5., 6., 3., 4., 1., 2.]);
    }

    #[test]
    fn blocks_end_at_multiples_of_their_size() {
        struct Gaps;
        impl Terms for Gaps {
            fn visit(&self, mut visit: impl FnMut(usize, usize, usize)) {
                visit(7, 100, 40);
                visit(0, 300, 10);
            }
        }
        let mut runs = Vec::new();
        blocked::<1>(&Gaps, |_, offset, k, len| runs.push((offset, k, len)));
        assert_eq!(runs, [(7, 100, 28), (35, 128, 12), (0, 300, 10)]);
    }
}
