//! Everything that the library does with a model that it opened, as far as that is little work.

use k2o::core::{Bindings, DType};
use k2o::{Array, CostOptions, Error, ErrorKind, ExportOptions, Model, PlanOptions, PredictOptions};
use ndarray::ArrayD;

/// Bytes of a run.
const MOST_MEMORY: usize = 256 << 20;

/// Looks at a model, and runs and exports it if its weights and the values of a run have no more than `most` elements, and a
/// run no more than eight times as many operations. `variant` picks from what takes long. Returns what became of it.
pub fn examine(model: &Model, variant: u64, most: u64) -> &'static str {
    let summary = model.summary();
    let costs = model.costs(&summary, &CostOptions::default());
    let _ = (model.summary_expanded(), model.receptive_fields(&summary), model.advice());
    let mut cost_options = CostOptions::default();
    cost_options.batch = 2;
    cost_options.length = model.shortest_input().and_then(|length| u32::try_from(length).ok());
    let (Ok(_), Ok(sizes)) = (costs, model.sizes(&cost_options)) else { return "opened" };
    let Ok(costs) = model.costs(&summary, &cost_options) else { return "opened" };
    let weights = model.graph().constants().iter().map(|constant| elements(constant.shape()));
    let values = model
        .graph()
        .values()
        .iter()
        .map(|value| value.r#type.shape.eval(&sizes).map_or(u64::MAX, |shape| elements(&shape)));
    if weights.chain(values).fold(0, u64::saturating_add) > most
        || costs.total.operations() > most.saturating_mul(8)
    {
        return "opened";
    }
    let exported = model.to_onnx(&export_options(variant));
    let exported = exported.is_ok_and(|export| export.write_to(&mut std::io::sink()).is_ok());
    if variant.is_multiple_of(4) {
        let _ = stream(model, &sizes);
    }
    if let Some(row) =
        summary.rows.get(variant as usize % summary.rows.len().max(1)).filter(|_| variant % 4 == 1)
    {
        let _ = model.until(&row.name).and_then(|part| run(&part, &sizes, variant));
    }
    match (run(model, &sizes, variant), exported) {
        (Ok(()), true) => "run and exported",
        (Ok(()), false) => "run",
        (Err(_), true) => "exported",
        (Err(_), false) => "opened",
    }
}

/// What became of a file that is refused.
pub fn refused(error: &Error) -> &'static str {
    assert!(!error.to_string().is_empty());
    match error.kind() {
        _ if error.is_shape_mismatch() => "refused: layers do not fit",
        ErrorKind::Malformed => "refused: malformed",
        ErrorKind::Unsupported => "refused: unsupported",
        ErrorKind::Limit => "refused: limit",
        ErrorKind::Input => "refused: input",
        ErrorKind::Io => "refused: io",
        _ => "refused",
    }
}

fn export_options(variant: u64) -> ExportOptions {
    let options = ExportOptions::default();
    match variant % 6 {
        0 => options.with_opset(18),
        1 => options.with_batch(1),
        2 => options.with_io_layout(k2o::onnx::IoLayout::ChannelsFirst),
        3 => options.with_weights_type(k2o::onnx::WeightsType::F16),
        _ => options,
    }
}

fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &n| product.saturating_mul(n as u64))
}

/// An array for each input.
fn inputs(model: &Model, sizes: &Bindings) -> Result<Vec<Array>, Error> {
    let input = |port: k2o::Port| {
        let shape = port.r#type.shape.eval(sizes).map_err(|error| model.core_error(&error))?;
        let count = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i: usize| (i % 7) as f32 - 2.0).collect();
        let array = ArrayD::from_shape_vec(shape, numbers);
        let array = array.map_err(|error| Error::new(ErrorKind::Input, error.to_string()))?;
        Ok(match port.r#type.dtype {
            DType::I64 => Array::I64(array.mapv(|x| x.abs() as i64)),
            DType::I32 | DType::Bool => Array::I32(array.mapv(|x| x.abs() as i32)),
            _ => Array::F32(array),
        })
    };
    model.inputs().into_iter().map(input).collect()
}

fn run(model: &Model, sizes: &Bindings, variant: u64) -> Result<(), Error> {
    let mut options = PredictOptions::default();
    options.plan.memory_limit = MOST_MEMORY;
    options.plan.narrow_weights = (variant % 8 == 2).then_some(DType::F16);
    options.batch_size = std::num::NonZero::new(1).filter(|_| variant % 8 == 3);
    model.predict_with(&inputs(model, sizes)?, &options).map(drop)
}

/// Runs the model on what is given as the first chunk of a sequence that goes on.
fn stream(model: &Model, sizes: &Bindings) -> Result<(), Error> {
    let options = PlanOptions { memory_limit: MOST_MEMORY, ..PlanOptions::default() };
    let plan = model.stream_plan_with(&options)?;
    let arrays = inputs(model, sizes)?;
    let views = arrays.iter().filter_map(|array| match array {
        Array::F32(array) => k2o::cpu::TensorView::f32(array.shape(), array.as_slice()?).ok(),
        _ => None,
    });
    let views: Vec<_> = views.collect();
    let mut session = plan.session();
    session.push(&views).map_err(|error| model.cpu_error(&error))?;
    session.finish().map_err(|error| model.cpu_error(&error)).map(drop)
}
