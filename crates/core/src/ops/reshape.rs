//! The same elements, in the same order, in another shape.

use super::{Infer, Operator, exactly};
use crate::{Cost, Dim, Error, Relation, Result, Shape, Tensor, TensorType};

/// A reshape to the dimensions in `target`. Inputs: `x` and, where a dimension is [`ReshapeDim::Like`], the tensor
/// that it is taken from, of which nothing but the shape is read.
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
    /// The input's dimension at this axis, which may stand in the target once.
    Of(usize),
    /// The second input's dimension at this axis.
    Like(usize),
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

    /// The reshape to `target` that needs to be told the least: dimensions of other axes and of another tensor that
    /// are numbers are told as such.
    pub fn with_numbers(target: Vec<ReshapeDim>, x: &Shape, like: Option<&Shape>) -> Reshape {
        let target = target.into_iter().map(|dim| {
            let number = match dim {
                // An axis of size 0 is left out on both sides only as long as it is told as an axis.
                ReshapeDim::Of(axis) => x.get(axis).filter(|&dim| *dim != Dim::ZERO),
                ReshapeDim::Like(axis) => like.and_then(|like| like.get(axis)),
                ReshapeDim::Keep | ReshapeDim::Fixed(_) | ReshapeDim::Infer => None,
            };
            number.and_then(Dim::as_fixed).map_or(dim, ReshapeDim::Fixed)
        });
        Reshape { target: target.collect() }
    }

    /// The axis of `x` that the dimension is, if it is one.
    fn source(&self, axis: usize) -> Option<usize> {
        match self.target.get(axis)? {
            ReshapeDim::Keep => Some(axis),
            ReshapeDim::Of(axis) => Some(*axis),
            ReshapeDim::Like(_) | ReshapeDim::Fixed(_) | ReshapeDim::Infer => None,
        }
    }

    fn target_shape(&self, x: &Shape, like: Option<&Shape>, infer: &mut Infer) -> Result<Shape> {
        let bad = || Error::shape(format!("an input {x} cannot be reshaped to {}", self.text()));
        let mut dims = Vec::with_capacity(self.target.len());
        let mut unknown = None;
        for (axis, dim) in self.target.iter().enumerate() {
            dims.push(match dim {
                ReshapeDim::Keep => x.get(axis).ok_or_else(bad)?.clone(),
                ReshapeDim::Of(axis) => x.get(*axis).ok_or_else(bad)?.clone(),
                ReshapeDim::Like(axis) => like.and_then(|like| like.get(*axis)).ok_or_else(bad)?.clone(),
                ReshapeDim::Fixed(n) if *n >= 0 => Dim::fixed(*n),
                ReshapeDim::Infer if unknown.is_none() => {
                    unknown = Some(axis);
                    Dim::ONE
                }
                ReshapeDim::Fixed(_) | ReshapeDim::Infer => return Err(bad()),
            });
        }
        // Dimensions that stand on both sides are left out, which keeps an empty batch meaningful.
        let kept: Vec<usize> = (0..self.target.len()).filter_map(|axis| self.source(axis)).collect();
        if kept.iter().enumerate().any(|(at, axis)| kept.iter().take(at).any(|before| before == axis)) {
            return Err(bad());
        }
        let rest_of_x = x.iter().enumerate().filter(|(axis, _)| !kept.contains(axis));
        let total = rest_of_x.map(|(_, dim)| dim).try_fold(Dim::ONE, |product, dim| product.mul(dim))?;
        let new = dims.iter().enumerate().filter(|(axis, _)| self.source(*axis).is_none());
        let rest = new.map(|(_, dim)| dim).try_fold(Dim::ONE, |product, dim| product.mul(dim))?;
        let Some(axis) = unknown else {
            let help = |error: Error| {
                error.with_help(format!("the sizes must multiply to {total}; one of them may be -1"))
            };
            infer
                .require_equal(&total, &rest, || format!("{}: {total} elements are not {rest}", bad()))
                .map_err(help)?;
            return Ok(Shape::new(dims));
        };
        let found = match total.exact_div(&rest) {
            Some(quotient) => {
                infer.require(&rest, Relation::AtLeast(1), || format!("{}: {rest} may be 0", bad()))?;
                quotient
            }
            None => {
                let rule = || format!("{}: {total} elements do not divide by {rest}", bad());
                infer.require(&total, Relation::MultipleOf(rest.clone()), rule)?;
                total.floor_div(rest.as_fixed().filter(|&n| n > 0).ok_or_else(bad)?)?
            }
        };
        Ok(Shape::new(dims).with(axis, found))
    }

    /// The tensor, and the one whose shape is read, which is there if the target needs it.
    fn inputs<'a, T>(&self, inputs: &'a [T]) -> Result<(&'a T, Option<&'a T>)> {
        if self.target.iter().any(|dim| matches!(dim, ReshapeDim::Like(_))) {
            let [x, like] = exactly("reshape like another tensor", inputs)?;
            return Ok((x, Some(like)));
        }
        let [x] = exactly("reshape", inputs)?;
        Ok((x, None))
    }

    /// The target as Keras writes it.
    fn text(&self) -> String {
        let dims = self.target.iter().map(|dim| match dim {
            ReshapeDim::Keep => "same".to_string(),
            ReshapeDim::Of(axis) => format!("axis {axis}"),
            ReshapeDim::Like(axis) => format!("axis {axis} of another"),
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
        let (x, like) = self.inputs(inputs)?;
        let shape = self.target_shape(&x.shape, like.map(|like| &like.shape), infer)?;
        Ok(vec![TensorType::new(shape, x.dtype)])
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        Ok(Cost::NONE)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let (x, like) = self.inputs(inputs)?;
        let like = like.map(|like| Shape::of(like.shape())).transpose()?;
        let shape = self.target_shape(&Shape::of(x.shape())?, like.as_ref(), &mut Infer::default())?;
        let sizes = shape.as_fixed().ok_or_else(|| Error::shape("a reshape to negative sizes"))?;
        Ok(vec![Tensor::clone(x).reshape(sizes)?])
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
    fn dimensions_are_taken_from_other_axes_and_tensors() {
        let [batch, steps] = ["batch", "steps"].map(Dim::symbol);
        let x = vec![batch.clone(), steps.clone(), 7.into(), 2.into()];
        let merged = [Unknown, ReshapeDim::Of(2), ReshapeDim::Of(3)];
        check(x.clone(), &merged, Ok("[batch*steps, 7, 2]"));
        check(x.clone(), &[Keep, Fixed(1), ReshapeDim::Of(1), Unknown], Ok("[batch, 1, steps, 14]"));
        check(
            x,
            &[Keep, Keep, ReshapeDim::Of(1)],
            Err("an input [batch, steps, 7, 2] cannot be reshaped to [same, same, axis 1]"),
        );

        let like = TensorType::new(Shape::new([batch.clone(), steps.clone()]), DType::F32);
        let x = TensorType::new(Shape::new([batch.mul(&steps).unwrap(), 6.into()]), DType::F32);
        let target = vec![ReshapeDim::Like(0), ReshapeDim::Like(1), Fixed(3), Unknown];
        let split = Reshape { target }.infer(&[x, like], &mut Infer::default()).unwrap();
        assert_eq!(split[0].shape.to_string(), "[batch, steps, 3, 2]");
        let x = Tensor::f64([6], (0..6).map(f64::from).collect()).unwrap();
        let like = Tensor::f64([2, 0], vec![]).unwrap();
        let y = Reshape { target: vec![ReshapeDim::Like(0), Unknown] }.reference(&[&x, &like]).unwrap();
        assert_eq!(y[0].shape(), [2, 3]);
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
