//! Convolution (cross-correlation, as in Keras and ONNX) over the axes between batch and channels:
//!
//! `y[b, t, o] = bias[o] + sum over taps k and channels c of x[b, t*stride + k*dilation - before, g*C/G + c] *
//! kernel[k, c, o]`, where output channel `o` lies in group `g` of `G`, and `x` is 0 outside.

use super::{Infer, Operator, exactly};
use crate::tensor::{dot, element_count, for_each_index, strides};
use crate::{Cost, Dim, Error, Extent, Relation, Result, Shape, Tensor, TensorType, Window};
use std::iter;

/// Convolution. Inputs: `x` `[batch, steps.., channels]`, `kernel` `[taps.., channels / groups, filters]` and,
/// if there is one, `bias` `[filters]`. Output `[batch, positions.., filters]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// How the kernel slides along each of the middle axes.
    pub windows: Vec<Window>,
    /// Input and output channels fall into this many groups, each convolved alone.
    pub groups: usize,
}

/// Batch, steps and channels of an input `[batch, steps.., channels]` with so many axes of steps.
pub(super) fn split_input(axes: usize, shape: &Shape) -> Result<(&Dim, &[Dim], &Dim)> {
    match &shape[..] {
        [batch, steps @ .., channels] if steps.len() == axes => Ok((batch, steps, channels)),
        _ => {
            // A shape has far fewer axes.
            let rank = axes.saturating_add(2);
            Err(Error::shape(format!("an input of rank {rank} was expected; {shape} was given")))
        }
    }
}

/// Taps, rows and columns of a kernel `[taps.., rows, columns]` with so many axes of taps.
pub(super) fn split_kernel(axes: usize, shape: &Shape) -> Result<(&[Dim], &Dim, &Dim)> {
    match &shape[..] {
        [taps @ .., rows, columns] if taps.len() == axes => Ok((taps, rows, columns)),
        _ => Err(Error::shape(format!("a kernel {shape} for a convolution of rank {axes}"))),
    }
}

/// The positions along each axis of `steps`.
pub(super) fn positions(windows: &[Window], steps: &[Dim], infer: &mut Infer) -> Result<Vec<Dim>> {
    windows.iter().zip(steps).map(|(window, n)| window.positions(n, infer)).collect()
}

/// The extents along each middle axis of a tensor of sizes `shape`.
pub(super) fn extents(windows: &[Window], shape: &[usize]) -> Result<Vec<Extent>> {
    windows.iter().zip(shape.iter().skip(1)).map(|(window, &n)| window.extent(n)).collect()
}

impl Operator for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let (x, kernel, bias) = match inputs {
            [x, kernel] => (x, kernel, None),
            [x, kernel, bias] => (x, kernel, Some(bias)),
            _ => return Err(Error::shape(format!("conv takes 2 or 3 inputs; {} were given", inputs.len()))),
        };
        let (batch, steps, channels) = split_input(self.windows.len(), &x.shape)?;
        let positions = positions(&self.windows, steps, infer)?;
        let (taps, per_group, filters) = split_kernel(self.windows.len(), &kernel.shape)?;
        for (window, taps) in self.windows.iter().zip(taps) {
            infer.require_equal(taps, &Dim::fixed(window.size()), || {
                format!("a kernel {} for a window of {} taps", kernel.shape, window.size())
            })?;
        }
        let groups = i64::try_from(self.groups).ok().filter(|&g| g > 0);
        let groups = groups.ok_or_else(|| Error::shape(format!("{} groups", self.groups)))?;
        infer.require_equal(channels, &per_group.mul_const(groups)?, || {
            format!("{channels} channels for a kernel of {per_group} channels in each of {groups} groups")
        })?;
        infer.require(filters, Relation::MultipleOf(Dim::fixed(groups)), || {
            format!("{filters} filters do not fall into {groups} groups")
        })?;
        if let Some(bias) = bias {
            let [n] = exactly::<Dim, 1>("the shape of a bias", &bias.shape)?;
            infer.require_equal(filters, n, || format!("{n} biases for {filters} filters"))?;
        }
        let shape = iter::once(batch.clone()).chain(positions).chain([filters.clone()]).collect();
        Ok(vec![TensorType::new(shape, x.dtype)])
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let ([_, kernel, ..], [y]) = (inputs, outputs) else { return Ok(Cost::NONE) };
        let per_position = kernel.shape.elements()?;
        let positions =
            y.shape.iter().take(y.shape.rank().saturating_sub(1)).cloned().collect::<Shape>().elements()?;
        let multiply_adds = Cost::multiply_adds(positions.mul(&per_position)?);
        match inputs.len() {
            3 => multiply_adds.add(&Cost::element_ops(y.shape.elements()?)),
            _ => Ok(multiply_adds),
        }
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x, kernel, bias @ ..] = inputs else { return Err(Error::shape("conv takes 2 or 3 inputs")) };
        let bias = bias.first().map(|bias| bias.as_f64()).transpose()?;
        let rank = self.windows.len();
        let extents = extents(&self.windows, x.shape())?;
        let (channels, filters) = (kernel.shape()[rank], kernel.shape()[rank + 1]);
        let per_group = filters / self.groups;
        let (sx, sk) = (strides(x.shape()), strides(kernel.shape()));
        let (x_data, k_data) = (x.as_f64()?, kernel.as_f64()?);
        let mut shape = vec![x.shape()[0]];
        shape.extend(extents.iter().map(|extent| extent.output));
        shape.push(filters);
        element_count(&shape)?;
        let positions = shape[..=rank].to_vec();
        let mut y = Vec::new();
        for_each_index(&positions, |index| {
            let start = y.len();
            y.resize(start + filters, 0.0);
            let sums = &mut y[start..];
            for_each_index(&kernel.shape()[..rank], |tap| {
                let mut at = index[0] * sx[0];
                for axis in 0..rank {
                    let window = &self.windows[axis];
                    match window.taps(&extents[axis], index[axis + 1]).nth(tap[axis]).flatten() {
                        Some(step) => at += step * sx[axis + 1],
                        None => return,
                    }
                }
                let taps = dot(tap, &sk);
                for (o, sum) in sums.iter_mut().enumerate() {
                    let first = at + o / per_group * channels;
                    for c in 0..channels {
                        *sum += x_data[first + c] * k_data[taps + c * filters + o];
                    }
                }
            });
            if let Some(bias) = bias {
                sums.iter_mut().zip(bias).for_each(|(sum, b)| *sum += b);
            }
        });
        Ok(vec![Tensor::f64(shape, y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Padding};

    fn conv(size: i64, stride: i64, padding: Padding, groups: usize) -> Conv {
        Conv { windows: vec![Window::new(size, stride, 1, padding).unwrap()], groups }
    }

    #[test]
    fn taps_run_forward_over_the_input() {
        let x = Tensor::f64([1, 4, 1], vec![1., 2., 3., 4.]).unwrap();
        let kernel = Tensor::f64([2, 1, 1], vec![10., 1.]).unwrap();
        let bias = Tensor::f64([1], vec![0.5]).unwrap();
        let y = conv(2, 1, Padding::Explicit(1, 0), 1).reference(&[&x, &kernel, &bias]).unwrap();
        assert_eq!(y, [Tensor::f64([1, 4, 1], vec![1.5, 12.5, 23.5, 34.5]).unwrap()]);
    }

    #[test]
    fn groups_see_only_their_own_channels() {
        let x = Tensor::f64([1, 1, 2], vec![2., 3.]).unwrap();
        let kernel = Tensor::f64([1, 1, 4], vec![1., 10., 100., 1000.]).unwrap();
        let y = conv(1, 1, Padding::Explicit(0, 0), 2).reference(&[&x, &kernel]).unwrap();
        assert_eq!(y, [Tensor::f64([1, 1, 4], vec![2., 20., 300., 3000.]).unwrap()]);
    }

    #[test]
    fn channels_and_groups_must_fit() {
        let infer = |x: &[usize], kernel: &[usize], groups| {
            let types = [x, kernel].map(|sizes| TensorType::new(Shape::of(sizes).unwrap(), DType::F32));
            let conv = conv(kernel[0] as i64, 1, Padding::Explicit(0, 0), groups);
            conv.infer(&types, &mut Infer::default()).map(|types| types[0].shape.as_fixed().unwrap())
        };
        assert_eq!(infer(&[2, 9, 6], &[3, 2, 9], 3).unwrap(), [2, 7, 9]);
        assert!(infer(&[2, 9, 6], &[3, 5, 9], 1).is_err());
        assert!(infer(&[2, 9, 6], &[3, 2, 8], 3).is_err());
        assert!(infer(&[2, 9, 6], &[3, 2, 9], 0).is_err());
        assert!(infer(&[2, 9], &[3, 2, 9], 1).is_err());
    }
}
