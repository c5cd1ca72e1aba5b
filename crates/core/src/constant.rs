//! Weights: small expressions over stored tensors, evaluated one at a time.

mod arithmetic;
mod elements;
mod order;
mod pieces;
mod rows;
mod sums;

pub use pieces::Ranges;

use crate::ops::{Concat, Operator, Slice};
use crate::tensor::{broadcast_axis, dot, element_count, for_each_index, strides};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use half::{bf16, f16};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A tensor whose elements lie in a file or in memory and are read when they are needed.
pub trait StoredTensor: Send + Sync + fmt::Debug {
    /// The sizes along each axis.
    fn shape(&self) -> &[usize];
    /// The element type in storage.
    fn dtype(&self) -> DType;
    /// Whether the elements can be had; `false` for a weight of which only the shape is known.
    fn is_bound(&self) -> bool {
        true
    }
    /// The elements in row-major order, little-endian: `product(shape) * dtype.size()` bytes.
    fn read(&self) -> Result<Vec<u8>>;

    /// Fills `out` with the bytes from `start` on of those that [`read`](Self::read) gives, and returns `true`; `false` where
    /// they can only be read as a whole, which is the same for every range.
    fn read_range(&self, start: usize, out: &mut [u8]) -> Result<bool> {
        let _ = (start, out);
        Ok(false)
    }
}

/// A named weight of a graph.
#[derive(Clone, Debug)]
pub struct Constant {
    /// The layer's path and the weight's name, such as `conv1d/kernel`.
    pub name: String,
    /// The type that the graph computes with.
    pub dtype: DType,
    /// Where the elements come from.
    pub expr: ConstantExpr,
}

impl Constant {
    /// The sizes along each axis.
    pub fn shape(&self) -> &[usize] {
        self.expr.shape()
    }

    /// The elements, computed in `f64` and not yet rounded to `dtype`.
    pub fn evaluate(&self) -> Result<Tensor> {
        self.expr.evaluate()
    }

    /// The elements in single precision: those of [`evaluate`](Self::evaluate), rounded.
    ///
    /// What is stored as `float32` is passed on bit for bit, NaN payloads included. Where there is arithmetic in the
    /// expression, every NaN is [`f32::NAN`].
    ///
    /// Floating-point numbers are computed some thousands at a time, so that memory is needed for what the expression
    /// reads, as it is stored, for the result, and for at most 16 MiB beside. Only what is computed and then
    /// [permuted](ConstantExpr::permute) is in memory as a whole, in double precision.
    ///
    /// # Errors
    /// As [`ConstantExpr::evaluate`], and [`Limit`](ErrorKind::Limit) where the result does not fit memory.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        if let ExprKind::Stored(stored) = self.expr.kind()
            && stored.dtype() == DType::F32
        {
            let bytes = read_checked(stored.as_ref())?;
            let (chunks, _) = bytes.as_chunks::<4>();
            return Ok(chunks.iter().map(|c| f32::from_le_bytes(*c)).collect());
        }
        if self.expr.is_float() {
            return pieces::to_f32(&self.expr);
        }
        Ok(self.evaluate()?.to_f32())
    }
}

impl Constant {
    /// The elements in single precision, to be read in ranges; the same as those of [`to_f32`](Self::to_f32), where these
    /// are computed from floating-point numbers. `None` where they are not, or are read from storage as they are.
    pub fn ranges(&self) -> Result<Option<Ranges<'_>>> {
        match self.expr.kind() {
            ExprKind::Stored(_) => Ok(None),
            _ if self.expr.is_float() => Ranges::new(&self.expr).map(Some),
            _ => Ok(None),
        }
    }
}

/// A lazily evaluated tensor of known shape; cheap to clone.
#[derive(Clone, Debug)]
pub struct ConstantExpr(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shape: Vec<usize>,
    kind: ExprKind,
    depth: usize,
}

/// What a [`ConstantExpr`] computes. Only `+ - x ÷ √` round (a maximum does not), so that results are the same on every machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExprKind {
    /// Read from storage.
    Stored(Arc<dyn StoredTensor>),
    /// Written out.
    Literal(Tensor),
    /// Axis `i` is the operand's axis `permutation[i]`.
    Permute(ConstantExpr, Vec<usize>),
    /// The same elements in another shape.
    Reshape(ConstantExpr),
    /// The square root of each element.
    Sqrt(ConstantExpr),
    /// Element by element with NumPy's broadcasting.
    Arithmetic(Arithmetic, ConstantExpr, ConstantExpr),
    /// The sum over an axis, which is dropped.
    Sum(ConstantExpr, usize),
    /// Elements along an axis from the given one on, as many as the shape says.
    Slice(ConstantExpr, usize, usize),
    /// One after the other along an axis.
    Concat(Vec<ConstantExpr>, usize),
    /// Each element rounded to the nearest of this type, which is `F16` or `BF16`.
    Rounded(ConstantExpr, DType),
}

impl ExprKind {
    /// What it is computed from.
    fn operands(&self) -> impl Iterator<Item = &ConstantExpr> {
        let (first, second, more): (_, _, &[ConstantExpr]) = match self {
            ExprKind::Stored(_) | ExprKind::Literal(_) => (None, None, &[]),
            ExprKind::Permute(a, _)
            | ExprKind::Reshape(a)
            | ExprKind::Sqrt(a)
            | ExprKind::Sum(a, _)
            | ExprKind::Slice(a, _, _)
            | ExprKind::Rounded(a, _) => (Some(a), None, &[]),
            ExprKind::Arithmetic(_, a, b) => (Some(a), Some(b), &[]),
            ExprKind::Concat(parts, _) => (None, None, parts),
        };
        first.into_iter().chain(second).chain(more)
    }
}

/// An operation on two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The larger; the other one where one is NaN.
    Max,
}

impl Arithmetic {
    /// The result for two elements.
    #[inline]
    fn apply(self, x: f64, y: f64) -> f64 {
        match self {
            Arithmetic::Add => x + y,
            Arithmetic::Sub => x - y,
            Arithmetic::Mul => x * y,
            Arithmetic::Div => x / y,
            // Of zeros of both signs, `f64::max` may return either.
            Arithmetic::Max if x > y || y.is_nan() => x,
            Arithmetic::Max => y,
        }
    }
}

impl ConstantExpr {
    fn new(shape: Vec<usize>, kind: ExprKind) -> ConstantExpr {
        let depth = kind.operands().map(ConstantExpr::depth).max().unwrap_or(0).saturating_add(1);
        ConstantExpr(Arc::new(Inner { shape, kind, depth }))
    }

    /// The elements in `stored`.
    pub fn stored(stored: Arc<dyn StoredTensor>) -> ConstantExpr {
        ConstantExpr::new(stored.shape().to_vec(), ExprKind::Stored(stored))
    }

    /// The elements of `tensor`.
    pub fn literal(tensor: Tensor) -> ConstantExpr {
        ConstantExpr::new(tensor.shape().to_vec(), ExprKind::Literal(tensor))
    }

    /// A tensor of `shape` with every element `value`.
    pub fn filled(shape: &[usize], value: f64) -> Result<ConstantExpr> {
        let n = element_count(shape)?;
        Ok(ConstantExpr::literal(Tensor::f64(shape, vec![value; n])?))
    }

    /// The tensor whose axis `i` is this one's axis `permutation[i]`.
    #[expect(clippy::indexing_slicing, reason = "the permutation was checked against the axes")]
    pub fn permute(&self, permutation: &[usize]) -> Result<ConstantExpr> {
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape().len()) {
            return Err(Error::shape(format!("{permutation:?} is no permutation of {:?}", self.shape())));
        }
        let shape = permutation.iter().map(|&axis| self.shape()[axis]).collect();
        Ok(ConstantExpr::new(shape, ExprKind::Permute(self.clone(), permutation.to_vec())))
    }

    /// The same elements in another shape of the same size.
    pub fn reshape(&self, shape: &[usize]) -> Result<ConstantExpr> {
        if element_count(shape)? != element_count(self.shape())? {
            return Err(Error::shape(format!("{:?} cannot be reshaped to {shape:?}", self.shape())));
        }
        Ok(ConstantExpr::new(shape.to_vec(), ExprKind::Reshape(self.clone())))
    }

    /// The square root of each element.
    pub fn sqrt(&self) -> ConstantExpr {
        ConstantExpr::new(self.shape().to_vec(), ExprKind::Sqrt(self.clone()))
    }

    /// Element by element with NumPy's broadcasting.
    pub fn arithmetic(&self, op: Arithmetic, other: &ConstantExpr) -> Result<ConstantExpr> {
        let shape = broadcast(self.shape(), other.shape())?;
        Ok(ConstantExpr::new(shape, ExprKind::Arithmetic(op, self.clone(), other.clone())))
    }

    /// `self + other`
    pub fn add(&self, other: &ConstantExpr) -> Result<ConstantExpr> {
        self.arithmetic(Arithmetic::Add, other)
    }

    /// `self - other`
    pub fn sub(&self, other: &ConstantExpr) -> Result<ConstantExpr> {
        self.arithmetic(Arithmetic::Sub, other)
    }

    /// `self * other`
    pub fn mul(&self, other: &ConstantExpr) -> Result<ConstantExpr> {
        self.arithmetic(Arithmetic::Mul, other)
    }

    /// `self / other`
    pub fn div(&self, other: &ConstantExpr) -> Result<ConstantExpr> {
        self.arithmetic(Arithmetic::Div, other)
    }

    /// The sum over `axis`, which is dropped.
    pub fn sum(&self, axis: usize) -> Result<ConstantExpr> {
        let mut shape = self.shape().to_vec();
        if axis >= shape.len() {
            return Err(Error::shape(format!("no axis {axis} in {shape:?}")));
        }
        // One element is its sum.
        if shape.remove(axis) == 1 {
            return self.reshape(&shape);
        }
        Ok(ConstantExpr::new(shape, ExprKind::Sum(self.clone(), axis)))
    }

    /// The elements along `axis` from `range.start` up to `range.end`.
    #[expect(clippy::indexing_slicing, reason = "`len` is there only where the axis is")]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<ConstantExpr> {
        let mut shape = self.shape().to_vec();
        let len =
            range.end.checked_sub(range.start).filter(|_| shape.get(axis).is_some_and(|&n| range.end <= n));
        let error = || Error::shape(format!("no elements {range:?} along axis {axis} in {:?}", self.shape()));
        shape[axis] = len.ok_or_else(error)?;
        Ok(ConstantExpr::new(shape, ExprKind::Slice(self.clone(), axis, range.start)))
    }

    /// The tensors one after the other along `axis`; their other sizes must be the same.
    #[expect(clippy::indexing_slicing, reason = "every part was found to have the axis")]
    pub fn concat(parts: &[ConstantExpr], axis: usize) -> Result<ConstantExpr> {
        let error = || Error::shape(format!("constants that do not fit each other along axis {axis}"));
        let mut shape = parts.first().ok_or_else(error)?.shape().to_vec();
        let mut sum = 0usize;
        for part in parts {
            let mut expected = shape.clone();
            *expected.get_mut(axis).ok_or_else(error)? = *part.shape().get(axis).ok_or_else(error)?;
            if part.shape() != expected {
                return Err(error());
            }
            sum = sum.checked_add(expected[axis]).ok_or_else(error)?;
        }
        shape[axis] = sum;
        element_count(&shape)?;
        Ok(ConstantExpr::new(shape, ExprKind::Concat(parts.to_vec(), axis)))
    }

    /// Each element, in single precision, rounded to the nearest of the type `narrow`: `F16` or `BF16`.
    ///
    /// Evaluating it fails with [`Limit`](ErrorKind::Limit) where a finite element is past the largest of that type.
    pub fn rounded(&self, narrow: DType) -> Result<ConstantExpr> {
        match narrow {
            DType::F16 | DType::BF16 => {
                Ok(ConstantExpr::new(self.shape().to_vec(), ExprKind::Rounded(self.clone(), narrow)))
            }
            _ => Err(Error::new(ErrorKind::Unsupported, format!("weights rounded to {narrow}"))),
        }
    }

    /// The sizes along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// What it computes.
    pub fn kind(&self) -> &ExprKind {
        &self.0.kind
    }

    /// How many operations are nested in it. Evaluation recurses as deep.
    pub fn depth(&self) -> usize {
        self.0.depth
    }

    /// Whether the elements can be had, that is, every stored part of it [is bound](StoredTensor::is_bound).
    pub fn is_bound(&self) -> bool {
        match self.kind() {
            ExprKind::Stored(stored) => stored.is_bound(),
            kind => kind.operands().all(ConstantExpr::is_bound),
        }
    }

    /// Whether everything that is read for it is floating-point numbers, as they then are its elements.
    fn is_float(&self) -> bool {
        match self.kind() {
            ExprKind::Stored(stored) => stored.dtype().is_float(),
            ExprKind::Literal(tensor) => tensor.as_f64().is_ok(),
            kind => kind.operands().all(ConstantExpr::is_float),
        }
    }

    /// Whether its elements are what is read for it, in some order.
    fn is_moved_only(&self) -> bool {
        match self.kind() {
            ExprKind::Sqrt(_) | ExprKind::Arithmetic(..) | ExprKind::Sum(..) | ExprKind::Rounded(..) => false,
            kind => kind.operands().all(ConstantExpr::is_moved_only),
        }
    }

    /// The elements, computed in `f64`.
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) or [`Io`](ErrorKind::Io) where storage cannot be read,
    /// what the storage says where it [is not bound](StoredTensor::is_bound).
    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(
        clippy::indexing_slicing,
        reason = "the expression's making checked its axes, and strides are of the shapes that are read"
    )]
    pub fn evaluate(&self) -> Result<Tensor> {
        match self.kind() {
            ExprKind::Stored(stored) => {
                Tensor::from_le_bytes(self.shape(), stored.dtype(), &read_checked(stored.as_ref())?)
            }
            ExprKind::Literal(tensor) => Ok(tensor.clone()),
            ExprKind::Permute(a, permutation) => a.evaluate()?.permute(permutation),
            ExprKind::Reshape(a) => a.evaluate()?.reshape(self.shape()),
            ExprKind::Sqrt(a) => {
                let a = a.evaluate()?;
                Tensor::f64(self.shape(), a.as_f64()?.iter().map(|x| x.sqrt()).collect())
            }
            ExprKind::Arithmetic(op, a, b) => {
                let (a, b) = (a.evaluate()?, b.evaluate()?);
                let (x, y) = (a.as_f64()?, b.as_f64()?);
                let (sa, sb) =
                    (broadcast_strides(a.shape(), self.shape()), broadcast_strides(b.shape(), self.shape()));
                let mut data = Vec::with_capacity(element_count(self.shape())?);
                for_each_index(self.shape(), |index| {
                    let (x, y) = (x[dot(index, &sa)], y[dot(index, &sb)]);
                    data.push(op.apply(x, y));
                });
                Tensor::f64(self.shape(), data)
            }
            ExprKind::Sum(a, axis) => {
                let a = a.evaluate()?;
                let (x, strides) = (a.as_f64()?, strides(a.shape()));
                let (extent, step) = (a.shape()[*axis], strides[*axis]);
                let mut outer = strides.clone();
                outer.remove(*axis);
                let mut data = Vec::with_capacity(element_count(self.shape())?);
                for_each_index(self.shape(), |index| {
                    let start = dot(index, &outer);
                    data.push((0..extent).map(|i| x[start + i * step]).sum());
                });
                Tensor::f64(self.shape(), data)
            }
            ExprKind::Slice(a, axis, start) => {
                let after = a.shape()[*axis] - start - self.shape()[*axis];
                let slice = Slice { axis: *axis, before: *start as i64, after: after as i64 };
                Ok(slice.reference(&[&a.evaluate()?])?.remove(0))
            }
            ExprKind::Concat(parts, axis) => {
                let parts = parts.iter().map(ConstantExpr::evaluate).collect::<Result<Vec<Tensor>>>()?;
                let parts: Vec<&Tensor> = parts.iter().collect();
                Ok(Concat { axis: *axis }.reference(&parts)?.remove(0))
            }
            ExprKind::Rounded(a, narrow) => {
                let mut data = a.evaluate()?.as_f64()?.to_vec();
                for x in &mut data {
                    *x = nearest(*x, *narrow)?;
                }
                Tensor::f64(self.shape(), data)
            }
        }
    }
}

/// `x`, as the single-precision number it is, rounded to the nearest of the type `narrow`.
fn nearest(x: f64, narrow: DType) -> Result<f64> {
    let single = x as f32;
    let (rounded, max) = match narrow {
        DType::F16 => (f16::from_f32(single).to_f32(), f16::MAX.to_f32()),
        _ => (bf16::from_f32(single).to_f32(), bf16::MAX.to_f32()),
    };
    if single.is_finite() && !rounded.is_finite() {
        let text = format!("a weight is {single:e}; the largest {narrow} is {max:e}");
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(rounded.into())
}

fn read_checked(stored: &dyn StoredTensor) -> Result<Vec<u8>> {
    let bytes = stored.read()?;
    let expected = element_count(stored.shape())?.saturating_mul(stored.dtype().size());
    if bytes.len() != expected {
        let given = bytes.len();
        let text =
            format!("a stored tensor of {:?} takes {expected} bytes; {given} were read", stored.shape());
        return Err(Error::new(ErrorKind::Malformed, text));
    }
    Ok(bytes)
}

/// NumPy's broadcast of two shapes of numbers.
#[expect(clippy::indexing_slicing, reason = "`at` is below the rank of the shape")]
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size =
        |shape: &[usize], axis: usize| broadcast_axis(axis, shape.len(), rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(Error::shape(format!("{a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

/// The strides with which a tensor of `shape` is read when broadcast to `target`: 0 where it repeats.
#[expect(clippy::indexing_slicing, reason = "`at` is below the rank of the shape")]
pub(crate) fn broadcast_strides(shape: &[usize], target: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    (0..target.len())
        .map(|axis| match broadcast_axis(axis, shape.len(), target.len()) {
            Some(at) if shape[at] != 1 => own[at],
            _ => 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(shape: &[usize], data: &[f64]) -> ConstantExpr {
        ConstantExpr::literal(Tensor::f64(shape, data.to_vec()).unwrap())
    }

    #[test]
    fn expressions_compute_what_they_say() {
        let a = literal(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
        let row = literal(&[3], &[10., 20., 30.]);
        assert_eq!(
            a.add(&row).unwrap().evaluate().unwrap().as_f64().unwrap(),
            [11., 22., 33., 14., 25., 36.]
        );
        assert_eq!(row.div(&a).unwrap().evaluate().unwrap().as_f64().unwrap(), [10., 10., 10., 2.5, 4., 5.]);
        assert_eq!(a.sum(0).unwrap().evaluate().unwrap().as_f64().unwrap(), [5., 7., 9.]);
        assert_eq!(a.sum(1).unwrap().evaluate().unwrap().as_f64().unwrap(), [6., 15.]);
        assert_eq!(literal(&[1], &[9.]).sqrt().evaluate().unwrap().as_f64().unwrap(), [3.]);
        assert!(a.add(&literal(&[2], &[1., 2.])).is_err());
        assert!(a.reshape(&[7]).is_err());
    }

    #[test]
    fn weights_are_rounded_to_the_nearest_of_a_narrower_type() {
        // Between 1 and 1 + 2^-10 (float16), and a tie at bfloat16's 2^-7, which goes to the even one.
        let weights = literal(&[4], &[1.0 + 0.9 / 1024., 1.0 + 1. / 256., -65504., f64::INFINITY]);
        let rounded = |narrow| weights.rounded(narrow).unwrap().evaluate().unwrap();
        let half = [1.0 + 1. / 1024., 1.0 + 1. / 256., -65504., f64::INFINITY];
        assert_eq!(rounded(DType::F16).as_f64().unwrap(), half);
        assert_eq!(rounded(DType::BF16).as_f64().unwrap(), [1., 1., -65536., f64::INFINITY]);
        assert!(weights.rounded(DType::I32).is_err());
    }

    #[test]
    fn a_weight_past_the_largest_of_a_type_is_not_rounded_to_infinity() {
        let large = literal(&[2], &[1., 70000.]);
        let error = large.rounded(DType::F16).unwrap().evaluate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.message(), "a weight is 7e4; the largest float16 is 6.5504e4");
        assert!(large.rounded(DType::BF16).unwrap().evaluate().is_ok());
        let error =
            literal(&[1], &[f64::from(f32::MAX)]).rounded(DType::BF16).unwrap().evaluate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
