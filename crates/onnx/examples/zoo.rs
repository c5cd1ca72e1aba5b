//! Writes the test graphs as ONNX at several opsets, with inputs and what the reference makes of them, for other
//! runtimes to check: `cargo run -p k2o-onnx --example zoo -- <folder>`.
//!
//! Per graph and opset there are `<name>.onnx`, `<name>.inputs.npz` and `<name>.outputs.npz`, for right-padded masks; at
//! the default opset also a file with every layer's output among the outputs, for any masks, and one for tract.

#![allow(clippy::unwrap_used, reason = "the graphs are the tests'")]

#[path = "../tests/export/cases.rs"]
mod cases;
#[path = "../tests/export/formulas.rs"]
mod formulas;
#[path = "../tests/export/moving.rs"]
mod moving;
#[path = "../tests/export/net.rs"]
mod net;
#[path = "../tests/export/operators.rs"]
mod operators;
#[path = "../tests/export/recurrent.rs"]
mod recurrent;

use k2o_core::{DType, Data, Port, Tensor, ValueId, run_reference};
use k2o_onnx::{Export, ExportOptions, Place, Target, export};
use ndarray::ArrayD;
use ndarray_npy::NpzWriter;
use net::{Case, random};
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("the folder to write to is missing")?);
    std::fs::create_dir_all(&folder)?;
    for case in cases::all() {
        let options = ExportOptions::default().with_right_padding(true);
        for opset in [13, 15, 17, 18, 20, 21, 23] {
            let export = export(&case.graph, &case.outline, &options.clone().with_opset(opset))?;
            write(&folder.join(format!("{}_{opset}", case.name)), &case, &export, &[])?;
        }
        let for_tract = export(&case.graph, &case.outline, &options.with_target(Target::Tract))?;
        write(&folder.join(format!("{}_tract", case.name)), &case, &for_tract, &[])?;
        let options = ExportOptions::default().with_taps(true);
        let export = export(&case.graph, &case.outline, &options)?;
        let taps = taps(&case, &export);
        write(&folder.join(format!("{}_taps", case.name)), &case, &export, &taps)?;
    }
    Ok(())
}

/// A layer's output in the file: its name, value and order of axes.
type Tap = (String, ValueId, Option<Vec<usize>>);

/// The layer outputs that the file has besides the model's own.
fn taps(case: &Case, export: &Export) -> Vec<Tap> {
    let mut known = [export.input_names(), export.output_names()].concat();
    let mut taps = Vec::new();
    for (tap, layer) in case.graph.taps().iter().zip(export.layer_names()) {
        if let (Some(value), Place::Named { name, permutation }) = (tap.value, &layer.place)
            && !known.contains(name)
        {
            known.push(name.clone());
            taps.push((name.clone(), value, permutation.clone()));
        }
    }
    taps
}

/// Inputs to run a case with.
fn inputs(case: &Case) -> Vec<Tensor> {
    let mut state = 7;
    let make = |(port, sizes): (&Port, &Vec<usize>)| {
        let data = random(&mut state, sizes.iter().product());
        let data = match case.graph.value(port.value).r#type.dtype {
            DType::F32 => Data::F64(data.into_iter().map(|x| 3.0 * x).collect()),
            // Not more than there are steps.
            _ if port.name == "lengths" => {
                Data::I64(data.into_iter().map(|x| (3.5 * (x + 1.0)) as i64).collect())
            }
            _ => Data::I64(data.into_iter().map(|x| (100.0 * x) as i64).collect()),
        };
        Tensor::new(sizes.clone(), data).unwrap()
    };
    case.graph.inputs().iter().zip(&case.sizes).map(make).collect()
}

/// Writes one model with its inputs and outputs.
fn write(stem: &Path, case: &Case, export: &Export, taps: &[Tap]) -> Result<()> {
    let inputs = inputs(case);
    let values: Vec<ValueId> = taps.iter().map(|tap| tap.1).collect();
    let run = run_reference(&case.graph, &inputs, &values)?;
    let mut outputs = run.outputs;
    for (_, value, permutation) in taps {
        let tensor = run.kept[value].clone();
        outputs.push(permutation.as_ref().map_or(Ok(tensor.clone()), |order| tensor.permute(order))?);
    }
    let dtype = |id: ValueId| case.graph.value(id).r#type.dtype;
    let path = |ending: &str| PathBuf::from(format!("{}.{ending}", stem.display()));
    export.write_to(&mut File::create(path("onnx"))?)?;
    let dtypes = case.graph.inputs().iter().map(|port| dtype(port.value));
    write_npz(&path("inputs.npz"), export.input_names(), dtypes, &inputs)?;
    let names: Vec<String> =
        export.output_names().iter().chain(taps.iter().map(|tap| &tap.0)).cloned().collect();
    let ports = case.graph.outputs().iter().map(|port| port.value);
    write_npz(&path("outputs.npz"), &names, ports.chain(values.iter().copied()).map(dtype), &outputs)
}

fn write_npz(
    path: &Path,
    names: &[String],
    dtypes: impl Iterator<Item = DType>,
    tensors: &[Tensor],
) -> Result<()> {
    let mut npz = NpzWriter::new(File::create(path)?);
    for ((name, dtype), tensor) in names.iter().zip(dtypes).zip(tensors) {
        let shape = tensor.shape().to_vec();
        match (dtype, tensor.data()) {
            (DType::I32, Data::I64(data)) => {
                let data =
                    data.iter().map(|&n| i32::try_from(n)).collect::<std::result::Result<Vec<_>, _>>()?;
                npz.add_array(name, &ArrayD::from_shape_vec(shape, data)?)?;
            }
            (_, Data::Bool(data)) => npz.add_array(name, &ArrayD::from_shape_vec(shape, data.clone())?)?,
            (_, Data::I64(data)) => npz.add_array(name, &ArrayD::from_shape_vec(shape, data.clone())?)?,
            _ => npz.add_array(name, &ArrayD::from_shape_vec(shape, tensor.to_f32())?)?,
        }
    }
    npz.finish()?;
    Ok(())
}
