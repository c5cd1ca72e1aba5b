//! A rewritten graph computes what the graph computes: random small networks of convolutions, affine maps and what may
//! stand between them, and by name the cases in which a map must be folded, moved, or left where it is.

use k2o_core::ops::{self, BinaryKind, Operator, PoolKind, ReduceKind, ReshapeDim, Unary};
use k2o_core::{
    CallId, Constant, ConstantExpr, ConstantId, DType, Data, Dim, Error, ErrorKind, Graph, GraphBuilder, Op, Operand,
    Padding, Result, StoredTensor, Tensor, ValueId, Window, rewrite, run_reference,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::Arc;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() }
}

const VALID: Padding = Padding::Explicit(0, 0);

/// What is added to a network; its weights follow from the value that it is added to.
#[derive(Clone, Debug)]
enum Layer {
    Conv { filters: usize, window: Window, groups: usize, bias: bool },
    Dense { units: usize, bias: bool },
    Affine { signs: Signs, axis_from_end: usize },
    Pool(PoolKind, Window),
    Flatten,
    Reduce(ReduceKind, Vec<usize>, bool),
    Unary(Unary),
    Pad(i64, i64),
    Swap,
    /// Something that changes nothing.
    Nothing(usize),
    /// The sum with an earlier value of the same shape.
    Residual(Index),
    /// Beside an earlier value of the same shape.
    Concat(Index),
}

/// The scales of an affine map.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Signs {
    Positive,
    Negative,
    Mixed,
    WithZero,
}

/// A network in the making.
struct Net {
    builder: GraphBuilder,
    values: Vec<ValueId>,
    constants: Vec<(Vec<usize>, ConstantId)>,
    /// Whether a weight may be one that another layer has already.
    shares: bool,
    seed: u64,
}

impl Net {
    fn new(input: Vec<Dim>) -> Net {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", (DType::F32, input).into()).unwrap();
        Net { builder, values: vec![x], constants: Vec::new(), shares: false, seed: 1 }
    }

    fn last(&self) -> ValueId {
        self.values[self.values.len() - 1]
    }

    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.seed >> 33) as f64 / (1u64 << 30) as f64 - 1.0
    }

    fn constant(&mut self, name: &str, shape: &[usize], value: impl Fn(usize, f64) -> f64) -> ConstantId {
        if self.shares && self.random() < 0.0 {
            if let Some((_, id)) = self.constants.iter().find(|(known, _)| known == shape) {
                return *id;
            }
        }
        let data = (0..shape.iter().product()).map(|i| value(i, self.random())).collect();
        let expr = ConstantExpr::literal(Tensor::f64(shape, data).unwrap());
        let name = format!("layer_{}/{name}", self.values.len());
        let id = self.builder.constant(Constant { name, dtype: DType::F32, expr }).unwrap();
        self.constants.push((shape.to_vec(), id));
        id
    }

    fn affine(&mut self, signs: Signs, n: usize) -> [ConstantId; 2] {
        let scale = self.constant("scale", &[n], |i, x| match signs {
            Signs::Positive => x.abs() + 0.1,
            Signs::Negative => -x.abs() - 0.1,
            Signs::Mixed if i % 2 == 0 => -x.abs() - 0.1,
            Signs::WithZero if i % 2 == 0 => 0.0,
            Signs::Mixed | Signs::WithZero => x.abs() + 0.1,
        });
        [scale, self.constant("shift", &[n], |_, x| x)]
    }

    /// Adds a node that belongs to a call of its own and is that call's output.
    fn add(&mut self, op: impl Into<Op>, inputs: impl IntoIterator<Item = Operand>) -> Result<ValueId> {
        let call = CallId(self.values.len());
        self.builder.within(Some(call));
        let value = self.builder.add(op, inputs)?;
        self.builder.tap(call, 0, Some(value));
        self.values.push(value);
        Ok(value)
    }

    fn layer(&mut self, layer: &Layer, x: ValueId) -> Result<ValueId> {
        let shape = self.builder.type_of(x).shape;
        let misfit = || Error::shape(format!("{layer:?} on {shape}"));
        let size = |axis: usize| shape.get(axis).and_then(Dim::as_usize).ok_or_else(misfit);
        let channels = size(shape.rank().saturating_sub(1));
        let earlier = |net: &Net, at: &Index| {
            let like = |id: &ValueId| net.builder.type_of(*id) == net.builder.type_of(x);
            let known: Vec<ValueId> = net.values.iter().copied().filter(like).collect();
            known[at.index(known.len())]
        };
        let mut inputs: Vec<Operand> = vec![x.into()];
        let op: Op = match layer {
            Layer::Conv { filters, window, groups, bias } => {
                let groups = if channels.clone()? % groups == 0 { *groups } else { 1 };
                let filters = filters * groups;
                let kernel = [window.size() as usize, channels? / groups, filters];
                inputs.push(self.constant("kernel", &kernel, |_, x| x).into());
                inputs.extend(bias.then(|| Operand::from(self.constant("bias", &[filters], |_, x| x))));
                ops::Conv { windows: vec![*window], groups }.into()
            }
            Layer::Dense { units, bias } => {
                inputs.push(self.constant("kernel", &[channels?, *units], |_, x| x).into());
                inputs.extend(bias.then(|| Operand::from(self.constant("bias", &[*units], |_, x| x))));
                ops::Dense.into()
            }
            Layer::Affine { signs, axis_from_end } => {
                let axis = shape.rank().checked_sub(1 + axis_from_end).ok_or_else(misfit)?;
                inputs.extend(self.affine(*signs, size(axis)?).map(Operand::from));
                ops::Affine { axis }.into()
            }
            Layer::Pool(kind, window) => ops::Pool { kind: *kind, windows: vec![*window] }.into(),
            Layer::Flatten => ops::Reshape::flatten().into(),
            Layer::Reduce(kind, axes, keep_dims) => {
                ops::Reduce { kind: *kind, axes: axes.clone(), keep_dims: *keep_dims }.into()
            }
            Layer::Unary(function) => (*function).into(),
            Layer::Pad(before, after) => {
                let mut amounts = vec![(0, 0); shape.rank()];
                *amounts.get_mut(1).ok_or_else(misfit)? = (*before, *after);
                ops::Pad { amounts, value: 0.0 }.into()
            }
            Layer::Swap if shape.rank() == 3 => ops::Transpose { permutation: vec![0, 2, 1] }.into(),
            Layer::Swap => return Err(misfit()),
            Layer::Nothing(0) => ops::Identity.into(),
            Layer::Nothing(1) => ops::Reshape { target: vec![ReshapeDim::Keep; shape.rank()] }.into(),
            Layer::Nothing(2) => ops::Pad { amounts: vec![(0, 0); shape.rank()], value: 1.0 }.into(),
            Layer::Nothing(_) => ops::Transpose { permutation: (0..shape.rank()).collect() }.into(),
            Layer::Residual(at) => {
                inputs.push(earlier(self, at).into());
                ops::Binary { kind: BinaryKind::Add }.into()
            }
            Layer::Concat(at) => {
                inputs.insert(0, earlier(self, at).into());
                ops::Concat { axis: shape.rank() - 1 }.into()
            }
        };
        self.add(op, inputs)
    }

    fn chain(&mut self, layers: &[Layer]) -> ValueId {
        layers.iter().fold(self.last(), |x, layer| self.layer(layer, x).unwrap())
    }

    fn output(&mut self, value: ValueId) {
        self.builder.output(format!("y{}", value.0), value);
    }

    fn finish(self) -> Graph {
        self.builder.finish()
    }
}

/// The rewritten graph, which was found to compute the same on an input of these sizes.
#[track_caller]
fn equal(graph: &Graph, sizes: &[usize]) -> Graph {
    let new = rewrite(graph).unwrap();
    let again = rewrite(&new).unwrap();
    assert_eq!(again.nodes(), new.nodes(), "a second rewrite finds nothing to do");
    assert_eq!(again.constants().len(), new.constants().len());
    assert!(new.nodes().len() <= graph.nodes().len(), "{:?}", new.nodes());
    assert!(new.nodes().iter().all(|node| !matches!(node.op, Op::Identity(_))));

    let ports = |graph: &Graph| {
        let ports = graph.inputs().iter().chain(graph.outputs());
        ports.map(|port| (port.name.clone(), graph.value(port.value).r#type.clone())).collect::<Vec<_>>()
    };
    assert_eq!(ports(&new), ports(graph));
    for rule in graph.constraints() {
        assert!(new.constraints().contains(rule), "lost: {rule}");
    }
    for rule in new.constraints() {
        let known = graph.constraints().iter().any(|old| (&old.left, &old.relation) == (&rule.left, &rule.relation));
        assert!(known, "a new demand: {rule}");
    }
    for node in new.nodes() {
        assert!(graph.nodes().iter().any(|old| old.origin == node.origin), "an unknown origin: {node:?}");
    }

    let mut taps = Vec::new();
    assert_eq!(new.taps().len(), graph.taps().len());
    for (old, new) in graph.taps().iter().zip(new.taps()) {
        assert_eq!((new.call, new.output), (old.call, old.output));
        if let Some(value) = new.value {
            taps.push((old.value.expect("a tap of a value that was folded away before"), value));
        }
    }
    let count: usize = sizes.iter().product();
    let x = Tensor::f64(sizes, (0..count).map(|i| ((i * 37 % 101) as f64 - 50.0) / 40.0).collect()).unwrap();
    let (old_taps, new_taps): (Vec<_>, Vec<_>) = taps.iter().copied().unzip();
    let expected = run_reference(graph, std::slice::from_ref(&x), &old_taps).unwrap();
    let given = run_reference(&new, &[x], &new_taps).unwrap();
    assert_eq!(given.outputs.len(), expected.outputs.len());
    let outputs = given.outputs.iter().zip(&expected.outputs);
    for (given, expected) in outputs.chain(taps.iter().map(|(old, new)| (&given.kept[new], &expected.kept[old]))) {
        assert_eq!(given.shape(), expected.shape());
        let (given, expected) = (given.as_f64().unwrap(), expected.as_f64().unwrap());
        let largest = expected.iter().fold(1.0f64, |largest, x| largest.max(x.abs()));
        assert!(largest.is_finite());
        for (given, expected) in given.iter().zip(expected) {
            assert!((given - expected).abs() <= 1e-9 * largest, "{given} instead of {expected}");
        }
    }
    new
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

fn layer() -> impl Strategy<Value = Layer> {
    let kinds = vec![ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean];
    let axes = prop::sample::select(vec![vec![1], vec![2], vec![1, 2], vec![]]);
    let functions = vec![Unary::Relu, Unary::Tanh, Unary::LeakyRelu { slope: 0.3 }, Unary::Sigmoid, Unary::HardSilu];
    let signs = vec![Signs::Positive, Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero];
    let affine = (prop::sample::select(signs), prop_oneof![6 => Just(0usize), 1 => 1..3usize]);
    let pool = prop::sample::select(vec![PoolKind::Max, PoolKind::Average]);
    prop_oneof![
        4 => (1..4usize, window(), 1..4usize, any::<bool>())
            .prop_map(|(filters, window, groups, bias)| Layer::Conv { filters, window, groups, bias }),
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

/// The network of as many of the layers as fit.
fn build(recipe: &Recipe, input: Vec<Dim>, outputs: &[Index], shares: bool, seed: u64) -> Graph {
    let mut net = Net { shares, seed, ..Net::new(input) };
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
    let (mut layers, mut affines, mut folded) = (0, 0, 0);
    for seed in 0..300 {
        let recipe = recipe().new_tree(&mut runner).unwrap().current();
        let graph = build(&recipe, vec![Dim::symbol("batch"), 13.into(), 4.into()], &[], false, seed);
        let count = |graph: &Graph| graph.nodes().iter().filter(|node| matches!(node.op, Op::Affine(_))).count();
        layers += graph.nodes().len();
        affines += count(&graph);
        folded += count(&graph) - count(&rewrite(&graph).unwrap());
    }
    assert!(layers > 300 * 4 && folded * 4 > affines, "{layers} layers, {affines} affine maps, {folded} folded");
}

fn conv(size: i64, padding: Padding) -> Layer {
    Layer::Conv { filters: 6, window: Window::new(size, 1, 1, padding).unwrap(), groups: 1, bias: true }
}

fn grouped(groups: usize) -> Layer {
    Layer::Conv { filters: 3, window: Window::new(3, 1, 1, VALID).unwrap(), groups, bias: false }
}

fn affine(signs: Signs) -> Layer {
    Layer::Affine { signs, axis_from_end: 0 }
}

fn pool(kind: PoolKind, padding: Padding) -> Layer {
    Layer::Pool(kind, Window::new(2, 2, 1, padding).unwrap())
}

const DENSE: Layer = Layer::Dense { units: 5, bias: true };
const RELU: Layer = Layer::Unary(Unary::Relu);

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes().iter().map(|node| node.op.name()).collect()
}

/// Builds the layers in a row on `[batch, 9, 4]` and compares the operators that are left.
#[track_caller]
fn check(layers: &[Layer], expected: &[&str]) {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let y = net.chain(layers);
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[2, 9, 4])), expected);
}

#[test]
fn a_map_after_a_linear_layer_folds_back() {
    for signs in [Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero] {
        check(&[conv(3, VALID), affine(signs)], &["conv"]);
        check(&[conv(3, Padding::Same), affine(signs), affine(signs)], &["conv"]);
        check(&[DENSE, affine(signs)], &["dense"]);
        check(&[grouped(2), affine(signs)], &["conv"]);
        check(&[Layer::Nothing(0), grouped(4), Layer::Nothing(0), affine(signs)], &["conv"]);
    }
}

#[test]
fn a_map_before_a_linear_layer_folds_forward() {
    for signs in [Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero] {
        check(&[affine(signs), conv(3, VALID)], &["conv"]);
        check(&[affine(signs), DENSE], &["dense"]);
        check(&[affine(signs), grouped(2)], &["conv"]);
        check(&[affine(signs), grouped(4)], &["conv"]);
        check(&[affine(signs), Layer::Dense { units: 1, bias: false }], &["dense"]);
    }
}

#[test]
fn a_map_does_not_enter_a_padded_convolution() {
    check(&[affine(Signs::Positive), conv(3, Padding::Same)], &["affine", "conv"]);
    check(&[affine(Signs::Positive), conv(3, Padding::Explicit(2, 0))], &["affine", "conv"]);
    check(&[affine(Signs::Positive), Layer::Pad(1, 1), conv(3, VALID)], &["affine", "pad", "conv"]);
    check(
        &[RELU, affine(Signs::Positive), pool(PoolKind::Max, VALID), conv(3, Padding::Same)],
        &["relu", "max_pool", "affine", "conv"],
    );
}

#[test]
fn a_map_never_passes_a_nonlinear_function() {
    check(&[conv(3, VALID), RELU, affine(Signs::Positive)], &["conv", "relu", "affine"]);
    check(&[affine(Signs::Positive), RELU, conv(3, VALID)], &["affine", "relu", "conv"]);
}

#[test]
fn a_map_after_relu_sinks_through_pooling_into_the_next_layer() {
    let start = [conv(3, Padding::Same), RELU, affine(Signs::Positive)];
    let with = |more: &[Layer]| [&start, more].concat();
    for padding in [VALID, Padding::Same] {
        let max = pool(PoolKind::Max, padding);
        check(&with(&[max.clone(), conv(3, VALID)]), &["conv", "relu", "max_pool", "conv"]);
        check(&with(&[max.clone(), grouped(3)]), &["conv", "relu", "max_pool", "conv"]);
        check(&with(&[max, Layer::Flatten, DENSE]), &["conv", "relu", "max_pool", "reshape", "dense"]);
    }
    check(&with(&[Layer::Flatten, DENSE]), &["conv", "relu", "reshape", "dense"]);
}

#[test]
fn a_map_that_turns_the_order_stays_before_a_maximum() {
    for signs in [Signs::Negative, Signs::Mixed, Signs::WithZero] {
        check(&[affine(signs), pool(PoolKind::Max, VALID), conv(3, VALID)], &["affine", "max_pool", "conv"]);
        for kind in [ReduceKind::Max, ReduceKind::Min] {
            let names = ["affine", if kind == ReduceKind::Max { "reduce_max" } else { "reduce_min" }, "dense"];
            check(&[affine(signs), Layer::Reduce(kind, vec![1], false), DENSE], &names);
        }
    }
}

#[test]
fn a_map_sinks_through_an_average_whatever_its_signs() {
    for signs in [Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero] {
        for padding in [VALID, Padding::Same] {
            check(&[affine(signs), pool(PoolKind::Average, padding), conv(3, VALID)], &["average_pool", "conv"]);
        }
        for keep_dims in [false, true] {
            check(&[affine(signs), Layer::Reduce(ReduceKind::Mean, vec![1], keep_dims), DENSE], &["reduce_mean", "dense"]);
        }
    }
}

#[test]
fn a_map_sinks_through_reductions_of_other_axes() {
    for (kind, name) in [(ReduceKind::Max, "reduce_max"), (ReduceKind::Min, "reduce_min")] {
        check(&[affine(Signs::Positive), Layer::Reduce(kind, vec![1], false), DENSE], &[name, "dense"]);
    }
    // A sum multiplies the shift, and a reduced axis is not there any more.
    check(&[affine(Signs::Positive), Layer::Reduce(ReduceKind::Sum, vec![1], false), DENSE], &["affine", "reduce_sum", "dense"]);
    check(&[affine(Signs::Positive), Layer::Reduce(ReduceKind::Mean, vec![2], true)], &["affine", "reduce_mean"]);
    let steps = Layer::Affine { signs: Signs::Positive, axis_from_end: 1 };
    check(&[steps, Layer::Reduce(ReduceKind::Mean, vec![2], false), DENSE], &["reduce_mean", "dense"]);
}

#[test]
fn a_map_passes_flattening_only_on_the_way_into_a_dense_layer() {
    check(&[affine(Signs::Mixed), Layer::Flatten, DENSE], &["reshape", "dense"]);
    check(&[affine(Signs::Mixed), Layer::Flatten, RELU, DENSE], &["affine", "reshape", "relu", "dense"]);
    check(&[affine(Signs::Mixed), Layer::Flatten], &["affine", "reshape"]);
    let steps = Layer::Affine { signs: Signs::Positive, axis_from_end: 1 };
    check(&[steps, Layer::Flatten, DENSE], &["affine", "reshape", "dense"]);
}

#[test]
fn a_map_along_another_axis_is_left_alone() {
    let steps = Layer::Affine { signs: Signs::Positive, axis_from_end: 1 };
    check(&[conv(3, VALID), steps.clone()], &["conv", "affine"]);
    check(&[steps.clone(), conv(3, VALID)], &["affine", "conv"]);
    check(&[steps.clone(), DENSE, steps.clone()], &["affine", "dense", "affine"]);
    check(&[steps, pool(PoolKind::Average, VALID)], &["affine", "average_pool"]);
}

#[test]
fn what_changes_nothing_is_dropped() {
    check(&(0..4).map(Layer::Nothing).collect::<Vec<_>>(), &[]);
    check(&[RELU, Layer::Nothing(0), Layer::Reduce(ReduceKind::Mean, vec![1], false), Layer::Flatten], &["relu", "reduce_mean"]);
}

#[test]
fn a_value_that_someone_else_reads_is_not_folded_away() {
    for layers in [
        [conv(3, VALID), affine(Signs::Positive)],
        [affine(Signs::Positive), conv(3, VALID)],
        [affine(Signs::Positive), pool(PoolKind::Max, VALID)],
    ] {
        for read_by_a_node in [false, true] {
            let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
            let first = net.chain(&layers[..1]);
            let second = net.chain(&layers[1..]);
            let other = if read_by_a_node { net.layer(&RELU, first).unwrap() } else { first };
            net.output(second);
            net.output(other);
            let graph = net.finish();
            assert_eq!(names(&equal(&graph, &[2, 9, 4])), names(&graph));
        }
    }
}

#[test]
fn a_shared_weight_is_folded_for_the_layer_with_the_map_only() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let x = net.last();
    let kernel = net.constant("kernel", &[3, 4, 6], |_, x| x);
    let op = ops::Conv { windows: vec![Window::new(3, 1, 1, VALID).unwrap()], groups: 1 };
    let plain = net.add(op.clone(), [x.into(), kernel.into()]).unwrap();
    net.output(plain);
    let scaled = net.add(op, [x.into(), kernel.into()]).unwrap();
    let scaled = net.layer(&affine(Signs::Mixed), scaled).unwrap();
    net.output(scaled);
    let new = equal(&net.finish(), &[1, 9, 4]);
    assert_eq!(names(&new), ["conv", "conv"]);
    let kernels: Vec<Operand> = new.nodes().iter().map(|node| node.inputs[1]).collect();
    assert_ne!(kernels[0], kernels[1]);
}

#[test]
fn weights_shared_by_unfolded_layers_stay_one_constant() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let kernel = net.constant("kernel", &[4, 4], |_, x| x);
    for _ in 0..2 {
        let x = net.last();
        let y = net.add(ops::Dense, [x.into(), kernel.into()]).unwrap();
        net.layer(&Layer::Nothing(0), y).unwrap();
    }
    net.output(net.last());
    let new = equal(&net.finish(), &[1, 9, 4]);
    assert_eq!((names(&new), new.constants().len()), (vec!["dense", "dense"], 1));
}

#[test]
fn a_map_whose_vectors_are_computed_is_left_alone() {
    for after in [DENSE, pool(PoolKind::Average, VALID), Layer::Flatten] {
        let mut net = Net::new(vec![2.into(), 4.into(), 4.into()]);
        let x = net.last();
        let [_, shift] = net.affine(Signs::Positive, 4);
        let scale = net.layer(&Layer::Reduce(ReduceKind::Mean, vec![0, 1], false), x).unwrap();
        let before = net.layer(&Layer::Dense { units: 4, bias: true }, x).unwrap();
        let map = net.add(ops::Affine { axis: 2 }, [before.into(), scale.into(), shift.into()]).unwrap();
        let y = net.layer(&after, map).unwrap();
        let y = if matches!(after, Layer::Flatten) { net.layer(&DENSE, y).unwrap() } else { y };
        net.output(y);
        let graph = net.finish();
        assert_eq!(names(&equal(&graph, &[2, 4, 4])), names(&graph));
    }
}

#[test]
fn a_layer_whose_kernel_is_computed_is_left_alone() {
    let mut net = Net::new(vec![4.into(), 4.into()]);
    let x = net.last();
    let y = net.add(ops::Dense, [x.into(), x.into()]).unwrap();
    let y = net.layer(&affine(Signs::Mixed), y).unwrap();
    let y = net.add(ops::Dense, [y.into(), x.into()]).unwrap();
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[4, 4])), ["dense", "affine", "dense"]);
}

#[test]
fn a_vector_of_scaled_elements_flattens_to_a_column() {
    let mut net = Net::new(vec![3.into()]);
    let y = net.chain(&[affine(Signs::Mixed), Layer::Flatten, DENSE]);
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[3])), ["affine", "reshape", "dense"]);
}

#[test]
fn a_map_before_flattening_unknown_steps_stays() {
    let mut net = Net::new(vec![Dim::symbol("batch"), Dim::symbol("steps"), 2.into()]);
    let x = net.chain(&[affine(Signs::Positive), Layer::Flatten]);
    let kernel = net.constant("kernel", &[14, 3], |_, x| x);
    let y = net.add(ops::Dense, [x.into(), kernel.into()]).unwrap();
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[2, 7, 2])), ["affine", "reshape", "dense"]);
}

/// A weight of which only the shape is known.
#[derive(Debug)]
struct Unbound(Vec<usize>);

impl StoredTensor for Unbound {
    fn shape(&self) -> &[usize] {
        &self.0
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn is_bound(&self) -> bool {
        false
    }
    fn read(&self) -> Result<Vec<u8>> {
        Err(Error::new(ErrorKind::Input, "there is nothing to read"))
    }
}

#[test]
fn weights_without_elements_are_folded_unread_but_not_taken_for_positive() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let add = |net: &mut Net, op: Op, shapes: &[&[usize]]| {
        let mut inputs: Vec<Operand> = vec![net.last().into()];
        for shape in shapes {
            let expr = ConstantExpr::stored(Arc::new(Unbound(shape.to_vec())));
            let constant = Constant { name: "w".into(), dtype: DType::F32, expr };
            inputs.push(net.builder.constant(constant).unwrap().into());
        }
        net.add(op, inputs).unwrap()
    };
    let affine = |n| (Op::from(ops::Affine { axis: 2 }), [[n], [n]]);
    let window = Window::new(2, 2, 1, VALID).unwrap();
    add(&mut net, ops::Conv { windows: vec![window], groups: 1 }.into(), &[&[2, 4, 6]]);
    let (op, [scale, shift]) = affine(6);
    add(&mut net, op.clone(), &[&scale, &shift]);
    add(&mut net, RELU_OP, &[]);
    add(&mut net, op, &[&scale, &shift]);
    let y = add(&mut net, ops::Pool { kind: PoolKind::Max, windows: vec![window] }.into(), &[]);
    net.output(y);
    let new = rewrite(&net.finish()).unwrap();
    assert_eq!(names(&new), ["conv", "relu", "affine", "max_pool"]);
    assert!(new.constants().iter().all(|constant| !constant.expr.is_bound()));
}

const RELU_OP: Op = Op::Unary(Unary::Relu);

#[test]
fn an_input_may_be_an_output() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 2.into()]);
    let y = net.chain(&[Layer::Nothing(0)]);
    net.output(y);
    let x = net.values[0];
    net.output(x);
    let new = equal(&net.finish(), &[3, 2]);
    assert_eq!(new.nodes(), []);
    let x = Tensor::new([1, 2], Data::F64(vec![1.0, 2.0])).unwrap();
    assert_eq!(run_reference(&new, std::slice::from_ref(&x), &[]).unwrap().outputs, [x.clone(), x]);
}
