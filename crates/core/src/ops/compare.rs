//! Whether two elements stand in a relation, with NumPy's broadcasting.

use super::{Infer, Operator, binary::broadcast_dims, exactly};
use crate::constant::{broadcast, broadcast_strides};
use crate::tensor::{dot, element_count, for_each_index};
use crate::{Cost, DType, Data, Error, Result, Shape, Tensor, TensorType};

/// Two tensors of one element type, element by element, as truth values; a missing or 1-sized axis repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The relation.
    pub kind: CompareKind,
}

/// The relations of two elements. NaN is unequal to everything and stands in no other relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareKind {
    /// `a = b`
    Equal,
    /// `a ≠ b`
    NotEqual,
    /// `a < b`
    Less,
    /// `a ≤ b`
    LessOrEqual,
    /// `a > b`
    Greater,
    /// `a ≥ b`
    GreaterOrEqual,
}

impl CompareKind {
    /// Every relation.
    pub const ALL: [CompareKind; 6] = [
        CompareKind::Equal,
        CompareKind::NotEqual,
        CompareKind::Less,
        CompareKind::LessOrEqual,
        CompareKind::Greater,
        CompareKind::GreaterOrEqual,
    ];

    /// Whether `a` stands in the relation to `b`.
    pub fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            CompareKind::Equal => a == b,
            CompareKind::NotEqual => a != b,
            CompareKind::Less => a < b,
            CompareKind::LessOrEqual => a <= b,
            CompareKind::Greater => a > b,
            CompareKind::GreaterOrEqual => a >= b,
        }
    }
}

impl Operator for Compare {
    fn name(&self) -> &'static str {
        match self.kind {
            CompareKind::Equal => "equal",
            CompareKind::NotEqual => "not_equal",
            CompareKind::Less => "less",
            CompareKind::LessOrEqual => "less_or_equal",
            CompareKind::Greater => "greater",
            CompareKind::GreaterOrEqual => "greater_or_equal",
        }
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [a, b] = exactly(self.name(), inputs)?;
        if a.dtype != b.dtype {
            return Err(Error::shape(format!("{} of {} and {}", self.name(), a.dtype, b.dtype)));
        }
        let what = || format!("{} of {} and {}", self.name(), a.shape, b.shape);
        let dims = broadcast_dims(&a.shape, &b.shape, infer, what)?;
        Ok(vec![TensorType::new(Shape::new(dims), DType::Bool)])
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
        let mut y = Vec::with_capacity(element_count(&shape)?);
        macro_rules! compare {
            ($a:expr, $b:expr) => {
                for_each_index(&shape, |index| {
                    y.push(self.kind.holds(&$a[dot(index, &sa)], &$b[dot(index, &sb)]))
                })
            };
        }
        match (a.data(), b.data()) {
            (Data::F64(a), Data::F64(b)) => compare!(a, b),
            (Data::I64(a), Data::I64(b)) => compare!(a, b),
            (Data::Bool(a), Data::Bool(b)) => compare!(a, b),
            _ => return Err(Error::shape(format!("{} of different element types", self.name()))),
        }
        Ok(vec![Tensor::new(shape, Data::Bool(y))?])
    }
}
