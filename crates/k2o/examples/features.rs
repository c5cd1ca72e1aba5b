//! What a layer inside a model makes of examples, and which of them are alike by it.
//!
//! ```text
//! cargo run --release --example features -- MODEL LAYER INPUT.npy [FEATURES.npy]
//! ```
//!
//! The model is cut off behind the layer, so that nothing past it is computed, and run on all examples of the array, whose
//! first axis counts them. What the layer gives for an example is its features: a point in a space in which a trained
//! model has what is alike close together. For each example the nearest other one is printed, by the cosine of the angle
//! between the two, and the features are written as a matrix `[examples, features]` if there is a path for them.

use k2o::{Model, PredictOptions};
use ndarray::{Array2, ArrayD};
use std::error::Error;
use std::num::NonZeroUsize;
use std::process::ExitCode;

/// How many examples are computed at a time, which bounds the memory that is needed.
const BATCH: Option<NonZeroUsize> = NonZeroUsize::new(64);

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, layer, input, output) = match arguments.as_slice() {
        [model, layer, input] => (model, layer, input, None),
        [model, layer, input, output] => (model, layer, input, Some(output)),
        _ => return Err("usage: features MODEL LAYER INPUT.npy [FEATURES.npy]".into()),
    };
    // A layer that is not there is an error that lists those most like it.
    let part = Model::open(model)?.until(layer)?;
    let examples: ArrayD<f32> = ndarray_npy::read_npy(input).map_err(|error| format!("{input}: {error}"))?;

    let mut options = PredictOptions::default();
    options.batch_size = BATCH;
    let outputs = part.predict_with(&[examples.into()], &options)?;
    let features = as_matrix(outputs.into_iter().next().ok_or("the layer has no output")?)?;
    println!("{} features of {} examples at {layer:?}", features.ncols(), features.nrows());
    for (at, nearest) in nearest(&features).into_iter().enumerate() {
        match nearest {
            Some((other, cosine)) => println!("example {at}: most like {other}, cosine {cosine:.4}"),
            None => println!("example {at}: like no other"),
        }
    }
    if let Some(path) = output {
        ndarray_npy::write_npy(path, &features).map_err(|error| format!("{path}: {error}"))?;
        println!("written to {path}");
    }
    Ok(())
}

/// A row for each example, whatever the axes of its features.
fn as_matrix(output: ArrayD<f32>) -> Result<Array2<f32>, ndarray::ShapeError> {
    let examples = output.shape().first().copied().unwrap_or(1);
    let features: usize = output.shape().iter().skip(1).product();
    output.into_shape_with_order((examples, features))
}

/// For each row the other one at the least angle, and its cosine; none for rows of zeros, which have no direction.
fn nearest(features: &Array2<f32>) -> Vec<Option<(usize, f32)>> {
    let norms: Vec<f32> = features.outer_iter().map(|row| row.dot(&row).sqrt()).collect();
    let products = features.dot(&features.t());
    let cosine = |a: usize, b: usize| products[[a, b]] / (norms[a] * norms[b]);
    let nearest_to = |row: usize| {
        let others = (0..norms.len()).filter(|&other| other != row);
        let cosines = others.map(|other| (other, cosine(row, other)));
        cosines.filter(|(_, cosine)| cosine.is_finite()).max_by(|a, b| a.1.total_cmp(&b.1))
    };
    (0..norms.len()).map(nearest_to).collect()
}
