//! `y = f(a, b)`, element by element, with NumPy's broadcasting.

use super::{Infer, Operator, exactly};
use crate::constant::{broadcast, broadcast_strides};
use crate::tensor::{broadcast_axis, dot, element_count, for_each_index};
use crate::{Cost, DType, Data, Dim, Error, Result, Shape, Tensor, TensorType};

/// Two tensors, element by element; a missing or 1-sized axis repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The function.
    pub kind: BinaryKind,
}

/// The functions of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryKind {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
    /// `a` where positive, else `a * b`: a leaky relu whose slope is a tensor (arXiv:1502.01852).
    Prelu,
    /// Whether both of two truth values hold.
    And,
    /// Whether one of two truth values holds.
    Or,
}

impl BinaryKind {
    /// Whether the function is one of truth values.
    pub fn is_logical(self) -> bool {
        matches!(self, BinaryKind::And | BinaryKind::Or)
    }

    /// The function's value; truth values are 0 and 1.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            BinaryKind::Add => a + b,
            BinaryKind::Sub => a - b,
            BinaryKind::Mul => a * b,
            BinaryKind::Div => a / b,
            BinaryKind::Max | BinaryKind::Or if a.is_nan() || a > b => a,
            BinaryKind::Max | BinaryKind::Or => b,
            BinaryKind::Min | BinaryKind::And if a.is_nan() || a < b => a,
            BinaryKind::Min | BinaryKind::And => b,
            BinaryKind::Prelu if a > 0.0 => a,
            BinaryKind::Prelu => a * b,
        }
    }
}

/// NumPy's broadcast of two shapes; `what` says of what, for an error's text.
pub(super) fn broadcast_dims(
    a: &[Dim],
    b: &[Dim],
    infer: &mut Infer,
    what: impl Fn() -> String,
) -> Result<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[Dim], axis: usize| {
        broadcast_axis(axis, shape.len(), rank).and_then(|at| shape.get(at)).cloned().unwrap_or(Dim::ONE)
    };
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        let (x, y) = (dim(a, axis), dim(b, axis));
        dims.push(match (x == Dim::ONE, y == Dim::ONE) {
            (true, _) => y,
            (_, true) => x,
            _ => {
                infer.require_equal(&x, &y, || format!("{}: {x} and {y} differ", what()))?;
                if x.as_fixed().is_some() { x } else { y }
            }
        });
    }
    Ok(dims)
}

impl Operator for Binary {
    fn name(&self) -> &'static str {
        match self.kind {
            BinaryKind::Add => "add",
            BinaryKind::Sub => "sub",
            BinaryKind::Mul => "mul",
            BinaryKind::Div => "div",
            BinaryKind::Max => "max",
            BinaryKind::Min => "min",
            BinaryKind::Prelu => "prelu",
            BinaryKind::And => "and",
            BinaryKind::Or => "or",
        }
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [a, b] = exactly(self.name(), inputs)?;
        if a.dtype != b.dtype || self.kind.is_logical() != (a.dtype == DType::Bool) {
            return Err(Error::shape(format!("{} of {} and {}", self.name(), a.dtype, b.dtype)));
        }
        let what = || format!("{} of {} and {}", self.name(), a.shape, b.shape);
        let dims = broadcast_dims(&a.shape, &b.shape, infer, what)?;
        Ok(vec![TensorType::new(Shape::new(dims), a.dtype)])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly(self.name(), outputs)?;
        Ok(Cost::element_ops(y.shape.elements()?))
    }

    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [a, b] = exactly(self.name(), inputs)?;
        let shape = broadcast(a.shape(), b.shape())?;
        let (sa, sb) = (broadcast_strides(a.shape(), &shape), broadcast_strides(b.shape(), &shape));
        if let (Data::Bool(a), Data::Bool(b)) = (a.data(), b.data()) {
            let mut y = Vec::with_capacity(element_count(&shape)?);
            let truth = |x: bool| f64::from(u8::from(x));
            for_each_index(&shape, |index| {
                y.push(self.kind.apply(truth(a[dot(index, &sa)]), truth(b[dot(index, &sb)])) != 0.0);
            });
            return Ok(vec![Tensor::new(shape, Data::Bool(y))?]);
        }
        let (a, b) = (a.as_f64()?, b.as_f64()?);
        let mut y = Vec::new();
        for_each_index(&shape, |index| y.push(self.kind.apply(a[dot(index, &sa)], b[dot(index, &sb)])));
        Ok(vec![Tensor::f64(shape, y)?])
    }
}
