//! Inputs for a model when none are given.

use k2o::core::{Bindings, DType, TensorType};
use k2o::{Array, Error, ErrorKind, Model, Result};
use ndarray::{ArrayD, IxDyn};

/// The lengths that are tried for dimensions of unknown size.
const LENGTHS: [i64; 10] = [16, 24, 32, 48, 64, 128, 256, 512, 1024, 4096];

/// Random arrays for every input: uniform between -1 and 1, the same for the same seed on every machine.
///
/// Unknown dimensions other than the batch get the smallest of a few lengths with which the model's shapes work out.
///
/// # Errors
/// [`Limit`](ErrorKind::Limit) where the arrays would take more than [`Model::limits`] allow, [`Input`](ErrorKind::Input)
/// where no length fits, [`Unsupported`](ErrorKind::Unsupported) for inputs of other types than `float32`, `int32` and
/// `int64`.
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
                let types = || inputs.iter().map(|port| port.r#type.dtype);
                check_memory(shapes.iter().zip(types()), model.limits().max_memory)?;
                return shapes
                    .iter()
                    .zip(types())
                    .map(|(shape, dtype)| array(shape, dtype, &mut random))
                    .collect();
            }
            Err(error) => problem = Error::new(ErrorKind::Input, error.to_string()),
        }
    }
    Err(problem)
}

/// Refuses arrays that would take more than `limit` bytes together.
fn check_memory<'a>(arrays: impl Iterator<Item = (&'a Vec<usize>, DType)>, limit: u64) -> Result<()> {
    let mut total = 0u64;
    for (shape, dtype) in arrays {
        let bytes = shape.iter().fold(dtype.size() as u64, |bytes, &n| bytes.saturating_mul(n as u64));
        total = total.saturating_add(bytes);
        if total > limit {
            let text = format!(
                "random inputs up to one of shape {shape:?} take {total} bytes; {limit} bytes of memory are allowed\n  \
                 help: give a smaller batch or inputs of your own"
            );
            return Err(Error::new(ErrorKind::Limit, text));
        }
    }
    Ok(())
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
