//! Inputs for a model when none are given.

use k2o::core::{Bindings, DType, TensorType};
use k2o::{Array, Error, ErrorKind, Model, Result};
use ndarray::{ArrayD, IxDyn};

/// The lengths that are tried for dimensions of unknown size.
const LENGTHS: [i64; 10] = [16, 24, 32, 48, 64, 128, 256, 512, 1024, 4096];

/// Random arrays for every input: uniform between -1 and 1, the same for the same seed on every machine.
///
/// Unknown dimensions other than the batch get the smallest of a few lengths with which the model's shapes work out.
pub fn random_inputs(model: &Model, batch: usize, seed: u64) -> Result<Vec<Array>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let inputs = model.inputs();
    let mut problem = Error::new(ErrorKind::Input, "no input length was tried");
    for length in LENGTHS {
        let shapes =
            inputs.iter().map(|port| shape(&port.r#type, batch, length)).collect::<Result<Vec<_>>>()?;
        let sizes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        match model.graph().bind(&sizes) {
            Ok(_) => {
                let types = inputs.iter().map(|port| port.r#type.dtype);
                return shapes
                    .iter()
                    .zip(types)
                    .map(|(shape, dtype)| array(shape, dtype, &mut random))
                    .collect();
            }
            Err(error) => problem = Error::new(ErrorKind::Input, error.to_string()),
        }
    }
    Err(problem)
}

fn shape(r#type: &TensorType, batch: usize, length: i64) -> Result<Vec<usize>> {
    let mut bindings = Bindings::new();
    for dim in r#type.shape.iter() {
        dim.visit_symbols(&mut |name| {
            let size = if &**name == "batch" { batch as i64 } else { length };
            bindings.insert(name.clone(), size);
        });
    }
    r#type.shape.eval(&bindings).map_err(|error| Error::new(ErrorKind::Input, error.to_string()))
}

fn array(shape: &[usize], dtype: DType, random: &mut fastrand::Rng) -> Result<Array> {
    let shape = IxDyn(shape);
    Ok(match dtype {
        DType::I32 => Array::I32(ArrayD::from_shape_simple_fn(shape, || random.i32(0..2))),
        DType::I64 => Array::I64(ArrayD::from_shape_simple_fn(shape, || random.i64(0..2))),
        DType::F32 => Array::F32(ArrayD::from_shape_simple_fn(shape, || random.f32() * 2.0 - 1.0)),
        other => return Err(Error::new(ErrorKind::Unsupported, format!("random inputs of {other}"))),
    })
}
