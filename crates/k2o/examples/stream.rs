//! Runs a model on a sensor that never stops.
//!
//! ```text
//! cargo run --release --example stream -- MODEL [CHUNK]
//! ```
//!
//! The model's sequences are fed chunk by chunk (8 steps at a time unless said otherwise) with readings of a simulated
//! sensor: a wave that slowly changes its pitch, and noise. A model that cannot be streamed is refused with the layer that
//! prevents it. What comes out has the same bits as a run on everything at once, which the end of this program checks.

use k2o::cpu::TensorView;
use k2o::{Array, Model};
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

/// How many steps are read.
const STEPS: usize = 4_000;

/// Reading `t` of one channel of the sensor.
fn reading(t: usize, channel: usize) -> f32 {
    let seconds = t as f32 / 100.0;
    let wave = (seconds * (3.0 + seconds * 0.05) + channel as f32).sin();
    let noise = ((t * 7919 + channel * 104_729) % 1000) as f32 / 1000.0 - 0.5;
    wave + 0.1 * noise
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

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: stream MODEL [CHUNK]")?;
    let chunk: usize = arguments.next().map_or(Ok(8), |n| n.parse())?;
    if chunk == 0 {
        return Err("a chunk has at least one step".into());
    }
    let model = Model::open(&path)?;
    let plan = model.stream_plan()?;
    let Some((name, r#type, true)) = plan.inputs().next().filter(|_| plan.inputs().len() == 1) else {
        return Err("this example feeds models of one sequence".into());
    };
    let sizes: Option<Vec<usize>> = r#type.shape.iter().skip(2).map(|dim| dim.as_usize()).collect();
    let row = sizes.ok_or("the size of a step is not known")?;
    let channels: usize = row.iter().product();
    println!("{path} can be streamed: input {name:?}, latency {} steps", plan.latency());

    let readings: Vec<f32> = (0..STEPS * channels).map(|i| reading(i / channels, i % channels)).collect();
    let shape = |steps: usize| [&[1, steps], row.as_slice()].concat();
    let mut session = plan.session();
    let mut given: Vec<Vec<f32>> = vec![Vec::new(); plan.outputs().len()];
    let mut collect = |outputs: k2o::cpu::StreamOutputs<'_>, has_steps: &[bool]| {
        for ((given, view), has_steps) in given.iter_mut().zip(outputs.iter()).zip(has_steps) {
            if !has_steps {
                given.clear();
            }
            given.extend(view.as_f32().unwrap_or_default());
        }
    };
    let has_steps: Vec<bool> = plan.outputs().map(|(_, has_steps)| has_steps).collect();
    let start = Instant::now();
    for part in readings.chunks(chunk * channels) {
        let outputs = session.push(&[TensorView::f32(&shape(part.len() / channels), part)?])?;
        collect(outputs, &has_steps);
    }
    let elapsed = start.elapsed();
    collect(session.finish()?, &has_steps);
    println!(
        "{STEPS} steps, {chunk} at a time: {:.2} us per step",
        elapsed.as_secs_f64() * 1e6 / STEPS as f64
    );

    let whole = ndarray::ArrayD::from_shape_vec(shape(STEPS), readings)?;
    for (((name, has_steps), given), whole) in
        plan.outputs().zip(&given).zip(model.predict(&[Array::F32(whole)])?)
    {
        let same = whole.iter().map(|x| x.to_bits()).eq(given.iter().map(|x| x.to_bits()));
        let what = if has_steps { "every step" } else { "the value after the last step" };
        let numbers =
            given.iter().rev().take(4).rev().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(", ");
        println!(
            "output {name:?}: ..{numbers}; {what} as in one run: {}",
            if same { "same bits" } else { "DIFFERENT" }
        );
        if !same {
            return Err("the stream and the whole run differ".into());
        }
    }
    Ok(())
}
