//! Opens a model with a layer and an activation that Keras does not have.
//!
//! ```text
//! cargo run --release --example custom_layer
//! ```
//!
//! Keras saves of a custom layer its class's name and its config, and of a lambda nothing but that it is one. What they
//! compute is said here, in operators: then their shapes are derived, they run, and they are exported like all others.

use k2o::core::ops::{Binary, BinaryKind, Reduce, ReduceKind, Unary};
use k2o::keras::{Call, Fields, Layer, Lowering, Result, Tensor};
use k2o::{Importer, Model, OpenOptions};
use ndarray::Array3;
use std::error::Error;
use std::process::ExitCode;

/// A model as `model.to_json()` gives it, shortened. It has no weights; one that has is opened in the same way.
const MODEL: &str = r#"{"class_name": "Sequential", "config": {"name": "meter", "layers": [
    {"class_name": "InputLayer", "config": {"name": "microphones", "batch_shape": [null, null, 2]}},
    {"class_name": "Loudness", "module": "my_layers", "registered_name": "audio>Loudness",
     "config": {"name": "loudness", "floor": 0.5}},
    {"class_name": "Activation", "config": {"name": "limit", "activation": "<lambda>"}}]}}"#;

/// The root of the mean square of each step's channels, or `floor` where that is more:
/// `[batch, steps, channels]` becomes `[batch, steps, 1]`.
#[derive(Debug)]
struct Loudness {
    floor: f64,
}

impl Layer for Loudness {
    /// Takes every key that the class has; one that is left is an error, for it could mean something.
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        Ok(Loudness { floor: fields.float(&["floor"])?.unwrap_or(0.0) })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = cx.operand(call.input()?)?;
        let squares = cx.add(Binary { kind: BinaryKind::Mul }, &[x, x])?;
        let channels = cx.shape(squares)?.rank() - 1;
        let mean = Reduce { kind: ReduceKind::Mean, axes: vec![channels], keep_dims: true };
        let mean = cx.apply(mean, squares)?;
        let root = cx.apply(Unary::Sqrt, mean)?;
        Ok(vec![cx.apply(Unary::Threshold { threshold: self.floor, value: self.floor }, root)?])
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::result::Result<(), Box<dyn Error>> {
    if let Err(error) = Model::from_bytes(MODEL) {
        println!("without an importer: {error}\n");
    }
    let mut options = OpenOptions::default();
    options.importer =
        Importer::new().register::<Loudness>("audio>Loudness").define("<lambda>", "relu(max_value=4)")?;
    let model = Model::from_bytes_with(MODEL, &options)?;
    for row in model.summary().rows {
        println!("{} ({}): {}", row.name, row.class, row.shape_text());
    }

    let readings = Array3::from_shape_vec((1, 4, 2), vec![0.0, 0.1, 3.0, 4.0, 1.0, 1.0, -5.0, 12.0])?;
    let expected = readings.rows().into_iter().map(|step| {
        let root = ((step[0] * step[0] + step[1] * step[1]) / 2.0_f32).sqrt();
        root.clamp(0.5, 4.0)
    });
    let expected: Vec<f32> = expected.collect();
    let outputs = model.predict(&[readings.into()])?;
    for (loudness, expected) in outputs[0].iter().zip(&expected) {
        println!("loudness {loudness:.4}, by hand {expected:.4}");
    }
    Ok(())
}
