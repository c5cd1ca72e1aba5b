//! By pieces, expressions have the bits that they have as a whole, whatever the sizes of the pieces.

use super::*;
use crate::{Constant, DType, StoredTensor, Tensor};
use half::{bf16, f16};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers in a file, and how often they were read.
#[derive(Debug)]
struct File {
    shape: Vec<usize>,
    dtype: DType,
    bytes: Vec<u8>,
    reads: AtomicUsize,
    has_ranges: bool,
}

impl StoredTensor for File {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn read(&self) -> Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.bytes.clone())
    }

    fn read_range(&self, start: usize, out: &mut [u8]) -> Result<bool> {
        if self.has_ranges {
            out.copy_from_slice(&self.bytes[start..start + out.len()]);
        }
        Ok(self.has_ranges)
    }
}

/// `numbers` as they are when stored as `dtype`, in the shape `shape`, over and over if they are too few.
fn file(shape: &[usize], dtype: DType, numbers: &[f64]) -> Arc<File> {
    let numbers = numbers.iter().cycle().take(shape.iter().product());
    let bytes = numbers.flat_map(|&x| match dtype {
        DType::F16 => f16::from_f64(x).to_le_bytes().to_vec(),
        DType::BF16 => bf16::from_f64(x).to_le_bytes().to_vec(),
        DType::F32 => (x as f32).to_le_bytes().to_vec(),
        _ => x.to_le_bytes().to_vec(),
    });
    let (bytes, reads) = (bytes.collect(), AtomicUsize::new(0));
    Arc::new(File { shape: shape.to_vec(), dtype, bytes, reads, has_ranges: false })
}

/// The same, in a file that can be read in ranges.
fn ranged(file: Arc<File>) -> Arc<File> {
    let (shape, bytes, reads) = (file.shape.clone(), file.bytes.clone(), AtomicUsize::new(0));
    Arc::new(File { shape, dtype: file.dtype, bytes, reads, has_ranges: true })
}

/// Numbers of every kind.
const NUMBERS: [f64; 16] = [
    1.0,
    -2.5,
    0.1,
    f64::NAN,
    3.0,
    -0.0,
    f64::INFINITY,
    1e-45,
    -7.25,
    0.0,
    1e30,
    f64::NEG_INFINITY,
    1.0 / 3.0,
    -f64::NAN,
    1e300,
    12345.678,
];

/// Decisions, one after the other; 0 when there are no more.
struct Choices<'a>(std::slice::Iter<'a, usize>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.next().map_or(0, |choice| choice % n.max(1))
    }

    /// An axis, if there is any.
    fn axis(&mut self, expr: &ConstantExpr) -> Option<usize> {
        (!expr.shape().is_empty()).then(|| self.below(expr.shape().len()))
    }

    fn leaf(&mut self, shape: &[usize]) -> ConstantExpr {
        let mut numbers = NUMBERS;
        numbers.rotate_left(self.below(NUMBERS.len()));
        let dtype = [DType::F32, DType::F64, DType::F16, DType::BF16, DType::Bool][self.below(5)];
        if dtype == DType::Bool {
            let numbers = numbers.into_iter().cycle().take(shape.iter().product()).collect();
            return ConstantExpr::literal(Tensor::f64(shape, numbers).unwrap());
        }
        let file = file(shape, dtype, &numbers);
        ConstantExpr::stored(if self.below(2) == 0 { file } else { ranged(file) })
    }

    fn shape(&mut self) -> Vec<usize> {
        (0..self.below(5)).map(|_| [1, 2, 3, 4, 5, 7, 0][self.below(7)]).collect()
    }

    /// Something of a shape that broadcasts to that of `expr`.
    fn partner(&mut self, expr: &ConstantExpr) -> ConstantExpr {
        let mut other = expr.clone();
        if self.below(2) == 0 {
            let kept = &expr.shape()[self.below(expr.shape().len() + 1)..];
            let shape: Vec<usize> = kept.iter().map(|&n| if self.below(2) == 0 { 1 } else { n }).collect();
            return self.leaf(&shape);
        }
        for axis in 0..expr.shape().len() {
            if self.below(2) == 0 && expr.shape()[axis] > 0 {
                other = other.slice(axis, 0..1).unwrap();
            }
        }
        other
    }

    /// One more operation on `expr`.
    fn operation(&mut self, expr: &ConstantExpr) -> Option<ConstantExpr> {
        let shape = expr.shape();
        Some(match self.below(9) {
            0 => expr.sqrt(),
            1 => {
                let mut permutation: Vec<usize> = (0..shape.len()).collect();
                for axis in 0..shape.len() {
                    permutation.swap(axis, self.below(axis + 1));
                }
                expr.permute(&permutation).unwrap()
            }
            2 => {
                // Two axes as one, or one as two.
                let at = self.axis(expr)?;
                let mut sizes = shape.to_vec();
                let size = sizes.remove(at);
                match sizes.get_mut(at) {
                    Some(next) if self.below(2) == 0 => *next *= size,
                    _ => {
                        let part = [2, 3, 1, size][self.below(4)];
                        let parts = if part > 0 && size.is_multiple_of(part) {
                            [part, size / part]
                        } else {
                            [1, size]
                        };
                        sizes.splice(at..at, parts);
                    }
                }
                expr.reshape(&sizes).unwrap()
            }
            3 => expr.sum(self.axis(expr)?).unwrap(),
            4 => {
                let axis = self.axis(expr)?;
                let from = self.below(shape[axis] + 1);
                let to = from + self.below(shape[axis] - from + 1);
                expr.slice(axis, from..to).unwrap()
            }
            5 => {
                let axis = self.axis(expr)?;
                let mut sizes = shape.to_vec();
                sizes[axis] = self.below(3);
                let parts = [expr.clone(), self.leaf(&sizes), expr.clone()];
                let first = self.below(2);
                ConstantExpr::concat(&parts[first..=first + 1 + self.below(2 - first)], axis).unwrap()
            }
            6 => expr.rounded([DType::F16, DType::BF16][self.below(2)]).unwrap(),
            _ => {
                let ops =
                    [Arithmetic::Mul, Arithmetic::Add, Arithmetic::Sub, Arithmetic::Div, Arithmetic::Max];
                let (op, partner) = (ops[self.below(5)], self.partner(expr));
                let (a, b) = if self.below(2) == 0 { (expr, &partner) } else { (&partner, expr) };
                a.arithmetic(op, b).unwrap()
            }
        })
    }
}

/// An expression of stored and literal numbers with so many operations.
fn expression() -> impl Strategy<Value = ConstantExpr> {
    (prop::collection::vec(any::<usize>(), 0..200), 0..12usize).prop_map(|(choices, operations)| {
        let mut choices = Choices(choices.iter());
        let shape = choices.shape();
        let mut expr = choices.leaf(&shape);
        for _ in 0..operations {
            let next = choices.operation(&expr).unwrap_or_else(|| expr.clone());
            if next.shape().iter().product::<usize>() <= 3000 {
                expr = next;
            }
        }
        expr
    })
}

fn bits(numbers: Vec<f32>) -> Vec<u32> {
    numbers.into_iter().map(f32::to_bits).collect()
}

/// What [`to_f32`] should give.
fn expected(expr: &ConstantExpr) -> Vec<u32> {
    let rounded = expr.evaluate().unwrap().to_f32();
    let is_canonical = !expr.is_moved_only();
    bits(rounded.into_iter().map(|x| if x.is_nan() && is_canonical { f32::NAN } else { x }).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_any_size_have_the_bits_of_the_whole(
        expr in expression(), block in 1..40usize, kept in prop::sample::select(vec![0, 3, 20, 1 << 20]),
    ) {
        // What is past a narrow type is an error; pieces need not come across it, as in what is sliced away.
        if expr.evaluate().is_err() {
            return Ok(());
        }
        let expected = expected(&expr);
        prop_assert_eq!(bits(to_f32(&expr).unwrap()), expected.as_slice());
        prop_assert_eq!(bits(rounded(&expr, Sizes { block, kept }).unwrap()), expected);
    }
}

/// A kernel `[taps, rows, columns]` and a vector of its columns, as files.
fn kernel_and_scale(taps: usize, rows: usize, columns: usize) -> [Arc<File>; 2] {
    let numbers: Vec<f64> = (0..taps * rows * columns).map(|i| (i as f64 * 0.37).sin()).collect();
    let scales: Vec<f64> = (0..columns).map(|i| 0.5 + (i as f64 * 0.11).cos().abs()).collect();
    [file(&[taps, rows, columns], DType::F32, &numbers), file(&[columns], DType::F32, &scales)]
}

#[test]
fn weights_of_many_blocks_have_the_bits_of_the_whole() {
    let [kernel, scale] = kernel_and_scale(3, 171, 130).map(|file| ConstantExpr::stored(file));
    let scaled = kernel.mul(&scale).unwrap();
    let joined = kernel.reshape(&[513, 130]).unwrap().permute(&[1, 0]).unwrap();
    let halves = [joined.slice(0, 65..130).unwrap(), joined.slice(0, 0..65).unwrap()];
    let cases = [
        scaled.clone(),
        scaled.permute(&[1, 2, 0]).unwrap(),
        scaled.sum(0).unwrap(),
        scaled.sum(2).unwrap(),
        scaled.sum(0).unwrap().sum(0).unwrap(),
        kernel.mul(&kernel.slice(1, 0..1).unwrap().sqrt()).unwrap(),
        ConstantExpr::concat(&halves, 0).unwrap(),
    ];
    for (at, expr) in cases.iter().enumerate() {
        assert!(bits(to_f32(expr).unwrap()) == expected(expr), "case {at}");
    }
}

#[test]
fn a_number_past_a_narrow_type_is_an_error_in_any_piece() {
    for at in [0, 7, 20_000, 39_999] {
        let mut numbers = vec![1.0; 40_000];
        numbers[at] = -1e6;
        let numbers = ConstantExpr::literal(Tensor::f64([40_000], numbers).unwrap());
        let error = to_f32(&numbers.rounded(DType::F16).unwrap()).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (crate::ErrorKind::Limit, "a weight is -1e6; the largest float16 is 6.5504e4")
        );
        assert!(to_f32(&numbers.rounded(DType::BF16).unwrap()).is_ok());
    }
}

#[test]
fn what_is_stored_is_read_once() {
    let [kernel, scale] = kernel_and_scale(2, 3, 4);
    let [k, s] = [kernel.clone(), scale.clone()].map(|file| ConstantExpr::stored(file));
    let expr = k.mul(&s).unwrap().add(&k.div(&s).unwrap()).unwrap().sub(&k.sum(0).unwrap()).unwrap();
    let constant = Constant { name: "kernel".into(), dtype: DType::F32, expr };
    assert_eq!(constant.to_f32().unwrap().len(), 24);
    assert_eq!([&kernel, &scale].map(|file| file.reads.load(Ordering::Relaxed)), [1, 1]);
}

#[test]
fn what_is_wanted_in_order_is_never_in_memory_as_a_whole() {
    let [kernel, scale] = kernel_and_scale(3, 171, 130).map(ranged);
    let [k, s] = [kernel.clone(), scale.clone()].map(|file| ConstantExpr::stored(file));
    let reads = || [&kernel, &scale].map(|file| file.reads.swap(0, Ordering::Relaxed));
    let scaled = k.mul(&s).unwrap();
    for expr in [scaled.reshape(&[513, 130]).unwrap(), scaled.sqrt(), scaled.sum(0).unwrap()] {
        let found = bits(to_f32(&expr).unwrap());
        // Only what is repeated is read as a whole.
        assert_eq!(reads(), [0, 1]);
        assert!(found == expected(&expr));
        reads();
    }
    let moved = k.permute(&[2, 0, 1]).unwrap();
    assert!(bits(to_f32(&moved).unwrap()) == expected(&moved));
    assert_eq!(reads(), [2, 0]);
}

#[test]
fn a_range_that_cannot_be_read_is_an_error() {
    #[derive(Debug)]
    struct CutOff;
    impl StoredTensor for CutOff {
        fn shape(&self) -> &[usize] {
            &[40_000]
        }
        fn dtype(&self) -> DType {
            DType::F32
        }
        fn read(&self) -> Result<Vec<u8>> {
            Err(Error::shape("not as a whole"))
        }
        fn read_range(&self, start: usize, _: &mut [u8]) -> Result<bool> {
            if start < 100_000 { Ok(true) } else { Err(Error::shape("cut off")) }
        }
    }
    let error = to_f32(&ConstantExpr::stored(Arc::new(CutOff)).sqrt()).unwrap_err();
    assert_eq!(error.message(), "cut off");
}

#[test]
fn a_nan_that_is_computed_is_one_nan_and_one_that_is_moved_stays() {
    let nan = ConstantExpr::literal(Tensor::f64([2], vec![-f64::NAN, f64::INFINITY]).unwrap());
    let [found, moved] =
        [nan.sub(&nan).unwrap(), nan.slice(0, 0..1).unwrap()].map(|expr| to_f32(&expr).unwrap());
    assert_eq!(bits(found), [0x7fc0_0000; 2]);
    assert_eq!(bits(moved), [0xffc0_0000]);
}

#[test]
fn integers_are_rounded_once_and_not_computed_with() {
    // To double precision it would be rounded down to the middle of two floats, and from there to the lower one.
    let number = (1i64 << 60) + (1 << 36) + 1;
    let integers = ConstantExpr::literal(Tensor::new([1], crate::Data::I64(vec![number])).unwrap());
    let constant = |expr| Constant { name: "n".into(), dtype: DType::F32, expr };
    assert_eq!(constant(integers.clone()).to_f32().unwrap(), [number as f32]);
    assert!(constant(integers.sqrt()).to_f32().is_err());
    assert!(to_f32(&integers).is_err());
}

#[test]
fn sizes_past_memory_are_errors() {
    let column = ConstantExpr::filled(&[1 << 20, 1], 1.0).unwrap();
    let row = ConstantExpr::filled(&[1, 1 << 20], 1.0).unwrap();
    let square = column.mul(&row).unwrap();
    let huge = square.reshape(&[1, 1 << 40]).unwrap().mul(&square.reshape(&[1 << 40, 1]).unwrap()).unwrap();
    let cases =
        [huge.clone(), huge.slice(0, 0..1).unwrap(), huge.sum(0).unwrap().sum(0).unwrap(), huge.sqrt()];
    for expr in cases {
        assert_eq!(to_f32(&expr).unwrap_err().kind(), crate::ErrorKind::Limit);
    }
    assert_eq!(to_f32(&square.slice(0, 0..0).unwrap()).unwrap(), []);
}
