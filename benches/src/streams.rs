//! What a step of an endless sequence takes.

use crate::contest::{Length, Turn, median, rounds};
use crate::path;
use k2o::Model;
use k2o::cpu::{StreamPlan, TensorView};

/// The fixtures that are timed.
pub const STREAMS: [&str; 4] = ["stream_tcn", "stream_conv_lstm", "stream_conv_gru", "stream_audio"];

/// How many steps are pushed at a time.
pub const CHUNKS: [usize; 3] = [1, 16, 256];

/// A model on an endless sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The fixture.
    pub model: String,
    /// The median microseconds for each pushed step, for each of [`CHUNKS`].
    pub microseconds: [f64; CHUNKS.len()],
}

/// The plan of a fixture, and the channels of its input.
///
/// # Errors
/// Where the model cannot be opened, or has no stream of a single input.
pub fn plan(name: &str) -> Result<(StreamPlan, usize), String> {
    let model = Model::open(path(name)).map_err(|error| error.to_string())?;
    let plan = model.stream_plan().map_err(|error| error.to_string())?;
    let channels = plan.inputs().next().and_then(|input| input.1.shape.get(2)?.as_usize());
    Ok((plan, channels.ok_or_else(|| format!("{name}: no number of channels"))?))
}

/// The times of a fixture with one thread, each the median of so many rounds.
///
/// # Errors
/// What [`plan`] says, and what a push does.
pub fn time(name: &str, count: usize) -> Result<Stream, String> {
    let (plan, channels) = plan(name)?;
    let mut pushes = CHUNKS.map(|steps| {
        let chunk: Vec<f32> = (0..steps * channels).map(|i| (i as f32 / 7.0).sin()).collect();
        (plan.session(), [1, steps, channels], chunk)
    });
    let mut turns: Vec<Turn<'_>> = pushes
        .iter_mut()
        .map(|(session, shape, chunk)| {
            let push = || {
                let view = TensorView::f32(&shape[..], &chunk[..]).map_err(|error| error.to_string())?;
                session.push(&[view]).map(|_| ()).map_err(|error| error.to_string())
            };
            Box::new(push) as Turn<'_>
        })
        .collect();
    let mut microseconds = [0.0; CHUNKS.len()];
    let times = rounds(&mut turns, count, Length::DEFAULT);
    for ((to, times), steps) in microseconds.iter_mut().zip(times).zip(CHUNKS) {
        *to = median(&times?) / steps as f64;
    }
    Ok(Stream { model: name.to_string(), microseconds })
}
