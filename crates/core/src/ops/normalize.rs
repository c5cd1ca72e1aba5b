//! Normalization by a tensor's own statistics: `(x - mean) / sqrt(variance + epsilon) * scale + bias`, or without the
//! mean, over the elements along some axes.
//!
//! <https://keras.io/api/layers/normalization_layers/layer_normalization/>, arXiv:1607.06450, arXiv:1910.07467

use super::{Binary, BinaryKind, Infer, Operator, Reduce, ReduceKind, check_axes, exactly};
use crate::{Cost, Dim, Error, Relation, Result, Tensor, TensorType};

/// Elements divided by a measure of all elements along `axes`. Inputs: `x` and, if there are any, `scale` and `bias`,
/// each with the sizes of `axes` and in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// What is taken off, and what is divided by.
    pub kind: NormalizeKind,
    /// The axes, in increasing order.
    pub axes: Vec<usize>,
    /// What is added under the root.
    pub epsilon: f64,
}

/// What is taken off the elements, and what they are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormalizeKind {
    /// `(x - mean) / sqrt(variance + epsilon)`: layer normalization.
    Standard,
    /// `x / sqrt(mean of x² + epsilon)`: RMS normalization.
    RootMeanSquare,
    /// `x / sqrt(variance + epsilon)`: what Keras's `LayerNormalization(rms_scaling=True)` computes.
    Deviation,
}

impl Normalize {
    /// The sizes of a scale or bias, as they stand in `x`.
    #[expect(clippy::indexing_slicing, reason = "axes below the rank")]
    fn parameter_shape(&self, x: &[usize]) -> Vec<usize> {
        (0..x.len()).map(|axis| if self.axes.contains(&axis) { x[axis] } else { 1 }).collect()
    }
}

impl Operator for Normalize {
    fn name(&self) -> &'static str {
        match self.kind {
            NormalizeKind::Standard => "layer_norm",
            NormalizeKind::RootMeanSquare => "rms_norm",
            NormalizeKind::Deviation => "deviation_norm",
        }
    }

    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
        let [x, parameters @ ..] = inputs else { return Err(Error::shape("a normalization of nothing")) };
        check_axes(self.name(), &self.axes, x.shape.rank())?;
        if self.axes.is_empty() || parameters.len() > 2 {
            let (axes, n) = (self.axes.len(), parameters.len());
            return Err(Error::shape(format!("{} over {axes} axes with {n} weights", self.name())));
        }
        let sizes: Vec<&Dim> = self.axes.iter().map(|&axis| x.shape.dim(axis)).collect::<Result<_>>()?;
        for &size in &sizes {
            infer.require(size, Relation::AtLeast(1), || format!("{} of no elements", self.name()))?;
        }
        for parameter in parameters {
            let misfit = || {
                format!(
                    "{} weights {} for axes {:?} of an input {}",
                    self.name(),
                    parameter.shape,
                    self.axes,
                    x.shape
                )
            };
            if parameter.shape.rank() != sizes.len() {
                return Err(Error::shape(misfit()));
            }
            for (&size, given) in sizes.iter().zip(parameter.shape.iter()) {
                infer.require_equal(size, given, misfit)?;
            }
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly(self.name(), outputs)?;
        // Sum, difference, square and its sum, quotient, and what the weights do.
        let per_element = Dim::from_usize(inputs.len())?.add_const(4)?;
        Ok(Cost::element_ops(y.shape.elements()?.mul(&per_element)?))
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x, parameters @ ..] = inputs else { return Err(Error::shape("a normalization of nothing")) };
        let mean_of = |x: &Tensor| {
            let mean = Reduce { kind: ReduceKind::Mean, axes: self.axes.clone(), keep_dims: true };
            mean.reference(&[x]).map(|mut y| y.remove(0))
        };
        let with = |kind, a: &Tensor, b: &Tensor| Binary { kind }.reference(&[a, b]).map(|mut y| y.remove(0));
        let centered = match self.kind {
            NormalizeKind::RootMeanSquare => (*x).clone(),
            NormalizeKind::Standard | NormalizeKind::Deviation => with(BinaryKind::Sub, x, &mean_of(x)?)?,
        };
        let squares = mean_of(&with(BinaryKind::Mul, &centered, &centered)?)?;
        let roots = squares.as_f64()?.iter().map(|square| (square + self.epsilon).sqrt()).collect();
        let roots = Tensor::f64(squares.shape(), roots)?;
        let dividend = if self.kind == NormalizeKind::Deviation { *x } else { &centered };
        let mut y = with(BinaryKind::Div, dividend, &roots)?;
        for (parameter, kind) in parameters.iter().zip([BinaryKind::Mul, BinaryKind::Add]) {
            let parameter = (*parameter).clone().reshape(self.parameter_shape(x.shape()))?;
            y = with(kind, &y, &parameter)?;
        }
        Ok(vec![y])
    }
}
