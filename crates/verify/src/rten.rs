//! Runs exported files in rten, an ONNX runtime by others.

use k2o::{Array, Error, ErrorKind, Result};
use ndarray::{ArrayD, IxDyn};
use rten::{ModelOptions, NodeId, Value, ValueView};
use rten_tensor::Layout;

/// A file loaded into rten.
#[derive(Debug)]
pub struct RtenModel {
    model: rten::Model,
}

fn error(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, format!("rten: {error}"))
}

impl RtenModel {
    /// Loads and optimises an ONNX file.
    ///
    /// # Errors
    /// Where rten lacks an operator, an attribute or an element type.
    pub fn load(onnx: Vec<u8>) -> Result<RtenModel> {
        let model = ModelOptions::with_all_ops().load(onnx).map_err(error)?;
        Ok(RtenModel { model })
    }

    /// The outputs for `inputs`, both in the file's order.
    ///
    /// # Errors
    /// Where an input does not fit the model, is an integer past `i32`, which is rten's only integer, or an operator
    /// cannot run on what it gets.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<ArrayD<f32>>> {
        let ids = self.model.input_ids().iter().copied();
        let given = |(id, array)| Ok((id, value(array)?.into()));
        let inputs = ids.zip(inputs).map(given).collect::<Result<Vec<(NodeId, rten::ValueOrView<'_>)>>>()?;
        let outputs = self.model.run(inputs, self.model.output_ids(), None).map_err(error)?;
        outputs.iter().map(array).collect()
    }
}

fn value(array: &Array) -> Result<Value> {
    let shape = array.shape();
    match array {
        Array::F32(array) => {
            Value::from_shape(shape, array.iter().copied().collect::<Vec<f32>>()).map_err(error)
        }
        Array::I32(array) => {
            Value::from_shape(shape, array.iter().copied().collect::<Vec<i32>>()).map_err(error)
        }
        Array::I64(array) => {
            let narrow = array.iter().map(|&n| i32::try_from(n).map_err(error));
            Value::from_shape(shape, narrow.collect::<Result<Vec<i32>>>()?).map_err(error)
        }
    }
}

fn array(value: &Value) -> Result<ArrayD<f32>> {
    let numbers = match value.as_view() {
        ValueView::FloatTensor(tensor) => tensor.iter().copied().collect(),
        // Integers, and truth values as 0 and 1.
        ValueView::Int32Tensor(tensor) => tensor.iter().map(|&n| n as f32).collect(),
        _ => return Err(error(format!("an output of {}", value.dtype()))),
    };
    ArrayD::from_shape_vec(IxDyn(&value.shape()), numbers).map_err(error)
}
