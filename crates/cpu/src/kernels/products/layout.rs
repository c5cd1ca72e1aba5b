//! How the right side of a product is packed: into panels of a few vectors of columns, row by row.

use crate::arena::Zeroable;
use crate::kernels::grid::elements;
use crate::simd::Isa;
use crate::{Error, Result};
use std::ops::Range;

/// The sizes of a right side, `groups` matrices of `depth` rows and `columns` columns, and of its panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layout {
    pub groups: usize,
    pub depth: usize,
    pub columns: usize,
    /// Rows that keep their order; blocks of so many rows are packed from the last to the first.
    block: usize,
    /// Columns of a vector.
    pub lanes: usize,
    /// The most vectors of a panel.
    widest: usize,
    /// What the columns are, if they are packed in another order than that of the kernel.
    gates: Option<Gates>,
}

/// The columns of a recurrent layer's kernel: those of every gate, one gate after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Gates {
    count: usize,
    units: usize,
}

/// Neighbouring columns that are packed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// Vectors of columns.
    pub vectors: usize,
    /// Where the panel starts in the packed matrix.
    pub start: usize,
    /// The matrix's columns that it has.
    pub first: usize,
    pub columns: usize,
}

impl Gates {
    /// Makes `target` what `convert` makes of the interleaved columns from `first` on, a multiple of `lanes`.
    fn interleave<T: Copy, U: Zeroable>(
        &self,
        row: &[T],
        target: &mut [U],
        (first, lanes): (usize, usize),
        convert: &impl Fn(T) -> U,
    ) {
        for (target, vector) in target.chunks_exact_mut(lanes).zip(first / lanes..) {
            let (gate, unit) = (vector % self.count, vector / self.count * lanes);
            let count = lanes.min(self.units - unit);
            let from = &row[gate * self.units + unit..][..count];
            target.iter_mut().zip(from).for_each(|(target, &x)| *target = convert(x));
            target[count..].fill(U::ZERO);
        }
    }
}

impl Layout {
    /// The layout of a kernel `[.., filters]`, of which each group has an equal share of the filters.
    pub fn new(isa: Isa, kernel: &[usize], groups: usize) -> Result<Layout> {
        let (filters, rows) = kernel.split_last().ok_or_else(|| Error::shape("a kernel without axes"))?;
        let depth = elements(rows)?;
        let columns = filters / groups.max(1);
        let (lanes, widest) = (isa.lanes(), isa.panel_vectors());
        let layout = Layout { groups, depth, columns, block: depth, lanes, widest, gates: None };
        layout.packed_len()?;
        Ok(layout)
    }

    /// The layout of a recurrent layer's kernel `[depth, gates * units]` whose columns are interleaved: a vector of
    /// units of every gate, then the next vector of units, with zeros after the last unit. If `by_units`, a panel is
    /// such a vector of units.
    pub fn with_gates_interleaved(
        isa: Isa,
        kernel: &[usize],
        gates: usize,
        by_units: bool,
    ) -> Result<Layout> {
        let layout = Layout::new(isa, kernel, 1)?;
        let units = layout.columns / gates;
        let padded = units.checked_next_multiple_of(layout.lanes).and_then(|width| width.checked_mul(gates));
        let columns = padded.ok_or_else(|| Error::limit("packed weights do not fit memory"))?;
        let widest = if by_units { gates } else { layout.widest };
        let layout = Layout { columns, widest, gates: Some(Gates { count: gates, units }), ..layout };
        layout.packed_len()?;
        Ok(layout)
    }

    /// The layout of a kernel `[taps.., channels, filters]` whose taps are packed from the last to the first.
    pub fn with_taps_reversed(isa: Isa, kernel: &[usize]) -> Result<Layout> {
        let layout = Layout::new(isa, kernel, 1)?;
        let block = kernel.len().checked_sub(2).map_or(layout.depth, |axis| kernel[axis]);
        Ok(Layout { block, ..layout })
    }

    /// A row of the kernel in the order of the packed columns.
    pub fn interleave(&self, row: &[f32], target: &mut [f32]) {
        match self.gates {
            Some(gates) => gates.interleave(row, target, (0, self.lanes), &|x| x),
            None => target.copy_from_slice(row),
        }
    }

    /// The panels of a group: as few as possible, of sizes as equal as possible.
    pub fn panels(&self) -> usize {
        self.columns.div_ceil(self.lanes).div_ceil(self.widest)
    }

    pub fn panel(&self, index: usize) -> Panel {
        let (vectors, panels) = (self.columns.div_ceil(self.lanes), self.panels().max(1));
        let (each, wider) = (vectors / panels, vectors % panels);
        let before = index * each + index.min(wider);
        let first = before * self.lanes;
        let vectors = each + usize::from(index < wider);
        let columns = (vectors * self.lanes).min(self.columns.saturating_sub(first));
        Panel { vectors, start: first * self.depth, first, columns }
    }

    /// Elements of a group's packed matrix.
    fn group_len(&self) -> Option<usize> {
        self.columns.checked_next_multiple_of(self.lanes)?.checked_mul(self.depth)
    }

    /// Elements of the packed matrices.
    pub fn packed_len(&self) -> Result<usize> {
        let len = self.group_len().and_then(|len| len.checked_mul(self.groups));
        len.ok_or_else(|| Error::limit("packed weights do not fit memory"))
    }

    /// Where a group's packed matrix is.
    pub fn group(&self, group: usize) -> Range<usize> {
        let len = self.group_len().unwrap_or(0);
        group * len..(group + 1) * len
    }

    /// Packs the matrices, whose columns stand beside each other at the start of `kernel`, into `packed`:
    /// `[group][panel][row][lane]`, with zeros where the last panel has no column.
    pub fn pack<T: Zeroable>(&self, kernel: &[T], packed: &mut [T]) {
        let kernel = &kernel[..self.depth * self.kernel_columns()];
        self.pack_rows(0, kernel, packed, &|x| x);
    }

    /// Columns of the kernel.
    fn kernel_columns(&self) -> usize {
        self.gates.map_or(self.groups * self.columns, |gates| gates.count * gates.units)
    }

    /// As [`pack`](Self::pack) for some rows of `kernel`, of which the first is its row `skip`, and for what `convert` makes
    /// of each element. All of its rows together write every element of `packed`.
    pub fn pack_rows<T: Copy, U: Zeroable>(
        &self,
        skip: usize,
        rows: &[T],
        packed: &mut [U],
        convert: &impl Fn(T) -> U,
    ) {
        let filters = self.kernel_columns().max(1);
        for group in 0..self.groups {
            for index in 0..self.panels() {
                let Panel { vectors, start, first, columns } = self.panel(index);
                let width = vectors * self.lanes;
                let panel = &mut packed[self.group(group)][start..][..width * self.depth];
                for (row, from) in (skip..).zip(rows.chunks_exact(filters)) {
                    let blocks_after = (self.depth - 1 - row) / self.block;
                    let target =
                        &mut panel[(blocks_after * self.block + row % self.block) * width..][..width];
                    if let Some(gates) = self.gates {
                        gates.interleave(from, target, (first, self.lanes), convert);
                        continue;
                    }
                    let from = &from[group * self.columns + first..][..columns];
                    target.iter_mut().zip(from).for_each(|(target, &x)| *target = convert(x));
                    target[columns..].fill(U::ZERO);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sets;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_column_is_packed_once_in_its_group(
            groups in 1usize..4, depth in 1usize..5, columns in 1usize..200, block in 1usize..3,
        ) {
            let kernel: Vec<f32> = (1..=groups * columns * depth * block).map(|i| i as f32).collect();
            for isa in sets() {
                let layout = Layout::new(isa, &[depth * block, groups * columns], groups).unwrap();
                let layout = Layout { block, ..layout };
                let mut packed = vec![-1.0; layout.packed_len().unwrap()];
                let (some, others) = kernel.split_at(groups * columns * (depth * block / 2));
                layout.pack_rows(0, some, &mut packed, &|x| x);
                layout.pack_rows(depth * block / 2, others, &mut packed, &|x| x);
                let mut next = 0;
                for index in 0..layout.panels() {
                    let panel = layout.panel(index);
                    prop_assert_eq!(panel.first, next);
                    prop_assert!((1..=isa.panel_vectors()).contains(&panel.vectors));
                    next += panel.columns;
                    for (group, row, lane) in (0..groups).flat_map(|group| {
                        (0..depth * block).flat_map(move |row| (0..panel.vectors * isa.lanes()).map(move |lane| (group, row, lane)))
                    }) {
                        let at = panel.start + row * panel.vectors * isa.lanes() + lane;
                        let from = (depth - 1 - row / block) * block + row % block;
                        let column = group * columns + panel.first + lane;
                        let expected = if lane < panel.columns { kernel[from * groups * columns + column] } else { 0.0 };
                        prop_assert_eq!(packed[layout.group(group)][at], expected);
                    }
                }
                prop_assert_eq!(next, columns);
            }
        }

        #[test]
        fn gates_are_interleaved_by_vectors_of_units(
            gates in 1usize..5, depth in 1usize..4, units in 1usize..40, by_units: bool,
        ) {
            let kernel: Vec<f32> = (1..=depth * gates * units).map(|i| i as f32).collect();
            for isa in sets() {
                let layout = Layout::with_gates_interleaved(isa, &[depth, gates * units], gates, by_units).unwrap();
                let mut packed = vec![-1.0; layout.packed_len().unwrap()];
                layout.pack(&kernel, &mut packed);
                let mut row = vec![-1.0; layout.columns];
                layout.interleave(&kernel[..gates * units], &mut row);
                let lanes = isa.lanes();
                for (column, d) in (0..layout.columns).flat_map(|column| (0..depth).map(move |d| (column, d))) {
                    let (vector, lane) = (column / lanes, column % lanes);
                    let unit = vector / gates * lanes + lane;
                    let from = d * gates * units + vector % gates * units + unit;
                    let expected = if unit < units { kernel[from] } else { 0.0 };
                    let mut panels = (0..layout.panels()).map(|index| layout.panel(index));
                    let panel = panels.find(|panel| (panel.first..panel.first + panel.columns).contains(&column));
                    let panel = panel.unwrap();
                    prop_assert!(!by_units || panel.vectors == gates);
                    prop_assert_eq!(packed[panel.start + d * panel.vectors * lanes + column - panel.first], expected);
                    prop_assert!(d > 0 || row[column] == expected);
                }
            }
        }
    }
}
