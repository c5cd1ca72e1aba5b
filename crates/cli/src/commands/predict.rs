//! `predict MODEL --input X --output Y [--format FORMAT] [--batch-size N] [--threads N] [--weights-type TYPE]`

use super::{JsonArgs, ModelArgs, Opened};
use crate::arrays::{self, Format};
use crate::computing::{ComputeArgs, instruction_set};
use crate::console;
use crate::failure::Failure;
use crate::output::{answer, write_whole};
use crate::progress::Progress;
use k2o::PredictOptions;
use k2o::onnx::WeightsType;
use ndarray::ArrayD;
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The input: an .npy, an .npz with an array for each input, or CSV; - is standard input. The content decides which
    #[arg(short, long, value_name = "X")]
    input: PathBuf,
    /// Where to write the output: .npy and .csv take one, .npz any number; - is standard output
    #[arg(short, long, value_name = "Y")]
    output: PathBuf,
    /// The format of the output [default: as the output is called; for standard output csv on a terminal, else npy]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
    /// Runs so many examples at a time, which takes less memory and gives the same [default: all at once]
    #[arg(long, value_name = "N")]
    batch_size: Option<NonZeroUsize>,
    /// The type that weights are rounded to, all but vectors: f32, f16 or bf16. All is computed in f32
    #[arg(long, value_name = "TYPE", default_value_t)]
    weights_type: WeightsType,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let mut options = PredictOptions::default();
    options.plan.instruction_set = instruction_set()?;
    options.plan.narrow_weights = args.weights_type.narrow();
    options.batch_size = args.batch_size;
    let Opened { model, mut paths, weights } = args.model.open_with_weights()?;
    let names: Vec<String> = model.outputs().into_iter().map(|port| port.name).collect();
    let format = args.format.unwrap_or_else(|| Format::of(&args.output));
    format.check(&names)?;
    let inputs = arrays::read_inputs(&args.input, &model)?;
    options.threads = args.compute.threads(&model)?;
    let start = Instant::now();
    let examples = inputs.first().and_then(|array| array.shape().first()).copied().unwrap_or(0);
    let progress = match options.batch_size {
        Some(_) => Progress::of_examples("computing", examples as u64),
        None => Progress::of_time("computing"),
    };
    let outputs = model.predict_with_progress(&inputs, &options, &mut |done| progress.set(done as u64))?;
    drop(progress);
    let elapsed = start.elapsed();
    paths.push(args.input.clone());
    write_whole(&args.output, &paths, |writer| {
        arrays::write(format, &args.output, &names, &outputs, writer)
    })?;
    let outputs = || names.iter().zip(&outputs);
    let text = || {
        let shapes: Vec<String> =
            outputs().map(|(name, array)| format!("{name} {:?}", array.shape())).collect();
        let target = args.output.display();
        format!("{target}: {} in {:.1} ms\n", shapes.join(", "), elapsed.as_secs_f64() * 1e3)
    };
    let json = || {
        let output = |(name, array): (&String, &ArrayD<f32>)| json!({ "name": name, "shape": array.shape() });
        json!({
            "model": args.model.model.display().to_string(),
            "weights": weights.as_ref().map(|path| path.display().to_string()),
            "output": args.output.display().to_string(),
            "format": format.name(),
            "outputs": outputs().map(output).collect::<Vec<_>>(),
            "milliseconds": console::milliseconds(elapsed),
        })
    };
    Ok(answer(&args.output, console::answer(text, json)))
}
