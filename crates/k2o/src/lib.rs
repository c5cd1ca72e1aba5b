//! Keras models in pure Rust: open them, look at their shapes, run them, write them as ONNX.
//!
//! The central type is [`Model`]:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/dense_between_steps/keras3.keras");
//! use k2o::{ExportOptions, Model};
//! use ndarray::Array3;
//!
//! let model = Model::open(path)?;
//! assert_eq!(model.summary().total_parameters, 241);
//!
//! let x = Array3::<f32>::zeros((2, 40, 3)); // [batch, steps, channels]
//! let y = model.predict(&[x.into()])?;
//! assert_eq!(y[0].shape(), [2, 2]);
//!
//! let onnx = model.to_onnx(&ExportOptions::default())?.to_bytes()?;
//! assert!(onnx.len() > 241 * 4);
//! # Ok(())
//! # }
//! ```
//!
//! [`Model::open`] takes a `.keras` archive or its unzipped folder, an `.h5` model or the JSON of `model.to_json()`;
//! [`Model::from_bytes`] a model that lies in memory, [`Model::from_json_and_weights`] one in two parts, and
//! [`Model::open_with`] has [options](OpenOptions). A model is cheap to clone and may be shared between threads.
//!
//! # Looking at a model
//!
//! A JSON config without weights is enough for all of this section.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
//! use k2o::{CostOptions, Model};
//!
//! let model = Model::open(path)?;
//! let summary = model.summary();
//! let first = &summary.rows[0];
//! assert_eq!((first.name.as_str(), first.class.as_str()), ("conv1d", "Conv1D"));
//! assert_eq!((first.shape_text().as_str(), first.parameters), ("(None, 98, 32)", 128));
//!
//! // What each row takes: here for one example.
//! let costs = model.costs(&summary, &CostOptions::default())?;
//! assert_eq!(costs.rows[0].multiply_adds, 98 * 32 * 3);
//! assert_eq!(costs.rows[0].weight_bytes, 4 * 128);
//!
//! // How far each row sees, in steps of the input; nothing for what has no steps.
//! let fields = model.receptive_fields(&summary);
//! let steps: Vec<Option<f64>> = fields.iter().map(|field| field.map(|field| field.steps())).collect();
//! assert_eq!(steps[..4], [Some(3.0), Some(4.0), Some(8.0), Some(10.0)]);
//!
//! // What is odd, a sentence for each.
//! let advice = model.advice();
//! assert_eq!(advice[0], "max_pooling1d_1 drops the last step (odd length 47)");
//! # Ok::<(), k2o::Error>(())
//! ```
//!
//! Further in: [`graph`](Model::graph) is what the model computes, in operators; [`outline`](Model::outline) the layer
//! calls that these came from; [`rewritten`](Model::rewritten) what is run and exported.
//!
//! # When layers do not fit
//!
//! Shapes are derived when a model is opened, with symbols for sizes that the file leaves open. Where a layer does not
//! fit what it is given, the error names the layer, does the arithmetic, shows the shapes that led there, and proposes
//! a mend:
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/invalid/kernel_longer_than_what_pooling_left.json");
//! use k2o::{Model, OpenOptions};
//!
//! let error = Model::open(path).unwrap_err();
//! assert!(error.is_shape_mismatch());
//! let text = error.to_string();
//! for part in [
//!     "layer \"conv1d_3\" (Conv1D): a window of 5 steps does not fit an input of 3: (3 - 5) / 1 + 1 = -1",
//!     "shapes: [batch, 100, 1] -> conv1d [batch, 98, 32] -> max_pooling1d [batch, 24, 32] ->",
//!     "help: a window of at most 3 steps fits, or one with padding=\"same\"",
//! ] {
//!     assert!(text.contains(part), "{text}");
//! }
//! // With longer sequences the same layers would fit.
//! assert_eq!(Model::fewest_steps(path, &OpenOptions::default()), Some(122));
//! ```
//!
//! All problems of a model are reported at once. [`OpenOptions::steps`] and [`OpenOptions::input_shapes`] try other
//! inputs.
//!
//! # Shapes and layout
//!
//! Tensors are as in Keras: the batch first and the channels last, `[batch, steps, channels]`, elements in row-major
//! order. An axis is a number or a symbol; symbols of the same name are the same size in a run, and sizes of inner
//! layers are expressions of them.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/symbolic_time/keras3.keras");
//! let model = k2o::Model::open(path)?;
//! assert_eq!(model.inputs()[0].name, "input_layer");
//! assert_eq!(model.inputs()[0].r#type.shape.to_string(), "[batch, steps, 4]");
//! assert_eq!(model.outputs()[0].r#type.shape.to_string(), "[batch, 3]");
//! let inner = model.until("conv1d")?;
//! assert_eq!(inner.outputs()[0].r#type.shape.to_string(), "[batch, (steps + 1) / 2, 6]");
//! // The least number of steps of which every layer makes something.
//! assert_eq!(model.shortest_input(), Some(11));
//! # Ok::<(), k2o::Error>(())
//! ```
//!
//! # Predicting
//!
//! [`Model::predict`] takes an [`Array`] per input and gives an [`ndarray::ArrayD`] per output, both in the order of
//! [`inputs`](Model::inputs) and [`outputs`](Model::outputs). Any array of `f32`, `i32` or `i64` goes `.into()` an
//! [`Array`]; computation is in single precision. An array that does not fit is an error with both shapes:
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
//! use k2o::{ErrorKind, Model};
//! use ndarray::Array3;
//! use std::num::NonZero;
//!
//! let model = Model::open(path)?;
//! let short = Array3::<f32>::zeros((1, 90, 1));
//! let error = model.predict(&[short.into()]).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Input);
//! assert_eq!(
//!     error.to_string(),
//!     "input \"input_layer\" has shape [batch, 100, 1]; an array of shape [1, 90, 1] was given"
//! );
//!
//! // Of many examples, no more than 64 at a time, which bounds the memory; the bits are the same.
//! let x: k2o::Array = Array3::<f32>::ones((150, 100, 1)).into();
//! let y = model.predict_in_batches(&[x], NonZero::new(64).ok_or("no batch")?)?;
//! assert_eq!(y[0].shape(), [150, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sessions and threads
//!
//! The first prediction makes a [`Plan`], which the model keeps: weights packed, operators joined. A [`Session`] is a
//! plan with the memory to run it. Kept and run again, it allocates nothing for sizes that it has seen, the last 16 of
//! them: for a service, an audio callback, a control loop. It reads slices where they are, and its outputs stay in it
//! until the next run.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
//! use k2o::{Model, Session, cpu::TensorView};
//!
//! let model = Model::open(path)?;
//! let mut session = Session::new(model.plan()?);
//! let mut readings = [0.0_f32; 100];
//! for level in [0.5, 0.25] {
//!     readings.fill(level);
//!     let outputs = session.run(&[TensorView::f32(&[1, 100, 1], &readings)?])?;
//!     let y = outputs.get(0).and_then(|y| y.as_f32()).ok_or("no output of floats")?;
//!     assert_eq!(y.len(), 1);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything is computed by the caller's thread. A plan may be shared, with a session for each thread; or, with the
//! feature `threads`, one session uses several [`Threads`]: `Threads::new`, or, with the feature `rayon`, those of a
//! pool of the caller's. The results have the same bits whatever their number.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
//! # let model = k2o::Model::open(path)?;
//! # #[cfg(feature = "threads")]
//! # {
//! use k2o::{Session, Threads};
//!
//! let two = std::num::NonZero::new(2).ok_or("no threads")?;
//! let mut session = Session::with_threads(model.plan()?, Threads::new(two)?);
//! let x = ndarray::Array3::<f32>::ones((8, 100, 1));
//! assert_eq!(model.run(&mut session, &[x.clone().into()])?, model.predict(&[x.into()])?);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Streams
//!
//! A model of convolutions, pooling, layers that work on each step, and forward recurrent layers runs on a sequence
//! that never ends: each step is computed once, and what comes out has the bits of a run on the whole sequence,
//! whatever the chunks.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/stream_conv_lstm/keras3.keras");
//! use k2o::{Model, cpu::TensorView};
//!
//! let model = Model::open(path)?;
//! let plan = model.stream_plan()?; // or an error that names the layer that needs all steps, and why
//! assert_eq!(plan.latency(), 1); // pooling over two steps
//! let mut session = plan.session();
//! let mut steps = 0;
//! for chunk in [[0.5_f32; 6], [0.25; 6]] {
//!     let outputs = session.push(&[TensorView::f32(&[1, 3, 2], &chunk)?])?; // 3 steps of 2 channels
//!     steps += outputs.get(0).map_or(0, |y| y.shape()[1]);
//! }
//! assert_eq!(steps, 3);
//! session.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Narrow weights
//!
//! Weights may be kept in half precision, in half the memory; all is computed in single precision.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
//! use k2o::{Model, PredictOptions, core::DType};
//!
//! let model = Model::open(path)?;
//! let x: k2o::Array = ndarray::Array3::<f32>::ones((1, 100, 1)).into();
//! let mut options = PredictOptions::default();
//! options.plan.narrow_weights = Some(DType::F16);
//! let narrow = model.predict_with(&[x.clone()], &options)?;
//! let wide = model.predict(&[x])?;
//! assert!((narrow[0][[0, 0]] - wide[0][[0, 0]]).abs() < 1e-2);
//! # Ok::<(), k2o::Error>(())
//! ```
//!
//! # ONNX
//!
//! [`Model::to_onnx`] gives an [`Export`], whose weights are read while it is written, one at a time. [`ExportOptions`]
//! say which operator set, and more: sizes to fix, [`onnx::IoLayout`], [`onnx::WeightsType`], a [`onnx::Target`] whose
//! errors to keep clear of. The same model and options give the same bytes.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/conv_only/keras3.keras");
//! use k2o::onnx::{IoLayout, WeightsType};
//! use k2o::{ExportOptions, Model};
//!
//! let model = Model::open(path)?;
//! let options = ExportOptions::default()
//!     .with_opset(18)
//!     .with_batch(1)
//!     .with_io_layout(IoLayout::ChannelsFirst)
//!     .with_weights_type(WeightsType::F16)
//!     .with_metadata("license", "MIT");
//! let export = model.to_onnx(&options)?;
//! assert_eq!(export.input_names(), ["input_layer"]);
//! assert_eq!(export.output_names(), ["global_max_pooling1d"]);
//! let mut file = Vec::new();
//! let length = export.write_to(&mut file)?;
//! assert_eq!(length, file.len() as u64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A model above [`MAX_MODEL_BYTES`](ExportOptions::MAX_MODEL_BYTES) has its weights in a second file, which is written
//! first: [`Export`] shows how.
//!
//! # Layers and activations of your own
//!
//! Nothing in a file is executed: of a custom layer it holds the name of the class and the config, of a lambda nothing.
//! An [`Importer`] says what they compute, in operators; shapes, costs, runs, streams and ONNX follow from these.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/others/custom_layer.keras");
//! use k2o::core::ops::{Binary, BinaryKind};
//! use k2o::keras::{Call, Fields, Layer, Lowering, Result, Tensor};
//! use k2o::{ExportOptions, Importer, Model, OpenOptions};
//!
//! /// `2 * x`.
//! #[derive(Debug)]
//! struct Doubling;
//!
//! impl Layer for Doubling {
//!     fn from_config(_: &mut Fields<'_, '_>) -> Result<Self> {
//!         Ok(Doubling)
//!     }
//!
//!     fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
//!         let x = cx.operand(call.input()?)?;
//!         Ok(vec![cx.add(Binary { kind: BinaryKind::Add }, &[x, x])?])
//!     }
//! }
//!
//! let mut options = OpenOptions::default();
//! options.importer = Importer::new().register::<Doubling>("Doubling");
//! let model = Model::open_with(path, &options)?;
//! let y = model.predict(&[ndarray::Array3::<f32>::ones((1, 8, 2)).into()])?;
//! assert_eq!(y[0].shape(), [1, 2]);
//! assert!(model.to_onnx(&ExportOptions::default())?.node_count() > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An activation is one of Keras's with arguments, by [`Importer::define`], or a function, by
//! [`Importer::register_activation`]. [`Importer`] shows a layer with weights.
//!
//! # Features up to a layer
//!
//! [`Model::until`] is the model that ends at a layer: nothing behind it is computed, and inputs that only that needed
//! are gone.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/two_inputs_two_outputs/keras3.keras");
//! let model = k2o::Model::open(path)?;
//! assert_eq!(model.inputs().len(), 2);
//!
//! let part = model.until("max_pooling1d")?;
//! assert_eq!(part.inputs().len(), 1);
//! let features = part.predict(&[ndarray::Array3::<f32>::ones((5, 20, 3)).into()])?;
//! assert_eq!(features[0].shape(), [5, 6, 4]);
//! # Ok::<(), k2o::Error>(())
//! ```
//!
//! To read what several layers gave in the same run, [plan](Model::plan_with) with
//! [`keep_taps`](PlanOptions::keep_taps) and ask [`Session::tap`].
//!
//! # Errors
//!
//! Functions of this crate fail with an [`Error`]: a text that names the file, the layer and the key, with the mend
//! where one is known, and an [`ErrorKind`] that says who is at fault, so that a program can tell its own mistake from
//! a bad file.
//!
//! ```
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/others/");
//! use k2o::{ErrorKind, Model};
//!
//! for (name, kind) in [
//!     ("lambda.keras", ErrorKind::Unsupported),  // a Lambda layer, which is Python
//!     ("truncated.keras", ErrorKind::Malformed), // half of a file
//!     ("nowhere.keras", ErrorKind::Io),
//! ] {
//!     let error = Model::open(format!("{folder}{name}")).unwrap_err();
//!     assert_eq!(error.kind(), kind, "{error}");
//! }
//! ```
//!
//! What a [`Session`], a [`StreamPlan`]'s session or an [`Export`] returns are errors of their own crates, of the same
//! kinds; [`Model::cpu_error`] and [`Model::onnx_error`] make them [`Error`]s with the layer named.
//!
//! # Files of strangers
//!
//! Reading a file runs nothing in it and opens no other; what is damaged is an error, never a panic. [`Limits`] bound
//! the memory that is read or inflated at once, the layers, and the bytes of the config; [`PlanOptions::memory_limit`]
//! the values of a run.
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
//! use k2o::{ErrorKind, Limits, Model, OpenOptions};
//!
//! let mut options = OpenOptions::default();
//! options.limits = Limits { max_memory: 64 << 20, max_layers: 5, max_config_bytes: 1 << 20 };
//! let error = Model::open_with(path, &options).unwrap_err(); // it has 8 layers
//! assert_eq!(error.kind(), ErrorKind::Limit);
//!
//! let mut options = k2o::PredictOptions::default();
//! options.plan.memory_limit = 1 << 10; // 1 KiB
//! let x = ndarray::Array3::<f32>::zeros((1, 100, 1));
//! let error = Model::open(path)?.predict_with(&[x.into()], &options).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Limit);
//! # Ok::<(), k2o::Error>(())
//! ```
//!
//! # Examples and crates
//!
//! Whole programs are in the folder `examples` of this crate: `embed` has its model inside, `convert_folder` writes
//! ONNX of all models below a folder, `custom_layer` and `features` are what their names say, and `stream` runs on a
//! simulated sensor.
//!
//! This crate is thin: it opens files and puts [`keras`], which reads models, [`core`], the graph with its shapes,
//! [`cpu`], the runtime, and [`onnx`], the exporter, together.

#![forbid(unsafe_code)]

mod analysis;
mod array;
mod batches;
mod error;
mod file;
mod layer;
mod model;
mod predict;
mod sha256;
mod summary;

pub use analysis::{Bound, CostOptions, Costs, LayerCost, NonFinite, ReceptiveField};
pub use array::Array;
pub use error::{Error, ErrorKind, Result};
pub use k2o_core as core;
pub use k2o_cpu as cpu;
pub use k2o_cpu::{InstructionSet, Plan, PlanOptions, Session, StreamPlan, Threads};
pub use k2o_keras as keras;
pub use k2o_keras::{Importer, InputShape, Limits};
pub use k2o_onnx as onnx;
pub use k2o_onnx::{Export, ExportOptions};
pub use model::{Model, OpenOptions, Port, Provenance};
pub use predict::PredictOptions;
pub use summary::{Summary, SummaryRow};
