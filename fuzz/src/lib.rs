//! What the fuzz targets do with bytes. Each of these functions bears any: it panics only where the library is wrong.
//!
//! The tests of `k2o-cli` call them too, with the inputs that once failed.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target that cannot run must fail"
)]

#[path = "../../crates/cli/tests/mutations/examine.rs"]
mod examine;
mod layers;
mod operators;

use arbitrary::{Result, Unstructured};
use k2o::core::ops::{Infer, Operator};
use k2o::core::{Bindings, Dim, GraphBuilder, Outline, StoredTensor, Tensor, run_reference, to_scans};
use k2o::cpu::{DataView, TensorView};
use k2o::keras::{Archive, ImportOptions, Importer, Source, WeightStore};
use k2o::{ExportOptions, Limits, Model, OpenOptions, Plan, PlanOptions, Session};
use std::sync::LazyLock;

/// Below the memory that libFuzzer allows a process.
const LIMITS: Limits = Limits { max_memory: 64 << 20, max_layers: 10_000, max_config_bytes: 1 << 20 };

fn open(bytes: &[u8]) -> k2o::Result<Model> {
    let mut options = OpenOptions::default();
    options.limits = LIMITS;
    Model::from_bytes_with(bytes, &options)
}

fn open_and_examine(bytes: &[u8]) {
    match open(bytes) {
        Ok(model) => drop(examine::examine(&model, bytes.len() as u64, 1 << 15)),
        Err(error) => drop(examine::refused(&error)),
    }
}

/// Reads all that a file says it holds, if it is not too much.
fn read_weights(store: &WeightStore) {
    let tree = store.tree().values().flatten().map(|(_, weight)| weight);
    let named = store.named().iter().flat_map(|layer| layer.weights.iter().map(|(_, weight)| weight));
    let top_level = store.top_level().iter().map(|(_, weight)| weight);
    for weight in tree.chain(named).chain(top_level) {
        let elements = weight.shape().iter().fold(1_usize, |product, &n| product.saturating_mul(n));
        if elements < 1 << 22 {
            let _ = weight.read();
        }
    }
}

/// A file: recognised, taken apart, all its weights read.
pub fn archive(data: &[u8]) {
    if let Ok(archive) = Archive::read(&Source::from_bytes("file", data.to_vec()), &LIMITS) {
        archive.weights.as_ref().inspect(|store| read_weights(store));
        open_and_examine(data);
    }
}

/// Configs that weights are bound to, of each layout: layers with few weights, many, and nested ones.
static CONFIGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let cases = ["bidirectional_gru", "conv_flatten_dense", "separable_conv1d_valid"];
    let cases = cases.map(|name| k2o_fixtures::root().join("models").join(name));
    let files = cases.iter().flat_map(|folder| ["keras2.json", "keras3.json"].map(|name| folder.join(name)));
    files.filter_map(|path| std::fs::read(path).ok()).collect()
});

/// A file of weights, for configs that do not change.
pub fn weights(data: &[u8]) {
    let data = Source::from_bytes("weights", data.to_vec());
    for config in CONFIGS.iter() {
        let config = Source::from_bytes("config", config.clone());
        let Ok(archive) = Archive::read_parts(&config, None, Some(&data), &LIMITS) else { return };
        let mut options = ImportOptions::default();
        options.limits = LIMITS;
        if let Ok(imported) = Importer::new().import(&archive, &options) {
            for constant in imported.graph.constants() {
                let _ = constant.to_f32();
            }
        }
        archive.weights.as_ref().inspect(|store| read_weights(store));
    }
}

/// The JSON of a model.
pub fn config(data: &[u8]) {
    open_and_examine(data);
}

/// One layer of any config between an input and an output.
pub fn layer(data: &[u8]) {
    let Ok(model) = layers::model(&mut Unstructured::new(data)) else { return };
    open_and_examine(model.to_string().as_bytes());
}

/// The shape rule of one operator, for inputs of any sizes.
pub fn shapes(data: &[u8]) {
    let _ = one_operator(&mut Unstructured::new(data));
}

fn one_operator(u: &mut Unstructured<'_>) -> Result<()> {
    let (op, types) = operators::with_types(u)?;
    let bindings = Bindings::from_iter([
        ("batch".into(), operators::any_number(u)?),
        ("steps".into(), operators::any_number(u)?),
    ]);
    let mut infer = Infer::default();
    if let Ok(outputs) = op.infer(&types, &mut infer) {
        if let Ok(cost) = op.cost(&types, &outputs) {
            let _ = (cost.multiply_adds.eval(&bindings), cost.element_ops.eval(&bindings));
        }
        for constraint in infer.into_constraints() {
            let _ = (constraint.holds(&bindings), constraint.violation(&bindings).to_string());
        }
        let _ = outputs.iter().map(|output| output.shape.eval(&bindings)).collect::<Vec<_>>();
    }
    let mut builder = GraphBuilder::new();
    let operands = types.into_iter().map(|r#type| builder.input("x", r#type).map(Into::into));
    let Ok(operands) = operands.collect::<k2o::core::Result<Vec<_>>>() else { return Ok(()) };
    let Ok(outputs) = builder.add_all(op, operands) else { return Ok(()) };
    outputs.into_iter().for_each(|output| builder.output("y", output));
    let graph = builder.finish();
    let _ = (k2o::core::rewrite(&graph), to_scans(&graph, &|_| true), graph.cost(&graph.nodes()[0]));
    Ok(())
}

/// A graph of small sizes: rewritten, exported, planned and run, as the reference says and as the runtime does.
pub fn graphs(data: &[u8]) {
    let _ = one_graph(&mut Unstructured::new(data));
}

fn one_graph(u: &mut Unstructured<'_>) -> Result<()> {
    let graph = operators::graph(u)?;
    let Ok(rewritten) = k2o::core::rewrite(&graph) else { return Ok(()) };
    let scans = to_scans(&rewritten, &|_| true);
    for graph in [Some(&rewritten), scans.as_ref().ok()].into_iter().flatten() {
        let options = ExportOptions::default().with_opset(u.int_in_range(13..=24)?).with_taps(u.arbitrary()?);
        if let Ok(export) = k2o::onnx::export(graph, &Outline::default(), &options) {
            let _ = export.write_to(&mut std::io::sink());
        }
    }
    let bindings = Bindings::from_iter([
        ("batch".into(), u.int_in_range(0..=3)?),
        ("steps".into(), u.int_in_range(0..=9)?),
    ]);
    let elements = |graph: &k2o::core::Graph| {
        let mut sizes = graph.values().iter().map(|value| {
            let shape = value.r#type.shape.eval(&bindings).ok()?;
            shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n))
        });
        sizes.try_fold(0_usize, |sum, n| sum.checked_add(n?))
    };
    if [&graph, &rewritten].into_iter().any(|graph| elements(graph).is_none_or(|n| n > 1 << 16)) {
        return Ok(());
    }
    let inputs = graph.inputs().iter().map(|port| {
        let r#type = &graph.value(port.value).r#type;
        let shape = r#type.shape.eval(&bindings).ok()?;
        Tensor::zeros(shape, r#type.dtype).ok()
    });
    let Some(inputs) = inputs.collect::<Option<Vec<Tensor>>>() else { return Ok(()) };
    let _ = run_reference(&graph, &inputs, &[]);
    let options = PlanOptions { memory_limit: 64 << 20, ..PlanOptions::default() };
    let Ok(plan) = Plan::new(&rewritten, &options) else { return Ok(()) };
    let numbers: Vec<f32> = (0..1 << 16).map(|i| (i % 11) as f32 - 4.0).collect();
    let (narrow, wide): (Vec<i32>, Vec<i64>) = (0..1 << 16).map(|i| (i % 5, i64::from(i % 5))).unzip();
    let views = graph.inputs().iter().zip(&inputs).map(|(port, tensor)| {
        let n = tensor.shape().iter().product::<usize>();
        let data = match graph.value(port.value).r#type.dtype {
            k2o::core::DType::I64 => DataView::I64(&wide[..n]),
            k2o::core::DType::F32 => DataView::F32(&numbers[..n]),
            _ => DataView::I32(&narrow[..n]),
        };
        TensorView::new(tensor.shape(), data).ok()
    });
    if let Some(views) = views.collect::<Option<Vec<_>>>() {
        let _ = Session::new(&plan).run(&views);
    }
    Ok(())
}

/// A model of one input, and one of two.
static MODELS: LazyLock<[Model; 2]> = LazyLock::new(|| {
    let open = |name: &str| Model::open(k2o_fixtures::root().join("models").join(name).join("keras3.keras"));
    ["symbolic_time", "two_inputs_two_outputs"].map(|name| open(name).unwrap())
});

/// A file of arrays, as `predict` reads it, and the prediction.
pub fn arrays(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("k2o-fuzz-arrays-{}", std::process::id()));
    std::fs::write(&path, data).unwrap();
    for model in MODELS.iter() {
        if let Ok(inputs) = k2o_cli::read_inputs(&path, model)
            && inputs.iter().all(|array| array.shape().iter().product::<usize>() < 1 << 14)
        {
            let _ = model.predict(&inputs);
        }
    }
    let _ = std::fs::remove_file(&path);
}

/// The number, if a shape has it, as a dimension.
pub(crate) fn fixed(n: usize) -> Dim {
    Dim::from_usize(n).unwrap_or(Dim::ONE)
}
