//! Tensors one after the other along an axis.

use super::{Infer, Operator, check_axis};
use crate::tensor::strides;
use crate::{Cost, Data, Error, Result, Tensor, TensorType};

/// Any number of tensors that differ only along `axis`, joined there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis along which sizes add up.
    pub axis: usize,
}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [first, others @ ..] = inputs else { return Err(Error::shape("concat of no tensors")) };
        check_axis("concat", self.axis, first.shape.rank())?;
        let mut joined = first.shape.dim(self.axis)?.clone();
        for other in others {
            if other.shape.rank() != first.shape.rank() || other.dtype != first.dtype {
                let (ranks, dtypes) = ([first, other].map(|x| x.shape.rank()), [first.dtype, other.dtype]);
                let differing = match ranks[0] == ranks[1] {
                    true => format!("the types {} and {} differ", dtypes[0], dtypes[1]),
                    false => format!("the ranks {} and {} differ", ranks[0], ranks[1]),
                };
                let (a, b) = (&first.shape, &other.shape);
                return Err(Error::shape(format!("concat of {a} and {b}: {differing}")));
            }
            for (axis, (x, y)) in first.shape.iter().zip(other.shape.iter()).enumerate() {
                if axis != self.axis {
                    infer.require_equal(x, y, || {
                        let (a, b, along) = (&first.shape, &other.shape, self.axis);
                        format!("concat of {a} and {b} along axis {along}: {x} and {y} differ")
                    })?;
                }
            }
            joined = joined.add(other.shape.dim(self.axis)?)?;
        }
        Ok(vec![TensorType::new(first.shape.with(self.axis, joined), first.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let Some(first) = inputs.first() else { return Err(Error::shape("concat of no tensors")) };
        let mut shape = first.shape().to_vec();
        shape[self.axis] = inputs.iter().map(|x| x.shape()[self.axis]).sum();
        let outer: usize = shape[..self.axis].iter().product();
        let run = |x: &Tensor| strides(x.shape())[self.axis] * x.shape()[self.axis];
        macro_rules! join {
            ($variant:ident) => {{
                let mut joined = Vec::new();
                for block in 0..outer {
                    for x in inputs {
                        let Data::$variant(data) = x.data() else {
                            return Err(Error::shape("concat of different element types"));
                        };
                        joined.extend_from_slice(&data[block * run(x)..(block + 1) * run(x)]);
                    }
                }
                Data::$variant(joined)
            }};
        }
        let data = match first.data() {
            Data::F64(_) => join!(F64),
            Data::I64(_) => join!(I64),
            Data::Bool(_) => join!(Bool),
        };
        Ok(vec![Tensor::new(shape, data)?])
    }
}
