//! Shapes of tensors.

use crate::{Bindings, DType, Dim, Error, Result};
use std::fmt;
use std::ops::Deref;

/// The dimensions of a tensor, outermost first.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// The shape with these dimensions.
    pub fn new(dims: impl Into<Vec<Dim>>) -> Shape {
        Shape(dims.into())
    }

    /// The shape with these sizes.
    pub fn of(sizes: &[usize]) -> Result<Shape> {
        sizes.iter().map(|&n| Dim::from_usize(n)).collect::<Result<Vec<_>>>().map(Shape)
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The dimension along `axis`.
    ///
    /// # Errors
    /// [`Shape`](crate::ErrorKind::Shape) where there is no such axis.
    pub fn dim(&self, axis: usize) -> Result<&Dim> {
        self.0.get(axis).ok_or_else(|| Error::shape(format!("axis {axis} of the shape {self}")))
    }

    /// The number of elements.
    pub fn elements(&self) -> Result<Dim> {
        self.0.iter().try_fold(Dim::ONE, |product, dim| product.mul(dim))
    }

    /// The sizes, if every dimension is a number.
    pub fn as_fixed(&self) -> Option<Vec<usize>> {
        self.0.iter().map(Dim::as_usize).collect()
    }

    /// The shape with the symbols in `bindings` replaced.
    pub fn substitute(&self, bindings: &Bindings) -> Result<Shape> {
        self.0.iter().map(|dim| dim.substitute(bindings)).collect::<Result<Vec<_>>>().map(Shape)
    }

    /// The sizes once every symbol is bound.
    pub fn eval(&self, bindings: &Bindings) -> Result<Vec<usize>> {
        let size = |dim: &Dim| {
            let n = dim.eval(bindings)?;
            usize::try_from(n).map_err(|_| Error::shape(format!("the dimension {dim} would be {n}")))
        };
        self.0.iter().map(size).collect()
    }

    /// The shape with `dim` in place of the dimension at `axis`.
    pub fn with(&self, axis: usize, dim: Dim) -> Shape {
        let mut dims = self.0.clone();
        if let Some(slot) = dims.get_mut(axis) {
            *slot = dim;
        }
        Shape(dims)
    }
}

impl Deref for Shape {
    type Target = [Dim];

    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

impl FromIterator<Dim> for Shape {
    fn from_iter<I: IntoIterator<Item = Dim>>(dims: I) -> Shape {
        Shape(dims.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shape and element type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// The dimensions.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl TensorType {
    /// A tensor of `dtype` elements.
    pub fn new(shape: Shape, dtype: DType) -> TensorType {
        TensorType { shape, dtype }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dtype, self.shape)
    }
}
