//! `CuDNNLSTM`, `CuDNNGRU` of Keras 2: `LSTM` and `GRU` with `reset_after`, of fixed functions, whose weights are laid out
//! for cuDNN. <https://www.tensorflow.org/api_docs/python/tf/compat/v1/keras/layers/CuDNNLSTM>
//!
//! Gates are in the order of Keras's columns, but cuDNN reads the `[n, units]` elements of each as `[units, n]`. Each gate
//! has a bias for the input and one for the state: those of all gates for the input come first (`_convert_rnn_weights`,
//! `keras/src/saving/legacy/hdf5_format.py` in Keras 2.15). There are no masks.

use super::cell::CellConfig;
use crate::activation::Activation;
use crate::layers::size;
use crate::weights::{Weight, WeightSpec};
use crate::{Error, Fields, Result};
use k2o_core::ops::Unary;
use k2o_core::{Constant, ConstantExpr, DType, StoredTensor};
use std::sync::Arc;

/// How the weights of a cell are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeightLayout {
    Keras,
    Cudnn,
}

/// Reads the config of a layer of cuDNN.
pub(super) fn config(fields: &mut Fields<'_, '_>) -> Result<CellConfig> {
    fields.ignore(&["unit_forget_bias"]);
    Ok(CellConfig {
        units: size(fields.positive(&["units"])?)?,
        activation: Activation::Unary(Unary::Tanh),
        recurrent_activation: Activation::Unary(Unary::Sigmoid),
        use_bias: true,
        layout: WeightLayout::Cudnn,
    })
}

/// The weights of a layer of cuDNN as a cell computes with them: kernel, recurrent kernel, and the bias in the shape
/// `bias`, which has room for one of each gate or for both.
pub(super) fn in_layout_of_keras(weights: &[Weight], units: usize, bias: &[usize]) -> Result<Vec<Weight>> {
    let [kernel, recurrent_kernel, biases] = weights else {
        return Err(Error::malformed("a layer of cuDNN has three weights"));
    };
    Ok(vec![
        kernel.derived("kernel", kernel_of_keras(&kernel.expr, units)?),
        recurrent_kernel.derived("recurrent_kernel", kernel_of_keras(&recurrent_kernel.expr, units)?),
        biases.derived("bias", bias_of_keras(&biases.expr, bias)?),
    ])
}

/// A kernel whose gates have so many units.
fn kernel_of_keras(kernel: &ConstantExpr, units: usize) -> Result<ConstantExpr> {
    let &[n, columns] = kernel.shape() else { return Err(Error::malformed("a kernel has two axes")) };
    let gates = columns / units;
    let blocks = kernel.reshape(&[n, gates, units])?.permute(&[1, 0, 2])?;
    let transposed = blocks.reshape(&[gates, units, n])?.permute(&[2, 0, 1])?;
    Ok(transposed.reshape(&[n, columns])?)
}

/// The biases for input and state in the shape `[2, columns]`, or their sum in the shape `[columns]`.
fn bias_of_keras(biases: &ConstantExpr, shape: &[usize]) -> Result<ConstantExpr> {
    Ok(match *shape {
        [columns] => biases.reshape(&[2, columns])?.sum(0)?,
        _ => biases.reshape(shape)?,
    })
}

/// A kernel in the layout of cuDNN, of a plain one.
fn kernel_of_cudnn(kernel: &ConstantExpr, units: usize) -> Result<ConstantExpr> {
    let &[n, columns] = kernel.shape() else { return Err(Error::malformed("a kernel has two axes")) };
    let gates = columns / units;
    let blocks = kernel.reshape(&[n, gates, units])?.permute(&[1, 2, 0])?;
    let read = blocks.reshape(&[gates, n, units])?.permute(&[1, 0, 2])?;
    Ok(read.reshape(&[n, columns])?)
}

/// The biases of cuDNN, of those of a plain layer; a sum is halved.
fn bias_of_cudnn(bias: &ConstantExpr) -> Result<ConstantExpr> {
    match *bias.shape() {
        [_] => {
            let half = bias.mul(&ConstantExpr::filled(&[1], 0.5)?)?;
            Ok(ConstantExpr::concat(&[half.clone(), half], 0)?)
        }
        _ => Ok(bias.reshape(&[bias.shape().iter().product()])?),
    }
}

/// Lays out `weights`, each with the index of its spec, as the layer's class wants them, where the file holds those of
/// cuDNN for a plain layer, or the other way round. Keras knows from the bias; all else is left as it is.
pub(crate) fn in_layout_of_the_class(specs: &[WeightSpec], weights: &mut [(usize, Arc<dyn StoredTensor>)]) {
    let ([kernel, recurrent, bias], [(0, a), (1, b), (2, c)]) = (specs, &mut *weights) else { return };
    let &[units, columns] = recurrent.shape.as_slice() else { return };
    let Some(twice) = columns.checked_mul(2) else { return };
    // The sum of both biases is an LSTM's; a GRU has it where cuDNN has nothing like it.
    let is_plain = |shape: &[usize]| {
        shape == [2, columns] || shape == [columns] && units.checked_mul(4) == Some(columns)
    };
    let from_cudnn = is_plain(&bias.shape) && c.shape() == [twice];
    let to_cudnn = bias.shape == [twice] && is_plain(c.shape());
    if !(from_cudnn || to_cudnn) || a.shape() != kernel.shape || b.shape() != recurrent.shape {
        return;
    }
    let stored = [&*a, &*b, &*c].map(|weight| ConstantExpr::stored(weight.clone()));
    let of_kernel = if from_cudnn { kernel_of_keras } else { kernel_of_cudnn };
    let of_bias = if from_cudnn { bias_of_keras(&stored[2], &bias.shape) } else { bias_of_cudnn(&stored[2]) };
    if let (Ok(x), Ok(y), Ok(z)) = (of_kernel(&stored[0], units), of_kernel(&stored[1], units), of_bias) {
        // The elements of kernels are moved only; biases are added and halved.
        let of =
            |stored: &dyn StoredTensor| if stored.dtype() == DType::F32 { DType::F32 } else { DType::F64 };
        let (of_a, of_b) = (of(a.as_ref()), of(b.as_ref()));
        *a = Arc::new(Computed { expr: x, dtype: of_a });
        *b = Arc::new(Computed { expr: y, dtype: of_b });
        *c = Arc::new(Computed { expr: z, dtype: DType::F64 });
    }
}

/// A weight that is computed from what the file holds, and of which `dtype` holds every element.
#[derive(Debug)]
struct Computed {
    expr: ConstantExpr,
    dtype: DType,
}

impl StoredTensor for Computed {
    fn shape(&self) -> &[usize] {
        self.expr.shape()
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        if self.dtype == DType::F32 {
            let constant = Constant { name: String::new(), dtype: self.dtype, expr: self.expr.clone() };
            return Ok(constant.to_f32()?.into_iter().flat_map(f32::to_le_bytes).collect());
        }
        let elements = self.expr.evaluate()?;
        Ok(elements.as_f64()?.iter().flat_map(|x| x.to_le_bytes()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Archive, ErrorKind, ImportOptions, Limits, Source, import};
    use k2o_core::Tensor;
    use serde_json::json;

    fn counting(shape: &[usize]) -> ConstantExpr {
        let n = shape.iter().product::<usize>();
        ConstantExpr::literal(Tensor::f64(shape, (0..n).map(|i| i as f64).collect()).unwrap())
    }

    #[track_caller]
    fn check(expr: Result<ConstantExpr>, shape: &[usize], elements: &[f64]) {
        let found = expr.unwrap().evaluate().unwrap();
        assert_eq!(found.shape(), shape);
        assert_eq!(found.as_f64().unwrap(), elements);
    }

    #[test]
    fn the_elements_of_each_gate_are_read_by_units() {
        // As `transform_kernels` of Keras gives them, for two gates.
        let kernel = [0., 2., 7., 3., 5., 10., 1., 6., 8., 4., 9., 11.];
        check(kernel_of_keras(&counting(&[2, 6]), 3), &[2, 6], &kernel);
        check(kernel_of_keras(&counting(&[2, 4]), 2), &[2, 4], &[0., 4., 2., 6., 1., 5., 3., 7.]);
    }

    #[test]
    fn what_is_laid_out_for_cudnn_and_back_is_the_same() {
        for (n, units) in [(2, 3), (5, 2), (1, 4)] {
            let kernel = counting(&[n, 3 * units]);
            let back = kernel_of_cudnn(&kernel, units).and_then(|kernel| kernel_of_keras(&kernel, units));
            check(back, &[n, 3 * units], kernel.evaluate().unwrap().as_f64().unwrap());
        }
        for shape in [&[4][..], &[2, 3]] {
            let bias = counting(shape);
            let back = bias_of_cudnn(&bias).and_then(|biases| bias_of_keras(&biases, shape));
            check(back, shape, bias.evaluate().unwrap().as_f64().unwrap());
        }
    }

    #[test]
    fn a_mask_is_refused() {
        for class in ["CuDNNLSTM", "CuDNNGRU"] {
            let masking = json!({"class_name": "Masking", "config": {
                "name": "masking", "batch_input_shape": [null, 4, 2], "mask_value": 0.0}});
            let layer = json!({"class_name": class, "config": {"name": "fast", "units": 3}});
            let config = json!({"class_name": "Sequential", "config": {
                "name": "model", "layers": [masking, layer]}});
            let source = Source::from_bytes("model.json", config.to_string().into_bytes());
            let archive = Archive::read(&source, &Limits::default()).unwrap();
            let error = import(&archive, &ImportOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let expected = format!("\"fast\" ({class}): a layer of cuDNN takes no mask");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }

    #[test]
    fn both_biases_are_rows_or_a_sum() {
        check(bias_of_keras(&counting(&[6]), &[3]), &[3], &[3., 5., 7.]);
        check(bias_of_keras(&counting(&[6]), &[2, 3]), &[2, 3], &[0., 1., 2., 3., 4., 5.]);
    }
}
