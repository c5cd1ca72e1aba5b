//! A program with a model inside it: no file is opened when it runs.
//!
//! ```text
//! cargo run --release --example embed < readings.txt
//! ```
//!
//! Reads a recording from standard input, one step a line, with a number for each channel, and prints what the model makes
//! of it. The file of the model is part of the program, so that there is nothing to install beside it, nothing to find,
//! and nothing that changes under a process that runs.

use k2o::Model;
use ndarray::Array3;
use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

/// The model as Keras saved it: 48 steps of 2 channels become 4 numbers.
const MODEL: &[u8] = include_bytes!("../../../fixtures/models/conv_only/keras3.keras");

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let model = Model::from_bytes(MODEL)?;
    let parameters = model.summary().total_parameters;
    println!("a model of {parameters} parameters, {} bytes of this program", MODEL.len());

    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let recording = parse(&text)?;
    let (_, steps, channels) = recording.dim();
    println!("a recording of {steps} steps of {channels} channels");

    // One that is too short, or has other channels, is an error that names the input and both shapes.
    let outputs = model.predict(&[recording.into()])?;
    for (port, output) in model.outputs().iter().zip(&outputs) {
        println!("{}: {output}", port.name);
    }
    Ok(())
}

/// The numbers of `text` as one example, `[1, steps, channels]`.
fn parse(text: &str) -> Result<Array3<f32>, Box<dyn Error>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let parsed: Vec<Vec<f32>> = lines
        .enumerate()
        .map(|(at, line)| {
            let numbers = line.split_whitespace().map(str::parse);
            numbers.collect::<Result<_, _>>().map_err(|error| format!("step {at}, {line:?}: {error}"))
        })
        .collect::<Result<_, _>>()?;
    let channels = parsed.first().ok_or("standard input has no numbers")?.len();
    if let Some(at) = parsed.iter().position(|step| step.len() != channels) {
        return Err(format!("step {at} has {} channels, the first one {channels}", parsed[at].len()).into());
    }
    Ok(Array3::from_shape_vec((1, parsed.len(), channels), parsed.concat())?)
}
