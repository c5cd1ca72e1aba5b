//! Arrays that belong to someone else.

use crate::{Error, ErrorKind, Result};

/// A dense row-major array: its sizes and its elements, borrowed.
///
/// The number of elements always equals the product of the sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorView<'a> {
    shape: &'a [usize],
    data: DataView<'a>,
}

/// The elements of a [`TensorView`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DataView<'a> {
    /// Single-precision numbers.
    F32(&'a [f32]),
    /// 32-bit integers; a session gives 64-bit ones only.
    I32(&'a [i32]),
    /// 64-bit integers; a session gives truth values as such too, 0 or 1.
    I64(&'a [i64]),
    /// Truth values, which a session takes and does not give.
    Bool(&'a [bool]),
}

impl DataView<'_> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            DataView::F32(data) => data.len(),
            DataView::I32(data) => data.len(),
            DataView::I64(data) => data.len(),
            DataView::Bool(data) => data.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type's name in NumPy.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            DataView::F32(_) => "float32",
            DataView::I32(_) => "int32",
            DataView::I64(_) => "int64",
            DataView::Bool(_) => "bool",
        }
    }
}

impl<'a> TensorView<'a> {
    /// The array with these sizes and elements.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where there are not as many elements as the sizes say.
    pub fn new(shape: &'a [usize], data: DataView<'a>) -> Result<TensorView<'a>> {
        let expected = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        if shape.contains(&0) && data.is_empty() || expected == Some(data.len()) {
            return Ok(TensorView { shape, data });
        }
        let given = data.len();
        Err(Error::new(ErrorKind::Input, format!("an array of shape {shape:?} cannot have {given} elements")))
    }

    /// The array of single-precision numbers with these sizes and elements; errors as [`new`](TensorView::new).
    pub fn f32(shape: &'a [usize], data: &'a [f32]) -> Result<TensorView<'a>> {
        TensorView::new(shape, DataView::F32(data))
    }

    /// The array of 32-bit integers with these sizes and elements; errors as [`new`](TensorView::new).
    pub fn i32(shape: &'a [usize], data: &'a [i32]) -> Result<TensorView<'a>> {
        TensorView::new(shape, DataView::I32(data))
    }

    /// The array of 64-bit integers with these sizes and elements; errors as [`new`](TensorView::new).
    pub fn i64(shape: &'a [usize], data: &'a [i64]) -> Result<TensorView<'a>> {
        TensorView::new(shape, DataView::I64(data))
    }

    /// The array of truth values with these sizes and elements; errors as [`new`](TensorView::new).
    pub fn bool(shape: &'a [usize], data: &'a [bool]) -> Result<TensorView<'a>> {
        TensorView::new(shape, DataView::Bool(data))
    }

    /// The array with these sizes and elements, which are known to fit each other.
    pub(crate) fn trusted(shape: &'a [usize], data: DataView<'a>) -> TensorView<'a> {
        TensorView { shape, data }
    }

    /// The sizes along each axis.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The elements in row-major order.
    pub fn data(&self) -> DataView<'a> {
        self.data
    }

    /// The elements, if they are single-precision numbers.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        match self.data {
            DataView::F32(data) => Some(data),
            DataView::I32(_) | DataView::I64(_) | DataView::Bool(_) => None,
        }
    }

    /// The elements, if they are 64-bit integers.
    pub fn as_i64(&self) -> Option<&'a [i64]> {
        match self.data {
            DataView::I64(data) => Some(data),
            DataView::F32(_) | DataView::I32(_) | DataView::Bool(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_as_many_elements_as_its_shape_says() {
        assert!(TensorView::f32(&[2, 3], &[0.0; 6]).is_ok());
        assert!(TensorView::i64(&[], &[7]).is_ok());
        assert!(TensorView::i32(&[0, usize::MAX, 2], &[]).is_ok());
        for shape in [&[2, 2][..], &[usize::MAX, 2], &[0, 3]] {
            assert_eq!(TensorView::f32(shape, &[0.0; 6]).unwrap_err().kind(), ErrorKind::Input);
        }
    }
}
