//! What led to shapes that do not fit, and the nearest mend.

use crate::Error;
use k2o_core::{CallId, Dim, LayerCall, Outline, Shape};

/// How many layers before the failing one are named, beside the first two.
const NAMED: usize = 6;

/// Layers that want steps and channels.
const OF_STEPS: &[&str] = &[
    "AdaptiveAveragePooling1D",
    "AdaptiveMaxPooling1D",
    "AveragePooling1D",
    "Bidirectional",
    "Conv1D",
    "Conv1DTranspose",
    "Cropping1D",
    "CuDNNGRU",
    "CuDNNLSTM",
    "DepthwiseConv1D",
    "GRU",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "LSTM",
    "MaxPooling1D",
    "RNN",
    "SeparableConv1D",
    "SimpleRNN",
    "SpatialDropout1D",
    "TimeDistributed",
    "UpSampling1D",
    "ZeroPadding1D",
];
/// Layers that give their last step only, unless told otherwise.
const RECURRENT: &[&str] = &["Bidirectional", "CuDNNGRU", "CuDNNLSTM", "GRU", "LSTM", "RNN", "SimpleRNN"];
/// Layers that want inputs of the same sizes, all but one axis of them in the case of the last.
const MERGING: &[&str] = &["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate"];

/// An input of the failing layer.
pub(crate) struct Given {
    pub shape: Shape,
    /// The layer call that it is an output of; `None` for the model's input.
    pub from: Option<CallId>,
}

/// What was called before.
pub(crate) struct History<'a> {
    pub outline: &'a Outline,
    /// The shape of the model's first input, which the first layer of a Sequential model reads.
    pub start: Option<Shape>,
}

/// The error of the call that was begun last with the shapes that led to each of its inputs, and with the nearest mend,
/// if one is known.
pub(crate) fn explained(error: Error, history: &History<'_>, class: &str, inputs: &[Given]) -> Error {
    let failing = history.outline.calls.last().map_or("", |call| call.path.as_str());
    let chains: Vec<String> = inputs.iter().map(|input| history.chain(input, failing)).collect();
    let error = error.shapes(&chains);
    match history.mend(class, inputs) {
        Some(help) => error.help(help),
        None => error,
    }
}

impl History<'_> {
    /// `[batch, 100, 1] -> conv1d [batch, 98, 32] -> failing`: the shapes from the model's input on, by way of the first
    /// input of every layer.
    fn chain(&self, input: &Given, failing: &str) -> String {
        let mut parts = vec![failing.to_string()];
        let calls = ancestors(self.outline, input.from);
        for call in &calls {
            parts.push(match call.outputs.first().and_then(Option::as_ref) {
                Some(shape) => format!("{} {shape}", call.path),
                None => call.path.clone(),
            });
        }
        match (calls.last(), &self.start) {
            (None, _) => parts.push(input.shape.to_string()),
            (Some(first), Some(start)) if first.class != "InputLayer" => parts.push(start.to_string()),
            _ => {}
        }
        parts.reverse();
        if parts.len() > NAMED + 3 {
            let last = parts.split_off(parts.len() - NAMED);
            parts.truncate(2);
            parts.push("..".to_string());
            parts.extend(last);
        }
        parts.join(" -> ")
    }

    fn mend(&self, class: &str, inputs: &[Given]) -> Option<String> {
        match inputs {
            [input, ..] if OF_STEPS.contains(&class) && input.shape.rank() == 2 => {
                Some(self.without_steps(input))
            }
            [input, ..] if OF_STEPS.contains(&class) && input.shape.rank() > 3 => Some(format!(
                "a Reshape before this layer can make one sequence of {}, or TimeDistributed apply it to each part",
                input.shape
            )),
            [input] if class == "Dense" => of_unknown_size(self.outline, input),
            [a, b, ..] if MERGING.contains(&class) => {
                let differing = inputs.iter().find(|input| input.shape != a.shape).unwrap_or(b);
                of_other_sizes(self.outline, class, a, differing)
            }
            _ => None,
        }
    }

    /// A layer that wants steps and is given none.
    fn without_steps(&self, input: &Given) -> String {
        let reshape = match input.shape.last().and_then(Dim::as_fixed) {
            Some(n) => format!("a Reshape(({n}, 1)) before this layer makes {n} steps of one channel"),
            None => "a Reshape((-1, 1)) before this layer makes steps of one channel".to_string(),
        };
        let calls = ancestors(self.outline, input.from);
        // The input of a Sequential model is no call.
        let starts_with_steps = self.start.as_ref().is_some_and(|start| start.rank() > 2);
        let last_with = calls.iter().position(|call| rank(call) > 2);
        let last_with = last_with.or_else(|| starts_with_steps.then_some(calls.len()));
        let lost_by = last_with.and_then(|at| at.checked_sub(1)).and_then(|at| calls.get(at));
        let Some(lost_by) = lost_by else { return reshape };
        let (class, path) = (lost_by.class.as_str(), &lost_by.path);
        match last_with {
            _ if RECURRENT.contains(&class) => format!("return_sequences=True in {path:?} keeps the steps"),
            Some(1) => format!("without {path:?} ({class}) there are steps; or {reshape}"),
            _ => format!("{path:?} ({class}) leaves no steps; {reshape}"),
        }
    }
}

/// The call, what its first input came from, and so on to the model's input.
fn ancestors(outline: &Outline, from: Option<CallId>) -> Vec<&LayerCall> {
    let mut calls = Vec::new();
    let mut at = from;
    // A call reads earlier ones, so that this ends.
    while let Some(call) = at.and_then(|id| outline.get(id)) {
        calls.push(call);
        at = call.inputs.first().map(|(id, _)| *id).filter(|next| at.is_some_and(|id| *next < id));
    }
    calls
}

fn rank(call: &LayerCall) -> usize {
    call.outputs.first().and_then(Option::as_ref).map_or(0, Shape::rank)
}

/// A dense layer, where the number of what it multiplies is not known.
fn of_unknown_size(outline: &Outline, input: &Given) -> Option<String> {
    if input.shape.last().is_none_or(|size| size.as_fixed().is_some()) {
        return None;
    }
    let calls = ancestors(outline, input.from);
    Some(match calls.iter().find(|call| call.class == "Flatten") {
        Some(flatten) => format!(
            "give the model's input a number of steps, or put a GlobalAveragePooling1D in the place of {:?}",
            flatten.path
        ),
        None => "give the model's input fixed sizes".to_string(),
    })
}

/// A layer whose inputs have different sizes.
fn of_other_sizes(outline: &Outline, class: &str, a: &Given, b: &Given) -> Option<String> {
    let name = |given: &Given| {
        let call = given.from.and_then(|id| outline.get(id));
        call.map_or_else(|| "the input".to_string(), |call| format!("{:?}", call.path))
    };
    let (a, b) = if a.shape.rank() < b.shape.rank() { (b, a) } else { (a, b) };
    if a.shape.rank() != b.shape.rank() {
        let steps = a.shape.get(1).filter(|_| a.shape.rank() == 3 && b.shape.rank() == 2)?;
        return Some(format!(
            "a RepeatVector({steps}) on {} gives it as many steps, a GlobalAveragePooling1D on {} takes them away",
            name(b),
            name(a)
        ));
    }
    let differs = |axis: &usize| a.shape.get(*axis) != b.shape.get(*axis);
    let last = a.shape.rank().checked_sub(1)?;
    let is_joined = |axis: &usize| class == "Concatenate" && *axis == last;
    let axis = (1..=last).filter(|axis| !is_joined(axis)).find(differs)?;
    let (m, n) = (a.shape.get(axis)?, b.shape.get(axis)?);
    if axis == last {
        let (layer, arguments) = if last > 1 { ("Conv1D", ", 1") } else { ("Dense", "") };
        return Some(format!("a {layer}({n}{arguments}) on {} gives it {n} channels", name(a)));
    }
    let keeping = "padding=\"same\" in the convolutions and poolings between keeps the steps";
    Some(match (m.as_fixed(), n.as_fixed()) {
        (Some(m), Some(n)) => {
            let (longer, steps) = if m > n { (a, m - n) } else { (b, n - m) };
            let (before, after) = (steps / 2, steps - steps / 2);
            format!(
                "{keeping}, or a Cropping1D(({before}, {after})) on {} drops the other {steps}",
                name(longer)
            )
        }
        _ => keeping.to_string(),
    })
}
