//! onnxruntime: a session for each model, with all optimisations, inputs and outputs bound once.

use super::{Runtime, array, elements};
use crate::contest::Runner;
use ndarray::ArrayD;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{Tensor, ValueType};
use std::path::Path;

/// The library.
#[derive(Clone)]
pub struct OnnxRuntime {
    environment: Environment,
    version: String,
}

impl OnnxRuntime {
    /// Loads the library in `folder`.
    pub(super) fn open(folder: &Path) -> Result<OnnxRuntime, String> {
        let path = folder.join("libonnxruntime.so");
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let environment = ort::init_from(&path).map_err(|error| failed(&error))?;
        let environment = environment.build().map_err(|error| failed(&error))?;
        environment.set_log_level(LogLevel::Error);
        let version = path.canonicalize().map_err(|error| failed(&error))?;
        let version =
            version.to_string_lossy().rsplit_once(".so.").map_or("", |(_, version)| version).to_string();
        Ok(OnnxRuntime { environment, version })
    }

    fn builder(&self, threads: usize) -> Result<SessionBuilder, String> {
        let builder = Session::builder(&self.environment).map_err(error)?;
        let builder = builder.with_intra_threads(threads).map_err(error)?;
        let builder = builder.with_inter_threads(1).map_err(error)?;
        builder.with_optimization_level(GraphOptimizationLevel::All).map_err(error)
    }

    /// The sizes that the file's inputs leave open, by name, as `inputs` have them.
    fn symbols(&self, onnx: &[u8], inputs: &[ArrayD<f32>]) -> Result<Vec<(String, i64)>, String> {
        let builder = self.builder(1)?.with_optimization_level(GraphOptimizationLevel::Disable);
        let session = builder.map_err(error)?.commit_from_memory(onnx).map_err(error)?;
        let mut symbols = Vec::new();
        for (input, array) in session.inputs().iter().zip(inputs) {
            let ValueType::Tensor { dimension_symbols, .. } = input.dtype() else { continue };
            let named = dimension_symbols.iter().zip(array.shape()).filter(|(name, _)| !name.is_empty());
            symbols.extend(named.map(|(name, &size)| (name.to_string(), size as i64)));
        }
        Ok(symbols)
    }

    /// Makes a session of a file, with one thread, and drops it.
    ///
    /// # Errors
    /// Where onnxruntime cannot take the file.
    pub fn create_session(&self, file: &Path) -> Result<(), String> {
        self.builder(1)?.commit_from_file(file).map(drop).map_err(error)
    }
}

fn error(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Runtime for OnnxRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn load(&self, onnx: &[u8], inputs: &[ArrayD<f32>], threads: usize) -> Result<Box<dyn Runner>, String> {
        let mut builder = self.builder(threads)?;
        for (symbol, size) in self.symbols(onnx, inputs)? {
            builder = builder.with_dimension_override(symbol, size).map_err(error)?;
        }
        let mut session = builder.commit_from_memory(onnx).map_err(error)?;
        let names: Vec<String> = session.inputs().iter().map(|input| input.name().to_string()).collect();
        let mut binding = session.create_binding().map_err(error)?;
        let mut given = Vec::new();
        for (name, input) in names.into_iter().zip(inputs) {
            let tensor = Tensor::from_array((input.shape().to_vec(), elements(input))).map_err(error)?;
            binding.bind_input(name.as_str(), &tensor).map_err(error)?;
            given.push((name, tensor));
        }
        // A first run says how large the outputs are.
        let outputs: Vec<(String, Vec<i64>)> = {
            let outputs = session.run(given).map_err(error)?;
            outputs.iter().map(|(name, value)| (name.to_string(), value.shape().to_vec())).collect()
        };
        for (name, shape) in outputs {
            let tensor = Tensor::<f32>::new(session.allocator(), shape).map_err(error)?;
            binding.bind_output(name, tensor).map_err(error)?;
        }
        Ok(Box::new(Bound { session, binding }))
    }
}

/// A session whose inputs and outputs have their places.
struct Bound {
    session: Session,
    binding: IoBinding,
}

impl Runner for Bound {
    fn run(&mut self) -> Result<(), String> {
        self.session.run_binding(&self.binding).map(drop).map_err(error)
    }

    fn outputs(&mut self) -> Result<Vec<ArrayD<f32>>, String> {
        let names: Vec<String> =
            self.session.outputs().iter().map(|output| output.name().to_string()).collect();
        let outputs = self.session.run_binding(&self.binding).map_err(error)?;
        let output = |name: &String| {
            let value = outputs.get(name).ok_or_else(|| format!("no output {name}"))?;
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(error)?;
            array(shape.iter().map(|&size| size as usize).collect(), data.to_vec())
        };
        names.iter().map(output).collect()
    }
}
