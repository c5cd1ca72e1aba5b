//! A stream gives what a run on the whole sequence gives, bit for bit, whatever the chunks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{
    Affine, Binary, BinaryKind, Concat, Conv, Dense, Gru, Lstm, Normalize, NormalizeKind, Pad, Pool,
    PoolKind, Recurrence, Reduce, ReduceKind, Repeat, Reshape, Reverse, Rnn, Slice, Softmax, Unary,
};
use k2o_core::{
    Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Padding, Shape, Tensor, TensorType,
    ValueId, Window, to_scans,
};
use k2o_cpu::{ErrorKind, InstructionSet, Plan, PlanOptions, StreamPlan, TensorView};
use proptest::prelude::*;

/// Numbers between -1 and 1 that depend on `seed` only.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x2545_f491_4f6c_dd1d);
        (state >> 40) as f32 / 2f32.powi(23) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A network in the making.
struct Net {
    builder: GraphBuilder,
    seed: u64,
}

impl Net {
    fn new() -> Net {
        Net { builder: GraphBuilder::new(), seed: 1 }
    }

    fn input(&mut self, channels: i64) -> ValueId {
        let shape = Shape::new([Dim::symbol("batch"), Dim::symbol("steps"), channels.into()]);
        self.builder.input("x", TensorType::new(shape, DType::F32)).unwrap()
    }

    fn weight(&mut self, shape: &[usize]) -> Operand {
        self.seed += 1;
        let data =
            numbers(shape.iter().product(), self.seed).into_iter().map(|x| f64::from(x / 2.0)).collect();
        let expr = ConstantExpr::literal(Tensor::f64(shape, data).unwrap());
        self.builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap().into()
    }

    fn add(&mut self, op: impl Into<Op>, inputs: &[Operand]) -> ValueId {
        self.builder.add_all(op.into(), inputs.to_vec()).unwrap()[0]
    }

    fn channels(&self, x: ValueId) -> usize {
        self.builder.type_of(x).shape.last().unwrap().as_usize().unwrap()
    }

    fn conv(&mut self, x: ValueId, filters: usize, window: Window) -> ValueId {
        let kernel = self.weight(&[window.size() as usize, self.channels(x), filters]);
        let bias = self.weight(&[filters]);
        self.add(Conv { windows: vec![window], groups: 1 }, &[x.into(), kernel, bias])
    }

    fn dense(&mut self, x: ValueId, units: usize) -> ValueId {
        let (kernel, bias) = (self.weight(&[self.channels(x), units]), self.weight(&[units]));
        self.add(Dense, &[x.into(), kernel, bias])
    }

    /// The outputs of a recurrent operator: all steps, then the last states.
    fn recurrent(&mut self, x: ValueId, units: usize, kind: Kind) -> Vec<ValueId> {
        let gates = match kind {
            Kind::Lstm => 4,
            Kind::Gru | Kind::GruAfter => 3,
            Kind::Rnn => 1,
        };
        let kernel = self.weight(&[self.channels(x), gates * units]);
        let recurrent_kernel = self.weight(&[units, gates * units]);
        let bias = match kind {
            Kind::GruAfter => self.weight(&[2, gates * units]),
            _ => self.weight(&[gates * units]),
        };
        let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
        let recurrence = Recurrence { has_bias: true, ..Recurrence::default() };
        let op: Op = match kind {
            Kind::Lstm => Lstm { activation, recurrent_activation, recurrence }.into(),
            Kind::Gru => Gru { activation, recurrent_activation, reset_after: false, recurrence }.into(),
            Kind::GruAfter => Gru { activation, recurrent_activation, reset_after: true, recurrence }.into(),
            Kind::Rnn => Rnn { activation, recurrence }.into(),
        };
        self.builder.add_all(op, vec![x.into(), kernel, recurrent_kernel, bias]).unwrap()
    }

    fn finish(mut self, outputs: &[ValueId]) -> Graph {
        for (at, &output) in outputs.iter().enumerate() {
            self.builder.output(format!("y{at}"), output);
        }
        self.builder.finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Lstm,
    Gru,
    GruAfter,
    Rnn,
}

fn window(size: i64, stride: i64, dilation: i64, padding: Padding) -> Window {
    Window::new(size, stride, dilation, padding).unwrap()
}

fn causal(size: i64, dilation: i64) -> Window {
    window(size, 1, dilation, Padding::Explicit((size - 1) * dilation, 0))
}

const VALID: Padding = Padding::Explicit(0, 0);

/// Steps `from..to` of `[batch, steps, channels]`.
fn steps(x: &[f32], (batch, steps, channels): (usize, usize, usize), from: usize, to: usize) -> Vec<f32> {
    let row = |b: usize| &x[(b * steps + from) * channels..(b * steps + to) * channels];
    (0..batch).flat_map(row).copied().collect()
}

/// What each output gave, by sequence of the batch.
fn collect(rows: &mut [Vec<u32>], view: &TensorView<'_>) {
    let data = view.as_f32().unwrap();
    let run = data.len() / rows.len().max(1);
    for (b, row) in rows.iter_mut().enumerate() {
        row.extend(data[b * run..(b + 1) * run].iter().map(|x| x.to_bits()));
    }
}

/// One of the ways to make a plan.
fn options(number: usize) -> PlanOptions {
    let sets: Vec<_> = InstructionSet::ALL.into_iter().filter(|set| set.is_available()).collect();
    let narrow = [None, Some(DType::F16), Some(DType::BF16)];
    let (instruction_set, narrow_weights) =
        (Some(sets[number % sets.len()]), narrow[number / sets.len() % 3]);
    PlanOptions { instruction_set, narrow_weights, ..PlanOptions::default() }
}

/// Runs `graph` on `steps` steps whole and in chunks and compares.
#[track_caller]
fn check(graph: &Graph, (batch, total): (usize, usize), chunks: &[usize]) {
    let channels = graph.value(graph.inputs()[0].value).r#type.shape.last().unwrap().as_usize().unwrap();
    let x = numbers(batch * total * channels, 99);
    let options = options(batch + total);
    let plan = Plan::new(graph, &options).unwrap();
    let mut whole = plan.session();
    let shape = [batch, total, channels];
    let run = whole.run(&[TensorView::f32(&shape, &x).unwrap()]);

    let stream = StreamPlan::new(graph, &options).unwrap();
    let mut session = stream.session();
    // A second sequence after the first finds nothing of it.
    for _ in 0..2 {
        let mut given: Vec<Vec<Vec<u32>>> = vec![vec![Vec::new(); batch]; graph.outputs().len()];
        let mut at = 0;
        let mut sizes = chunks.iter().copied().cycle();
        while at < total {
            let to = (at + sizes.next().unwrap()).min(total);
            let chunk = steps(&x, (batch, total, channels), at, to);
            let shape = [batch, to - at, channels];
            let outputs = session.push(&[TensorView::f32(&shape, &chunk).unwrap()]).unwrap();
            for (index, (_, has_steps)) in stream.outputs().enumerate() {
                if !has_steps {
                    given[index].iter_mut().for_each(Vec::clear);
                }
                collect(&mut given[index], &outputs.get(index).unwrap());
            }
            at = to;
        }
        let outputs = session.finish().unwrap();
        for (index, (_, has_steps)) in stream.outputs().enumerate() {
            if !has_steps {
                given[index].iter_mut().for_each(Vec::clear);
            }
            collect(&mut given[index], &outputs.get(index).unwrap());
        }
        // A run on a sequence that is too short for a window is an error; a stream just waits for more.
        let Ok(run) = &run else { continue };
        for (index, given) in given.iter().enumerate() {
            let mut expected = vec![Vec::new(); batch];
            collect(&mut expected, &run.get(index).unwrap());
            assert!(*given == expected, "output {index} of chunks {chunks:?} of {total} steps");
        }
    }
}

fn tcn(filters: usize) -> Graph {
    let mut net = Net::new();
    let x = net.input(3);
    let mut h = net.conv(x, filters, window(1, 1, 1, VALID));
    for dilation in [1, 2, 4, 8] {
        let y = net.conv(h, filters, causal(3, dilation));
        let y = net.add(Unary::Relu, &[y.into()]);
        h = net.add(Binary { kind: BinaryKind::Add }, &[h.into(), y.into()]);
    }
    let y = net.dense(h, 2);
    net.finish(&[y])
}

fn conv_then(kind: Kind, sequences: bool) -> Graph {
    let mut net = Net::new();
    let x = net.input(2);
    let h = net.conv(x, 6, causal(5, 1));
    let h = net.add(Unary::Relu, &[h.into()]);
    let h = net.add(Pool { kind: PoolKind::Max, windows: vec![window(2, 2, 1, VALID)] }, &[h.into()]);
    let outputs = net.recurrent(h, 7, kind);
    let y = net.dense(outputs[usize::from(!sequences)], 3);
    let y = net.add(Softmax::over(vec![if sequences { 2 } else { 1 }]), &[y.into()]);
    net.finish(&[y])
}

fn chunks() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![3 => Just(1usize), 3 => 0usize..5, 1 => 5usize..40], 1..12)
        .prop_filter("some steps", |chunks| chunks.iter().any(|&n| n > 0))
}

proptest! {
    #[test]
    fn causal_convolutions_with_residuals(
        size in (1usize..4, 1usize..90),
        chunks in chunks(),
        // Few, and as many as are computed for two positions at once.
        filters in prop::sample::select(vec![8usize, 18]),
    ) {
        check(&tcn(filters), size, &chunks);
    }

    #[test]
    fn convolutions_before_recurrent_operators(
        size in (1usize..4, 1usize..60),
        chunks in chunks(),
        kind in prop::sample::select(vec![Kind::Lstm, Kind::Gru, Kind::GruAfter, Kind::Rnn]),
        sequences in any::<bool>(),
        as_scan in any::<bool>(),
    ) {
        let graph = conv_then(kind, sequences);
        let graph = if as_scan { to_scans(&graph, &|_| true).unwrap() } else { graph };
        check(&graph, size, &chunks);
    }

    #[test]
    fn any_layers_in_a_row(
        layers in prop::collection::vec(layer(), 1..6),
        size in (1usize..4, 1usize..60),
        chunks in chunks(),
    ) {
        if let Some(graph) = stack(&layers) {
            check(&graph, size, &chunks);
        }
    }
}

/// One layer of a random stack.
#[derive(Clone, Debug)]
enum Layer {
    Conv(Window, usize),
    Pool(PoolKind, Window),
    Dense,
    Recurrent(Kind),
    Pad(i64, i64),
    Crop(i64, i64),
    Repeat(usize),
    Function,
    Normalize,
    Affine,
    Residual,
    Split,
}

fn any_window() -> impl Strategy<Value = Window> {
    let padding = prop_oneof![
        3 => Just(VALID),
        3 => Just(Padding::Same),
        2 => (0i64..4, 0i64..4).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ];
    (1i64..5, 1i64..4, 1i64..3, padding)
        .prop_map(|(size, stride, dilation, padding)| window(size, stride, dilation, padding))
}

fn layer() -> impl Strategy<Value = Layer> {
    let kinds = vec![Kind::Lstm, Kind::Gru, Kind::GruAfter, Kind::Rnn];
    prop_oneof![
        4 => (any_window(), prop::sample::select(vec![3usize, 18]))
            .prop_map(|(window, filters)| Layer::Conv(window, filters)),
        3 => any_window().prop_map(|window| Layer::Pool(PoolKind::Max, window)),
        2 => any_window().prop_map(|window| Layer::Pool(PoolKind::Average, window)),
        1 => Just(Layer::Dense),
        2 => prop::sample::select(kinds).prop_map(Layer::Recurrent),
        1 => (0i64..4, 0i64..4).prop_map(|(before, after)| Layer::Pad(before, after)),
        1 => (0i64..4, 0i64..4).prop_map(|(before, after)| Layer::Crop(before, after)),
        1 => (1usize..4).prop_map(Layer::Repeat),
        1 => Just(Layer::Function),
        1 => Just(Layer::Normalize),
        1 => Just(Layer::Affine),
        1 => Just(Layer::Residual),
        1 => Just(Layer::Split),
    ]
}

/// The layers one after the other; `None` where one cannot be, or cannot be streamed and says so.
fn stack(layers: &[Layer]) -> Option<Graph> {
    let mut net = Net::new();
    let mut x = net.input(2);
    for layer in layers {
        let all: Operand = x.into();
        let before = net.builder.clone();
        let added = match layer {
            Layer::Conv(window, filters) => {
                let kernel = net.weight(&[window.size() as usize, net.channels(x), *filters]);
                net.builder.add(Conv { windows: vec![*window], groups: 1 }, [all, kernel])
            }
            Layer::Pool(kind, window) => net.builder.add(Pool { kind: *kind, windows: vec![*window] }, [all]),
            Layer::Dense => Ok(net.dense(x, 4)),
            Layer::Recurrent(kind) => Ok(net.recurrent(x, 3, *kind)[0]),
            Layer::Pad(before, after) => {
                net.builder.add(Pad { amounts: vec![(0, 0), (*before, *after), (0, 0)], value: 0.5 }, [all])
            }
            Layer::Crop(before, after) => {
                net.builder.add(Slice { axis: 1, before: *before, after: *after }, [all])
            }
            Layer::Repeat(times) => net.builder.add(Repeat { axis: 1, times: *times }, [all]),
            Layer::Function => net.builder.add(Unary::Tanh, [all]),
            Layer::Normalize => {
                let op = Normalize { kind: NormalizeKind::Standard, axes: vec![2], epsilon: 1e-3 };
                net.builder.add(op, [all])
            }
            Layer::Affine => {
                let channels = net.channels(x);
                let (scale, shift) = (net.weight(&[channels]), net.weight(&[channels]));
                net.builder.add(Affine { axis: 2 }, [all, scale, shift])
            }
            Layer::Residual => {
                let channels = net.channels(x);
                let y = net.conv(x, channels, causal(3, 2));
                net.builder.add(Binary { kind: BinaryKind::Add }, [all, y.into()])
            }
            Layer::Split => {
                let a = net.conv(x, 2, causal(2, 1));
                let b = net.dense(x, 3);
                net.builder.add(Concat { axis: 2 }, [a, b])
            }
        };
        match added {
            Ok(y) => x = y,
            Err(_) => net.builder = before,
        }
    }
    let graph = net.finish(&[x]);
    match StreamPlan::new(&graph, &PlanOptions::default()) {
        Ok(_) => Some(graph),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let reasons = [
                "how it is padded at the start depends",
                "it averages over padding at the start",
                "it pools padding through a window with gaps",
            ];
            assert!(reasons.iter().any(|reason| error.message().contains(reason)), "{error}");
            None
        }
    }
}

#[track_caller]
fn check_refused(expected: &str, build: impl FnOnce(&mut Net, ValueId) -> ValueId) {
    let mut net = Net::new();
    let x = net.input(4);
    net.builder.within(Some(k2o_core::CallId(7)));
    let y = build(&mut net, x);
    let error = StreamPlan::new(&net.finish(&[y]), &PlanOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.message(), format!("it cannot be streamed: {expected}"));
    assert_eq!(error.origin(), Some(k2o_core::CallId(7)));
}

#[test]
fn what_needs_all_steps_is_refused_by_name() {
    check_refused("it goes from the last step to the first", |net, x| {
        net.add(Reverse { axis: 1 }, &[x.into()])
    });
    check_refused("it goes from the last step to the first", |net, x| {
        let (kernel, recurrent_kernel) = (net.weight(&[4, 3]), net.weight(&[3, 3]));
        let recurrence = Recurrence { reverse: true, ..Recurrence::default() };
        let outputs = net.builder.add_all(
            Rnn { activation: Some(Unary::Tanh), recurrence }.into(),
            vec![x.into(), kernel, recurrent_kernel],
        );
        outputs.unwrap()[0]
    });
    check_refused("it is one number for all steps", |net, x| {
        net.add(Reduce { kind: ReduceKind::Mean, axes: vec![1], keep_dims: false }, &[x.into()])
    });
    check_refused("it compares steps with each other", |net, x| net.add(Softmax::over(vec![1]), &[x.into()]));
    check_refused("it makes the steps part of another axis", |net, x| {
        net.add(Reshape::flatten(), &[x.into()])
    });
    check_refused("it joins sequences one after the other", |net, x| {
        net.add(Concat { axis: 1 }, &[x.into(), x.into()])
    });
    check_refused("it needs the last state at every step", |net, x| {
        let outputs = net.recurrent(x, 4, Kind::Gru);
        let target = vec![
            k2o_core::ops::ReshapeDim::Keep,
            k2o_core::ops::ReshapeDim::Fixed(1),
            k2o_core::ops::ReshapeDim::Fixed(4),
        ];
        let last = net.add(Reshape { target }, &[outputs[1].into()]);
        net.add(Binary { kind: BinaryKind::Add }, &[x.into(), last.into()])
    });
}

#[test]
fn the_latency_is_how_many_steps_come_before_the_first_answer() {
    let latency = |build: &dyn Fn(&mut Net, ValueId) -> ValueId| {
        let mut net = Net::new();
        let x = net.input(2);
        let y = build(&mut net, x);
        StreamPlan::new(&net.finish(&[y]), &PlanOptions::default()).unwrap().latency()
    };
    assert_eq!(latency(&|net, x| net.conv(x, 3, causal(5, 2))), 0);
    assert_eq!(latency(&|net, x| net.conv(x, 3, window(5, 1, 2, VALID))), 8);
    assert_eq!(latency(&|net, x| net.conv(x, 3, window(5, 1, 1, Padding::Same))), 2);
    assert_eq!(latency(&|net, x| net.recurrent(x, 3, Kind::Lstm)[0]), 0);
    let stacked = |net: &mut Net, x| {
        let y = net.conv(x, 3, window(3, 1, 1, VALID));
        let y = net.add(Pool { kind: PoolKind::Max, windows: vec![window(2, 2, 1, VALID)] }, &[y.into()]);
        net.conv(y, 3, window(3, 1, 1, VALID))
    };
    // Three positions of the last window need six of the pooling, which need eight steps.
    assert_eq!(latency(&stacked), 7);
    assert_eq!(latency(&|net, x| net.add(Slice { axis: 1, before: 2, after: 3 }, &[x.into()])), 5);
}

#[test]
fn chunks_that_do_not_fit_are_refused() {
    let mut session = StreamPlan::new(&tcn(8), &PlanOptions::default()).unwrap().session();
    let misfit = |shape: &[usize]| {
        let data = vec![0.0; shape.iter().product()];
        session.push(&[TensorView::f32(shape, &data).unwrap()]).map(|_| ()).map_err(|error| error.kind())
    };
    let mut misfit = misfit;
    for (shape, expected) in [
        (&[2, 4][..], Err(ErrorKind::Input)),
        (&[2, 4, 5], Err(ErrorKind::Input)),
        (&[2, 4, 3], Ok(())),
        (&[1, 4, 3], Err(ErrorKind::Input)),
        (&[2, 0, 3], Ok(())),
    ] {
        assert_eq!(misfit(shape), expected, "{shape:?}");
    }
}
