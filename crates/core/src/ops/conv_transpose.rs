//! Transposed convolution over the axes between batch and channels: every input step spreads the kernel over the
//! output,
//!
//! `y[b, t*stride + k*dilation - before, o] += x[b, t, c] * kernel[k, c, o]`, plus `bias[o]` everywhere.

use super::conv::{split_input, split_kernel};
use super::{Infer, Operator, exactly};
use crate::tensor::{dot, element_count, for_each_index, strides};
use crate::window::span;
use crate::{Cost, Dim, Error, Relation, Result, Shape, Tensor, TensorType};
use std::iter;

/// Transposed convolution. Inputs: `x` `[batch, steps.., channels]`, `kernel` `[taps.., channels, filters]` and, if
/// there is one, `bias` `[filters]`. Output `[batch, positions.., filters]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvTranspose {
    /// How the kernel spreads along each of the middle axes.
    pub windows: Vec<Spread>,
}

/// How a kernel spreads along one axis. An input of `n` steps reaches `(n - 1) * stride + span` output steps, of which
/// some are cropped; some zeros may be added at the end.
///
/// Made by [`Spread::new`], which refuses what has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    size: i64,
    stride: i64,
    dilation: i64,
    span: i64,
    crop: (i64, i64),
    output_padding: i64,
}

impl Spread {
    /// A spread, or an error where `size`, `stride` or `dilation` is not positive, another number is negative, or the
    /// span or the crop overflows.
    pub fn new(
        size: i64,
        stride: i64,
        dilation: i64,
        crop: (i64, i64),
        output_padding: i64,
    ) -> Result<Spread> {
        for (what, n) in [("size", size), ("stride", stride), ("dilation", dilation)] {
            if n < 1 {
                return Err(Error::shape(format!("the kernel's {what} is {n}; it must be at least 1")));
            }
        }
        if crop.0 < 0 || crop.1 < 0 || output_padding < 0 {
            return Err(Error::shape(format!("a crop of {crop:?} and {output_padding} added zeros")));
        }
        let span = span("kernel", size, dilation)?;
        let spread = Spread { size, stride, dilation, span, crop, output_padding };
        spread.fewest_steps()?;
        Ok(spread)
    }

    /// The number of taps.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// Output steps between what two neighbouring input steps reach.
    pub fn stride(&self) -> i64 {
        self.stride
    }

    /// Output steps between two taps.
    pub fn dilation(&self) -> i64 {
        self.dilation
    }

    /// Output steps that are cropped before and after.
    pub fn crop(&self) -> (i64, i64) {
        self.crop
    }

    /// Steps that no tap reaches, added at the end.
    pub fn output_padding(&self) -> i64 {
        self.output_padding
    }

    /// Output steps from the first tap to the last, both included.
    pub fn span(&self) -> i64 {
        self.span
    }

    /// The fewest input steps of which something is left: `(steps - 1) * stride + span + output_padding` is more than
    /// what is cropped.
    fn fewest_steps(&self) -> Result<i64> {
        let reach = self.span.checked_add(self.output_padding);
        let crop = self.crop.0.checked_add(self.crop.1);
        let beyond = crop.zip(reach).and_then(|(crop, reach)| crop.checked_sub(reach));
        let fewest = beyond.and_then(|n| n.div_euclid(self.stride).checked_add(2));
        let too_large = || {
            let Spread { span, output_padding, crop, .. } = self;
            let of = format!("a kernel's span of {span} steps and {output_padding} added zeros");
            Error::limit(format!("{of}, cropped by {crop:?}, does not fit a 64-bit integer"))
        };
        Ok(fewest.ok_or_else(too_large)?.max(1))
    }

    /// The number of output steps for `input` steps:
    /// `(input - 1) * stride + span - before - after + output_padding`.
    pub fn positions(&self, input: &Dim, infer: &mut Infer) -> Result<Dim> {
        let fewest = self.fewest_steps()?;
        infer.require(input, Relation::AtLeast(fewest), || {
            let of = format!("a transposed convolution of {input} steps");
            if fewest > 1 { format!("nothing is left of {of}, cropped by {:?}", self.crop) } else { of }
        })?;
        // What is cropped has to be a number too, so that no step that a tap reaches is past the limit.
        let reached = input.add_const(-1)?.mul_const(self.stride)?.add_const(self.span)?;
        let all = reached.add_const(self.output_padding)?;
        all.sub(&Dim::fixed(self.crop.0))?.sub(&Dim::fixed(self.crop.1))
    }
}

impl Operator for ConvTranspose {
    fn name(&self) -> &'static str {
        "conv_transpose"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let (x, kernel, bias) = match inputs {
            [x, kernel] => (x, kernel, None),
            [x, kernel, bias] => (x, kernel, Some(bias)),
            _ => {
                let n = inputs.len();
                return Err(Error::shape(format!("conv_transpose takes 2 or 3 inputs; {n} were given")));
            }
        };
        let (batch, steps, channels) = split_input(self.windows.len(), &x.shape)?;
        let (taps, rows, filters) = split_kernel(self.windows.len(), &kernel.shape)?;
        for (window, taps) in self.windows.iter().zip(taps) {
            infer.require_equal(taps, &Dim::fixed(window.size()), || {
                format!("a kernel {} for {} taps", kernel.shape, window.size())
            })?;
        }
        infer.require_equal(channels, rows, || format!("{channels} channels for a kernel of {rows}"))?;
        if let Some(bias) = bias {
            let [n] = exactly::<Dim, 1>("the shape of a bias", &bias.shape)?;
            infer.require_equal(filters, n, || format!("{n} biases for {filters} filters"))?;
        }
        let positions = self.windows.iter().zip(steps).map(|(window, n)| window.positions(n, infer));
        let positions = positions.collect::<Result<Vec<Dim>>>()?;
        let shape = iter::once(batch.clone()).chain(positions).chain([filters.clone()]).collect();
        Ok(vec![TensorType::new(shape, x.dtype)])
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let ([x, kernel, ..], [y]) = (inputs, outputs) else { return Ok(Cost::NONE) };
        let steps =
            x.shape.iter().take(x.shape.rank().saturating_sub(1)).cloned().collect::<Shape>().elements()?;
        let multiply_adds = Cost::multiply_adds(steps.mul(&kernel.shape.elements()?)?);
        match inputs.len() {
            3 => multiply_adds.add(&Cost::element_ops(y.shape.elements()?)),
            _ => Ok(multiply_adds),
        }
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x, kernel, bias @ ..] = inputs else {
            return Err(Error::shape("conv_transpose takes 2 or 3 inputs"));
        };
        let rank = self.windows.len();
        let (channels, filters) = (kernel.shape()[rank], kernel.shape()[rank + 1]);
        let mut shape = vec![x.shape()[0]];
        for (window, &steps) in self.windows.iter().zip(&x.shape()[1..]) {
            let positions = window.positions(&Dim::from_usize(steps)?, &mut Infer::default())?;
            let positions = positions.as_usize();
            shape.push(positions.ok_or_else(|| Error::limit("an output that does not fit memory"))?);
        }
        shape.push(filters);
        let mut y = vec![0.0; element_count(&shape)?];
        if let Some(bias) = bias.first() {
            let bias = bias.as_f64()?;
            y.iter_mut().enumerate().for_each(|(i, y)| *y = bias[i % filters]);
        }
        let (sx, sk, sy) = (strides(x.shape()), strides(kernel.shape()), strides(&shape));
        let (x_data, k_data) = (x.as_f64()?, kernel.as_f64()?);
        for_each_index(&x.shape()[..=rank], |index| {
            for_each_index(&kernel.shape()[..rank], |tap| {
                let mut at = index[0] * sy[0];
                for (axis, window) in self.windows.iter().enumerate() {
                    let step = index[axis + 1] as i64 * window.stride + tap[axis] as i64 * window.dilation;
                    match usize::try_from(step - window.crop.0) {
                        Ok(step) if step < shape[axis + 1] => at += step * sy[axis + 1],
                        _ => return,
                    }
                }
                let (from, taps) = (dot(index, &sx), dot(tap, &sk));
                for c in 0..channels {
                    for o in 0..filters {
                        y[at + o] += x_data[from + c] * k_data[taps + c * filters + o];
                    }
                }
            });
        });
        Ok(vec![Tensor::f64(shape, y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spread: Spread, expected: &[f64]) {
        let x = Tensor::f64([1, 2, 1], vec![1., 10.]).unwrap();
        let kernel = Tensor::f64([3, 1, 1], vec![1., 2., 3.]).unwrap();
        let bias = Tensor::f64([1], vec![0.5]).unwrap();
        let y = ConvTranspose { windows: vec![spread] }.reference(&[&x, &kernel, &bias]).unwrap();
        let y: Vec<f64> = y[0].as_f64().unwrap().iter().map(|y| y - 0.5).collect();
        assert_eq!(y, expected);
    }

    #[test]
    fn every_step_spreads_the_kernel() {
        check(Spread::new(3, 1, 1, (0, 0), 0).unwrap(), &[1., 12., 23., 30.]);
        check(Spread::new(3, 2, 1, (0, 0), 0).unwrap(), &[1., 2., 13., 20., 30.]);
        check(Spread::new(3, 1, 2, (0, 0), 0).unwrap(), &[1., 10., 2., 20., 3., 30.]);
        check(Spread::new(3, 4, 1, (1, 0), 1).unwrap(), &[2., 3., 0., 10., 20., 30., 0.]);
    }

    #[test]
    fn a_crop_must_leave_something() {
        let positions = |spread: Spread, n: i64| spread.positions(&Dim::fixed(n), &mut Infer::default());
        let spread = Spread::new(1, 2, 1, (2, 3), 0).unwrap();
        assert!(positions(spread, 3).is_err());
        assert_eq!(positions(spread, 4).unwrap(), Dim::fixed(2));
        assert!(positions(Spread::new(1, 1, 1, (0, 0), 0).unwrap(), 0).is_err());
        assert!(Spread::new(3, 0, 1, (0, 0), 0).is_err());
        assert!(Spread::new(3, 1, 1, (-1, 0), 0).is_err());
        assert!(Spread::new(i64::MAX, 1, 2, (0, 0), 0).is_err());
    }
}
