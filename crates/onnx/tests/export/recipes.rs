//! What random graphs are made from: layers, the values that they read, and names that nobody would choose.

use crate::net::VALID;
use crate::recurrent::{Kind, USUAL};
use k2o_core::ops::{
    BinaryKind, CompareKind, NormalizeKind, PoolKind, Recurrence, ReduceKind, Spread, Unary,
};
use k2o_core::{DType, Dim, Padding, Window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What is added to a graph; its weights follow from the value that it is added to.
#[derive(Clone, Debug)]
pub enum Layer {
    Conv {
        filters: usize,
        window: Window,
        groups: usize,
        bias: bool,
    },
    ConvTranspose {
        filters: usize,
        spread: Spread,
        bias: bool,
    },
    Dense {
        units: usize,
        bias: bool,
    },
    Affine {
        axis: usize,
    },
    Pool(PoolKind, Window),
    Reduce(ReduceKind, Vec<usize>, bool),
    Unary(Unary),
    Softmax(Vec<usize>),
    Normalize {
        kind: NormalizeKind,
        weights: usize,
    },
    Pad(i64, i64),
    Flatten,
    Swap,
    Slice {
        axis: usize,
        before: i64,
        after: i64,
    },
    Reverse(usize),
    Repeat {
        axis: usize,
        times: usize,
    },
    Cast(DType),
    /// With an earlier value of the same type.
    Binary(BinaryKind, Index),
    /// With a weight, which comes first or second.
    WithWeight(BinaryKind, bool),
    Concat(usize, Index),
    /// The larger of two values of the same type, by way of truth values.
    Choose(CompareKind, Index),
    /// Rows of a table, picked by the value as numbers of another type.
    Embed(DType),
    Recurrent {
        kind: Kind,
        units: usize,
        functions: [Option<Unary>; 2],
        recurrence: Recurrence,
    },
}

/// A layer with what it is called and the value that it reads.
#[derive(Clone, Debug)]
pub struct Step {
    pub layer: Layer,
    pub source: Index,
    pub path: String,
    pub class: String,
    pub repetition: usize,
    pub is_tapped: bool,
}

/// All that a random graph is made from.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub inputs: Vec<(String, Vec<Dim>, DType)>,
    pub steps: Vec<Step>,
    /// More outputs than the values that nothing else reads.
    pub outputs: Vec<Index>,
    /// The names of outputs, in turn.
    pub names: Vec<String>,
    /// The names of weights, in turn.
    pub weight_names: Vec<String>,
    pub model: String,
    pub seed: u64,
}

/// Names that are empty, full of slashes, in other scripts, or like those that the exporter makes.
pub fn name() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "",
        "a",
        "a/b",
        "a_1",
        "a_1_1",
        "/",
        "//",
        "a/",
        "/a",
        ":1",
        "a:1",
        "größe",
        "層/畳み込み",
        "🦀",
        "e\u{301}",
        "é",
        " ",
        "a b",
        "\"",
        "\\",
        "\n",
        "\0",
        "conv",
        "a/conv",
        "a/transpose",
        "constant",
        "_",
        "a/axes",
    ];
    prop_oneof![8 => select(ODD).prop_map(String::from), 1 => any::<String>()]
}

fn window() -> impl Strategy<Value = Window> {
    let padding = prop_oneof![
        3 => Just(VALID),
        2 => Just(Padding::Same),
        1 => (0..3i64, 0..3i64).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ];
    (1..4i64, 1..3i64, prop_oneof![3 => Just(1i64), 1 => 2..4i64], padding)
        .prop_map(|(size, stride, dilation, padding)| Window::new(size, stride, dilation, padding).unwrap())
}

fn spread() -> impl Strategy<Value = Spread> {
    (1..4i64, 1..3i64, 1..3i64, (0..2i64, 0..2i64))
        .prop_map(|(size, stride, dilation, crop)| Spread::new(size, stride, dilation, crop, 0).unwrap())
}

fn function() -> impl Strategy<Value = Unary> {
    let slope = (-2f32..2.0).prop_map(f64::from);
    prop_oneof![
        3 => select(vec![Unary::Relu, Unary::Tanh, Unary::Sigmoid, Unary::Softplus, Unary::Softsign, Unary::Exp]),
        2 => select(vec![Unary::Selu, Unary::Mish, Unary::Silu, Unary::HardSilu, Unary::LogSigmoid]),
        1 => slope.clone().prop_map(|slope| Unary::LeakyRelu { slope }),
        1 => slope.prop_map(|alpha| Unary::Elu { alpha }),
    ]
}

fn recurrent() -> impl Strategy<Value = Layer> {
    let functions = vec![
        USUAL,
        [Some(Unary::Relu), Some(Unary::Sigmoid)],
        [Some(Unary::Elu { alpha: 0.5 }), Some(Unary::HardSigmoid { slope: 0.2, offset: 0.5 })],
        // Of which ONNX has none for recurrences.
        [Some(Unary::Silu), None],
    ];
    let recurrence = any::<[bool; 4]>().prop_map(|[reverse, has_bias, has_states, has_mask]| Recurrence {
        reverse,
        has_bias,
        has_states,
        has_mask,
    });
    (select(Kind::ALL.as_slice()), 1..4usize, select(functions), recurrence).prop_map(
        |(kind, units, functions, recurrence)| Layer::Recurrent { kind, units, functions, recurrence },
    )
}

fn layer() -> impl Strategy<Value = Layer> {
    let kinds = vec![ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean];
    let axes = || select(vec![vec![1], vec![2], vec![1, 2]]);
    let normalizations =
        vec![NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation];
    let arithmetic = || {
        select(vec![
            BinaryKind::Add,
            BinaryKind::Sub,
            BinaryKind::Mul,
            BinaryKind::Div,
            BinaryKind::Max,
            BinaryKind::Min,
        ])
    };
    let moving = prop_oneof![
        Just(Layer::Flatten),
        Just(Layer::Swap),
        (0..3i64, 0..3i64).prop_map(|(before, after)| Layer::Pad(before, after)),
        (0..3usize, 0..2i64, 0..2i64).prop_map(|(axis, before, after)| Layer::Slice { axis, before, after }),
        (0..3usize).prop_map(Layer::Reverse),
        (0..3usize, 1..4usize).prop_map(|(axis, times)| Layer::Repeat { axis, times }),
        (0..3usize, any::<Index>()).prop_map(|(axis, at)| Layer::Concat(axis, at)),
        select(vec![DType::I32, DType::I64, DType::Bool, DType::F32]).prop_map(Layer::Cast),
        select(vec![DType::I32, DType::I64]).prop_map(Layer::Embed),
    ];
    prop_oneof![
        3 => (1..4usize, window(), 1..3usize, any::<bool>())
            .prop_map(|(filters, window, groups, bias)| Layer::Conv { filters, window, groups, bias }),
        1 => (1..4usize, spread(), any::<bool>())
            .prop_map(|(filters, spread, bias)| Layer::ConvTranspose { filters, spread, bias }),
        2 => (1..5usize, any::<bool>()).prop_map(|(units, bias)| Layer::Dense { units, bias }),
        1 => (1..3usize).prop_map(|axis| Layer::Affine { axis }),
        2 => (select(vec![PoolKind::Max, PoolKind::Average]), window())
            .prop_map(|(kind, window)| Layer::Pool(kind, window)),
        1 => (select(kinds), axes(), any::<bool>())
            .prop_map(|(kind, axes, keep_dims)| Layer::Reduce(kind, axes, keep_dims)),
        2 => function().prop_map(Layer::Unary),
        1 => axes().prop_map(Layer::Softmax),
        1 => (select(normalizations), 0..3usize)
            .prop_map(|(kind, weights)| Layer::Normalize { kind, weights }),
        1 => (arithmetic(), any::<Index>()).prop_map(|(kind, at)| Layer::Binary(kind, at)),
        1 => (arithmetic(), any::<bool>()).prop_map(|(kind, first)| Layer::WithWeight(kind, first)),
        1 => (select(CompareKind::ALL.as_slice()), any::<Index>())
            .prop_map(|(kind, at)| Layer::Choose(kind, at)),
        2 => recurrent(),
        4 => moving,
    ]
}

pub fn recipe() -> impl Strategy<Value = Recipe> {
    let dim = |fixed: std::ops::Range<i64>, symbols: &'static [&'static str]| {
        let symbol = select(symbols).prop_map(Dim::symbol);
        prop_oneof![fixed.prop_map(Dim::fixed), symbol]
    };
    let batch = dim(1..4, &["batch", "größe"]);
    let steps = dim(3..12, &["steps", "a b", "層"]);
    let channels = (1..5i64).prop_map(Dim::fixed);
    let dims = (batch, steps, channels).prop_map(|(batch, steps, channels)| vec![batch, steps, channels]);
    let dtype = prop_oneof![4 => Just(DType::F32), 1 => Just(DType::I32), 1 => Just(DType::I64)];
    let step = (layer(), any::<Index>(), name(), name(), 0..2usize, prop::bool::weighted(0.8)).prop_map(
        |(layer, source, path, class, repetition, is_tapped)| Step {
            layer,
            source,
            path,
            class,
            repetition,
            is_tapped,
        },
    );
    let inputs = vec((name(), dims, dtype), 1..4);
    (
        inputs,
        vec(step, 0..10),
        vec(any::<Index>(), 0..3),
        vec(name(), 1..8),
        vec(name(), 1..8),
        name(),
        any::<u64>(),
    )
        .prop_map(|(inputs, steps, outputs, names, weight_names, model, seed)| Recipe {
            inputs,
            steps,
            outputs,
            names,
            weight_names,
            model,
            seed,
        })
}
