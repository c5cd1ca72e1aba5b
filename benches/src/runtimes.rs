//! Runtimes of ONNX files by others, each set up as those who know it would: told the sizes of the inputs beforehand where
//! it can be, everything that can be made once made once, outputs left where the runtime puts them.

mod onnxruntime;
mod openvino;
mod rten;
mod tract;

use crate::contest::Runner;
use k2o::onnx::Target;
use ndarray::ArrayD;
use std::path::Path;

pub use onnxruntime::OnnxRuntime;

/// A runtime of ONNX files.
pub trait Runtime {
    /// What tables call it.
    fn name(&self) -> &'static str;

    /// Its version.
    fn version(&self) -> String;

    /// Whether it can use more than one thread for a run.
    fn is_parallel(&self) -> bool {
        true
    }

    /// What K2O is to export files for.
    fn target(&self) -> Target {
        Target::OnnxRuntime
    }

    /// A model made ready to run on `inputs`, and inputs of these sizes only, with `threads` threads.
    ///
    /// # Errors
    /// What the runtime says where it cannot take the model.
    fn load(&self, onnx: &[u8], inputs: &[ArrayD<f32>], threads: usize) -> Result<Box<dyn Runner>, String>;
}

/// onnxruntime, and all runtimes with it among them; the shared libraries are in `folder`, under plain names.
///
/// # Errors
/// Names the library that cannot be loaded.
pub fn all(folder: &Path) -> Result<(OnnxRuntime, Vec<Box<dyn Runtime>>), String> {
    let onnxruntime = OnnxRuntime::open(folder)?;
    let openvino = openvino::OpenVino::open(folder)?;
    let all: Vec<Box<dyn Runtime>> = vec![
        Box::new(onnxruntime.clone()),
        Box::new(openvino),
        Box::new(rten::Rten::default()),
        Box::new(tract::Tract),
    ];
    Ok((onnxruntime, all))
}

fn array(shape: Vec<usize>, data: Vec<f32>) -> Result<ArrayD<f32>, String> {
    ArrayD::from_shape_vec(shape, data).map_err(|error| error.to_string())
}

/// The elements of an array in row-major order.
fn elements(array: &ArrayD<f32>) -> Vec<f32> {
    array.iter().copied().collect()
}
