//! `y[.., i, j] = sum over k of a[.., i, k] * b[.., k, j]`: products of computed matrices.

use super::binary::broadcast_dims;
use super::{Infer, Operator, exactly};
use crate::constant::{broadcast, broadcast_strides};
use crate::tensor::{dot, element_count, for_each_index};
use crate::{Cost, Error, Result, Shape, Tensor, TensorType};

/// Matrix product of the last two axes of `a` and `b`, whose other axes broadcast as in NumPy's `matmul`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "mat_mul"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [a, b] = exactly("mat_mul", inputs)?;
        let (Some((outer_a, [m, k])), Some((outer_b, [rows, n]))) =
            (a.shape.split_last_chunk::<2>(), b.shape.split_last_chunk::<2>())
        else {
            return Err(Error::shape(format!("mat_mul of {} and {}", a.shape, b.shape)));
        };
        if a.dtype != b.dtype {
            return Err(Error::shape(format!("mat_mul of {} and {}", a.dtype, b.dtype)));
        }
        let what = || format!("mat_mul of {} and {}", a.shape, b.shape);
        infer.require_equal(k, rows, || format!("{}: {k} and {rows} differ", what()))?;
        let outer = broadcast_dims(outer_a, outer_b, infer, what)?;
        let dims = [&outer[..], &[m.clone(), n.clone()]].concat();
        Ok(vec![TensorType::new(Shape::new(dims), a.dtype)])
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let ([a, _], [y]) = (exactly("mat_mul", inputs)?, exactly("mat_mul", outputs)?);
        let Some(terms) = a.shape.last() else { return Ok(Cost::NONE) };
        Ok(Cost::multiply_adds(y.shape.elements()?.mul(terms)?))
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [a, b] = exactly("mat_mul", inputs)?;
        let (Some((outer_a, &[m, k])), Some((outer_b, &[_, n]))) =
            (a.shape().split_last_chunk::<2>(), b.shape().split_last_chunk::<2>())
        else {
            return Err(Error::shape("mat_mul of a vector"));
        };
        let outer = broadcast(outer_a, outer_b)?;
        let (sa, sb) = (broadcast_strides(outer_a, &outer), broadcast_strides(outer_b, &outer));
        let (a, b) = (a.as_f64()?, b.as_f64()?);
        let shape = [outer.as_slice(), &[m, n]].concat();
        // Matrices of no columns and no rows may have a product of any size.
        element_count(&shape)?;
        let mut y = Vec::new();
        for_each_index(&shape, |index| {
            let [index @ .., i, j] = index else { return };
            let (at_a, at_b) = (dot(index, &sa) * m * k + i * k, dot(index, &sb) * k * n + j);
            y.push((0..k).map(|at| a[at_a + at] * b[at_b + at * n]).sum());
        });
        Ok(vec![Tensor::f64(shape, y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_axes_broadcast() {
        let a = Tensor::f64([2, 1, 1, 2], vec![1., 2., 3., 4.]).unwrap();
        let b = Tensor::f64([2, 2, 1], vec![1., 0., 0., 1.]).unwrap();
        let y = MatMul.reference(&[&a, &b]).unwrap();
        assert_eq!(y, [Tensor::f64([2, 2, 1, 1], vec![1., 2., 3., 4.]).unwrap()]);
    }
}
