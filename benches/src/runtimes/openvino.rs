//! OpenVINO on the CPU: in single precision, for the latency of one request, which is made once.

use super::{Runtime, array};
use crate::contest::Runner;
use ndarray::ArrayD;
use openvino::{
    CompiledModel, Core, DeviceType, ElementType, InferRequest, PartialShape, RwPropertyKey, Shape, Tensor,
};
use std::path::Path;

/// The library.
pub(super) struct OpenVino {
    version: String,
}

fn error(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl OpenVino {
    /// Loads the library in `folder`.
    pub(super) fn open(folder: &Path) -> Result<OpenVino, String> {
        openvino_sys::library::load_from(folder.join("libopenvino_c.so"))?;
        // Behind the number are the build's and the branch's.
        let version = openvino::version().build_number;
        Ok(OpenVino { version: version.split('-').next().unwrap_or_default().to_string() })
    }
}

impl Runtime for OpenVino {
    fn name(&self) -> &'static str {
        "openvino"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn load(&self, onnx: &[u8], inputs: &[ArrayD<f32>], threads: usize) -> Result<Box<dyn Runner>, String> {
        let mut core = Core::new().map_err(error)?;
        let threads = threads.to_string();
        let properties = [
            (RwPropertyKey::HintPerformanceMode, "LATENCY"),
            (RwPropertyKey::NumStreams, "1"),
            (RwPropertyKey::InferenceNumThreads, &threads),
            // Else it may compute in bfloat16, where the processor can.
            (RwPropertyKey::HintInferencePrecision, "f32"),
        ];
        core.set_properties(&DeviceType::CPU, properties).map_err(error)?;
        let mut model = core.read_model_from_buffer(onnx, None).map_err(error)?;
        let shapes = inputs.iter().map(|input| {
            let sizes: Vec<i64> = input.shape().iter().map(|&size| size as i64).collect();
            PartialShape::new_static(sizes.len() as i64, &sizes)
        });
        let shapes = shapes.collect::<Result<Vec<_>, _>>().map_err(error)?;
        model.reshape_by_port_indexes(&shapes.iter().enumerate().collect::<Vec<_>>()).map_err(error)?;
        let mut compiled = core.compile_model(&model, DeviceType::CPU).map_err(error)?;
        let mut request = compiled.create_infer_request().map_err(error)?;
        for (index, input) in inputs.iter().enumerate() {
            let sizes: Vec<i64> = input.shape().iter().map(|&size| size as i64).collect();
            let shape = Shape::new(&sizes).map_err(error)?;
            let mut tensor = Tensor::new(ElementType::F32, &shape).map_err(error)?;
            let data = tensor.get_data_mut::<f32>().map_err(error)?;
            data.iter_mut().zip(input).for_each(|(to, &from)| *to = from);
            request.set_input_tensor_by_index(index, &tensor).map_err(error)?;
        }
        let outputs = compiled.get_output_size().map_err(error)?;
        Ok(Box::new(Request { request, outputs, _compiled: compiled, _core: core }))
    }
}

/// A request with its inputs.
struct Request {
    request: InferRequest,
    outputs: usize,
    _compiled: CompiledModel,
    _core: Core,
}

impl Runner for Request {
    fn run(&mut self) -> Result<(), String> {
        self.request.infer().map_err(error)
    }

    fn outputs(&mut self) -> Result<Vec<ArrayD<f32>>, String> {
        self.run()?;
        let output = |index| {
            let tensor = self.request.get_output_tensor_by_index(index).map_err(error)?;
            let shape = tensor.get_shape().map_err(error)?;
            let sizes = shape.get_dimensions().iter().map(|&size| size as usize).collect();
            array(sizes, tensor.get_data::<f32>().map_err(error)?.to_vec())
        };
        (0..self.outputs).map(output).collect()
    }
}
