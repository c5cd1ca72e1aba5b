//! `y[.., o] = bias[o] + sum over i of x[.., i] * kernel[i, o]`.

use super::{Infer, Operator, exactly};
use crate::tensor::element_count;
use crate::{Cost, Dim, Error, Result, Tensor, TensorType};

/// Matrix product over the last axis. Inputs: `x` `[.., inputs]`, `kernel` `[inputs, units]` and, if there is
/// one, `bias` `[units]`. Output `[.., units]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense;

impl Operator for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let (x, kernel, bias) = match inputs {
            [x, kernel] => (x, kernel, None),
            [x, kernel, bias] => (x, kernel, Some(bias)),
            _ => return Err(Error::shape(format!("dense takes 2 or 3 inputs; {} were given", inputs.len()))),
        };
        let [rows, units] = exactly::<Dim, 2>("the shape of a dense kernel", &kernel.shape)?;
        let Some(last) = x.shape.rank().checked_sub(1).filter(|&last| last > 0) else {
            return Err(Error::shape(format!(
                "dense needs an input of rank 2 or more; {} was given",
                x.shape
            )));
        };
        let columns = x.shape.dim(last)?;
        infer.require_equal(columns, rows, || {
            format!("an input {} for a kernel {}: {columns} and {rows} differ", x.shape, kernel.shape)
        })?;
        if let Some(bias) = bias {
            let [n] = exactly::<Dim, 1>("the shape of a bias", &bias.shape)?;
            infer.require_equal(units, n, || format!("{n} biases for {units} units"))?;
        }
        Ok(vec![TensorType::new(x.shape.with(last, units.clone()), x.dtype)])
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let ([_, kernel, ..], [y]) = (inputs, outputs) else { return Ok(Cost::NONE) };
        let [rows, _] = exactly::<Dim, 2>("the shape of a dense kernel", &kernel.shape)?;
        let elements = y.shape.elements()?;
        let multiply_adds = Cost::multiply_adds(elements.mul(rows)?);
        match inputs.len() {
            3 => multiply_adds.add(&Cost::element_ops(elements)),
            _ => Ok(multiply_adds),
        }
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x, kernel, bias @ ..] = inputs else { return Err(Error::shape("dense takes 2 or 3 inputs")) };
        let bias = bias.first().map(|bias| bias.as_f64()).transpose()?;
        let (rows, units) = (kernel.shape()[0], kernel.shape()[1]);
        let (data, kernel) = (x.as_f64()?, kernel.as_f64()?);
        let mut shape = x.shape().to_vec();
        let outer: usize = shape[..shape.len() - 1].iter().product();
        if let Some(last) = shape.last_mut() {
            *last = units;
        }
        let mut y = vec![0.0; element_count(&shape)?];
        for row in 0..outer {
            let sums = &mut y[row * units..(row + 1) * units];
            for i in 0..rows {
                let x = data[row * rows + i];
                let weights = &kernel[i * units..(i + 1) * units];
                sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
            }
            if let Some(bias) = bias {
                sums.iter_mut().zip(bias).for_each(|(sum, b)| *sum += b);
            }
        }
        Ok(vec![Tensor::f64(shape, y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leading_axis_is_kept() {
        let x = Tensor::f64([1, 2, 2], vec![1., 2., 3., 4.]).unwrap();
        let kernel = Tensor::f64([2, 3], vec![1., 0., 2., 0., 1., 2.]).unwrap();
        let bias = Tensor::f64([3], vec![0., 0., 1.]).unwrap();
        let y = Dense.reference(&[&x, &kernel, &bias]).unwrap();
        assert_eq!(y, [Tensor::f64([1, 2, 3], vec![1., 2., 7., 3., 4., 15.]).unwrap()]);
    }
}
