//! `report MODEL [-o OUT.html] [--steps N] [--verify] [--time]`

use super::{JsonArgs, ModelArgs, Opened, bytes, grouped};
use crate::computing::instruction_set;
use crate::console;
use crate::failure::Failure;
use crate::output::{answer, write_whole};
use k2o::core::{Bindings, CallId, ExprKind, TensorType};
use k2o::cpu::TensorView;
use k2o::{CostOptions, Error, Model, PlanOptions, Session};
use k2o_report::{Detail, Diagram, LayerRow, Page, Statistics, VerifiedRow, WeightRow, shape_text};
use k2o_verify::{Finding, Options};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Where to write [default: the model's name with .html]
    #[arg(short, long, value_name = "OUT.html")]
    output: Option<PathBuf>,
    /// The length of inputs whose file leaves it open, where work is counted [default: 100, or the next greater one that
    /// fits]
    #[arg(long, value_name = "N")]
    steps: Option<NonZeroU32>,
    /// Compares every layer with the reference in double precision, on random inputs, as `verify` does
    #[arg(long)]
    verify: bool,
    /// Runs the model and shows how long each layer takes, on one thread
    #[arg(long)]
    time: bool,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let Opened { model, paths, .. } = args.model.open_with_weights()?;
    let (steps, bindings) = bindings(&model, args.steps)?;
    let work = multiply_adds(&model, &bindings)?;
    let times = if args.time { times(&model, &bindings)? } else { BTreeMap::new() };
    let file = args.model.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let page = Page {
        title: model.summary().name,
        provenance: provenance(&model, file),
        totals: totals(&model, &work),
        advice: model.advice(),
        diagram: Diagram::new(model.graph(), model.outline(), Detail::Folded),
        layers: layers(&model, &work, &times),
        counted_for: match steps {
            Some(steps) => format!("one example, with {steps} for what is of unknown size"),
            None => "one example".to_string(),
        },
        weights: weights(&model)?,
        verification: if args.verify { verification(&model)? } else { Vec::new() },
    };
    let html = page.to_html();
    let target = args.output.clone().unwrap_or_else(|| args.model.model.with_extension("html"));
    write_whole(&target, &paths, |writer| {
        writer.write_all(html.as_bytes()).map_err(|error| Failure::io(&target, error))
    })?;
    let model = args.model.model.display();
    let text = || format!("{model} -> {} ({})\n", target.display(), bytes(html.len() as u64));
    let value = || json!({"model": model.to_string(), "output": target, "bytes": html.len()});
    Ok(answer(&target, console::answer(text, value)))
}

/// The sizes that symbols stand for where work is counted, and the one of those that are no batch, if there are any.
fn bindings(model: &Model, steps: Option<NonZeroU32>) -> Result<(Option<i64>, Bindings), Failure> {
    let mut options = CostOptions::default();
    options.length = steps.map(NonZeroU32::get);
    let bindings = model.sizes(&options)?;
    let steps =
        model.graph().symbols().iter().filter(|name| &***name != "batch").find_map(|name| bindings.get(name));
    Ok((steps.copied(), bindings))
}

/// The multiply-adds of each layer call, without those of calls in it.
fn multiply_adds(model: &Model, bindings: &Bindings) -> Result<BTreeMap<CallId, u64>, Failure> {
    let mut work = BTreeMap::new();
    for node in model.graph().nodes() {
        let Some(call) = node.origin else { continue };
        let count = model.graph().cost(node).and_then(|cost| cost.multiply_adds.eval(bindings));
        let count = count.map_err(|error| model.core_error(&error))?;
        let sum: &mut u64 = work.entry(call).or_default();
        *sum = sum.saturating_add(u64::try_from(count).unwrap_or(0));
    }
    Ok(work)
}

/// For how long runs are repeated, and how many there are at most.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_RUNS: usize = 200;

/// The most elements of an input that is made up to measure with.
const LARGEST_INPUT: i64 = 1 << 28;

/// The microseconds that each layer call takes on one thread, without those in it: of many runs the least, which is what other
/// programs disturbed least. What is computed together counts for the first layer of those.
fn times(model: &Model, bindings: &Bindings) -> Result<BTreeMap<CallId, f64>, Failure> {
    let options = PlanOptions { instruction_set: instruction_set()?, ..PlanOptions::default() };
    let plan = model.plan_with(&options)?;
    let origins: Vec<Option<CallId>> = plan.steps().map(|step| step.origin).collect();
    let inputs =
        model.inputs().iter().map(|port| Input::new(&port.r#type, bindings)).collect::<Result<Vec<_>, _>>();
    let inputs = inputs.map_err(|error| model.core_error(&error))?;
    let views = inputs
        .iter()
        .map(Input::view)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| model.cpu_error(&error))?;
    let mut session = Session::new(&plan);
    let mut least: BTreeMap<CallId, f64> = BTreeMap::new();
    let start = Instant::now();
    for run in 0..MOST_RUNS {
        let mut times: BTreeMap<CallId, f64> = BTreeMap::new();
        let mut last = Instant::now();
        let observe = |step: usize| {
            let now = Instant::now();
            if let Some(call) = origins.get(step).copied().flatten() {
                *times.entry(call).or_default() += (now - last).as_secs_f64() * 1e6;
            }
            last = now;
        };
        session.run_observed(&views, observe).map_err(|error| model.cpu_error(&error))?;
        // The first run finds sizes and memory.
        if run > 0 {
            times.into_iter().for_each(|(call, time)| {
                least.entry(call).and_modify(|least| *least = least.min(time)).or_insert(time);
            });
        }
        if run > 0 && start.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(least)
}

/// An input to measure with: small numbers, which are not all the same.
struct Input {
    shape: Vec<usize>,
    floats: Vec<f32>,
    integers: Vec<i64>,
}

impl Input {
    fn new(r#type: &TensorType, bindings: &Bindings) -> Result<Input, k2o::core::Error> {
        let shape = r#type.shape.eval(bindings)?;
        let count = r#type.shape.elements()?.eval(bindings)?;
        if count > LARGEST_INPUT {
            return Err(k2o::core::Error::limit(format!("an input of {count} elements to measure with")));
        }
        let (floats, integers) = match r#type.dtype.is_float() {
            true => ((0..count).map(|n| (n % 17) as f32 / 8.0 - 1.0).collect(), Vec::new()),
            false => (Vec::new(), (0..count).map(|n| n % 2).collect()),
        };
        Ok(Input { shape, floats, integers })
    }

    fn view(&self) -> Result<TensorView<'_>, k2o::cpu::Error> {
        match self.integers.is_empty() {
            true => TensorView::f32(&self.shape, &self.floats),
            false => TensorView::i64(&self.shape, &self.integers),
        }
    }
}

fn provenance(model: &Model, file: String) -> Vec<(String, String)> {
    let from = model.provenance();
    let ports = |ports: Vec<k2o::Port>| {
        let port = |port: &k2o::Port| {
            format!("{} {} {}", port.name, port.r#type.dtype, shape_text(&port.r#type.shape))
        };
        ports.iter().map(port).collect::<Vec<_>>().join("; ")
    };
    let mut lines = vec![("File", file), ("Format", from.format.clone())];
    lines.extend(from.keras_version.clone().map(|version| ("Keras", version)));
    lines.extend([("Inputs", ports(model.inputs())), ("Outputs", ports(model.outputs()))]);
    lines.push(("Written by", format!("k2o {}", env!("CARGO_PKG_VERSION"))));
    lines.into_iter().map(|(what, value)| (what.to_string(), value)).collect()
}

fn totals(model: &Model, work: &BTreeMap<CallId, u64>) -> Vec<(String, String)> {
    let summary = model.summary();
    let mut totals = vec![
        ("Layers", summary.rows.len() as u64),
        ("Parameters", summary.total_parameters),
        ("Trainable", summary.trainable_parameters),
        ("Not trainable", summary.non_trainable_parameters),
    ];
    totals.extend(
        (summary.optimizer_parameters > 0).then_some(("Of the optimizer", summary.optimizer_parameters)),
    );
    totals.push(("Multiply-adds", work.values().copied().fold(0, u64::saturating_add)));
    totals.into_iter().map(|(what, n)| (what.to_string(), grouped(n))).collect()
}

fn layers(model: &Model, work: &BTreeMap<CallId, u64>, times: &BTreeMap<CallId, f64>) -> Vec<LayerRow> {
    let calls = &model.outline().calls;
    let mut rows: Vec<LayerRow> = Vec::with_capacity(calls.len());
    for (id, call) in calls.iter().enumerate() {
        let around = call.parent.and_then(|CallId(parent)| rows.get(parent));
        let shapes: Vec<String> = call.outputs.iter().flatten().map(shape_text).collect();
        let row = LayerRow {
            call: CallId(id),
            depth: around.map_or(0, |parent| parent.depth + 1),
            path: match call.repetition {
                0 => call.path.clone(),
                n => format!("{}#{}", call.path, n + 1),
            },
            class: call.class.clone(),
            shape: shapes.join(", "),
            parameters: call.parameters(),
            multiply_adds: work.get(&CallId(id)).copied().unwrap_or(0),
            microseconds: times.get(&CallId(id)).copied(),
        };
        rows.push(row);
    }
    rows
}

/// The weights that are read from the file, each once. No more of one is in memory than its storage makes necessary.
fn weights(model: &Model) -> Result<Vec<WeightRow>, Failure> {
    let constants = model.graph().constants().iter();
    let stored = constants.filter(|constant| {
        constant.dtype.is_float() && !matches!(constant.expr.kind(), ExprKind::Literal(_))
    });
    let row = |constant: &k2o::core::Constant| -> Result<WeightRow, Error> {
        let statistics = Statistics::new(|each| constant.visit_rows(1, |some| each(some)));
        let statistics = statistics.map_err(|error| model.core_error(&error))?;
        Ok(WeightRow { name: constant.name.clone(), shape: constant.shape().to_vec(), statistics })
    };
    stored.map(|constant| Ok(row(constant)?)).collect()
}

fn verification(model: &Model) -> Result<Vec<VerifiedRow>, Failure> {
    let report = k2o_verify::verify(model, &Options::default())?;
    let row = |row: k2o_verify::Row| {
        let (worst, allowed) = match row.cpu {
            Finding::Compared(difference) => (Some(difference.worst), difference.allowed),
            Finding::Folded => (None, 0.0),
        };
        VerifiedRow { name: row.name, worst, allowed }
    };
    Ok(report.layers.into_iter().map(row).collect())
}
