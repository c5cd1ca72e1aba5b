//! An opened model.

use crate::sha256::begin_sha256;
use crate::{Error, ErrorKind, Result, Summary, file, layer};
use k2o_core::{Dim, Graph, Outline};
use k2o_cpu::{Plan, PlanOptions, StreamPlan};
use k2o_keras::{Archive, ImportOptions, Importer, InputShape, KerasVersion, Limits, Source};
use k2o_onnx::{Export, ExportOptions};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A Keras model, imported and ready to be looked at, run and exported.
///
/// Weights are read from the file when they are needed: the file must stay as it is while the model is in use.
#[derive(Clone, Debug)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    graph: Graph,
    rewritten: Graph,
    outline: Outline,
    origin: Origin,
    plan: OnceLock<Plan>,
}

/// What is known of a model beside what it computes.
#[derive(Clone, Debug)]
struct Origin {
    provenance: Provenance,
    optimizer_parameters: u64,
    sources: Sources,
    limits: Limits,
}

/// What a model was read from, by the keys under which an exported file has the hashes.
type Sources = Vec<(&'static str, Source)>;

/// The longest input that is tried.
const MOST_STEPS: u64 = 1 << 20;

/// How to open a model.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The file with the weights, for a config that stands alone.
    pub weights: Option<PathBuf>,
    /// What a file may make this process do.
    pub limits: Limits,
    /// Layers and activations that Keras does not have.
    pub importer: Importer,
    /// Whether the states of stateful recurrent layers become inputs of the model, named `<layer>/state_0` and so on,
    /// behind its own, and outputs named `<layer>/next_state_0`; else they begin as zeros in each run.
    pub expose_states: bool,
    /// Whether the file's weights are left out, so that the model is as if it had none.
    pub without_weights: bool,
    /// Other sizes for inputs than the file says, all but the batch; `None` for one that is not known. Weights that were
    /// made for other sizes do not fit any more: see [`without_weights`](OpenOptions::without_weights).
    pub input_shapes: Vec<InputShape>,
    /// Another number of steps for every input `[batch, steps, channels]` than the file says.
    pub steps: Option<u64>,
}

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The kind of file, such as `.keras archive` or `HDF5 model`.
    pub format: String,
    /// The version of Keras that the file names.
    pub keras_version: Option<String>,
    /// Whether there are weights.
    pub has_weights: bool,
}

impl Model {
    /// Opens a `.keras` archive or the folder it was unzipped to, an `.h5` model, or a JSON config; which of them is
    /// decided by content.
    ///
    /// A JSON config alone gives a model without weights, which can be looked at but not run.
    ///
    /// # Errors
    /// Of kind [`Unsupported`](ErrorKind::Unsupported), [`Malformed`](ErrorKind::Malformed),
    /// [`Limit`](ErrorKind::Limit) or [`Io`](ErrorKind::Io), naming the layer and the key.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/conv_only/keras2.h5");
    /// let model = k2o::Model::open(path)?;
    /// assert_eq!(model.provenance().keras_version.as_deref(), Some("2.15.0"));
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Model::open_with(path, &OpenOptions::default())
    }

    /// As [`open`](Model::open), with the weights in a file of their own, with other limits, or with layers and
    /// activations that Keras does not have.
    ///
    /// # Errors
    /// As [`open`](Model::open), and [`Input`](ErrorKind::Input) where the options do not fit the model.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/conv_only/keras2.h5");
    /// use k2o::{Importer, OpenOptions};
    ///
    /// let mut options = OpenOptions::default();
    /// options.importer = Importer::new().define("relu", "relu(negative_slope=0.1)")?;
    /// let model = k2o::Model::open_with(path, &options)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Model> {
        let path = path.as_ref();
        let (archive, sources) = read_archive(path, options).map_err(|error| match error.kind() {
            // The path is part of the message already.
            ErrorKind::Io => error,
            _ => error.in_file(path),
        })?;
        Model::import(&archive, sources, options).map_err(|error| error.in_file(path))
    }

    /// The least number of steps of its inputs `[batch, steps, channels]` with which the layers of the model at `path` fit
    /// each other, weights left aside. `None` where there are no such inputs, and where no number up to a million does.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// // Of 10 steps a convolution of 3 leaves 8, pooling of 2 leaves 4, and so on until 1 is left.
    /// assert_eq!(k2o::Model::fewest_steps(path, &k2o::OpenOptions::default()), Some(10));
    /// ```
    pub fn fewest_steps(path: impl AsRef<Path>, options: &OpenOptions) -> Option<u64> {
        let (archive, _) = read_archive(path.as_ref(), options).ok()?;
        let mut import_options = ImportOptions::default();
        import_options.limits = options.limits.clone();
        import_options.without_weights = true;
        let mut fits = |steps: u64| {
            import_options.steps = Some(steps);
            options.importer.import(&archive, &import_options).is_ok_and(|imported| {
                let has_steps = |port: &k2o_core::Port| {
                    let shape = &imported.graph.value(port.value).r#type.shape;
                    shape.rank() == 3 && shape.get(1) == i64::try_from(steps).ok().map(Dim::fixed).as_ref()
                };
                imported.graph.inputs().iter().any(has_steps)
            })
        };
        let mut enough = 1;
        while !fits(enough) {
            enough = Some(enough * 2).filter(|&steps| steps <= MOST_STEPS)?;
        }
        let mut too_few = enough / 2;
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            if fits(middle) { enough = middle } else { too_few = middle }
        }
        Some(enough)
    }

    /// Opens a model that lies in memory: the bytes of a `.keras` archive, an `.h5` model or a JSON config. The model keeps
    /// them.
    ///
    /// # Errors
    /// As [`open`](Model::open), but for [`Io`](ErrorKind::Io).
    ///
    /// ```
    /// # const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/conv_only/keras3.keras");
    /// # let bytes = std::fs::read(PATH).unwrap();
    /// let model = k2o::Model::from_bytes(bytes)?;
    /// assert_eq!(model.inputs()[0].name, "input_layer");
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Model> {
        Model::from_bytes_with(bytes, &OpenOptions::default())
    }

    /// As [`from_bytes`](Model::from_bytes), with the options of [`open_with`](Model::open_with), of which
    /// [`weights`](OpenOptions::weights) may name a file.
    ///
    /// # Errors
    /// As [`open`](Model::open).
    ///
    /// ```
    /// # const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/conv_only/keras3.keras");
    /// # let bytes = std::fs::read(PATH).unwrap();
    /// let mut options = k2o::OpenOptions::default();
    /// options.without_weights = true;
    /// assert!(!k2o::Model::from_bytes_with(bytes, &options)?.provenance().has_weights);
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn from_bytes_with(bytes: impl Into<Vec<u8>>, options: &OpenOptions) -> Result<Model> {
        let source = Source::from_bytes("model", bytes.into());
        let (archive, sources) = read_source(source, options)?;
        Model::import(&archive, sources, options)
    }

    /// Opens a model from `model.to_json()` and the bytes of a weights file, in the old or the new layout.
    ///
    /// # Errors
    /// As [`from_bytes`](Model::from_bytes).
    ///
    /// ```
    /// # const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/conv_only");
    /// # let json = std::fs::read(format!("{FOLDER}/keras3.json")).unwrap();
    /// # let weights = std::fs::read(format!("{FOLDER}/keras3.weights.h5")).unwrap();
    /// let model = k2o::Model::from_json_and_weights(json, weights)?;
    /// assert!(model.provenance().has_weights);
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn from_json_and_weights(json: impl Into<Vec<u8>>, weights: impl Into<Vec<u8>>) -> Result<Model> {
        let options = OpenOptions::default();
        let json = Source::from_bytes("the config", json.into());
        let weights = Source::from_bytes("the weights", weights.into());
        let archive = Archive::read_parts(&json, None, Some(&weights), &options.limits)?;
        Model::import(&archive, sources(json, Some(weights)), &options)
    }

    fn import(archive: &Archive, sources: Sources, options: &OpenOptions) -> Result<Model> {
        let mut import_options = ImportOptions::default();
        import_options.limits = options.limits.clone();
        import_options.expose_states = options.expose_states;
        import_options.input_shapes = options.input_shapes.clone();
        import_options.steps = options.steps;
        import_options.without_weights = options.without_weights;
        let imported = options.importer.import(archive, &import_options)?;
        let provenance = Provenance {
            format: archive.format.to_string(),
            keras_version: archive
                .keras_version
                .clone()
                .or_else(|| (imported.version == KerasVersion::V3).then(|| "3".to_string())),
            has_weights: archive.weights.is_some() && !options.without_weights,
        };
        let optimizer_parameters = archive.weights.as_ref().map_or(0, |store| store.optimizer_elements());
        let origin = Origin { provenance, optimizer_parameters, sources, limits: options.limits.clone() };
        Model::new(imported.graph, imported.outline, origin)
    }

    fn new(graph: Graph, outline: Outline, origin: Origin) -> Result<Model> {
        let rewritten = k2o_core::rewrite(&graph).map_err(|error| Error::core(&error, &outline))?;
        Ok(Model(Arc::new(Inner { graph, rewritten, outline, origin, plan: OnceLock::new() })))
    }

    /// The same model with another graph, whose nodes come from the same calls: for tests that make a mistake in it and see
    /// whether it is found.
    #[doc(hidden)]
    pub fn with_graph(&self, graph: Graph) -> Result<Model> {
        Model::new(graph, self.0.outline.clone(), self.0.origin.clone())
    }

    /// The model that ends at a layer: its outputs, which bear its name, are the only ones, and inputs that they do
    /// not need are gone.
    ///
    /// `layer` is the name of a layer, the path of one in a nested model, such as `block/conv1d`, or, where it is
    /// called more than once, either followed by the number of the call: `dense#2`.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where there is no such layer; the names that are most like it are listed.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// let model = k2o::Model::open(path)?.until("conv1d")?;
    /// let y = model.predict(&[ndarray::Array3::<f32>::ones((4, 100, 1)).into()])?;
    /// assert_eq!(y[0].shape(), [4, 98, 32]);
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn until(&self, layer: &str) -> Result<Model> {
        let call = layer::find(&self.0.outline, layer)?;
        let (graph, outline) =
            k2o_core::until(&self.0.graph, &self.0.outline, call).map_err(|error| self.core_error(&error))?;
        // The optimizer is of no part of the model.
        Model::new(graph, outline, Origin { optimizer_parameters: 0, ..self.0.origin.clone() })
    }

    /// The layers with their output shapes and numbers of parameters, as Keras's `model.summary()` has them.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// let summary = k2o::Model::open(path)?.summary();
    /// assert_eq!(summary.rows[0].shape_text(), "(None, 98, 32)");
    /// assert_eq!(summary.rows[0].parameters, 128);
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn summary(&self) -> Summary {
        Summary::new(&self.0.outline, self.0.origin.optimizer_parameters, false)
    }

    /// As [`summary`](Model::summary), with the layers of nested models behind these, as Keras's
    /// `expand_nested` has them.
    pub fn summary_expanded(&self) -> Summary {
        Summary::new(&self.0.outline, self.0.origin.optimizer_parameters, true)
    }

    /// The model planned for this machine: weights packed, steps fused. Made at the first call, which reads the weights.
    ///
    /// # Errors
    /// As [`plan_with`](Model::plan_with).
    pub fn plan(&self) -> Result<&Plan> {
        if let Some(plan) = self.0.plan.get() {
            return Ok(plan);
        }
        let plan = self.plan_with(&PlanOptions::default())?;
        Ok(self.0.plan.get_or_init(|| plan))
    }

    /// The model planned with narrow weights, for a certain instruction set, or with taps. Made at every call. Its sessions
    /// take no more memory for values than [`Limits::max_memory`] allows.
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) or [`Io`](ErrorKind::Io) where weights cannot be read,
    /// [`Unsupported`](ErrorKind::Unsupported) for an instruction set that the processor lacks,
    /// [`Limit`](ErrorKind::Limit) where a weight is past the narrow type, and where all weights take more memory than
    /// [`Limits::max_memory`] allows.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// use k2o::{PlanOptions, Session, core::DType};
    ///
    /// let model = k2o::Model::open(path)?;
    /// let options = PlanOptions { narrow_weights: Some(DType::F16), ..PlanOptions::default() };
    /// let mut session = Session::new(&model.plan_with(&options)?);
    /// let y = model.run(&mut session, &[ndarray::Array3::<f32>::ones((4, 100, 1)).into()])?;
    /// assert_eq!(y[0].shape(), [4, 1]);
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn plan_with(&self, options: &PlanOptions) -> Result<Plan> {
        Plan::new(&self.0.rewritten, &self.limited(options)?).map_err(|error| self.cpu_error(&error))
    }

    /// The options with no more memory for values than the model may take. Refuses weights that are more than that.
    fn limited(&self, options: &PlanOptions) -> Result<PlanOptions> {
        let elements = |constant: &k2o_core::Constant| {
            constant.expr.shape().iter().fold(1u64, |n, &size| n.saturating_mul(size as u64))
        };
        let elements = self.0.rewritten.constants().iter().map(elements).fold(0, u64::saturating_add);
        self.fits_memory("the weights take", elements.saturating_mul(size_of::<f32>() as u64))?;
        let most = usize::try_from(self.0.origin.limits.max_memory).unwrap_or(usize::MAX);
        Ok(PlanOptions { memory_limit: options.memory_limit.min(most), ..options.clone() })
    }

    /// Whether so many bytes are within [`Limits::max_memory`]. `what` begins the error, as in "the weights take".
    ///
    /// # Errors
    /// [`Limit`](ErrorKind::Limit) where they are not.
    pub fn fits_memory(&self, what: &str, bytes: u64) -> Result<()> {
        let most = self.0.origin.limits.max_memory;
        match bytes > most {
            true => Err(Error::new(
                ErrorKind::Limit,
                format!("{what} {bytes} bytes; {most} bytes of memory are allowed"),
            )),
            false => Ok(()),
        }
    }

    /// The model made ready to run on endless sequences, chunk by chunk: every step is computed once, and what comes out
    /// has the same bits as a run on the whole sequence. [`StreamPlan::latency`] says how many steps it waits.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where the model cannot be streamed, naming the first layer that prevents it
    /// and why.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/stream_tcn/keras3.keras");
    /// use k2o::cpu::TensorView;
    ///
    /// let model = k2o::Model::open(path)?;
    /// let plan = model.stream_plan()?;
    /// let mut session = plan.session();
    /// for chunk in [[0.5_f32; 12], [0.25; 12]] {
    ///     let outputs = session.push(&[TensorView::f32(&[1, 4, 3], &chunk)?])?;
    ///     assert_eq!(outputs.get(0).map(|y| y.shape()), Some([1, 4, 2].as_slice()));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream_plan(&self) -> Result<StreamPlan> {
        self.stream_plan_with(&PlanOptions::default())
    }

    /// As [`stream_plan`](Model::stream_plan), with narrow weights or for a certain instruction set.
    ///
    /// # Errors
    /// As [`stream_plan`](Model::stream_plan) and [`plan_with`](Model::plan_with).
    pub fn stream_plan_with(&self, options: &PlanOptions) -> Result<StreamPlan> {
        StreamPlan::new(&self.0.rewritten, &self.limited(options)?).map_err(|error| self.cpu_error(&error))
    }

    /// The model as ONNX, with where it came from among its metadata, unless `options` have these keys: `keras_version`,
    /// `source_format`, `source_sha256` (of the file, or of the config that stands alone) and `weights_sha256` (of
    /// weights in a file of their own). The file is hashed by a thread of its own while the export is used.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where the opset lacks an operator, [`Input`](ErrorKind::Input) where the
    /// model has no weights or the options do not fit it.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/conv_only/keras3.keras");
    /// # let model = k2o::Model::open(path)?;
    /// let export = model.to_onnx(&k2o::ExportOptions::default())?;
    /// let mut file = Vec::new();
    /// export.write_to(&mut file)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_onnx(&self, options: &ExportOptions) -> Result<Export> {
        let wants_weights = self.0.outline.calls.iter().any(|call| !call.weights.is_empty());
        if wants_weights && !self.0.origin.provenance.has_weights {
            let message = "the model was opened without weights, which the exported file needs";
            return Err(Error::new(ErrorKind::Input, message));
        }
        k2o_onnx::export(&self.0.rewritten, &self.0.outline, &self.with_record(options))
            .map_err(|error| self.onnx_error(&error))
    }

    /// The options with where the model came from among the metadata.
    fn with_record(&self, options: &ExportOptions) -> ExportOptions {
        let mut options = options.clone();
        let late = options.late_metadata.iter().map(|(key, _)| key);
        let given: BTreeSet<String> =
            options.metadata.iter().map(|(key, _)| key).chain(late).cloned().collect();
        let Provenance { format, keras_version, .. } = &self.0.origin.provenance;
        let known = [("source_format", Some(format)), ("keras_version", keras_version.as_ref())];
        for (key, value) in known.into_iter().filter(|(key, _)| !given.contains(*key)) {
            if let Some(value) = value {
                options = options.with_metadata(key, value);
            }
        }
        for (key, source) in self.0.origin.sources.iter().filter(|(key, _)| !given.contains(*key)) {
            options = options.with_late_metadata(*key, begin_sha256(source.clone()));
        }
        options
    }

    /// Names and types of the inputs, in the model's order, which is that of arrays for [`predict`](Model::predict).
    pub fn inputs(&self) -> Vec<Port> {
        self.ports(self.0.graph.inputs())
    }

    /// Names and types of the outputs, in the model's order, which is that of the arrays from [`predict`](Model::predict).
    pub fn outputs(&self) -> Vec<Port> {
        self.ports(self.0.graph.outputs())
    }

    fn ports(&self, ports: &[k2o_core::Port]) -> Vec<Port> {
        let port = |port: &k2o_core::Port| Port {
            name: port.name.clone(),
            r#type: self.0.graph.value(port.value).r#type.clone(),
        };
        ports.iter().map(port).collect()
    }

    /// Where the model came from.
    pub fn provenance(&self) -> &Provenance {
        &self.0.origin.provenance
    }

    /// What its file may make this process do, as the options said that it was opened with.
    pub fn limits(&self) -> &Limits {
        &self.0.origin.limits
    }

    /// What the model computes, layer by layer.
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// What is run and exported: the same with dropout gone and batch normalization folded.
    pub fn rewritten(&self) -> &Graph {
        &self.0.rewritten
    }

    /// The layer calls that the graph came from.
    pub fn outline(&self) -> &Outline {
        &self.0.outline
    }

    /// An error of a shape rule, a rewrite or the reference, with the layer it is about named.
    pub fn core_error(&self, error: &k2o_core::Error) -> Error {
        Error::core(error, &self.0.outline)
    }

    /// An error of the runtime, with the layer it is about named.
    pub fn cpu_error(&self, error: &k2o_cpu::Error) -> Error {
        let kind = match error.kind() {
            k2o_cpu::ErrorKind::Limit => ErrorKind::Limit,
            k2o_cpu::ErrorKind::Malformed => ErrorKind::Malformed,
            k2o_cpu::ErrorKind::Unsupported => ErrorKind::Unsupported,
            k2o_cpu::ErrorKind::Io => ErrorKind::Io,
            _ => ErrorKind::Input,
        };
        Error::at_layer(kind, error.message(), error.origin(), &self.0.outline)
    }

    /// An error of the exporter, with the layer it is about named.
    pub fn onnx_error(&self, error: &k2o_onnx::Error) -> Error {
        let kind = match error.kind() {
            k2o_onnx::ErrorKind::Limit => ErrorKind::Limit,
            k2o_onnx::ErrorKind::Malformed => ErrorKind::Malformed,
            k2o_onnx::ErrorKind::Unsupported => ErrorKind::Unsupported,
            k2o_onnx::ErrorKind::Io => ErrorKind::Io,
            _ => ErrorKind::Input,
        };
        Error::at_layer(kind, error.message(), error.origin(), &self.0.outline)
    }
}

/// A named input or output with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Keras's name.
    pub name: String,
    /// Shape, in Keras's order of axes and with symbols for sizes that the file leaves open, and element type.
    pub r#type: k2o_core::TensorType,
}

fn sources(source: Source, weights: Option<Source>) -> Sources {
    let weights = weights.map(|weights| ("weights_sha256", weights));
    [("source_sha256", source)].into_iter().chain(weights).collect()
}

/// Finds out what lies at `path`.
fn read_archive(path: &Path, options: &OpenOptions) -> Result<(Archive, Sources)> {
    let limits = &options.limits;
    if path.is_dir() {
        let names = file::names_in(path)?;
        let has = |name: &str| names.iter().any(|other| other == name);
        if has("config.json") && has("model.weights.h5") {
            let config = file::open(&path.join("config.json"))?;
            let weights = file::open(&path.join("model.weights.h5"))?;
            let metadata =
                has("metadata.json").then(|| file::open(&path.join("metadata.json"))).transpose()?;
            let archive = Archive::read_parts(&config, metadata.as_ref(), Some(&weights), limits)?;
            return Ok((archive, sources(config, Some(weights))));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = k2o_keras::describe_folder(&names).unwrap_or_else(|| {
            k2o_keras::Error::unsupported(
                "a folder that is no Keras model: it has no config.json and model.weights.h5",
            )
        });
        return Err(error.into());
    }
    read_source(file::open(path)?, options)
}

/// What a source holds that is no folder, with the weights if they are in a file of their own.
fn read_source(source: Source, options: &OpenOptions) -> Result<(Archive, Sources)> {
    let limits = &options.limits;
    let weights = options.weights.as_deref().map(file::open).transpose()?;
    let archive = match &weights {
        Some(weights) => Archive::read_parts(&source, None, Some(weights), limits)?,
        None => Archive::read(&source, limits)?,
    };
    Ok((archive, sources(source, weights)))
}
