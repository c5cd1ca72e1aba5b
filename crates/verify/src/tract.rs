//! Runs exported files in tract, an ONNX runtime by others.

use crate::compare::TractRun;
use k2o::onnx::{Place, Target, WeightsType};
use k2o::{Array, Error, ErrorKind, ExportOptions, Model, Result};
use ndarray::{ArrayD, IxDyn};
use std::collections::BTreeMap;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// A file loaded into tract for inputs of fixed shapes.
#[derive(Clone)]
pub struct TractModel {
    runnable: Arc<TypedRunnableModel>,
    names: Vec<String>,
}

fn error(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, format!("tract: {error:#}"))
}

/// The file's graph, with inputs of the shapes of `inputs`.
fn read(onnx: &[u8], inputs: &[Array]) -> Result<InferenceModel> {
    let mut model = tract_onnx::onnx().model_for_read(&mut std::io::Cursor::new(onnx)).map_err(error)?;
    for (index, input) in inputs.iter().enumerate() {
        let dtype = match input {
            Array::F32(_) => f32::datum_type(),
            Array::I32(_) => i32::datum_type(),
            Array::I64(_) => i64::datum_type(),
        };
        let fact = InferenceFact::dt_shape(dtype, input.shape());
        model = model.with_input_fact(index, fact).map_err(error)?;
    }
    Ok(model)
}

/// The outputs' shapes as tract infers them for inputs of the shapes of `inputs`, in the file's order.
///
/// # Errors
/// Where tract cannot load the file, or does not know a shape before it runs.
pub fn shapes_in_tract(onnx: &[u8], inputs: &[Array]) -> Result<Vec<Vec<usize>>> {
    let model = read(onnx, inputs)?.into_typed().map_err(error)?;
    let shape = |at: usize| {
        let fact = model.output_fact(at).map_err(error)?;
        let shape = fact.shape.as_concrete().ok_or_else(|| error(format!("the shape {:?}", fact.shape)))?;
        Ok(shape.to_vec())
    };
    (0..model.output_outlets().map_err(error)?.len()).map(shape).collect()
}

impl TractModel {
    /// Loads and optimises an ONNX file for inputs of the shapes of `inputs`.
    pub fn load(onnx: &[u8], inputs: &[Array]) -> Result<TractModel> {
        let model = read(onnx, inputs)?;
        let names = model.output_outlets().map_err(error)?.to_vec();
        let names =
            names.iter().map(|outlet| model.outlet_label(*outlet).unwrap_or_default().to_string()).collect();
        let runnable = model.into_optimized().and_then(|model| model.into_runnable()).map_err(error)?;
        Ok(TractModel { runnable, names })
    }

    /// The names of the outputs, in the file's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The outputs for `inputs`, in the file's order.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<ArrayD<f32>>> {
        let values = inputs.iter().map(value).collect::<Result<TVec<TValue>>>()?;
        let outputs = self.runnable.run(values).map_err(error)?;
        let array = |output: &TValue| {
            // A layer may give truth values or integers.
            let numbers = output.cast_to::<f32>().map_err(error)?;
            let view = numbers.to_plain_array_view::<f32>().map_err(error)?;
            let shape = IxDyn(view.shape());
            ArrayD::from_shape_vec(shape, view.iter().copied().collect()).map_err(error)
        };
        outputs.iter().map(array).collect()
    }
}

fn value(array: &Array) -> Result<TValue> {
    let tensor = match array {
        Array::F32(array) => {
            tract_onnx::prelude::Tensor::from_shape(array.shape(), array.as_slice().unwrap_or_default())
        }
        Array::I32(array) => {
            tract_onnx::prelude::Tensor::from_shape(array.shape(), array.as_slice().unwrap_or_default())
        }
        Array::I64(array) => {
            tract_onnx::prelude::Tensor::from_shape(array.shape(), array.as_slice().unwrap_or_default())
        }
    };
    Ok(tensor.map_err(error)?.into())
}

/// The outputs of an ONNX file, in its order.
pub fn run(onnx: &[u8], inputs: &[Array]) -> Result<Vec<ArrayD<f32>>> {
    TractModel::load(onnx, inputs)?.run(inputs)
}

/// Every layer's output and the model's outputs, as tract computes them from the exported file.
pub(crate) fn tapped(
    model: &Model,
    opset: i64,
    weights_type: WeightsType,
    inputs: &[Array],
) -> Result<TractRun> {
    let options = ExportOptions::default().with_opset(opset).with_weights_type(weights_type);
    let export = model.to_onnx(&options.with_taps(true).with_target(Target::Tract))?;
    let bytes = export.to_bytes().map_err(|error| model.onnx_error(&error))?;
    let loaded = TractModel::load(&bytes, inputs)?;
    let outputs = loaded.run(inputs)?;
    let named: BTreeMap<&str, &ArrayD<f32>> =
        loaded.names().iter().map(String::as_str).zip(&outputs).collect();
    let mut layers = BTreeMap::new();
    for layer in export.layer_names() {
        let Place::Named { name, permutation } = &layer.place else { continue };
        let Some(array) = named.get(name.as_str()) else { continue };
        let data = match permutation {
            // Axis i of the file's value is Keras's axis permutation[i].
            Some(permutation) => {
                let mut inverse = vec![0; permutation.len()];
                permutation.iter().enumerate().for_each(|(i, &axis)| inverse[axis] = i);
                array.view().permuted_axes(IxDyn(&inverse)).iter().copied().collect()
            }
            None => array.iter().copied().collect(),
        };
        layers.insert((layer.call, layer.output), data);
    }
    let count = model.outputs().len();
    let outputs = outputs.into_iter().take(count).map(|array| array.iter().copied().collect()).collect();
    Ok(TractRun { layers, outputs })
}
