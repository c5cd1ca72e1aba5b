//! Runs a model on arrays.

use crate::{Array, Error, ErrorKind, Model, Result, batches};
use k2o_cpu::{DataView, PlanOptions, Session, TensorView, Threads};
use ndarray::{ArrayD, IxDyn};
use std::num::NonZeroUsize;

/// How a model is run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PredictOptions {
    /// How the model is planned. Other than the usual plan, which is kept, one with options is made for each call: for many
    /// of them, make a [`Session`] of [`Model::plan_with`] and [run](Model::run) that.
    pub plan: PlanOptions,
    /// Who computes; the results have the same bits.
    pub threads: Threads,
    /// The most examples that are computed at a time; all, if it is `None`.
    pub batch_size: Option<NonZeroUsize>,
}

impl Model {
    /// The outputs for one array per input, in the model's order; the first axis of each is the batch.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where the arrays do not fit the inputs, [`Malformed`](ErrorKind::Malformed) or
    /// [`Io`](ErrorKind::Io) where weights cannot be read, which happens at the first call.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// # let model = k2o::Model::open(path)?;
    /// let x = ndarray::Array3::<f32>::ones((4, 100, 1));
    /// let y = model.predict(&[x.into()])?;
    /// assert_eq!(y[0].shape(), [4, 1]);
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn predict(&self, inputs: &[Array]) -> Result<Vec<ArrayD<f32>>> {
        self.predict_with(inputs, &PredictOptions::default())
    }

    /// As [`predict`](Model::predict), with no more than `batch_size` examples at a time, which bounds the memory that
    /// is needed for what layers compute. The outputs are the same, bit for bit.
    ///
    /// # Errors
    /// As [`predict`](Model::predict), and [`Input`](ErrorKind::Input) where the model cannot be run in parts: its
    /// batch is of a fixed size, or an example's output depends on others.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// # let model = k2o::Model::open(path)?;
    /// let x: k2o::Array = ndarray::Array3::<f32>::ones((5, 100, 1)).into();
    /// let size = std::num::NonZero::new(2).ok_or("no batch")?;
    /// assert_eq!(model.predict_in_batches(&[x.clone()], size)?, model.predict(&[x])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn predict_in_batches(&self, inputs: &[Array], batch_size: NonZeroUsize) -> Result<Vec<ArrayD<f32>>> {
        self.predict_with(
            inputs,
            &PredictOptions { batch_size: Some(batch_size), ..PredictOptions::default() },
        )
    }

    /// As [`predict`](Model::predict), in batches, with several threads, or with another plan.
    ///
    /// # Errors
    /// As [`predict_in_batches`](Model::predict_in_batches) and [`Plan::new`](k2o_cpu::Plan::new).
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// # let model = k2o::Model::open(path)?;
    /// # let x: k2o::Array = ndarray::Array3::<f32>::ones((5, 100, 1)).into();
    /// use k2o::{InstructionSet, PredictOptions};
    ///
    /// let mut options = PredictOptions::default();
    /// options.plan.instruction_set = Some(InstructionSet::Portable);
    /// let y = model.predict_with(&[x], &options)?;
    /// assert_eq!(y[0].shape(), [5, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn predict_with(&self, inputs: &[Array], options: &PredictOptions) -> Result<Vec<ArrayD<f32>>> {
        self.predict_with_progress(inputs, options, &mut |_| ())
    }

    /// As [`predict_with`](Model::predict_with), and tells `progress` after each batch how many examples are computed.
    ///
    /// # Errors
    /// As [`predict_with`](Model::predict_with).
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// # let model = k2o::Model::open(path)?;
    /// # let x: k2o::Array = ndarray::Array3::<f32>::ones((5, 100, 1)).into();
    /// let mut options = k2o::PredictOptions::default();
    /// options.batch_size = std::num::NonZero::new(2);
    /// let mut done = Vec::new();
    /// model.predict_with_progress(&[x], &options, &mut |examples| done.push(examples))?;
    /// assert_eq!(done, [2, 4, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn predict_with_progress(
        &self,
        inputs: &[Array],
        options: &PredictOptions,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<ArrayD<f32>>> {
        let plan = match options.plan == PlanOptions::default() {
            true => self.plan()?.clone(),
            false => self.plan_with(&options.plan)?,
        };
        let mut session = Session::with_threads(&plan, options.threads.clone());
        match options.batch_size {
            Some(size) => batches::predict(self, &mut session, inputs, size, progress),
            None => {
                let outputs = self.run(&mut session, inputs)?;
                progress(inputs.first().and_then(|array| array.shape().first()).copied().unwrap_or(0));
                Ok(outputs)
            }
        }
    }

    /// The outputs that `session`, made from this model's [`plan`](Model::plan), computes for one array per input, as
    /// [`predict`](Model::predict) does. The outputs are copied; [`Session::run`] gives views of them.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where the arrays do not fit the inputs, [`Limit`](ErrorKind::Limit) where the run does not
    /// fit memory or the plan's limit, [`Unsupported`](ErrorKind::Unsupported) where an output holds integers.
    pub fn run(&self, session: &mut Session, inputs: &[Array]) -> Result<Vec<ArrayD<f32>>> {
        let inputs: Vec<Array> = inputs.iter().cloned().map(Array::into_standard_layout).collect();
        let views = inputs.iter().map(view).collect::<Result<Vec<_>>>()?;
        let outputs = session.run(&views).map_err(|error| self.cpu_error(&error))?;
        let array = |(name, view): (&str, TensorView<'_>)| {
            let data = view.as_f32().ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, format!("output {name:?} holds integers"))
            })?;
            ArrayD::from_shape_vec(IxDyn(view.shape()), data.to_vec())
                .map_err(|error| Error::new(ErrorKind::Limit, error.to_string()))
        };
        outputs.iter().map(array).collect()
    }
}

fn view(array: &Array) -> Result<TensorView<'_>> {
    let data = match array {
        Array::F32(array) => array.as_slice().map(DataView::F32),
        Array::I32(array) => array.as_slice().map(DataView::I32),
        Array::I64(array) => array.as_slice().map(DataView::I64),
    };
    let data = data.ok_or_else(|| Error::new(ErrorKind::Input, "an array that is not in row-major order"))?;
    TensorView::new(array.shape(), data).map_err(|error| Error::new(ErrorKind::Input, error.to_string()))
}
