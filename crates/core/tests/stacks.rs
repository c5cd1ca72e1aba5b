//! Layers one after the other: the shapes of a whole graph are those of what its reference computes and what counting
//! window by window gives, and a graph of symbols is, for every number that they can stand for, the graph of the numbers.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

mod counting;

use counting::{Slide, slide, spread, spread_count};
use k2o_core::ops::{
    self, BinaryKind, NormalizeKind, PoolKind, Recurrence, ReduceKind, ReshapeDim, Spread, Unary,
};
use k2o_core::{
    Bindings, DType, Dim, ErrorKind, Graph, GraphBuilder, Op, Operand, Padding, Result, Shape, Tensor,
    ValueId, Window, run_reference,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

fn config(cases: u32) -> ProptestConfig {
    // `PROPTEST_CASES` asks for more.
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

/// One layer. It takes the last layer's output, and those with a `back` another as many layers before that.
#[derive(Clone, Debug)]
enum Layer {
    Conv { window: Window, groups: i64, filters: i64 },
    ConvTranspose { spread: Spread, filters: i64 },
    Pool { window: Window, kind: PoolKind },
    Pad { before: i64, after: i64 },
    Crop { before: i64, after: i64 },
    Repeat { times: usize },
    Swap,
    Flatten,
    Split { columns: i64 },
    Dense { units: i64 },
    Reduce { axis: usize, kind: ReduceKind, keep_dims: bool },
    Add { back: usize },
    Concat { axis: usize, back: usize },
    Normalize,
    Softmax,
    Rnn { units: i64, reverse: bool },
    Unary,
}

impl Layer {
    /// The operator, and the shapes of its weights for an input of this shape.
    fn op(&self, x: &Shape) -> Result<(Op, Vec<Vec<Dim>>)> {
        let last = x.last().cloned().unwrap_or(Dim::ONE);
        let whole = |n: i64| Dim::fixed(n);
        Ok(match *self {
            Layer::Conv { window, groups, filters } => {
                let rows = last.floor_div(groups)?;
                let kernel = vec![whole(window.size()), rows, whole(filters)];
                (ops::Conv { windows: vec![window], groups: groups as usize }.into(), vec![kernel])
            }
            Layer::ConvTranspose { spread, filters } => {
                let kernel = vec![whole(spread.size()), last, whole(filters)];
                (ops::ConvTranspose { windows: vec![spread] }.into(), vec![kernel])
            }
            Layer::Pool { window, kind } => (ops::Pool { windows: vec![window], kind }.into(), Vec::new()),
            Layer::Pad { before, after } => {
                let mut amounts = vec![(0, 0); x.rank()];
                if let Some(steps) = amounts.get_mut(1) {
                    *steps = (before, after);
                }
                (ops::Pad { amounts, value: 0.0 }.into(), Vec::new())
            }
            Layer::Crop { before, after } => (ops::Slice { axis: 1, before, after }.into(), Vec::new()),
            Layer::Repeat { times } => (ops::Repeat { axis: 1, times }.into(), Vec::new()),
            Layer::Swap => (ops::Transpose { permutation: vec![0, 2, 1] }.into(), Vec::new()),
            Layer::Flatten => (ops::Reshape::flatten().into(), Vec::new()),
            Layer::Split { columns } => {
                let target = vec![ReshapeDim::Keep, ReshapeDim::Infer, ReshapeDim::Fixed(columns)];
                (ops::Reshape { target }.into(), Vec::new())
            }
            Layer::Dense { units } => (ops::Dense.into(), vec![vec![last, whole(units)], vec![whole(units)]]),
            Layer::Reduce { axis, kind, keep_dims } => {
                (ops::Reduce { kind, axes: vec![axis], keep_dims }.into(), Vec::new())
            }
            Layer::Add { .. } => (ops::Binary { kind: BinaryKind::Add }.into(), Vec::new()),
            Layer::Concat { axis, .. } => (ops::Concat { axis }.into(), Vec::new()),
            Layer::Normalize => {
                let axes = vec![x.rank().saturating_sub(1)];
                (ops::Normalize { kind: NormalizeKind::Standard, axes, epsilon: 1e-3 }.into(), Vec::new())
            }
            Layer::Softmax => {
                (ops::Softmax { axes: vec![x.rank().saturating_sub(1)], log: false }.into(), Vec::new())
            }
            Layer::Rnn { units, reverse } => {
                let recurrence = Recurrence { reverse, ..Recurrence::default() };
                let weights = vec![vec![last, whole(units)], vec![whole(units); 2]];
                (ops::Rnn { activation: Some(Unary::Tanh), recurrence }.into(), weights)
            }
            Layer::Unary => (Unary::Relu.into(), Vec::new()),
        })
    }

    fn back(&self) -> Option<usize> {
        match *self {
            Layer::Add { back } | Layer::Concat { back, .. } => Some(back),
            _ => None,
        }
    }

    /// How many steps are left of `n`, by counting; `None` for a layer that does not fit them, or that is none of steps.
    fn count(&self, n: i64) -> Option<i64> {
        let slide = |window: &Window| Slide {
            size: window.size(),
            stride: window.stride(),
            dilation: window.dilation(),
            padding: window.padding(),
        };
        match self {
            Layer::Conv { window, .. } | Layer::Pool { window, .. } => slide(window).count(n),
            Layer::ConvTranspose { spread, .. } => spread_count(spread, n),
            Layer::Pad { before, after } => {
                Some((0..*before).count() as i64 + n + (0..*after).count() as i64)
            }
            Layer::Crop { before, after } => {
                (before + after <= n).then(|| (*before..n - after).count() as i64)
            }
            Layer::Repeat { times } => Some((0..n).flat_map(|_| 0..*times).count() as i64),
            Layer::Normalize | Layer::Softmax | Layer::Unary | Layer::Dense { .. } => Some(n),
            Layer::Rnn { .. } => Some(n),
            _ => None,
        }
    }
}

/// The graph of the layers on `x`. Weights are further inputs; every layer's output is one of the graph's.
fn build(layers: &[Layer], x: &[Dim]) -> Result<Graph> {
    let mut builder = GraphBuilder::new();
    let mut values: Vec<ValueId> = vec![builder.input("x", (DType::F32, x.to_vec()).into())?];
    for layer in layers {
        let value = values[values.len() - 1];
        let (op, weights) = layer.op(&builder.type_of(value).shape)?;
        let mut operands: Vec<Operand> = vec![value.into()];
        operands
            .extend(layer.back().map(|back| Operand::from(values[(values.len() - 1).saturating_sub(back)])));
        for weight in weights {
            operands.push(builder.input("w", (DType::F32, weight).into())?.into());
        }
        values.push(builder.add_all(op, operands)?.remove(0));
    }
    for value in values {
        builder.output("y", value);
    }
    Ok(builder.finish())
}

fn shapes(graph: &Graph) -> Vec<Shape> {
    graph.outputs().iter().map(|port| graph.value(port.value).r#type.shape.clone()).collect()
}

fn input_sizes(graph: &Graph) -> Vec<Vec<usize>> {
    graph.inputs().iter().map(|port| graph.value(port.value).r#type.shape.as_fixed().unwrap()).collect()
}

fn layer() -> BoxedStrategy<Layer> {
    let window = slide().prop_map(|slide| slide.window());
    let unpadded = (1..4i64, 1..4i64, 0..3i64).prop_map(|(size, stride, pad)| {
        let padding = if pad > 0 { Padding::Same } else { Padding::Explicit(0, 0) };
        Window::new(size, stride, 1, padding).unwrap()
    });
    let kinds = select(vec![PoolKind::Max, PoolKind::Average]);
    let reduces = select(vec![ReduceKind::Max, ReduceKind::Sum, ReduceKind::Mean]);
    let filters = || 1..4i64;
    prop_oneof![
        6 => (window, select(vec![1, 1, 1, 2, 3]), filters()).prop_map(|(window, groups, filters)| {
            Layer::Conv { window, groups, filters: filters * groups }
        }),
        3 => (spread(), filters()).prop_map(|(spread, filters)| Layer::ConvTranspose { spread, filters }),
        4 => (unpadded, kinds).prop_map(|(window, kind)| Layer::Pool { window, kind }),
        2 => (0..3i64, 0..3i64).prop_map(|(before, after)| Layer::Pad { before, after }),
        2 => (0..3i64, 0..3i64).prop_map(|(before, after)| Layer::Crop { before, after }),
        1 => (1..4usize).prop_map(|times| Layer::Repeat { times }),
        1 => Just(Layer::Swap),
        1 => Just(Layer::Flatten),
        2 => (1..4i64).prop_map(|columns| Layer::Split { columns }),
        2 => filters().prop_map(|units| Layer::Dense { units }),
        1 => (1..3usize, reduces, any::<bool>())
            .prop_map(|(axis, kind, keep_dims)| Layer::Reduce { axis, kind, keep_dims }),
        2 => (0..4usize).prop_map(|back| Layer::Add { back }),
        2 => (1..3usize, 0..4usize).prop_map(|(axis, back)| Layer::Concat { axis, back }),
        1 => Just(Layer::Normalize),
        1 => Just(Layer::Softmax),
        2 => (filters(), any::<bool>()).prop_map(|(units, reverse)| Layer::Rnn { units, reverse }),
        1 => Just(Layer::Unary),
    ]
    .boxed()
}

/// Layers of which each takes what those before it give when there are enough steps: layers that never fit are left out.
fn stack() -> impl Strategy<Value = (Vec<Layer>, i64)> {
    (vec(layer(), 1..10), 1..7i64).prop_map(|(drawn, channels)| {
        let mut layers = Vec::new();
        for layer in drawn {
            layers.push(layer);
            let fits = |steps: i64| build(&layers, &[2.into(), steps.into(), channels.into()]).is_ok();
            if ![12, 24, 35].into_iter().any(fits) {
                layers.pop();
            }
        }
        (layers, channels)
    })
}

/// Compares the graph of numbers with the run and with the graph of symbols; whether the numbers fit.
fn check(layers: &[Layer], symbolic: &Result<Graph>, sizes: [i64; 3]) -> Result<bool, TestCaseError> {
    let fixed = build(layers, &sizes.map(Dim::fixed));
    let Ok(numbers) = &fixed else {
        // What the numbers do not fit, the symbols do not allow them.
        if let Ok(symbolic) = symbolic {
            let mut given: Vec<Vec<usize>> = vec![sizes.map(|n| n as usize).to_vec()];
            given.extend(weights_for(symbolic, sizes)?);
            let bound = symbolic.bind(&given.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert!(bound.is_err(), "{:?} fit the symbols alone: {:?}", sizes, fixed);
        }
        return Ok(false);
    };
    prop_assert_eq!(numbers.constraints(), []);
    let sizes_of_inputs = input_sizes(numbers);
    let tensors: Vec<Tensor> = (sizes_of_inputs.iter())
        .map(|shape| {
            let count = shape.iter().product::<usize>();
            Tensor::f64(shape.clone(), (0..count).map(|i| (i * 7 % 11) as f64 - 4.0).collect()).unwrap()
        })
        .collect();
    let run = run_reference(numbers, &tensors, &[]).unwrap();
    for (shape, tensor) in shapes(numbers).iter().zip(&run.outputs) {
        prop_assert_eq!(shape, &Shape::of(tensor.shape()).unwrap(), "the reference");
    }
    for node in numbers.nodes() {
        let cost = numbers.cost(node).unwrap();
        prop_assert!(cost.multiply_adds.as_fixed().is_some_and(|n| n >= 0));
        prop_assert!(cost.element_ops.as_fixed().is_some_and(|n| n >= 0));
    }
    let symbolic = match symbolic {
        Ok(symbolic) => symbolic,
        Err(error) => {
            prop_assert!(by_chance(layers, numbers) || error.kind() == ErrorKind::Limit, "{}", error);
            return Ok(true);
        }
    };
    match symbolic.bind(&sizes_of_inputs.iter().map(Vec::as_slice).collect::<Vec<_>>()) {
        Ok(bindings) => {
            let bound: Vec<Shape> =
                shapes(symbolic).iter().map(|shape| shape.substitute(&bindings).unwrap()).collect();
            prop_assert_eq!(bound, shapes(numbers));
            for (symbols, node) in symbolic.nodes().iter().zip(numbers.nodes()) {
                let (later, now) = (symbolic.cost(symbols).unwrap(), numbers.cost(node).unwrap());
                prop_assert_eq!(later.multiply_adds.substitute(&bindings).unwrap(), now.multiply_adds);
                prop_assert_eq!(later.element_ops.substitute(&bindings).unwrap(), now.element_ops);
            }
        }
        Err(error) => prop_assert!(by_chance(layers, numbers), "{:?}: {}", sizes, error),
    }
    Ok(true)
}

/// Whether a sum fits because one of its operands happens to have a single step.
fn by_chance(layers: &[Layer], numbers: &Graph) -> bool {
    let has_one = |shape: &Shape| shape.contains(&Dim::ONE);
    layers.iter().any(|layer| matches!(layer, Layer::Add { .. })) && shapes(numbers).iter().any(has_one)
}

/// The sizes of the inputs behind the first, for these sizes of that.
fn weights_for(symbolic: &Graph, [batch, steps, _]: [i64; 3]) -> Result<Vec<Vec<usize>>, TestCaseError> {
    let bindings = Bindings::from_iter([("batch".into(), batch), ("steps".into(), steps)]);
    let weights = symbolic.inputs().iter().skip(1).map(|port| {
        let shape = &symbolic.value(port.value).r#type.shape;
        // A size below 0 has no tensor; the graph must refuse the input for another reason.
        shape.iter().map(|dim| dim.eval(&bindings).map_or(0, |n| n.max(0) as usize)).collect()
    });
    Ok(weights.collect())
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn a_stack_of_symbols_is_the_stack_of_every_number((layers, channels) in stack(), batch in 0..3i64) {
        let symbolic = build(&layers, &[Dim::symbol("batch"), Dim::symbol("steps"), channels.into()]);
        for steps in [0, 1, 2, 3, 5, 8, 12, 13, 24, 35] {
            check(&layers, &symbolic, [batch, steps, channels])?;
        }
    }

    #[test]
    fn the_steps_of_a_stack_are_those_that_counting_leaves((layers, channels) in stack(), steps in 0..40i64) {
        let counted = layers.iter().position(|layer| layer.count(1 << 10).is_none());
        let layers = &layers[..counted.unwrap_or(layers.len())];
        let mut expected = vec![steps];
        for layer in layers {
            let Some(left) = layer.count(expected[expected.len() - 1]) else { break };
            expected.push(left);
        }
        let given = build(layers, &[2.into(), steps.into(), channels.into()]);
        match given {
            Ok(graph) => {
                let given: Vec<Option<i64>> = shapes(&graph).iter().map(|shape| shape[1].as_fixed()).collect();
                prop_assert_eq!(given, expected.into_iter().map(Some).collect::<Vec<_>>());
            }
            // Pooling refuses more: windows of nothing but padding.
            Err(error) => {
                let pools = layers.iter().any(|layer| matches!(layer, Layer::Pool { .. }));
                prop_assert!(pools || expected.len() <= layers.len(), "{}", error);
            }
        }
    }
}

fn any_i64() -> impl Strategy<Value = i64> + Clone {
    let edges = vec![0, 1, 1 << 31, 1 << 32, 1 << 53, 1 << 60, 1 << 62, i64::MAX - 1, i64::MAX, -1, i64::MIN];
    prop_oneof![2 => select(edges), 1 => any::<i64>(), 4 => 0..10i64]
}

/// A layer of any numbers of which an operator can be made.
fn enormous_layer() -> BoxedStrategy<Layer> {
    let some =
        || prop_oneof![3 => 1..6i64, 1 => any_i64().prop_map(|n| n.checked_abs().unwrap_or(i64::MAX).max(1))];
    let padding = prop_oneof![
        Just(Padding::Same),
        Just(Padding::Explicit(0, 0)),
        (some(), some()).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ];
    let window = (some(), some(), some(), padding)
        .prop_filter_map("no window", |(size, stride, dilation, padding)| {
            Window::new(size, stride, dilation, padding).ok()
        });
    let spread = (some(), some(), some(), prop_oneof![2 => Just(0i64), 1 => some()])
        .prop_filter_map("no spread", |(size, stride, dilation, added)| {
            Spread::new(size, stride, dilation, (0, 0), added).ok()
        });
    prop_oneof![
        3 => (window.clone(), some()).prop_map(|(window, filters)| Layer::Conv { window, groups: 1, filters }),
        2 => (spread, some()).prop_map(|(spread, filters)| Layer::ConvTranspose { spread, filters }),
        2 => window.prop_map(|window| Layer::Pool { window, kind: PoolKind::Average }),
        2 => (any_i64(), any_i64()).prop_map(|(before, after)| Layer::Pad { before, after }),
        2 => (any_i64(), any_i64()).prop_map(|(before, after)| Layer::Crop { before, after }),
        2 => any_i64().prop_map(|times| Layer::Repeat { times: times as usize }),
        1 => some().prop_map(|units| Layer::Dense { units }),
        1 => some().prop_map(|columns| Layer::Split { columns }),
        1 => some().prop_map(|units| Layer::Rnn { units, reverse: false }),
        4 => layer(),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(config(2048))]

    #[test]
    fn stacks_of_any_numbers_are_refused_or_bounded(
        drawn in vec(enormous_layer(), 1..12), sizes in prop::array::uniform3(any_i64()),
        numbers in prop::array::uniform2(any_i64()),
    ) {
        let symbols = [Dim::symbol("batch"), Dim::symbol("steps"), Dim::fixed(sizes[2])];
        for x in [sizes.map(Dim::fixed), symbols] {
            let mut layers = Vec::new();
            for layer in &drawn {
                layers.push(layer.clone());
                if build(&layers, &x).is_err() {
                    layers.pop();
                }
            }
            let Ok(graph) = build(&layers, &x) else { continue };
            let bindings =
                Bindings::from_iter([("batch".into(), numbers[0]), ("steps".into(), numbers[1])]);
            for shape in shapes(&graph) {
                let fixed: Vec<i64> = shape.iter().filter_map(Dim::as_fixed).collect();
                let bytes = fixed.iter().try_fold(8i64, |bytes, &n| bytes.checked_mul(n.max(1)));
                prop_assert!(bytes.is_some() && fixed.iter().all(|&n| n >= 0), "{}", shape);
                let _ = (shape.eval(&bindings), shape.elements());
            }
            for node in graph.nodes() {
                let _ = graph.cost(node);
            }
            for constraint in graph.constraints() {
                let _ = (constraint.holds(&bindings), constraint.violation(&bindings));
            }
            let given: Vec<Vec<usize>> = (graph.inputs().iter())
                .map(|port| {
                    let shape = &graph.value(port.value).r#type.shape;
                    shape.iter().map(|dim| dim.eval(&bindings).unwrap_or(1) as usize).collect()
                })
                .collect();
            let _ = graph.bind(&given.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}

/// Without this the properties could hold for want of cases.
#[test]
fn stacks_are_deep_and_fit_and_misfit_in_fair_parts() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut depth, mut fits, mut misfits, mut symbolic) = (0, 0, 0, 0);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..400 {
        let (layers, channels) = stack().new_tree(&mut runner).unwrap().current();
        depth += layers.len();
        for layer in &layers {
            let name = format!("{layer:?}").split(' ').next().unwrap().to_string();
            *kinds.entry(name).or_default() += 1;
        }
        let symbols = build(&layers, &[Dim::symbol("batch"), Dim::symbol("steps"), channels.into()]);
        symbolic += usize::from(symbols.is_ok());
        for steps in [1, 5, 12, 24] {
            match build(&layers, &[2.into(), steps.into(), channels.into()]) {
                Ok(_) => fits += 1,
                Err(_) => misfits += 1,
            }
        }
    }
    assert!(
        depth > 1200 && fits > 400 && misfits > 200 && symbolic > 200,
        "{depth} {fits} {misfits} {symbolic}"
    );
    assert!(kinds.len() == 17 && kinds.values().all(|&n| n > 10), "{kinds:?}");
}
