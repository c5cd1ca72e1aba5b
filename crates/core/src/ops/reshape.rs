//! The same elements, in the same order, in another shape.

use super::{Infer, Operator, exactly};
use crate::{Cost, Dim, Error, Relation, Result, Shape, Tensor, TensorType};

/// A reshape to the dimensions in `target`, as ONNX's `Reshape` reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The new dimensions; at most one is [`ReshapeDim::Infer`].
    pub target: Vec<ReshapeDim>,
}

/// One dimension of a reshape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReshapeDim {
    /// The input's dimension at the same axis.
    Keep,
    /// This many.
    Fixed(i64),
    /// Whatever makes the number of elements right.
    Infer,
}

impl Reshape {
    /// `[batch, everything else]`.
    pub fn flatten() -> Reshape {
        Reshape { target: vec![ReshapeDim::Keep, ReshapeDim::Infer] }
    }

    /// Whether it joins all axes but the first into one.
    pub fn is_flatten(&self) -> bool {
        self.target == [ReshapeDim::Keep, ReshapeDim::Infer]
    }

    fn target_shape(&self, x: &Shape, infer: &mut Infer) -> Result<Shape> {
        let bad = || Error::shape(format!("an input {x} cannot be reshaped to {}", self.text()));
        let mut dims = Vec::with_capacity(self.target.len());
        let mut unknown = None;
        let mut known = Dim::ONE;
        for (axis, dim) in self.target.iter().enumerate() {
            dims.push(match dim {
                ReshapeDim::Keep => x.get(axis).ok_or_else(bad)?.clone(),
                ReshapeDim::Fixed(n) if *n >= 0 => Dim::fixed(*n),
                ReshapeDim::Infer if unknown.is_none() => {
                    unknown = Some(axis);
                    Dim::ONE
                }
                ReshapeDim::Fixed(_) | ReshapeDim::Infer => return Err(bad()),
            });
            known = known.mul(&dims[axis])?;
        }
        // Kept dimensions are on both sides; leaving them out keeps an empty batch meaningful.
        let mut total = Dim::ONE;
        let mut rest = Dim::ONE;
        for (axis, dim) in x.iter().enumerate() {
            if self.target.get(axis) != Some(&ReshapeDim::Keep) {
                total = total.mul(dim)?;
            }
        }
        for (axis, dim) in dims.iter().enumerate() {
            if self.target.get(axis) != Some(&ReshapeDim::Keep) {
                rest = rest.mul(dim)?;
            }
        }
        let Some(axis) = unknown else {
            infer.require_equal(&total, &rest, || format!("{}: {total} elements are not {rest}", bad()))?;
            return Ok(Shape::new(dims));
        };
        dims[axis] = match total.exact_div(&rest) {
            Some(quotient) => quotient,
            None => {
                let rule = || format!("{}: {total} elements do not divide by {rest}", bad());
                infer.require(&total, Relation::MultipleOf(rest.clone()), rule)?;
                total.floor_div(rest.as_fixed().filter(|&n| n > 0).ok_or_else(bad)?)?
            }
        };
        Ok(Shape::new(dims))
    }

    /// The target as Keras writes it.
    fn text(&self) -> String {
        let dims = self.target.iter().map(|dim| match dim {
            ReshapeDim::Keep => "same".to_string(),
            ReshapeDim::Fixed(n) => n.to_string(),
            ReshapeDim::Infer => "-1".to_string(),
        });
        format!("[{}]", dims.collect::<Vec<_>>().join(", "))
    }
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("reshape", inputs)?;
        Ok(vec![TensorType::new(self.target_shape(&x.shape, infer)?, x.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("reshape", inputs)?;
        let shape = self.target_shape(&Shape::of(x.shape())?, &mut Infer::default())?;
        let sizes = shape.as_fixed().ok_or_else(|| Error::shape("a reshape to negative sizes"))?;
        Ok(vec![(*x).clone().reshape(sizes)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use ReshapeDim::{Fixed, Infer as Unknown, Keep};

    #[track_caller]
    fn check(shape: Vec<Dim>, target: &[ReshapeDim], expected: Result<&str, &str>) {
        let reshape = Reshape { target: target.to_vec() };
        let given = TensorType::new(Shape::new(shape), DType::F32);
        let result = reshape.infer(&[given], &mut Infer::default());
        let text = result.as_ref().map(|types| types[0].shape.to_string());
        assert_eq!(text.as_deref().map_err(|error| error.message()), expected);
    }

    #[test]
    fn the_unknown_dimension_is_what_is_left() {
        let batch = Dim::symbol("batch");
        let steps = Dim::symbol("steps");
        check(vec![batch.clone(), 23.into(), 64.into()], &[Keep, Unknown], Ok("[batch, 1472]"));
        check(vec![batch.clone(), 40.into()], &[Keep, Fixed(10), Fixed(4)], Ok("[batch, 10, 4]"));
        check(
            vec![batch.clone(), steps.clone(), 6.into()],
            &[Keep, Unknown, Fixed(2)],
            Ok("[batch, 3*steps, 2]"),
        );
        check(
            vec![batch.clone(), steps, 3.into()],
            &[Keep, Unknown, Fixed(2)],
            Ok("[batch, (3*steps) / 2, 2]"),
        );
        check(vec![0.into(), 6.into()], &[Keep, Unknown, Fixed(2)], Ok("[0, 3, 2]"));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        check(
            vec![Dim::symbol("batch"), 40.into()],
            &[Keep, Fixed(10), Fixed(5)],
            Err("an input [batch, 40] cannot be reshaped to [same, 10, 5]: 40 elements are not 50"),
        );
        check(
            vec![Dim::symbol("batch"), 40.into()],
            &[Keep, Fixed(7), Unknown],
            Err("an input [batch, 40] cannot be reshaped to [same, 7, -1]: 40 elements do not divide by 7"),
        );
        check(vec![3.into()], &[Unknown, Unknown], Err("an input [3] cannot be reshaped to [-1, -1]"));
    }
}
