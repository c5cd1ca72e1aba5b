//! `y = a` where a condition holds, else `b`, with NumPy's broadcasting.

use super::{Infer, Operator, binary::broadcast_dims, exactly};
use crate::constant::{broadcast, broadcast_strides};
use crate::tensor::{dot, element_count, for_each_index};
use crate::{Cost, DType, Data, Error, Result, Shape, Tensor, TensorType};

/// Elements of one tensor or the other. Inputs: truth values, `a` and `b`; a missing or 1-sized axis repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select;

impl Operator for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [condition, a, b] = exactly("select", inputs)?;
        if condition.dtype != DType::Bool || a.dtype != b.dtype {
            let (condition, a, b) = (condition.dtype, a.dtype, b.dtype);
            return Err(Error::shape(format!("select by {condition} of {a} and {b}")));
        }
        let what = || format!("select by {} of {} and {}", condition.shape, a.shape, b.shape);
        let both = broadcast_dims(&a.shape, &b.shape, infer, what)?;
        let dims = broadcast_dims(&condition.shape, &both, infer, what)?;
        Ok(vec![TensorType::new(Shape::new(dims), a.dtype)])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly("select", outputs)?;
        Ok(Cost::element_ops(y.shape.elements()?))
    }

    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [condition, a, b] = exactly("select", inputs)?;
        let shape = broadcast(condition.shape(), &broadcast(a.shape(), b.shape())?)?;
        let count = element_count(&shape)?;
        let [sc, sa, sb] = [condition, a, b].map(|x| broadcast_strides(x.shape(), &shape));
        let Data::Bool(condition) = condition.data() else {
            return Err(Error::shape("select by numbers"));
        };
        macro_rules! select {
            ($variant:ident, $a:expr, $b:expr) => {{
                let mut y = Vec::with_capacity(count);
                for_each_index(&shape, |index| {
                    y.push(if condition[dot(index, &sc)] {
                        $a[dot(index, &sa)]
                    } else {
                        $b[dot(index, &sb)]
                    });
                });
                Data::$variant(y)
            }};
        }
        let data = match (a.data(), b.data()) {
            (Data::F64(a), Data::F64(b)) => select!(F64, a, b),
            (Data::I64(a), Data::I64(b)) => select!(I64, a, b),
            (Data::Bool(a), Data::Bool(b)) => select!(Bool, a, b),
            _ => return Err(Error::shape("select of different element types")),
        };
        Ok(vec![Tensor::new(shape, data)?])
    }
}
