//! `convert MODEL.. [-o OUT.onnx] [options]`

mod converted;
mod targets;

use super::{JsonArgs, ModelArgs, Opened};
use crate::console;
use crate::failure::Failure;
use crate::output::{Writer, answer, write_whole, write_with_data};
use crate::progress::Progress;
use converted::{Converted, Outcome, Written};
use k2o::onnx::{self, Export, IoLayout, Target, WeightsType};
use k2o::{ExportOptions, Model};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Further models, each of which is written to a file of its own
    #[arg(value_name = "MODEL")]
    more: Vec<PathBuf>,
    /// Where to write; of several models the folder, which is made if need be [default: the model's name with .onnx]
    #[arg(short, long, value_name = "OUT.onnx")]
    output: Option<PathBuf>,
    /// The ONNX operator set: 13 to 28
    #[arg(long, value_name = "N", default_value_t = ExportOptions::default().opset)]
    opset: i64,
    /// The runtime that the file is for: onnxruntime or tract [default: any that follows the standard, as onnxruntime
    /// does]
    #[arg(long, value_name = "RUNTIME")]
    target: Option<Target>,
    /// Fixes the batch of all inputs
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Fixes sizes of an input, such as input=1,100,3, in Keras's order of axes; None leaves one as it is. The name may be
    /// left out where there is one input; may be given several times
    #[arg(long, value_name = "NAME=SIZES")]
    input_shape: Vec<InputShape>,
    /// The order of the axes of inputs and outputs: channels-last as in Keras, or channels-first
    #[arg(long, value_name = "LAYOUT", default_value_t)]
    io_layout: IoLayout,
    /// The type in which weights are stored, all but vectors: f32, f16 or bf16. All is computed in f32
    #[arg(long, value_name = "TYPE", default_value_t)]
    weights_type: WeightsType,
    /// Writes weights to a file of their own beside the model, named by its content; models above 1.9 GiB always are
    #[arg(long)]
    external_data: bool,
    /// Masks only ever leave out the last steps of a row, so that LSTM, GRU and RNN can be told the lengths
    #[arg(long)]
    assume_right_padded: bool,
    #[command(flatten)]
    json: JsonArgs,
}

/// `NAME=1,100,3` or, for the only input, `1,100,3`.
#[derive(Clone, Debug, PartialEq)]
struct InputShape {
    name: Option<String>,
    sizes: Vec<Option<usize>>,
}

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<InputShape, String> {
        // A name may hold `=`, sizes may not.
        let (name, sizes) = match text.rsplit_once('=') {
            Some((name, sizes)) => (Some(name.to_string()), sizes),
            None => (None, text),
        };
        let sizes = sizes.trim().trim_start_matches(['(', '[']).trim_end_matches([')', ']']);
        let size = |size: &str| match size.trim() {
            "None" | "?" => Ok(None),
            number => number.parse().map(Some).map_err(|_| {
                format!("{number:?} is no size; expected numbers or None, as in input=None,100,3")
            }),
        };
        Ok(InputShape { name, sizes: sizes.split(',').map(size).collect::<Result<_, _>>()? })
    }
}

impl Args {
    fn options(&self, model: &Model) -> Result<ExportOptions, Failure> {
        let mut options = ExportOptions::default()
            .with_opset(self.opset)
            .with_right_padding(self.assume_right_padded)
            .with_io_layout(self.io_layout)
            .with_weights_type(self.weights_type)
            .with_external_data(self.external_data);
        if let Some(target) = self.target {
            options = options.with_target(target);
        }
        if let Some(batch) = self.batch {
            options = options.with_batch(batch.get());
        }
        for shape in &self.input_shape {
            let name = match (&shape.name, model.inputs().as_slice()) {
                (Some(name), _) => name.clone(),
                (None, [input]) => input.name.clone(),
                (None, inputs) => {
                    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
                    return Err(Failure::Usage(format!(
                        "--input-shape: the model has the inputs {}; name the one that is meant, as in {}=..",
                        names.join(", "),
                        names.first().unwrap_or(&"input")
                    )));
                }
            };
            options = options.with_input_shape(name, shape.sizes.iter().copied());
        }
        Ok(options)
    }
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    if !args.more.is_empty() {
        return several(args);
    }
    let model = &args.model.model;
    let target = args.output.clone().unwrap_or_else(|| targets::beside(model));
    let converted = convert(args, &args.model, &target)?;
    Ok(answer(&target, console::answer(|| converted.line(), || converted.json())))
}

/// Converts each of the models, whatever becomes of the others.
fn several(args: &Args) -> Result<String, Failure> {
    let models: Vec<&Path> =
        std::iter::once(&args.model.model).chain(&args.more).map(PathBuf::as_path).collect();
    if args.model.weights.is_some() {
        return Err(Failure::Usage(format!("--weights are those of one model; there are {}", models.len())));
    }
    let targets = targets::of_several(&models, args.output.as_deref())?;
    let mut outcomes: Vec<Outcome<'_>> = Vec::new();
    for (&model, target) in models.iter().zip(&targets) {
        let outcome = convert(args, &ModelArgs { model: model.to_path_buf(), ..args.model.clone() }, target);
        if let Err(failure) = &outcome {
            console::error(failure);
        }
        outcomes.push((model, outcome));
    }
    let text = console::answer(|| converted::table(&outcomes), || converted::json_of_several(&outcomes));
    let failures: Vec<&Failure> = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err()).collect();
    let Some(first) = failures.first() else { return Ok(text) };
    crate::print(&text)?;
    let message = format!("{} of {} models could not be converted", failures.len(), models.len());
    Err(Failure::Several { status: first.status(), message })
}

/// Writes a model to `target`, whose folder is made if there are several models and it is not there.
fn convert(args: &Args, model_args: &ModelArgs, target: &Path) -> Result<Converted, Failure> {
    let start = Instant::now();
    let Opened { model, mut paths, weights } = model_args.open_with_weights()?;
    let export = model.to_onnx(&args.options(&model)?)?;
    if !args.more.is_empty() {
        // None of the others is replaced either.
        paths.extend(args.more.iter().chain([&args.model.model]).cloned());
        targets::make_folder(target)?;
    }
    let summary = model.summary();
    // The length of the file itself would take a hash of the source, which is made while weights are written.
    let bytes =
        summary.total_parameters.saturating_mul(if args.weights_type.narrow().is_some() { 2 } else { 4 });
    let progress = Progress::of_bytes(&target.display().to_string(), bytes);
    let written = write(&export, &model, target, &paths, &progress)?;
    drop(progress);
    let provenance = model.provenance();
    Ok(Converted {
        model: model_args.model.clone(),
        format: provenance.format.clone(),
        keras_version: provenance.keras_version.clone(),
        weights,
        layers: summary.rows.len(),
        parameters: summary.total_parameters,
        target: target.to_path_buf(),
        opset: args.opset,
        nodes: export.node_count(),
        written,
        choices: export.choices().to_vec(),
        elapsed: start.elapsed(),
    })
}

/// Writes the model, and its weights beside it if they go there, and says how much that is.
fn write(
    export: &Export,
    model: &Model,
    target: &Path,
    inputs: &[PathBuf],
    progress: &Progress,
) -> Result<Written, Failure> {
    let failed = |error: onnx::Error| match error.kind() {
        onnx::ErrorKind::Io => Failure::io(target, error),
        _ => Failure::Model(model.onnx_error(&error)),
    };
    if !export.has_external_data() {
        let write = |writer: &mut Writer<'_>| export.write_to(&mut progress.counting(writer)).map_err(failed);
        return Ok(Written { bytes: write_whole(target, inputs, write)?, data: None });
    }
    let mut data_name = String::new();
    let write_data =
        |writer: &mut Writer<'_>| export.write_data_to(&mut progress.counting(writer)).map_err(failed);
    let write_model = |writer: &mut Writer<'_>, name: &str| {
        name.clone_into(&mut data_name);
        export.write_model_to(name, &mut progress.counting(writer)).map_err(failed)
    };
    let bytes = write_with_data(target, inputs, write_data, write_model)?;
    Ok(Written { bytes, data: Some((data_name, export.external_data_len())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_keras_prints_them() {
        let shape = |name: Option<&str>, sizes: &[Option<usize>]| {
            Ok(InputShape { name: name.map(str::to_string), sizes: sizes.to_vec() })
        };
        for (text, expected) in [
            ("x=1,100,3", shape(Some("x"), &[Some(1), Some(100), Some(3)])),
            ("1,100", shape(None, &[Some(1), Some(100)])),
            ("a=b=None, ?, 3", shape(Some("a=b"), &[None, None, Some(3)])),
            ("x=(None, 100, 3)", shape(Some("x"), &[None, Some(100), Some(3)])),
            ("x=[8]", shape(Some("x"), &[Some(8)])),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in ["", "x=", "x=1,,2", "x=-1", "x=1.5", "x=1,batch"] {
            assert!(text.parse::<InputShape>().is_err(), "{text}");
        }
    }
}
