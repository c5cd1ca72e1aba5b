//! One value everywhere.

use super::{Infer, Operator, exactly};
use crate::tensor::element_count;
use crate::{Cost, DType, Data, Dim, Error, Result, Shape, Tensor, TensorType};

/// A tensor of `value` whose sizes are numbers or those of the input's axes. Input: a tensor of which only the shape
/// is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Full {
    /// The sizes along each axis.
    pub dims: Vec<FullDim>,
    /// The element; other than 0 is true where `dtype` is bool.
    pub value: f64,
    /// The element type.
    pub dtype: DType,
}

/// One size of a [`Full`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullDim {
    /// This number.
    Fixed(i64),
    /// That of the input's axis.
    Of(usize),
}

impl Full {
    /// Zeros `[rows of the input, units]`.
    pub fn zeros_per_row(units: i64, dtype: DType) -> Full {
        Full { dims: vec![FullDim::Of(0), FullDim::Fixed(units)], value: 0.0, dtype }
    }

    fn sizes<T>(&self, shape: &[T], fixed: impl Fn(i64) -> T) -> Result<Vec<T>>
    where
        T: Clone,
    {
        let size = |dim: &FullDim| match *dim {
            FullDim::Fixed(n) => Ok(fixed(n)),
            FullDim::Of(axis) => shape.get(axis).cloned().ok_or_else(|| {
                let rank = shape.len();
                Error::shape(format!("full with the size of axis {axis} of a tensor of rank {rank}"))
            }),
        };
        self.dims.iter().map(size).collect()
    }
}

impl Operator for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [like] = exactly("full", inputs)?;
        Ok(vec![TensorType::new(Shape::new(self.sizes(&like.shape, Dim::fixed)?), self.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [like] = exactly("full", inputs)?;
        let shape = self.sizes(like.shape(), |n| n as usize)?;
        let n = element_count(&shape)?;
        let data = match self.dtype {
            DType::Bool => Data::Bool(vec![self.value != 0.0; n]),
            dtype if dtype.is_float() => Data::F64(vec![self.value; n]),
            _ => Data::I64(vec![self.value as i64; n]),
        };
        Ok(vec![Tensor::new(shape, data)?])
    }
}
