//! `convert MODEL [-o OUT.onnx] [--opset N] [--target RUNTIME] [--assume-right-padded]`

use super::{ModelArgs, Opened, bytes, grouped};
use crate::failure::Failure;
use crate::output::write_whole;
use k2o::ExportOptions;
use k2o::onnx::Target;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Where to write [default: the model's name with .onnx]
    #[arg(short, long, value_name = "OUT.onnx")]
    output: Option<PathBuf>,
    /// The ONNX operator set
    #[arg(long, value_name = "N", default_value_t = ExportOptions::default().opset)]
    opset: i64,
    /// The runtime that the file is for: onnxruntime or tract [default: any that follows the standard, as onnxruntime
    /// does]
    #[arg(long, value_name = "RUNTIME")]
    target: Option<Target>,
    /// Masks only ever leave out the last steps of a row, so that LSTM, GRU and RNN can be told the lengths
    #[arg(long)]
    assume_right_padded: bool,
}

impl Args {
    fn options(&self) -> ExportOptions {
        let options = ExportOptions::default().with_opset(self.opset);
        let options = options.with_right_padding(self.assume_right_padded);
        match self.target {
            Some(target) => options.with_target(target),
            None => options,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let start = Instant::now();
    let Opened { model, paths } = args.model.open_with_weights()?;
    let export = model.to_onnx(&args.options())?;
    let target = args.output.clone().unwrap_or_else(|| args.model.model.with_extension("onnx"));
    let written = write_whole(&target, &paths, |writer| {
        export.write_to(writer).map_err(|error| match error.kind() {
            k2o::onnx::ErrorKind::Io => Failure::io(&target, error),
            _ => Failure::Model(model.onnx_error(&error)),
        })
    })?;
    let summary = model.summary();
    let provenance = model.provenance();
    let version =
        provenance.keras_version.as_ref().map_or_else(String::new, |version| format!(", Keras {version}"));
    let choices: String = export.choices().iter().map(|choice| format!(", {choice}")).collect();
    Ok(format!(
        "{} ({}{version}): {} layers, {} parameters -> {} (opset {}, {} nodes, {}) in {:.1} ms{choices}\n",
        args.model.model.display(),
        provenance.format,
        summary.rows.len(),
        grouped(summary.total_parameters),
        target.display(),
        args.opset,
        export.node_count(),
        bytes(written),
        start.elapsed().as_secs_f64() * 1e3,
    ))
}
