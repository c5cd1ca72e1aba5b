//! Runs everything on one input and compares.

use crate::{Difference, random_inputs};
use k2o::core::{CallId, Data, Graph, Tap, Tensor, ValueId, round_weights, run_reference};
use k2o::cpu::DataView;
use k2o::onnx::WeightsType;
use k2o::{
    Array, Error, ErrorKind, ExportOptions, InstructionSet, Model, NonFinite, PlanOptions, Result, Session,
    Threads,
};
use ndarray::ArrayD;
use std::collections::BTreeMap;

/// What to compare.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// One array per input; random ones if there are none.
    pub inputs: Option<Vec<Array>>,
    /// What Keras computed for these inputs, one array per output.
    pub expected: Option<Vec<ArrayD<f64>>>,
    /// The batch of random inputs.
    pub batch: usize,
    /// The seed of random inputs.
    pub seed: u64,
    /// The operator set of the exported file.
    pub opset: i64,
    /// The type in which an exported file is to have its weights, and the runtime those that it keeps in narrow types. Where
    /// it is not `f32`, everything is compared with these weights in the reference too, and the report says what rounding
    /// them changes.
    pub weights_type: WeightsType,
    /// The instructions that the runtime uses; the widest that the processor has if `None`.
    pub instruction_set: Option<InstructionSet>,
    /// The threads that the runtime computes with.
    pub threads: Threads,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            inputs: None,
            expected: None,
            batch: 2,
            seed: 0x6b32_6f00,
            opset: ExportOptions::default().opset,
            weights_type: WeightsType::default(),
            instruction_set: None,
            threads: Threads::one(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// One row per layer output, in execution order.
    pub layers: Vec<Row>,
    /// One row per output of the model.
    pub outputs: Vec<OutputRow>,
    /// What rounded weights change, per output of the model; empty where they are not rounded.
    pub rounding: Vec<Change>,
    /// The weights that hold NaN or infinite numbers, which say nothing of whether the differences are within the bound:
    /// what is computed with them is compared like all else.
    pub non_finite: Vec<NonFinite>,
}

/// How far rounded weights move an output of the model, in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The output's name.
    pub name: String,
    /// The worst difference from the output with the weights as they are.
    pub worst: f64,
    /// The largest magnitude of an element with the weights as they are.
    pub largest: f64,
    /// The worst difference from what Keras computed.
    pub keras: Option<f64>,
}

/// How a layer's output compares with the reference.
#[derive(Clone, Debug)]
pub struct Row {
    /// The layer's path; further outputs as `path:1`.
    pub name: String,
    /// The layer's class.
    pub class: String,
    /// The runtime against the reference.
    pub cpu: Finding,
    /// The exported file in tract against the reference; `None` where tract is not built in.
    pub tract: Option<Finding>,
}

/// How the model's output compares.
#[derive(Clone, Debug)]
pub struct OutputRow {
    /// The output's name.
    pub name: String,
    /// The runtime against the reference.
    pub cpu: Difference,
    /// The exported file in tract against the reference.
    pub tract: Option<Difference>,
    /// The runtime against what Keras computed.
    pub cpu_keras: Option<Difference>,
    /// The reference against what Keras computed.
    pub reference_keras: Option<Difference>,
    /// The exported file in tract against what Keras computed.
    pub tract_keras: Option<Difference>,
}

/// One comparison of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// The worst difference.
    Compared(Difference),
    /// The layer's output is not a value any more: it was folded into its neighbours.
    Folded,
}

impl Finding {
    /// Whether the bound holds; it does where there is nothing to compare.
    pub fn is_within(&self) -> bool {
        match self {
            Finding::Compared(difference) => difference.is_within(),
            Finding::Folded => true,
        }
    }
}

impl Report {
    /// Whether every difference is within the bound.
    pub fn passed(&self) -> bool {
        let layers = self
            .layers
            .iter()
            .all(|row| row.cpu.is_within() && row.tract.is_none_or(|found| found.is_within()));
        let outputs =
            self.outputs.iter().flat_map(OutputRow::differences).all(|(_, found)| found.is_within());
        layers && outputs
    }
}

impl OutputRow {
    /// Every comparison that was made, with what was compared.
    pub fn differences(&self) -> Vec<(&'static str, Difference)> {
        let all = [
            ("k2o and the f64 reference", Some(self.cpu)),
            ("tract and the f64 reference", self.tract),
            ("k2o and Keras", self.cpu_keras),
            ("the f64 reference and Keras", self.reference_keras),
            ("tract and Keras", self.tract_keras),
        ];
        all.into_iter().filter_map(|(what, found)| Some((what, found?))).collect()
    }
}

/// Runs the runtime, the reference and, where it is built in, tract on the same inputs, and compares every layer.
///
/// # Errors
/// Where the inputs do not fit the model, `expected` does not fit the outputs, or one of the runs fails.
pub fn verify(model: &Model, options: &Options) -> Result<Report> {
    let inputs = match &options.inputs {
        Some(inputs) => inputs.iter().cloned().map(Array::into_standard_layout).collect(),
        None => random_inputs(model, options.batch, options.seed)?,
    };
    let rounded = match options.weights_type.narrow() {
        Some(narrow) => {
            Some(round_weights(model.rewritten(), narrow).map_err(|error| model.core_error(&error))?)
        }
        None => None,
    };
    let is_rounded = rounded.is_some();
    let reference = Reference::run(model, rounded.as_ref().unwrap_or(model.graph()), &inputs)?;
    let cpu = Cpu::run(model, options, &inputs)?;
    #[cfg(feature = "tract")]
    let tract = match options.weights_type {
        // tract does not read them.
        WeightsType::BF16 => None,
        weights_type => Some(crate::tract::tapped(model, options.opset, weights_type, &inputs)?),
    };
    #[cfg(not(feature = "tract"))]
    let tract: Option<TractRun> = None;
    let precise = if is_rounded { Some(Reference::run(model, model.graph(), &inputs)?) } else { None };
    let layers = reference.layers.iter().map(|(&(call, output), expected)| {
        let described = model.outline().get(call);
        let path = described.map_or("", |call| call.path.as_str());
        let against = |found: Option<&Vec<f32>>| match found {
            Some(ours) => Finding::Compared(difference(ours, expected)),
            None => Finding::Folded,
        };
        Row {
            name: if output == 0 { path.to_string() } else { format!("{path}:{output}") },
            class: described.map_or("", |call| call.class.as_str()).to_string(),
            cpu: against(cpu.layers.get(&(call, output))),
            tract: tract.as_ref().map(|run| against(run.layers.get(&(call, output)))),
        }
    });
    let mut outputs = Vec::new();
    let mut rounding = Vec::new();
    for (index, port) in model.outputs().into_iter().enumerate() {
        let expected = &reference.outputs[index];
        let keras =
            options.expected.as_ref().map(|arrays| keras_output(arrays, index, &port.name, expected.shape()));
        let keras = keras.transpose()?;
        let tract = tract.as_ref().and_then(|run| run.outputs.get(index));
        let reference_data = numbers(expected);
        let against_keras = |keras: &Vec<f64>| Difference::between(reference_data.iter().copied(), keras);
        if let Some(precise) = &precise {
            // What Keras computed is further away than the bound, by what rounding changes.
            let precise = numbers(&precise.outputs[index]);
            rounding.push(Change {
                name: port.name.clone(),
                worst: against_keras(&precise).worst,
                largest: precise.iter().fold(0.0, |largest, x| x.abs().max(largest)),
                keras: keras.as_ref().map(|keras| against_keras(keras).worst),
            });
        }
        let keras = keras.filter(|_| !is_rounded);
        let to_keras = |ours: &Vec<f32>| keras.as_ref().map(|keras| Difference::between(widen(ours), keras));
        outputs.push(OutputRow {
            name: port.name,
            cpu: difference(&cpu.outputs[index], expected),
            tract: tract.map(|ours| difference(ours, expected)),
            cpu_keras: to_keras(&cpu.outputs[index]),
            reference_keras: keras.as_ref().map(against_keras),
            tract_keras: tract.and_then(to_keras),
        });
    }
    let non_finite = model.non_finite_weights()?;
    Ok(Report { layers: layers.collect(), outputs, rounding, non_finite })
}

fn widen(data: &[f32]) -> impl Iterator<Item = f64> {
    data.iter().map(|&x| f64::from(x))
}

/// The elements as numbers; truth values are 0 and 1.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.data() {
        Data::F64(data) => data.clone(),
        Data::I64(data) => data.iter().map(|&x| x as f64).collect(),
        Data::Bool(data) => data.iter().map(|&x| f64::from(u8::from(x))).collect(),
    }
}

fn difference(ours: &[f32], expected: &Tensor) -> Difference {
    Difference::between(widen(ours), &numbers(expected))
}

fn keras_output(arrays: &[ArrayD<f64>], index: usize, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
    let array = arrays.get(index).ok_or_else(|| {
        Error::new(ErrorKind::Input, format!("nothing is expected for the output {name:?}"))
    })?;
    if array.shape() != shape {
        let given = array.shape();
        let message = format!("output {name:?} has shape {shape:?}; the expected array has {given:?}");
        return Err(Error::new(ErrorKind::Input, message));
    }
    Ok(array.iter().copied().collect())
}

/// Layer outputs and model outputs of a run in single precision, in Keras's axis order.
pub(crate) struct TractRun {
    pub layers: BTreeMap<(CallId, usize), Vec<f32>>,
    pub outputs: Vec<Vec<f32>>,
}

struct Reference {
    layers: BTreeMap<(CallId, usize), Tensor>,
    outputs: Vec<Tensor>,
}

impl Reference {
    fn run(model: &Model, graph: &Graph, inputs: &[Array]) -> Result<Reference> {
        let is_layer =
            |tap: &&Tap| model.outline().get(tap.call).is_some_and(|call| call.class != "InputLayer");
        let taps: Vec<&Tap> = graph.taps().iter().filter(is_layer).collect();
        let keep: Vec<ValueId> = taps.iter().filter_map(|tap| tap.value).collect();
        check_memory(model, graph, inputs)?;
        let tensors = inputs.iter().map(tensor).collect::<Result<Vec<_>>>()?;
        let run = run_reference(graph, &tensors, &keep).map_err(|error| model.core_error(&error))?;
        let layer = |tap: &&Tap| Some(((tap.call, tap.output), run.kept.get(&tap.value?)?.clone()));
        Ok(Reference { layers: taps.iter().filter_map(layer).collect(), outputs: run.outputs })
    }
}

/// Refuses a run whose values, all at once and in double precision, are more than the model may take.
fn check_memory(model: &Model, graph: &Graph, inputs: &[Array]) -> Result<()> {
    let sizes: Vec<&[usize]> = inputs.iter().map(Array::shape).collect();
    let bindings = graph.bind(&sizes).map_err(|error| model.core_error(&error))?;
    let mut bytes = 0u64;
    for value in graph.values() {
        let shape = value.r#type.shape.eval(&bindings).map_err(|error| model.core_error(&error))?;
        let elements = shape.iter().fold(size_of::<f64>() as u64, |n, &size| n.saturating_mul(size as u64));
        bytes = bytes.saturating_add(elements);
    }
    model.fits_memory("the reference takes", bytes)
}

fn tensor(array: &Array) -> Result<Tensor> {
    let shape = array.shape().to_vec();
    let data = match array {
        Array::F32(array) => Data::F64(array.iter().map(|&x| f64::from(x)).collect()),
        Array::I32(array) => Data::I64(array.iter().map(|&x| i64::from(x)).collect()),
        Array::I64(array) => Data::I64(array.iter().copied().collect()),
    };
    Tensor::new(shape, data).map_err(|error| Error::new(ErrorKind::Input, error.to_string()))
}

struct Cpu {
    layers: BTreeMap<(CallId, usize), Vec<f32>>,
    outputs: Vec<Vec<f32>>,
}

impl Cpu {
    fn run(model: &Model, options: &Options, inputs: &[Array]) -> Result<Cpu> {
        let plan = model.plan_with(&PlanOptions {
            keep_taps: true,
            instruction_set: options.instruction_set,
            narrow_weights: options.weights_type.narrow(),
            ..PlanOptions::default()
        })?;
        let mut session = Session::with_threads(&plan, options.threads.clone());
        let outputs = model.run(&mut session, inputs)?;
        let outputs = outputs.into_iter().map(|array| array.into_raw_vec_and_offset().0).collect();
        let layer = |tap: &Tap| {
            let view = session.tap(tap.call, tap.output)?;
            let numbers = match view.data() {
                DataView::F32(data) => data.to_vec(),
                DataView::I64(data) => data.iter().map(|&x| x as f32).collect(),
                DataView::I32(_) | DataView::Bool(_) => return None,
            };
            Some(((tap.call, tap.output), numbers))
        };
        let layers = model.rewritten().taps().iter().filter_map(layer).collect();
        Ok(Cpu { layers, outputs })
    }
}
