//! Random networks.

use crate::equal;
use crate::network::{Layer, Net, Signs, VALID};
use k2o_core::ops::{PoolKind, ReduceKind, Spread, Unary};
use k2o_core::{Constraint, Dim, Graph, Op, Padding, Relation, Window, rewrite};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() }
}

fn window() -> impl Strategy<Value = Window> {
    let padding = prop_oneof![
        3 => Just(VALID),
        2 => Just(Padding::Same),
        1 => (0..3i64, 0..3i64).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ];
    (1..5i64, 1..4i64, prop_oneof![3 => Just(1i64), 1 => 2..4i64], padding)
        .prop_map(|(size, stride, dilation, padding)| Window::new(size, stride, dilation, padding).unwrap())
}

fn spread() -> impl Strategy<Value = Spread> {
    let crop = prop_oneof![1 => Just((0i64, 0i64)), 1 => (0..3i64, 0..3i64)];
    (1..4i64, 1..3i64, 1..3i64, crop, 0..3i64).prop_map(|(size, stride, dilation, crop, output_padding)| {
        Spread::new(size, stride, dilation, crop, output_padding).unwrap()
    })
}

fn layer() -> impl Strategy<Value = Layer> {
    let kinds = vec![ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean];
    let axes = prop::sample::select(vec![vec![1], vec![2], vec![1, 2], vec![]]);
    let functions =
        vec![Unary::Relu, Unary::Tanh, Unary::LeakyRelu { slope: 0.3 }, Unary::Sigmoid, Unary::HardSilu];
    let signs = vec![Signs::Positive, Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero];
    let affine = (prop::sample::select(signs), prop_oneof![6 => Just(0usize), 1 => 1..3usize]);
    let pool = prop::sample::select(vec![PoolKind::Max, PoolKind::Average]);
    prop_oneof![
        4 => (1..4usize, window(), 1..4usize, any::<bool>())
            .prop_map(|(filters, window, groups, bias)| Layer::Conv { filters, window, groups, bias }),
        3 => (1..5usize, spread(), any::<bool>())
            .prop_map(|(filters, spread, bias)| Layer::ConvTranspose { filters, spread, bias }),
        3 => (1..5usize, any::<bool>()).prop_map(|(units, bias)| Layer::Dense { units, bias }),
        6 => affine.prop_map(|(signs, axis_from_end)| Layer::Affine { signs, axis_from_end }),
        3 => (pool, window()).prop_map(|(kind, window)| Layer::Pool(kind, window)),
        2 => Just(Layer::Flatten),
        2 => (prop::sample::select(kinds), axes, any::<bool>())
            .prop_map(|(kind, axes, keep_dims)| Layer::Reduce(kind, axes, keep_dims)),
        2 => prop::sample::select(functions).prop_map(Layer::Unary),
        1 => (0..3i64, 0..3i64).prop_map(|(before, after)| Layer::Pad(before, after)),
        1 => Just(Layer::Swap),
        2 => (0..4usize).prop_map(Layer::Nothing),
        1 => any::<Index>().prop_map(Layer::Residual),
        1 => any::<Index>().prop_map(Layer::Concat),
    ]
}

/// Layers, and for some of them which earlier value they read instead of the last.
type Recipe = Vec<(Layer, Option<Index>)>;

fn recipe() -> impl Strategy<Value = Recipe> {
    vec((layer(), prop::option::weighted(0.15, any::<Index>())), 1..12)
}

/// A condition that no node makes.
fn elsewhere() -> Constraint {
    let (left, relation) = (Dim::symbol("batch"), Relation::AtLeast(1));
    Constraint { left, relation, rule: "a batch of none".into(), origin: None }
}

/// The network of as many of the layers as fit.
fn build(recipe: &Recipe, input: Vec<Dim>, outputs: &[Index], shares: bool, seed: u64) -> Graph {
    let mut net = Net::new(input);
    (net.shares, net.seed) = (shares, seed);
    net.builder.constraint(elsewhere());
    for (layer, source) in recipe {
        let source = source.map_or_else(|| net.last(), |at| net.values[at.index(net.values.len())]);
        let _ = net.layer(layer, source);
    }
    net.output(net.last());
    for at in outputs {
        net.output(net.values[at.index(net.values.len())]);
    }
    net.finish()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rewritten_networks_compute_the_same(
        recipe in recipe(),
        sizes in (1..3usize, 1..14usize, 1..6usize),
        symbolic: bool,
        outputs in prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<Index>(), 1..3)],
        shares in prop::bool::weighted(0.3),
        seed: u64,
    ) {
        let (batch, steps, channels) = sizes;
        let steps_dim = if symbolic { Dim::symbol("steps") } else { Dim::fixed(steps as i64) };
        let input = vec![Dim::symbol("batch"), steps_dim, Dim::fixed(channels as i64)];
        let graph = build(&recipe, input, &outputs, shares, seed);
        // The first steps that a symbolic network has room for.
        let fits = (steps..64).find(|&steps| graph.bind(&[&[batch, steps, channels]]).is_ok());
        if let Some(steps) = fits {
            equal(&graph, &[batch, steps, channels]);
        }
    }
}

/// Without this the property could hold for want of anything to rewrite.
#[test]
fn random_networks_give_rewrites_something_to_do() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut layers, mut affines, mut folded, mut transposed) = (0, 0, 0, 0);
    for seed in 0..300 {
        let recipe = recipe().new_tree(&mut runner).unwrap().current();
        let graph = build(&recipe, vec![Dim::symbol("batch"), 13.into(), 4.into()], &[], false, seed);
        let count =
            |graph: &Graph| graph.nodes().iter().filter(|node| matches!(node.op, Op::Affine(_))).count();
        layers += graph.nodes().len();
        affines += count(&graph);
        folded += count(&graph) - count(&rewrite(&graph).unwrap());
        let pairs = graph
            .nodes()
            .windows(2)
            .filter(|pair| matches!((&pair[0].op, &pair[1].op), (Op::ConvTranspose(_), Op::Affine(_))));
        transposed += pairs.count();
    }
    assert!(transposed > 8, "{transposed} maps behind a transposed convolution");
    assert!(
        layers > 300 * 4 && folded * 4 > affines,
        "{layers} layers, {affines} affine maps, {folded} folded"
    );
}
