//! rten: weights packed when the model is loaded, a pool of threads of its own, inputs as views.

use super::{Runtime, array, elements};
use crate::contest::Runner;
use ndarray::ArrayD;
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use rten_tensor::Layout;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The runtime, with a pool of threads for each number of them.
#[derive(Default)]
pub(super) struct Rten {
    pools: RefCell<BTreeMap<usize, Arc<ThreadPool>>>,
}

fn error(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Runtime for Rten {
    fn name(&self) -> &'static str {
        "rten"
    }

    fn version(&self) -> String {
        crate::machine::version_of("rten")
    }

    fn load(&self, onnx: &[u8], inputs: &[ArrayD<f32>], threads: usize) -> Result<Box<dyn Runner>, String> {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load(onnx.to_vec()).map_err(error)?;
        let value = |input: &ArrayD<f32>| Value::from_shape(input.shape(), elements(input)).map_err(error);
        let values = inputs.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        let inputs = model.input_ids().iter().copied().zip(values).collect();
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(threads).or_insert_with(|| Arc::new(ThreadPool::with_num_threads(threads)));
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        Ok(Box::new(Loaded { model, inputs, options }))
    }
}

/// A model with its inputs.
struct Loaded {
    model: Model,
    inputs: Vec<(NodeId, Value)>,
    options: RunOptions,
}

impl Loaded {
    fn compute(&self) -> Result<Vec<Value>, String> {
        let inputs: Vec<(NodeId, ValueOrView<'_>)> =
            self.inputs.iter().map(|(id, value)| (*id, value.into())).collect();
        self.model.run(inputs, self.model.output_ids(), Some(self.options.clone())).map_err(error)
    }
}

impl Runner for Loaded {
    fn run(&mut self) -> Result<(), String> {
        self.compute().map(drop)
    }

    fn outputs(&mut self) -> Result<Vec<ArrayD<f32>>, String> {
        let output = |value: &Value| match value.as_view() {
            ValueView::FloatTensor(tensor) => {
                array(tensor.shape().to_vec(), tensor.iter().copied().collect())
            }
            _ => Err(format!("an output of {}", value.dtype())),
        };
        self.compute()?.iter().map(output).collect()
    }
}
