//! Stacks of layers have the shapes that tract infers of the exported file, layer by layer.

#![allow(clippy::unwrap_used, reason = "a test that cannot run must fail")]

use k2o::core::ops::{self, BinaryKind, NormalizeKind, PoolKind, ReduceKind, Unary};
use k2o::core::{
    Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Outline, Padding, Port, Result,
    Shape, Tensor, TensorType, ValueId, Window,
};
use k2o::onnx::Target;
use k2o::{Array, ExportOptions};
use k2o_verify::shapes_in_tract;
use ndarray::{ArrayD, IxDyn};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestRng, TestRunner};

const BATCH: usize = 2;
const CHANNELS: usize = 3;

/// One layer, which takes what the last one gave.
#[derive(Clone, Debug)]
enum Layer {
    Conv(Window, i64),
    Pool(Window, PoolKind),
    Pad(i64, i64),
    Crop(i64, i64),
    Repeat(usize),
    Dense(i64),
    Relu,
    Normalize,
    Softmax,
    Swap,
    Double,
    Mean,
    Flatten,
}

/// A stack in the making, every value of which is an output.
struct Stack {
    builder: GraphBuilder,
    last: ValueId,
}

impl Stack {
    fn new() -> Stack {
        let mut builder = GraphBuilder::new();
        let shape = Shape::new([Dim::symbol("batch"), Dim::symbol("steps"), Dim::fixed(CHANNELS as i64)]);
        let last = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
        Stack { builder, last }
    }

    fn weight(&mut self, sizes: &[i64]) -> Result<Operand> {
        let shape: Vec<usize> = sizes.iter().map(|&n| n as usize).collect();
        let expr = ConstantExpr::literal(Tensor::f64(shape.as_slice(), vec![0.5; shape.iter().product()])?);
        let name = format!("w{}", self.builder.graph().constants().len());
        Ok(self.builder.constant(Constant { name, dtype: DType::F32, expr })?.into())
    }

    /// Adds the layer, unless it does not fit.
    fn add(&mut self, layer: &Layer) -> Result<()> {
        let shape = self.builder.type_of(self.last).shape;
        let rank = shape.rank();
        let channels = shape.last().and_then(Dim::as_fixed).unwrap_or(0);
        let of_steps = matches!(
            layer,
            Layer::Conv(..)
                | Layer::Pool(..)
                | Layer::Pad(..)
                | Layer::Crop(..)
                | Layer::Repeat(_)
                | Layer::Swap
                | Layer::Mean
                | Layer::Flatten
        );
        let needs_channels = matches!(layer, Layer::Conv(..) | Layer::Dense(_) | Layer::Normalize);
        if of_steps && rank != 3 || needs_channels && channels == 0 {
            return Ok(());
        }
        let x = Operand::from(self.last);
        let (op, inputs): (Op, Vec<Operand>) = match *layer {
            Layer::Conv(window, filters) => {
                let kernel = self.weight(&[window.size(), channels, filters])?;
                (ops::Conv { windows: vec![window], groups: 1 }.into(), vec![x, kernel])
            }
            Layer::Pool(window, kind) => (ops::Pool { windows: vec![window], kind }.into(), vec![x]),
            Layer::Pad(before, after) => {
                (ops::Pad { amounts: vec![(0, 0), (before, after), (0, 0)], value: 0.0 }.into(), vec![x])
            }
            Layer::Crop(before, after) => (ops::Slice { axis: 1, before, after }.into(), vec![x]),
            Layer::Repeat(times) => (ops::Repeat { axis: 1, times }.into(), vec![x]),
            Layer::Dense(units) => {
                let weights = [self.weight(&[channels, units])?, self.weight(&[units])?];
                (ops::Dense.into(), vec![x, weights[0], weights[1]])
            }
            Layer::Relu => (Unary::Relu.into(), vec![x]),
            Layer::Normalize => {
                let axes = vec![rank - 1];
                (ops::Normalize { kind: NormalizeKind::Standard, axes, epsilon: 1e-3 }.into(), vec![x])
            }
            Layer::Softmax => (ops::Softmax { axes: vec![rank - 1], log: false }.into(), vec![x]),
            Layer::Swap => (ops::Transpose { permutation: vec![0, 2, 1] }.into(), vec![x]),
            Layer::Double => (ops::Binary { kind: BinaryKind::Add }.into(), vec![x, x]),
            Layer::Mean => {
                let axes = vec![1];
                (ops::Reduce { kind: ReduceKind::Mean, axes, keep_dims: false }.into(), vec![x])
            }
            Layer::Flatten => (ops::Reshape::flatten().into(), vec![x]),
        };
        self.last = self.builder.add(op, inputs)?;
        let name = format!("y{}", self.last.0);
        self.builder.output(name, self.last);
        Ok(())
    }
}

/// The graph of as many of the layers as fit each other and an input of so many steps.
fn graph(layers: &[Layer], steps: usize) -> Graph {
    let mut stack = Stack::new();
    stack.add(&Layer::Relu).unwrap();
    for layer in layers {
        let (before, last) = (stack.builder.clone(), stack.last);
        let added = stack.add(layer);
        let shape = stack.builder.type_of(stack.last).shape;
        let bound = stack.builder.graph().bind(&[&[BATCH, steps, CHANNELS]]);
        let sizes = bound.and_then(|bindings| shape.eval(&bindings));
        // tract 0.23.9 does not load what computes with tensors of no elements.
        let fits = added.is_ok() && sizes.is_ok_and(|sizes| !sizes.contains(&0));
        if !fits {
            (stack.builder, stack.last) = (before, last);
        }
    }
    stack.builder.finish()
}

fn window() -> impl Strategy<Value = Window> {
    let padding = prop_oneof![
        Just(Padding::Same),
        Just(Padding::Explicit(0, 0)),
        (0..4i64, 0..4i64).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ];
    (1..6i64, 1..4i64, 1..4i64, padding).prop_map(|(size, stride, dilation, padding)| {
        // Keras has not both, and tract knows no dilated pooling.
        let dilation = if stride > 1 { 1 } else { dilation };
        Window::new(size, stride, dilation, padding).unwrap()
    })
}

fn layer() -> impl Strategy<Value = Layer> {
    prop_oneof![
        4 => (window(), 1..5i64).prop_map(|(window, filters)| Layer::Conv(window, filters)),
        2 => (1..5i64, 1..4i64, select(vec![Padding::Same, Padding::Explicit(0, 0)]), any::<bool>()).prop_map(
            |(size, stride, padding, max)| {
                let kind = if max { PoolKind::Max } else { PoolKind::Average };
                Layer::Pool(Window::new(size, stride, 1, padding).unwrap(), kind)
            }
        ),
        1 => (0..4i64, 0..4i64).prop_map(|(before, after)| Layer::Pad(before, after)),
        1 => (0..4i64, 0..4i64).prop_map(|(before, after)| Layer::Crop(before, after)),
        1 => (1..4usize).prop_map(Layer::Repeat),
        2 => (1..6i64).prop_map(Layer::Dense),
        1 => select(vec![
            Layer::Relu,
            Layer::Normalize,
            Layer::Softmax,
            Layer::Swap,
            Layer::Double,
            Layer::Mean,
            Layer::Flatten,
        ]),
    ]
}

/// The same cases each time: what tract cannot load, or aborts at, is no concern of these shapes.
#[test]
fn every_layer_has_the_shape_that_tract_infers() {
    let default = ProptestConfig::default();
    // `PROPTEST_CASES` asks for more.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 200 };
    let config = ProptestConfig { cases, failure_persistence: None, ..default };
    let algorithm = config.rng_algorithm;
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(algorithm));
    let checked = runner.run(&(vec(layer(), 1..8), 1..40usize), |(layers, steps)| {
        let graph = graph(&layers, steps);
        let bindings = graph.bind(&[&[BATCH, steps, CHANNELS]]).unwrap();
        let options = ExportOptions::default().with_target(Target::Tract);
        let bytes = k2o::onnx::export(&graph, &Outline::default(), &options).unwrap().to_bytes().unwrap();
        let input = Array::from(ArrayD::<f32>::zeros(IxDyn(&[BATCH, steps, CHANNELS])));
        let shape = |port: &Port| graph.value(port.value).r#type.shape.eval(&bindings).unwrap();
        let ours: Vec<Vec<usize>> = graph.outputs().iter().map(shape).collect();
        prop_assert_eq!(shapes_in_tract(&bytes, &[input]).unwrap(), ours);
        Ok(())
    });
    checked.unwrap();
}
