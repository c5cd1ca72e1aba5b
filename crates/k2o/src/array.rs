//! What a model takes: arrays of numbers.

use ndarray::{ArrayD, Axis, Dimension};

/// An input: an n-dimensional array of floating-point numbers or integers.
///
/// Made by `.into()` from the `ndarray` of any dimension.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Single-precision numbers.
    F32(ArrayD<f32>),
    /// 32-bit integers.
    I32(ArrayD<i32>),
    /// 64-bit integers.
    I64(ArrayD<i64>),
}

impl Array {
    /// The sizes along each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Array::F32(array) => array.shape(),
            Array::I32(array) => array.shape(),
            Array::I64(array) => array.shape(),
        }
    }

    /// Some of the rows: the elements with these indices along the first axis.
    pub(crate) fn rows(&self, from: usize, to: usize) -> Array {
        fn rows<T: Clone>(array: &ArrayD<T>, from: usize, to: usize) -> ArrayD<T> {
            array.slice_axis(Axis(0), (from..to).into()).to_owned()
        }
        match self {
            Array::F32(array) => Array::F32(rows(array, from, to)),
            Array::I32(array) => Array::I32(rows(array, from, to)),
            Array::I64(array) => Array::I64(rows(array, from, to)),
        }
    }

    /// The array with its elements in row-major order.
    pub fn into_standard_layout(self) -> Array {
        fn standard<T: Clone>(array: ArrayD<T>) -> ArrayD<T> {
            if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
        }
        match self {
            Array::F32(array) => Array::F32(standard(array)),
            Array::I32(array) => Array::I32(standard(array)),
            Array::I64(array) => Array::I64(standard(array)),
        }
    }
}

macro_rules! from_array {
    ($($element:ty => $variant:ident),*) => {$(
        impl<D: Dimension> From<ndarray::Array<$element, D>> for Array {
            fn from(array: ndarray::Array<$element, D>) -> Array {
                Array::$variant(array.into_dyn())
            }
        }
        impl<D: Dimension> From<ndarray::ArrayView<'_, $element, D>> for Array {
            fn from(array: ndarray::ArrayView<'_, $element, D>) -> Array {
                Array::$variant(array.to_owned().into_dyn())
            }
        }
    )*};
}

from_array! { f32 => F32, i32 => I32, i64 => I64 }
