//! What is odd about a model, in plain sentences.

use k2o_core::{CallId, Dim, Graph, LayerCall, Node, Op, Outline, Padding, Shape, Window, grouped};
use std::collections::{BTreeMap, BTreeSet};

/// The share of a model's parameters that is much for one layer, and how many of them a model has at least.
const MUCH: f64 = 0.5;
const WORTH_SAYING: u64 = 1_000;
/// The share of windows that read padding that is many.
const MANY: f64 = 0.3;

/// Layers that compute each element alone, or nothing, at inference.
const ELEMENTWISE: &[&str] = &[
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dropout",
    "ELU",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "LayerNormalization",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "SpatialDropout1D",
];
/// Layers that drop elements in training.
const DROPOUT: &[&str] = &["AlphaDropout", "Dropout", "GaussianDropout", "SpatialDropout1D"];
/// Layers of one-dimensional windows.
const OF_WINDOWS: &[&str] =
    &["AveragePooling1D", "Conv1D", "DepthwiseConv1D", "MaxPooling1D", "SeparableConv1D"];

/// A sentence for everything that is odd, in the order of the layers.
pub(super) fn advice(graph: &Graph, outline: &Outline) -> Vec<String> {
    let mut nodes: BTreeMap<CallId, Vec<&Node>> = BTreeMap::new();
    for node in graph.nodes() {
        if let Some(origin) = node.origin {
            nodes.entry(origin).or_default().push(node);
        }
    }
    let mut readers: BTreeMap<CallId, Vec<CallId>> = BTreeMap::new();
    for (id, call) in outline.calls.iter().enumerate() {
        for (from, _) in &call.inputs {
            readers.entry(*from).or_default().push(CallId(id));
        }
    }
    let total = outline.calls.iter().map(LayerCall::parameters).fold(0, u64::saturating_add);
    let model = Looked { graph, outline, nodes, readers, total };
    let mut sentences: Vec<String> = Vec::new();
    for (id, call) in outline.calls.iter().enumerate().filter(|(_, call)| call.repetition == 0) {
        let found = [
            model.flattened(call),
            model.per_step(CallId(id), call),
            model.dropped_before_normalized(CallId(id), call),
            model.linear_twice(CallId(id), call),
        ];
        sentences.extend(found.into_iter().flatten());
        for node in model.nodes.get(&CallId(id)).into_iter().flatten() {
            sentences.extend(model.windows(call, node));
            sentences.extend(model.softmax_over_one(call, node));
        }
    }
    sentences
}

struct Looked<'a> {
    graph: &'a Graph,
    outline: &'a Outline,
    nodes: BTreeMap<CallId, Vec<&'a Node>>,
    /// Which calls read each one's outputs.
    readers: BTreeMap<CallId, Vec<CallId>>,
    total: u64,
}

impl<'a> Looked<'a> {
    fn source(&self, call: &LayerCall) -> Option<&'a LayerCall> {
        let (id, _) = call.inputs.first()?;
        self.outline.get(*id)
    }

    /// The shape of a call's first input.
    fn input(&self, call: &LayerCall) -> Option<&'a Shape> {
        match call.inputs.first() {
            Some((id, output)) => self.outline.get(*id)?.outputs.get(*output)?.as_ref(),
            None => self.graph.inputs().first().map(|port| &self.graph.value(port.value).r#type.shape),
        }
    }

    fn readers(&self, id: CallId) -> impl Iterator<Item = &'a LayerCall> {
        let ids = self.readers.get(&id).into_iter().flatten();
        ids.filter_map(|id| self.outline.get(*id))
    }

    /// A dense layer behind Flatten that has most of the parameters.
    fn flattened(&self, call: &LayerCall) -> Option<String> {
        let kernel = call.weights.iter().find(|weight| weight.name == "kernel")?;
        let &[inputs, units] = kernel.shape.as_slice() else { return None };
        let share = call.parameters() as f64 / self.total as f64;
        if call.class != "Dense" || share <= MUCH || self.total < WORTH_SAYING {
            return None;
        }
        let mut source = self.source(call)?;
        while ELEMENTWISE.contains(&source.class.as_str()) {
            source = self.source(source)?;
        }
        let shape = self.input(source).filter(|shape| source.class == "Flatten" && shape.rank() == 3)?;
        let channels = shape.last()?.as_usize()?;
        let biases = if call.weights.len() > 1 { units } else { 0 };
        let pooled = channels.checked_mul(units)?.checked_add(biases)?;
        Some(format!(
            "{} -> {} holds {:.1} % of the parameters ({} x {}); GlobalAveragePooling1D here would need {}",
            source.path,
            call.path,
            share * 100.0,
            grouped(inputs as u64),
            grouped(units as u64),
            grouped(pooled as u64)
        ))
    }

    /// A dense layer for each step, behind which the steps stay.
    fn per_step(&self, id: CallId, call: &LayerCall) -> Option<String> {
        let rank = self.input(call)?.rank();
        if call.class != "Dense" || rank < 3 || call.parent.is_some() {
            return None;
        }
        let keeps_steps = self.behind(id).all(|call| {
            let last = call.outputs.first().and_then(Option::as_ref);
            last.is_some_and(|shape| shape.rank() >= 3)
        });
        let is_recurrent = |call: &LayerCall| {
            ["Bidirectional", "GRU", "LSTM", "RNN", "RepeatVector", "SimpleRNN", "TimeDistributed"]
                .contains(&call.class.as_str())
        };
        // What looks back only gives something at every step, too.
        let is_causal = |node: &Node| match &node.op {
            Op::Conv(op) => {
                op.windows.iter().any(|window| matches!(window.padding(), Padding::Explicit(1.., 0)))
            }
            _ => false,
        };
        let is_of_sequences =
            self.outline.calls.iter().any(is_recurrent) || self.graph.nodes().iter().any(is_causal);
        (keeps_steps && !is_of_sequences).then(|| {
            format!("{} is applied per time step (rank {rank} input): was a Flatten meant?", call.path)
        })
    }

    /// All calls that read this one, and those that read them.
    fn behind(&self, id: CallId) -> impl Iterator<Item = &'a LayerCall> {
        let mut behind = BTreeSet::new();
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            let readers = self.readers.get(&id).into_iter().flatten();
            next.extend(readers.filter(|reader| behind.insert(**reader)));
        }
        behind.into_iter().filter_map(|id| self.outline.get(id))
    }

    /// Dropout changes the variance that batch normalization behind it learns.
    fn dropped_before_normalized(&self, id: CallId, call: &LayerCall) -> Option<String> {
        if !DROPOUT.contains(&call.class.as_str()) {
            return None;
        }
        let reader = self.readers(id).find(|reader| reader.class == "BatchNormalization")?;
        Some(format!(
            "dropout before batch normalization ({} -> {}): what is normalized has another variance in training than \
             afterwards",
            call.path, reader.path
        ))
    }

    /// Two dense layers, and nothing between.
    fn linear_twice(&self, id: CallId, call: &LayerCall) -> Option<String> {
        let is_linear = |id: &CallId| {
            self.nodes.get(id).is_some_and(|nodes| nodes.iter().all(|node| matches!(node.op, Op::Dense(_))))
        };
        if call.class != "Dense" || !is_linear(&id) {
            return None;
        }
        let reader = self.readers(id).find(|reader| reader.class == "Dense")?;
        Some(format!(
            "{} has no activation: with {} behind it, it computes what one Dense layer can",
            call.path, reader.path
        ))
    }

    /// What a window reads of the padding, and what it does not read of the input.
    fn windows(&self, call: &LayerCall, node: &Node) -> Option<String> {
        let (windows, is_pool) = match &node.op {
            Op::Conv(op) => (&op.windows, false),
            Op::Pool(op) => (&op.windows, true),
            _ => return None,
        };
        let [window] = windows.as_slice() else { return None };
        let steps = self.graph.type_of(*node.inputs.first()?).shape.get(1)?.as_usize()?;
        if !OF_WINDOWS.contains(&call.class.as_str()) {
            return None;
        }
        let what = call.path.as_str();
        if let Some(left) = left_over(window, steps) {
            let verb = if is_pool { "drops" } else { "does not read" };
            return Some(match (left, window.stride()) {
                (1, 2) if steps % 2 == 1 => format!("{what} {verb} the last step (odd length {steps})"),
                (1, _) => format!("{what} {verb} the last step (of {steps})"),
                _ => format!("{what} {verb} the last {left} steps (of {steps})"),
            });
        }
        let share = padded_share(window, steps)?;
        (!is_pool && share >= MANY).then(|| {
            format!(
                "{what} reads zero padding in {:.0} % of its windows ({steps} steps, windows of {})",
                share * 100.0,
                window.span()
            )
        })
    }

    fn softmax_over_one(&self, call: &LayerCall, node: &Node) -> Option<String> {
        let Op::Softmax(op) = &node.op else { return None };
        let shape = self.graph.type_of(*node.inputs.first()?).shape;
        let is_one = !op.log && op.axes.iter().all(|&axis| shape.get(axis) == Some(&Dim::ONE));
        is_one
            .then(|| format!("{}: softmax over one unit is always 1; sigmoid gives a probability", call.path))
    }
}

/// How many steps at the end no window reads, where nothing is padded and some are left.
fn left_over(window: &Window, steps: usize) -> Option<i64> {
    if !window.is_unpadded() || window.stride() == 1 {
        return None;
    }
    let room = i64::try_from(steps).ok()?.checked_sub(window.span())?;
    // Steps between windows are not read either.
    let left = room.checked_rem(window.stride())?;
    (room >= 0 && left > 0).then_some(left)
}

/// The share of positions at which a window reads padding.
fn padded_share(window: &Window, steps: usize) -> Option<f64> {
    let extent = window.extent(steps).ok()?;
    let (before, after) = (extent.before as i64, extent.after as i64);
    let (stride, outputs) = (window.stride(), i64::try_from(extent.output).ok()?);
    if outputs == 0 || before + after == 0 {
        return None;
    }
    // Position t reads from t * stride - before on.
    let first_inside = before.div_euclid(stride) + i64::from(before.rem_euclid(stride) != 0);
    let room = i64::try_from(steps).ok()?.checked_add(before)?.checked_sub(window.span())?;
    let last_inside = room.div_euclid(stride).min(outputs - 1);
    let inside = last_inside.checked_sub(first_inside)?.checked_add(1)?.max(0);
    Some((outputs - inside) as f64 / outputs as f64)
}
