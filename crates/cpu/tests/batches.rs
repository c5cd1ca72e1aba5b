//! What a session computes for a sample has the same bits whatever batch it is in, and whoever computes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail by panic too")]

mod every_operator;
mod random_graph;

use k2o_core::ops::{
    self, BinaryKind, Conv, Dense, Lstm, Pool, PoolKind, Recurrence, ReduceKind, ReshapeDim, Unary,
};
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Padding, Shape, Tensor,
    TensorType, ValueId, Window, rewrite, to_scans,
};
use k2o_cpu::{DataView, InstructionSet, Plan, PlanOptions, TensorView, Threads};
use proptest::prelude::*;
use random_graph::{random_graph, random_inputs};
use std::sync::Arc;

const BATCHES: [usize; 6] = [1, 2, 3, 7, 33, 64];

/// One thread, and several where they can be had.
fn teams() -> Vec<Threads> {
    #[cfg(feature = "threads")]
    let more = [2, 3].map(|count| Threads::new(std::num::NonZero::new(count).unwrap()).unwrap());
    #[cfg(not(feature = "threads"))]
    let more = [];
    [Threads::one()].into_iter().chain(more).collect()
}

fn sets() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.is_available())
}

/// Elements as bits.
#[derive(Clone, Debug, PartialEq)]
struct Array {
    shape: Vec<usize>,
    bits: Vec<u64>,
}

impl Array {
    fn of(view: &TensorView<'_>) -> Array {
        let bits = match view.data() {
            DataView::F32(data) => data.iter().map(|x| x.to_bits().into()).collect(),
            DataView::I64(data) => data.iter().map(|&x| x as u64).collect(),
            other => panic!("an output of {other:?}"),
        };
        Array { shape: view.shape().to_vec(), bits }
    }

    /// Samples `range`, which lie along `axis`.
    fn samples(&self, axis: usize, range: std::ops::Range<usize>) -> Array {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let whole = self.shape[axis] * inner;
        let mut shape = self.shape.clone();
        shape[axis] = range.len();
        let blocks = self.bits.chunks_exact(whole.max(1));
        let bits = blocks.flat_map(|block| &block[range.start * inner..range.end * inner]).copied().collect();
        Array { shape, bits }
    }
}

/// An input for the largest batch.
#[derive(Clone)]
enum Input {
    Floats(Vec<usize>, Vec<f32>),
    Integers(Vec<usize>, Vec<i32>),
}

impl Input {
    /// Some samples.
    fn samples(&self, range: std::ops::Range<usize>) -> Input {
        fn part<T: Clone>(
            shape: &[usize],
            data: &[T],
            range: std::ops::Range<usize>,
        ) -> (Vec<usize>, Vec<T>) {
            let run: usize = shape[1..].iter().product();
            let shape = [&[range.len()], &shape[1..]].concat();
            (shape, data[range.start * run..range.end * run].to_vec())
        }
        match self {
            Input::Floats(shape, data) => {
                let (shape, data) = part(shape, data, range);
                Input::Floats(shape, data)
            }
            Input::Integers(shape, data) => {
                let (shape, data) = part(shape, data, range);
                Input::Integers(shape, data)
            }
        }
    }

    fn view(&self) -> TensorView<'_> {
        match self {
            Input::Floats(shape, data) => TensorView::f32(shape, data).unwrap(),
            Input::Integers(shape, data) => TensorView::i32(shape, data).unwrap(),
        }
    }
}

fn floats(shape: &[usize], seed: u64) -> Input {
    let mut state = seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x2545_f491_4f6c_dd1d);
        (state >> 40) as f32 / 2f32.powi(23) - 1.0
    };
    Input::Floats(shape.to_vec(), (0..shape.iter().product::<usize>()).map(|_| next()).collect())
}

fn run(session: &mut k2o_cpu::Session, inputs: &[Input]) -> Vec<Array> {
    let views: Vec<TensorView<'_>> = inputs.iter().map(Input::view).collect();
    session.run(&views).unwrap().iter().map(|(_, view)| Array::of(&view)).collect()
}

/// Holds batches against single samples and several threads against one. `axes` says where outputs have their samples; none
/// where samples are not computed alone.
#[track_caller]
fn check(graph: &Graph, set: InstructionSet, inputs: &[Input], batches: &[usize], axes: Option<&[usize]>) {
    let plan =
        Plan::new(graph, &PlanOptions { instruction_set: Some(set), ..PlanOptions::default() }).unwrap();
    let mut sessions: Vec<_> =
        teams().into_iter().map(|team| k2o_cpu::Session::with_threads(&plan, team)).collect();
    let most = batches.iter().copied().max().unwrap_or(0);
    let part = |range: std::ops::Range<usize>| -> Vec<Input> {
        inputs.iter().map(|input| input.samples(range.clone())).collect()
    };
    let alone: Vec<Vec<Array>> = match axes {
        Some(_) => (0..most).map(|at| run(&mut sessions[0], &part(at..at + 1))).collect(),
        None => Vec::new(),
    };
    for &batch in batches {
        let all: Vec<Vec<Array>> = sessions.iter_mut().map(|session| run(session, &part(0..batch))).collect();
        for (threads, given) in (1..).zip(&all) {
            assert!(*given == all[0], "{threads} threads, batch {batch}, {set}");
        }
        for (output, &axis) in axes.unwrap_or(&[]).iter().enumerate() {
            assert_eq!(all[0][output].shape[axis], batch);
            for (at, alone) in alone.iter().take(batch).enumerate() {
                let given = all[0][output].samples(axis, at..at + 1);
                assert!(given == alone[output], "sample {at} of {batch} in output {output}, {set}");
            }
        }
    }
}

#[test]
fn every_operator_computes_samples_of_any_batch_alike() {
    let graph = every_operator::graph();
    let axes: Vec<usize> = graph.outputs().iter().map(|port| usize::from(port.name == "twice")).collect();
    let ids: Vec<i32> = (0..128).map(|i| i * 5 % 12).collect();
    let inputs = [floats(&[64, 30, 8, 6], 1), Input::Integers(vec![64, 2], ids)];
    for graph in [&graph, &to_scans(&graph, &|_| true).unwrap()] {
        for set in sets() {
            check(graph, set, &inputs, &BATCHES, Some(&axes));
            check(graph, set, &inputs, &[0], None);
        }
    }
}

/// A network in the making, on `[batch, ..]`.
struct Net {
    builder: GraphBuilder,
    x: ValueId,
    weights: u64,
}

impl Net {
    fn new(dtype: DType, sizes: &[i64]) -> Net {
        let mut builder = GraphBuilder::new();
        let dims = [Dim::symbol("batch")].into_iter().chain(sizes.iter().map(|&size| Dim::fixed(size)));
        let x = builder.input("x", TensorType::new(Shape::new(dims.collect::<Vec<Dim>>()), dtype)).unwrap();
        Net { builder, x, weights: 0 }
    }

    fn channels(&self, x: ValueId) -> usize {
        self.builder.type_of(x).shape.last().unwrap().as_usize().unwrap()
    }

    fn weight(&mut self, shape: &[usize]) -> Operand {
        self.weights += 1;
        let Input::Floats(_, data) = floats(shape, self.weights + 100) else { unreachable!() };
        let data = data.into_iter().map(|x| f64::from(x) / 4.0).collect();
        let expr = ConstantExpr::literal(Tensor::f64(shape, data).unwrap());
        self.builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap().into()
    }

    /// Adds an operator on `x` with weights of these shapes.
    fn add(&mut self, op: impl Into<Op>, x: ValueId, weights: &[&[usize]]) -> Vec<ValueId> {
        let weights = weights.iter().map(|shape| self.weight(shape)).collect::<Vec<Operand>>();
        self.builder.add_all(op.into(), [x.into()].into_iter().chain(weights).collect()).unwrap()
    }

    fn graph(mut self, outputs: &[ValueId]) -> Graph {
        outputs.iter().for_each(|&output| self.builder.output("y", output));
        self.builder.finish()
    }
}

/// The outputs of one operator are computed together and go to different places.
#[test]
fn all_outputs_of_a_recurrent_operator_are_the_same_in_any_batch() {
    let mut net = Net::new(DType::F32, &[20, 24]);
    let x = net.add(Unary::Relu, net.x, &[])[0];
    let recurrence = Recurrence { has_bias: true, ..Recurrence::default() };
    let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
    let lstm = Lstm { activation, recurrent_activation, recurrence };
    let outputs = net.add(lstm, x, &[&[24, 128], &[32, 128], &[128]]);
    let tanh = net.add(Unary::Tanh, outputs[2], &[])[0];
    let graph = net.graph(&[outputs[0], outputs[1], outputs[2], tanh]);
    for set in sets() {
        check(&graph, set, &[floats(&[64, 20, 24], 2)], &BATCHES, Some(&[0; 4]));
    }
}

/// Of one sample, two threads compute the steps that do not need each other, all of which are large here.
#[test]
fn steps_at_the_same_time_have_the_bits_of_one_after_the_other() {
    let mut net = Net::new(DType::F32, &[60, 24]);
    let lstm = |reverse| {
        let recurrence = Recurrence { has_bias: true, reverse, ..Recurrence::default() };
        let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
        Lstm { activation, recurrent_activation, recurrence }
    };
    let x = net.add(Unary::Relu, net.x, &[])[0];
    // A pair, a pair of which one more follows the second, and steps of which each needs the one before.
    let mut outputs = Vec::new();
    for units in [64, 48] {
        let weights: [&[usize]; 3] = [&[24, 4 * units], &[units, 4 * units], &[4 * units]];
        let [a, b] = [false, true].map(|reverse| net.add(lstm(reverse), x, &weights)[0]);
        outputs.extend([a, b]);
    }
    let mut y = outputs[3];
    for _ in 0..4 {
        let channels = net.channels(y);
        y = net.add(Dense, y, &[&[channels, 160]])[0];
    }
    outputs.push(y);
    let joined =
        net.builder.add(ops::Concat { axis: 2 }, outputs.iter().map(|&y| y.into()).collect::<Vec<Operand>>());
    let graph = net.graph(&[joined.unwrap()]);
    for set in sets() {
        check(&graph, set, &[floats(&[7, 60, 24], 4)], &[1, 1, 2, 7, 1], Some(&[0]));
    }
}

/// Between steps that compute samples alone there are some that move them, of which chunks would be something else.
#[test]
fn steps_that_do_not_compute_samples_alone_see_all_of_them() {
    let mut net = Net::new(DType::F32, &[50, 16]);
    let before = net.add(Dense, net.x, &[&[16, 32], &[32]])[0];
    let turned = net.add(ops::Transpose { permutation: vec![1, 0, 2] }, before, &[])[0];
    let turned = net.add(Dense, turned, &[&[32, 48]])[0];
    let back = net.add(ops::Transpose { permutation: vec![1, 0, 2] }, turned, &[])[0];
    let rows = ops::Reshape { target: vec![ReshapeDim::Infer, ReshapeDim::Fixed(48)] };
    let rows = net.add(rows, back, &[])[0];
    let rows = net.add(Dense, rows, &[&[48, 16]])[0];
    let target = vec![ReshapeDim::Infer, ReshapeDim::Fixed(50), ReshapeDim::Fixed(16)];
    let after = net.add(ops::Reshape { target }, rows, &[])[0];
    let after = net.add(Unary::Tanh, after, &[])[0];
    let mean = ops::Reduce { kind: ReduceKind::Mean, axes: vec![0], keep_dims: true };
    let mean = net.add(mean, after, &[])[0];
    let centred = net.builder.add(ops::Binary { kind: BinaryKind::Sub }, [after, mean]).unwrap();
    let centred = net.add(Dense, centred, &[&[16, 8]])[0];
    let inputs = [floats(&[64, 50, 16], 3)];
    for (output, batches, axes) in [(after, &BATCHES[..], Some(&[0][..])), (centred, &[2, 7, 64], None)] {
        let Net { builder, x, weights } = &net;
        let net = Net { builder: builder.clone(), x: *x, weights: *weights };
        let graph = net.graph(&[output]);
        sets().for_each(|set| check(&graph, set, &inputs, batches, axes));
    }
}

fn conv_stack(layers: &[(i64, i64, i64, usize, usize)], steps: i64, channels: i64) -> Option<Graph> {
    let mut net = Net::new(DType::F32, &[steps, channels]);
    let mut x = net.x;
    for &(size, stride, dilation, filters, kind) in layers {
        let padding = if kind % 2 == 0 { Padding::Same } else { Padding::Explicit(0, 0) };
        let window = Window::new(size, stride, dilation, padding).unwrap();
        let channels = net.channels(x);
        let groups = match kind % 5 {
            0 if channels.is_multiple_of(2) => 2,
            1 => channels,
            _ => 1,
        };
        let filters = filters.div_ceil(groups) * groups;
        let kernel = net.weight(&[size as usize, channels / groups, filters]);
        let bias = net.weight(&[filters]);
        let conv = Conv { windows: vec![window], groups };
        x = net.builder.add(conv, [x.into(), kernel, bias]).ok()?;
        x = net
            .builder
            .add([Unary::Relu, Unary::Tanh, Unary::Gelu { approximate: false }][kind % 3], [x])
            .ok()?;
        if kind % 7 == 0 {
            let windows = vec![Window::new(2, 2, 1, Padding::Same).unwrap()];
            x = net.builder.add(Pool { kind: PoolKind::Max, windows }, [x]).ok()?;
        }
    }
    Some(net.graph(&[x]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stacks_of_convolutions_compute_samples_of_any_batch_alike(
        layers in prop::collection::vec((1i64..6, 1i64..3, 1i64..3, 1usize..40, 0usize..210), 1..4),
        (steps, channels) in (1i64..200, 1i64..40),
        seed: u64,
    ) {
        if let Some(graph) = conv_stack(&layers, steps, channels) {
            for set in sets() {
                let inputs = [floats(&[64, steps as usize, channels as usize], seed)];
                check(&graph, set, &inputs, &[1, 2, 7, 33, 64, 0], Some(&[0]));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_operators_in_a_row_compute_samples_of_any_batch_alike(
        seed: u64, nodes in 1usize..20, set: prop::sample::Index,
    ) {
        let graph = rewrite(&random_graph(seed, nodes)).unwrap();
        let inputs = random_inputs(&graph, 33, seed);
        let sizes: Vec<&[usize]> = inputs.iter().map(|(shape, _)| shape.as_slice()).collect();
        if graph.bind(&sizes).is_ok() {
            let sets: Vec<InstructionSet> = sets().collect();
            let axes = vec![0; graph.outputs().len()];
            let inputs: Vec<Input> = inputs.into_iter().map(|(shape, data)| Input::Floats(shape, data)).collect();
            check(&graph, sets[set.index(sets.len())], &inputs, &[1, 2, 33, 0], Some(&axes));
        }
    }
}

/// Three tables of 100, 50 and 40 rows, looked up by layers 1, 2 and, step by step, 3.
fn embeddings() -> Graph {
    let mut net = Net::new(DType::I32, &[40]);
    let table = |net: &mut Net, rows: usize| net.weight(&[rows, 32]);
    let (first, second) = (table(&mut net, 100), table(&mut net, 50));
    net.builder.within(Some(CallId(1)));
    let x = net.builder.add(ops::Gather { axis: 0 }, [first, net.x.into()]).unwrap();
    let x = net.add(Dense, x, &[&[32, 64], &[64]])[0];
    net.builder.within(Some(CallId(2)));
    let y = net.builder.add(ops::Gather { axis: 0 }, [second, net.x.into()]).unwrap();
    let y = net.add(Dense, y, &[&[32, 64]])[0];
    let sum = net.builder.add(ops::Binary { kind: BinaryKind::Add }, [x, y]).unwrap();

    let mut body = GraphBuilder::new();
    let mut input = |dims: &[Dim], dtype| body.input("x", TensorType::new(Shape::new(dims), dtype)).unwrap();
    let batch = Dim::symbol("batch");
    let state = input(&[batch.clone(), 32.into()], DType::F32);
    let ids = input(&[batch], DType::I32);
    let rows = input(&[40.into(), 32.into()], DType::F32);
    let picked = body.add(ops::Gather { axis: 0 }, [rows, ids]).unwrap();
    let next = body.add(ops::Binary { kind: BinaryKind::Add }, [state, picked]).unwrap();
    body.output("next", next);
    let scan = ops::Scan { body: Arc::new(body.finish()), states: 1, sequences: 1, reverse: false };
    net.builder.within(Some(CallId(3)));
    let third = table(&mut net, 40);
    let zeros = net.add(ops::Full::zeros_per_row(32, DType::F32), net.x, &[])[0];
    let last = net.builder.add(scan, [zeros.into(), net.x.into(), third]).unwrap();
    net.graph(&[sum, last])
}

#[test]
fn of_several_bad_indices_the_same_is_reported_whoever_computes() {
    let graph = embeddings();
    let plan = Plan::new(&graph, &PlanOptions::default()).unwrap();
    let mut sessions: Vec<_> =
        teams().into_iter().map(|team| k2o_cpu::Session::with_threads(&plan, team)).collect();
    let good: Vec<i32> = (0..64 * 40).map(|i| i * 7 % 40).collect();
    // Places of indices, and which layer finds which of them: the first layer that finds one, the first that it finds.
    type Case<'a> = (&'a [(usize, i32)], usize, i32);
    let cases: [Case<'_>; 7] = [
        (&[(5, 200), (2000, 300)], 1, 200),
        (&[(2559, -1)], 1, -1),
        (&[(10, 60), (70, 70)], 2, 60),
        // The second layer would find one in an earlier sample.
        (&[(0, 60), (2500, 150)], 1, 150),
        (&[(100, 70), (1300, 140), (1400, 130)], 1, 140),
        // A scan comes to the other sample's earlier step first.
        (&[(5, 45), (60 * 40 + 2, 48)], 3, 48),
        (&[(5, 45), (60 * 40 + 5, 48)], 3, 45),
    ];
    for (bad, call, index) in cases {
        let mut ids = good.clone();
        bad.iter().for_each(|&(place, index)| ids[place] = index);
        for session in &mut sessions {
            let error = session.run(&[TensorView::i32(&[64, 40], &ids).unwrap()]).map(|_| ()).unwrap_err();
            assert_eq!(error.origin(), Some(CallId(call)), "{error}");
            assert!(error.message().starts_with(&format!("the index {index} is not")), "{error}");
            // It does not stay.
            session.run(&[TensorView::i32(&[64, 40], &good).unwrap()]).unwrap();
        }
    }
}

#[test]
fn an_observed_run_has_the_same_bits_and_sees_every_step() {
    let plan = Plan::new(&every_operator::graph(), &PlanOptions::default()).unwrap();
    let steps = plan.steps().len();
    for (batch, threads) in
        [1, 3, 40].into_iter().flat_map(|batch| teams().into_iter().map(move |t| (batch, t)))
    {
        let image: Vec<f32> = (0..batch * 30 * 48).map(|n| ((n * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let ids = vec![7; 2 * batch];
        let (image_shape, ids_shape) = ([batch, 30, 8, 6], [batch, 2]);
        let views =
            [TensorView::f32(&image_shape, &image).unwrap(), TensorView::i32(&ids_shape, &ids).unwrap()];
        let outputs = |run: k2o_cpu::Outputs<'_>| -> Vec<Array> {
            run.iter().map(|(_, view)| Array::of(&view)).collect()
        };
        let mut session = k2o_cpu::Session::with_threads(&plan, threads);
        let expected = outputs(session.run(&views).unwrap());
        let mut times = vec![0; steps];
        let observed = outputs(session.run_observed(&views, |step| times[step] += 1).unwrap());
        assert_eq!(observed, expected, "{batch}");
        assert!(times.iter().all(|&times| times > 0), "{batch}: {times:?}");
        // An error leaves nothing to be read.
        assert!(session.run_observed(&views[..1], |_| ()).is_err() && session.outputs().is_none());
    }
}
