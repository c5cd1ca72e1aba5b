//! Tensors in memory, in the precision of the reference.

use crate::{DType, Error, ErrorKind, Result};
use half::{bf16, f16};

/// A dense tensor in row-major order, as the references compute with.
///
/// The number of elements always equals the product of the shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// The elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Floating-point numbers, whatever their stored precision.
    F64(Vec<f64>),
    /// Integers, whatever their stored width.
    I64(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

impl Data {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F64(data) => data.len(),
            Data::I64(data) => data.len(),
            Data::Bool(data) => data.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The product of `sizes`, if it fits. An axis without elements does not excuse the others: strides are products too.
pub(crate) fn element_count(sizes: &[usize]) -> Result<usize> {
    sizes
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n.max(1)))
        .filter(|&n| n <= isize::MAX as usize / 8)
        .map(|n| if sizes.contains(&0) { 0 } else { n })
        .ok_or_else(|| Error::limit(format!("a tensor of shape {sizes:?} does not fit memory")))
}

impl Tensor {
    /// The tensor with this shape and these elements, which must be as many as the shape says.
    pub fn new(shape: impl Into<Vec<usize>>, data: Data) -> Result<Tensor> {
        let shape = shape.into();
        let expected = element_count(&shape)?;
        if expected != data.len() {
            let given = data.len();
            return Err(Error::shape(format!("shape {shape:?} has {expected} elements; {given} were given")));
        }
        Ok(Tensor { shape, data })
    }

    /// A tensor of floating-point numbers.
    pub fn f64(shape: impl Into<Vec<usize>>, data: Vec<f64>) -> Result<Tensor> {
        Tensor::new(shape, Data::F64(data))
    }

    /// A tensor of zeros of the kind of number that `dtype` is.
    pub fn zeros(shape: impl Into<Vec<usize>>, dtype: DType) -> Result<Tensor> {
        let shape = shape.into();
        let n = element_count(&shape)?;
        let data = match dtype {
            DType::Bool => Data::Bool(vec![false; n]),
            dtype if dtype.is_float() => Data::F64(vec![0.0; n]),
            _ => Data::I64(vec![0; n]),
        };
        Ok(Tensor { shape, data })
    }

    /// A single number.
    pub fn scalar(value: f64) -> Tensor {
        Tensor { shape: Vec::new(), data: Data::F64(vec![value]) }
    }

    /// The tensor whose elements lie in `bytes` in little-endian order.
    pub fn from_le_bytes(shape: impl Into<Vec<usize>>, dtype: DType, bytes: &[u8]) -> Result<Tensor> {
        let shape = shape.into();
        let expected = element_count(&shape)?.saturating_mul(dtype.size());
        if bytes.len() != expected {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("{dtype} {shape:?} takes {expected} bytes; {} are there", bytes.len()),
            ));
        }
        macro_rules! read {
            ($variant:ident, $type:ty, $convert:expr) => {{
                let (chunks, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
                Data::$variant(chunks.iter().map(|c| $convert(<$type>::from_le_bytes(*c))).collect())
            }};
        }
        let data = match dtype {
            DType::F16 => read!(F64, f16, f16::to_f64),
            DType::BF16 => read!(F64, bf16, bf16::to_f64),
            DType::F32 => read!(F64, f32, f64::from),
            DType::F64 => read!(F64, f64, |x| x),
            DType::I8 => read!(I64, i8, i64::from),
            DType::U8 => read!(I64, u8, i64::from),
            DType::I16 => read!(I64, i16, i64::from),
            DType::U16 => read!(I64, u16, i64::from),
            DType::I32 => read!(I64, i32, i64::from),
            DType::U32 => read!(I64, u32, i64::from),
            DType::I64 => read!(I64, i64, |x| x),
            DType::U64 => {
                let (chunks, _) = bytes.as_chunks::<8>();
                let narrow = |c: &[u8; 8]| i64::try_from(u64::from_le_bytes(*c)).ok();
                let data: Option<Vec<i64>> = chunks.iter().map(narrow).collect();
                let error = || Error::new(ErrorKind::Unsupported, "a uint64 above the largest int64");
                Data::I64(data.ok_or_else(error)?)
            }
            DType::Bool => Data::Bool(bytes.iter().map(|&b| b != 0).collect()),
        };
        Ok(Tensor { shape, data })
    }

    /// The sizes along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, which must be floating-point numbers.
    pub fn as_f64(&self) -> Result<&[f64]> {
        match &self.data {
            Data::F64(data) => Ok(data),
            _ => Err(Error::shape("floating-point numbers were expected")),
        }
    }

    /// The elements, which must be integers.
    pub fn as_i64(&self) -> Result<&[i64]> {
        match &self.data {
            Data::I64(data) => Ok(data),
            _ => Err(Error::shape("integers were expected")),
        }
    }

    /// The elements rounded to single precision; truth values are 0 and 1.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F64(data) => data.iter().map(|&x| x as f32).collect(),
            Data::I64(data) => data.iter().map(|&x| x as f32).collect(),
            Data::Bool(data) => data.iter().map(|&x| f32::from(x)).collect(),
        }
    }

    /// The same elements in the order of another shape of the same size.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        Tensor::new(shape, self.data)
    }

    /// The tensor whose axis `i` is this one's axis `permutation[i]`.
    #[expect(clippy::indexing_slicing, reason = "the permutation was checked against the axes")]
    pub fn permute(&self, permutation: &[usize]) -> Result<Tensor> {
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if sorted.len() != self.shape.len() || sorted.iter().enumerate().any(|(i, &axis)| i != axis) {
            let rank = self.shape.len();
            return Err(Error::shape(format!("{permutation:?} is no permutation of {rank} axes")));
        }
        let shape: Vec<usize> = permutation.iter().map(|&axis| self.shape[axis]).collect();
        let strides = strides(&self.shape);
        let strides: Vec<usize> = permutation.iter().map(|&axis| strides[axis]).collect();
        let mut order = Vec::with_capacity(self.data.len());
        for_each_index(&shape, |index| order.push(dot(index, &strides)));
        self.select(shape, &order)
    }

    /// The tensor of `shape` whose elements are these, by their positions in row-major order.
    #[expect(clippy::indexing_slicing, reason = "callers give positions of elements that there are")]
    pub(crate) fn select(&self, shape: Vec<usize>, positions: &[usize]) -> Result<Tensor> {
        Tensor::new(
            shape,
            match &self.data {
                Data::F64(data) => Data::F64(positions.iter().map(|&i| data[i]).collect()),
                Data::I64(data) => Data::I64(positions.iter().map(|&i| data[i]).collect()),
                Data::Bool(data) => Data::Bool(positions.iter().map(|&i| data[i]).collect()),
            },
        )
    }
}

/// Elements between neighbours along each axis of a row-major tensor.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    let mut inner = 1usize;
    for (stride, &n) in strides.iter_mut().zip(shape).rev() {
        *stride = inner;
        // No tensor in memory has a stride past the limit.
        inner = inner.saturating_mul(n);
    }
    strides
}

/// The axis of a tensor of `own` axes that stands at `axis` when it is broadcast to `rank` axes, if it has one there.
pub(crate) fn broadcast_axis(axis: usize, own: usize, rank: usize) -> Option<usize> {
    axis.checked_sub(rank.checked_sub(own)?)
}

#[expect(clippy::arithmetic_side_effects, reason = "the place of an element is below their number")]
pub(crate) fn dot(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Calls `visit` with every index of a tensor of `shape`, in row-major order.
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "one index for each axis, no more than its size"
)]
pub(crate) fn for_each_index(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        visit(&index);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutation_moves_axes() {
        let tensor = Tensor::f64([2, 3], vec![1., 2., 3., 4., 5., 6.]).unwrap();
        let moved = tensor.permute(&[1, 0]).unwrap();
        assert_eq!(moved, Tensor::f64([3, 2], vec![1., 4., 2., 5., 3., 6.]).unwrap());
        assert!(tensor.permute(&[0, 0]).is_err());
        assert!(tensor.permute(&[0]).is_err());
    }

    #[test]
    fn bytes_are_little_endian_numbers() {
        let tensor = Tensor::from_le_bytes([2], DType::BF16, &[0x80, 0x3f, 0x00, 0xc0]).unwrap();
        assert_eq!(tensor.as_f64().unwrap(), [1.0, -2.0]);
        assert!(Tensor::from_le_bytes([2], DType::F32, &[0; 7]).is_err());
        assert!(Tensor::from_le_bytes([usize::MAX, 2], DType::F32, &[]).is_err());
        assert!(Tensor::from_le_bytes([1], DType::U64, &[0xff; 8]).is_err());
    }
}
