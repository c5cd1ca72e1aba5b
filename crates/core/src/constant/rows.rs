//! A weight's elements in single precision, some rows at a time.

use super::{Constant, ExprKind, Ranges, StoredTensor, read_checked, sums};
use crate::tensor::element_count;
use crate::{DType, Error, Result};

/// How many elements there are at a time, unless a row has more.
const BLOCK: usize = 1 << 12;
/// How many of them are computed before they are summed.
const STEP: usize = 1 << 11;

impl Constant {
    /// Calls `visit` with the elements that [`to_f32`](Self::to_f32) gives, one range after the other: some thousands of
    /// elements or one row of `row` elements, whichever is more, and always whole rows if there are any.
    ///
    /// What storage can give in ranges is never in memory as a whole.
    ///
    /// # Errors
    /// As [`to_f32`](Self::to_f32), perhaps after some of the elements.
    #[expect(clippy::arithmetic_side_effects, reason = "blocks are of the elements that there are")]
    #[expect(clippy::indexing_slicing, reason = "blocks are at most as long as the buffer")]
    pub fn visit_rows(&self, row: usize, mut visit: impl FnMut(&[f32])) -> Result<()> {
        let (count, block) = self.blocks(row)?;
        if let ExprKind::Stored(stored) = self.expr.kind()
            && stored.dtype() == DType::F32
        {
            return visit_stored(stored.as_ref(), (count, block), visit);
        }
        if !self.expr.is_float() {
            self.to_f32()?.chunks(block.max(1)).for_each(visit);
            return Ok(());
        }
        let mut ranges = Ranges::new(&self.expr)?;
        let mut numbers = vec![0.0; block];
        for start in (0..count).step_by(block.max(1)) {
            let numbers = &mut numbers[..block.min(count - start)];
            ranges.read(start, numbers)?;
            visit(numbers);
        }
        Ok(())
    }

    /// As [`visit_rows`](Self::visit_rows). Gives `other`, of which sums of this constant's rows are made on the way, so that
    /// what both are made of is read once: they are numbers in it.
    ///
    /// # Errors
    /// As [`to_f32`](Self::to_f32), of either, perhaps after some of the elements.
    #[expect(clippy::arithmetic_side_effects, reason = "blocks are of the elements that there are")]
    #[expect(clippy::indexing_slicing, reason = "blocks are at most as long as the buffer")]
    pub fn visit_rows_and_sum(
        &self,
        row: usize,
        other: &Constant,
        mut visit: impl FnMut(&[f32]),
    ) -> Result<Constant> {
        let Some((sum, terms)) = sums::of_rows(&other.expr, &self.expr) else {
            return self.visit_rows(row, visit).map(|()| other.clone());
        };
        let [mut ranges, mut terms] = Ranges::pair(&self.expr, terms)?;
        let mut sums = sums::empty(sum);
        let (count, block) = self.blocks(row)?;
        let mut numbers = vec![0.0; block];
        for start in (0..count).step_by(block.max(1)) {
            let numbers = &mut numbers[..block.min(count - start)];
            // In steps that are short beside what is read at a time.
            for (start, some) in (start..).step_by(STEP).zip(numbers.chunks_mut(STEP)) {
                ranges.read(start, some)?;
                terms.add_to(&mut sums, start, some.len())?;
            }
            visit(numbers);
        }
        Ok(Constant { expr: sums::replace(&other.expr, sum, sums)?, ..other.clone() })
    }

    /// The number of elements, and how many of them there are at a time.
    fn blocks(&self, row: usize) -> Result<(usize, usize)> {
        let count = element_count(self.shape())?;
        let row = row.clamp(1, count.max(1));
        let rows = BLOCK.checked_div(row).unwrap_or(0).max(1);
        Ok((count, row.saturating_mul(rows).min(count)))
    }
}

/// Calls `visit` with all `count` elements, a block at a time.
#[expect(clippy::arithmetic_side_effects, reason = "blocks are of the elements that there are")]
#[expect(clippy::indexing_slicing, reason = "blocks are at most as long as the buffers")]
fn visit_stored(
    stored: &dyn StoredTensor,
    (count, block): (usize, usize),
    mut visit: impl FnMut(&[f32]),
) -> Result<()> {
    let has_ranges = stored.read_range(0, &mut [])?;
    let mut bytes = if has_ranges { vec![0; block * 4] } else { read_checked(stored)? };
    let mut numbers = vec![0.0; block];
    for start in (0..count).step_by(block.max(1)) {
        let len = block.min(count - start);
        let bytes = match has_ranges {
            true => {
                let bytes = &mut bytes[..len * 4];
                if !stored.read_range(start * 4, bytes)? {
                    return Err(Error::shape("a stored tensor that has ranges, and has not"));
                }
                &*bytes
            }
            false => &bytes[start * 4..][..len * 4],
        };
        let numbers = &mut numbers[..len];
        numbers.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, bytes)| *x = f32::from_le_bytes(*bytes));
        visit(numbers);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConstantExpr, Data, Tensor};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Bytes that can be read in ranges, or not.
    #[derive(Debug)]
    struct File {
        shape: Vec<usize>,
        dtype: DType,
        bytes: Vec<u8>,
        has_ranges: bool,
        /// How many bytes were read.
        read: AtomicUsize,
    }

    impl StoredTensor for File {
        fn shape(&self) -> &[usize] {
            &self.shape
        }
        fn dtype(&self) -> DType {
            self.dtype
        }
        fn read(&self) -> Result<Vec<u8>> {
            assert!(!self.has_ranges, "read as a whole");
            Ok(self.bytes.clone())
        }
        fn read_range(&self, start: usize, out: &mut [u8]) -> Result<bool> {
            if self.has_ranges {
                self.read.fetch_add(out.len(), Ordering::Relaxed);
                out.copy_from_slice(&self.bytes[start..start + out.len()]);
            }
            Ok(self.has_ranges)
        }
    }

    fn file(shape: &[usize], dtype: DType, has_ranges: bool) -> ConstantExpr {
        ConstantExpr::stored(numbered(shape, dtype, has_ranges))
    }

    fn numbered(shape: &[usize], dtype: DType, has_ranges: bool) -> Arc<File> {
        let count: usize = shape.iter().product();
        let number = |i: usize| i as f32 / 64.0 - 3.0;
        let bytes = (0..count).flat_map(|i| match dtype {
            DType::F16 => half::f16::from_f32(number(i)).to_le_bytes().to_vec(),
            DType::F32 => number(i).to_le_bytes().to_vec(),
            _ => vec![i as u8],
        });
        let (bytes, read) = (bytes.collect(), AtomicUsize::new(0));
        Arc::new(File { shape: shape.to_vec(), dtype, bytes, has_ranges, read })
    }

    #[test]
    fn rows_are_whole_and_together_what_the_weight_is() {
        let shapes: [&[usize]; 6] = [&[], &[0, 7], &[3, BLOCK + 1], &[BLOCK, 3], &[2, 9, 1000], &[2 * BLOCK]];
        for shape in shapes {
            let literal = |i: usize| i as f64 / 7.0;
            let count = shape.iter().product();
            let floats = Tensor::f64(shape, (0..count).map(literal).collect()).unwrap();
            let integers = Tensor::new(shape, Data::I64((0..count as i64).collect())).unwrap();
            let (floats, integers) = (ConstantExpr::literal(floats), ConstantExpr::literal(integers));
            let stored = file(shape, DType::F32, false);
            let all = [
                file(shape, DType::F32, true),
                file(shape, DType::F16, true),
                file(shape, DType::F16, false),
                file(shape, DType::I8, false),
                floats.mul(&stored).unwrap(),
                floats.rounded(DType::BF16).unwrap(),
                stored,
                floats,
                integers,
            ];
            for (at, expr) in all.into_iter().enumerate() {
                let constant = Constant { name: "w".into(), dtype: DType::F32, expr };
                let row = shape.last().copied().unwrap_or(1);
                let mut rows: Vec<f32> = Vec::new();
                let visit = |some: &[f32]| {
                    assert!(!some.is_empty() && some.len().is_multiple_of(row), "{} of {row}", some.len());
                    assert!(some.len() <= row.max(BLOCK));
                    rows.extend(some);
                };
                constant.visit_rows(row, visit).unwrap();
                // Read as a whole, which the file with ranges refuses.
                let whole = match at {
                    0 => (0..count).map(|i| i as f32 / 64.0 - 3.0).collect(),
                    _ => constant.to_f32().unwrap(),
                };
                assert!(
                    rows.iter().map(|x| x.to_bits()).eq(whole.iter().map(|x| x.to_bits())),
                    "{shape:?} {at}"
                );
            }
        }
    }

    #[test]
    fn storage_of_another_size_is_malformed() {
        let (bytes, read) = (vec![0; 8], AtomicUsize::new(0));
        let short = File { shape: vec![3], dtype: DType::F32, bytes, has_ranges: false, read };
        let expr = ConstantExpr::stored(Arc::new(short));
        let constant = Constant { name: "w".into(), dtype: DType::F32, expr };
        let error = constant.visit_rows(1, |_| panic!("elements")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Malformed);
    }

    /// `rows` numbers as a column.
    fn column(rows: usize, number: impl Fn(usize) -> f64) -> ConstantExpr {
        ConstantExpr::literal(Tensor::f64([rows, 1], (0..rows).map(number).collect()).unwrap())
    }

    #[test]
    fn rows_and_what_is_summed_of_them_are_read_once() {
        for shape in [[100, 300], [40, 3 * BLOCK], [3 * BLOCK, 2], [20_000, 1]] {
            for (dtype, shift) in [(DType::F32, 0.1), (DType::F16, -7.0), (DType::F32, f64::NAN)] {
                let stored = numbered(&shape, dtype, true);
                let [rows, units] = shape;
                let of = |stored: &Arc<File>| {
                    let weight = ConstantExpr::stored(stored.clone()).reshape(&[1, rows, units]).unwrap();
                    let scaled = weight.mul(&column(rows, |i| 1.0 / (i + 1) as f64)).unwrap();
                    let shifted = weight.mul(&column(rows, |i| shift + i as f64)).unwrap();
                    let sum = shifted.sum(1).unwrap().reshape(&[units]).unwrap();
                    let bias = file(&[units], DType::F32, true).add(&sum).unwrap();
                    let constant = |expr| Constant { name: "w".into(), dtype: DType::F32, expr };
                    (constant(scaled), [constant(sum), constant(bias)])
                };
                let (kernel, sums) = of(&stored);
                for sum in sums {
                    let before = stored.read.load(Ordering::Relaxed);
                    let mut rows = Vec::new();
                    let given = kernel.visit_rows_and_sum(units, &sum, |some| rows.extend(some)).unwrap();
                    // But for some at the ends of what is read at a time.
                    let read = stored.read.load(Ordering::Relaxed) - before;
                    let whole = stored.bytes.len();
                    assert!((whole..whole + whole / 4).contains(&read), "{read} bytes of {shape:?} {dtype}");
                    let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert!(bits(&rows) == bits(&kernel.to_f32().unwrap()), "{shape:?} {dtype}");
                    let expected = bits(&sum.to_f32().unwrap());
                    assert!(bits(&given.to_f32().unwrap()) == expected, "{shape:?} {dtype}");
                }
                // Of another tensor, nothing is summed on the way.
                let (_, [other, _]) = of(&numbered(&shape, dtype, true));
                let given = kernel.visit_rows_and_sum(units, &other, |_| ()).unwrap();
                assert!(given.to_f32().unwrap().len() == units);
            }
        }
    }
}
