//! Sizes of any value, zero, negative or near the limits of 64 bits, are right or an error: never a panic, a wrapped
//! number, a long wait or a large allocation.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{
    self, BinaryKind, CompareKind, FullDim, Infer, NormalizeKind, Operator, PoolKind, Recurrence, ReduceKind,
    ReshapeDim, Spread, Unary,
};
use k2o_core::{
    Bindings, Constant, ConstantExpr, DType, Data, Dim, ErrorKind, Graph, GraphBuilder, Op, Padding, Shape,
    Tensor, TensorType, ValueId, Window, run_reference,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() }
}

const EDGES: [i64; 12] =
    [i64::MIN, i64::MIN + 1, -1, 0, 1, 1 << 31, 1 << 32, 1 << 53, 1 << 60, 1 << 62, i64::MAX - 1, i64::MAX];

fn any_i64() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![2 => select(EDGES.to_vec()), 1 => any::<i64>(), 3 => -3..10i64]
}

fn any_usize() -> impl Strategy<Value = usize> {
    prop_oneof![5 => 0..5usize, 1 => any_i64().prop_map(|n| n as usize)]
}

/// Numbers that a window may have, small ones more often.
fn positive() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![3 => 1..8i64, 1 => any_i64().prop_map(|n| n.checked_abs().unwrap_or(i64::MAX).max(1))]
}

fn padding(pad: impl Strategy<Value = i64> + Clone) -> impl Strategy<Value = Padding> {
    prop_oneof![
        1 => Just(Padding::Same),
        1 => Just(Padding::Explicit(0, 0)),
        2 => (pad.clone(), pad).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    let numbers = (positive(), positive(), positive(), padding(positive()));
    numbers.prop_filter_map("a span past the limit", |(size, stride, dilation, padding)| {
        Window::new(size, stride, dilation, padding).ok()
    })
}

fn spread() -> impl Strategy<Value = Spread> {
    let pad = || prop_oneof![2 => Just(0i64), 1 => positive()];
    let numbers = (positive(), positive(), positive(), (pad(), pad()), pad());
    numbers.prop_filter_map("numbers past the limit", |(size, stride, dilation, crop, output_padding)| {
        Spread::new(size, stride, dilation, crop, output_padding).ok()
    })
}

fn any_dim() -> impl Strategy<Value = Dim> {
    let symbol = select(vec!["batch", "steps"]).prop_map(Dim::symbol);
    let sum = (symbol.clone(), any_i64(), any_i64()).prop_filter_map("overflow", |(symbol, k, c)| {
        symbol.mul_const(k).and_then(|dim| dim.add_const(c)).ok()
    });
    let quotient = (sum.clone(), positive()).prop_filter_map("overflow", |(sum, d)| sum.floor_div(d).ok());
    prop_oneof![6 => any_i64().prop_map(Dim::fixed), 2 => symbol, 1 => sum, 1 => quotient]
}

/// A body of a state `[batch, units]` and a sequence `[batch, channels]`, which stand side by side in its other output.
static BODY: LazyLock<Arc<Graph>> = LazyLock::new(|| {
    let mut body = GraphBuilder::new();
    let [h, x] = ["units", "channels"].map(|columns| {
        let dims = ["batch", columns].map(Dim::symbol).to_vec();
        body.input(columns, (DType::F32, dims).into()).unwrap()
    });
    let y = body.add(ops::Concat { axis: 1 }, [h, x]).unwrap();
    body.output("h", h);
    body.output("y", y);
    Arc::new(body.finish())
});

fn recurrent_op() -> impl Strategy<Value = Op> {
    let cell = (any::<[bool; 5]>(), 0..3u8);
    cell.prop_map(|([reverse, has_bias, has_states, has_mask, reset_after], cell)| {
        let recurrence = Recurrence { reverse, has_bias, has_states, has_mask };
        let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
        match cell {
            0 => ops::Gru { activation, recurrent_activation, reset_after, recurrence }.into(),
            1 => ops::Lstm { activation, recurrent_activation, recurrence }.into(),
            _ => ops::Rnn { activation, recurrence }.into(),
        }
    })
}

/// Operands of a recurrent operator of some sizes of which one, the number of columns, follows from the last.
fn recurrent_operands(
    recurrence: Recurrence,
    (gates, states, rows): (i64, usize, i64),
    dims: [Dim; 4],
) -> Vec<Vec<Dim>> {
    let [batch, steps, channels, units] = dims;
    let columns = units.mul_const(gates).unwrap_or(Dim::ONE);
    let mut operands = vec![
        vec![batch.clone(), steps.clone(), channels.clone()],
        vec![channels, columns.clone()],
        vec![units.clone(), columns.clone()],
    ];
    let bias = if rows > 1 { vec![Dim::fixed(rows), columns] } else { vec![columns] };
    operands.extend(recurrence.has_bias.then_some(bias));
    if recurrence.has_states {
        operands.extend(vec![vec![batch.clone(), units]; states]);
    }
    operands.extend(recurrence.has_mask.then(|| vec![batch, steps]));
    operands
}

fn any_op() -> BoxedStrategy<Op> {
    let binary = select(vec![BinaryKind::Add, BinaryKind::Div, BinaryKind::Max]);
    let reduce = (select(vec![ReduceKind::Max, ReduceKind::Sum, ReduceKind::Mean]), vec(any_usize(), 0..4));
    let target = prop_oneof![
        2 => Just(ReshapeDim::Keep),
        2 => any_i64().prop_map(ReshapeDim::Fixed),
        2 => Just(ReshapeDim::Infer),
        1 => any_usize().prop_map(ReshapeDim::Of),
        1 => any_usize().prop_map(ReshapeDim::Like),
    ];
    let types = select(vec![DType::F32, DType::I32, DType::I64, DType::Bool]);
    let kind = select(vec![NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation]);
    let axes = prop_oneof![2 => select(vec![vec![1], vec![2], vec![0, 2]]), 1 => vec(any_usize(), 0..4)];
    let pool = (any::<bool>(), vec(window(), 0..3));
    prop_oneof![
        any_usize().prop_map(|axis| ops::Affine { axis }.into()),
        binary.prop_map(|kind| ops::Binary { kind }.into()),
        types.prop_map(|to| ops::Cast { to }.into()),
        any_usize().prop_map(|axis| ops::Concat { axis }.into()),
        (vec(window(), 0..3), any_usize()).prop_map(|(windows, groups)| ops::Conv { windows, groups }.into()),
        vec(spread(), 0..3).prop_map(|windows| ops::ConvTranspose { windows }.into()),
        Just(ops::Dense.into()),
        any_usize().prop_map(|axis| ops::Gather { axis }.into()),
        Just(ops::Identity.into()),
        Just(ops::MatMul.into()),
        (kind, axes).prop_map(|(kind, axes)| ops::Normalize { kind, axes, epsilon: 0.001 }.into()),
        vec((any_i64(), any_i64()), 0..4).prop_map(|amounts| ops::Pad { amounts, value: 0.0 }.into()),
        pool.prop_map(|(max, windows)| {
            ops::Pool { kind: if max { PoolKind::Max } else { PoolKind::Average }, windows }.into()
        }),
        (reduce, any::<bool>())
            .prop_map(|((kind, axes), keep_dims)| ops::Reduce { kind, axes, keep_dims }.into()),
        (any_usize(), any_usize()).prop_map(|(axis, times)| ops::Repeat { axis, times }.into()),
        vec(target, 0..5).prop_map(|target| ops::Reshape { target }.into()),
        (any_usize(), any_i64(), any_i64()).prop_map(|(axis, before, after)| ops::Slice {
            axis,
            before,
            after
        }
        .into()),
        (vec(any_usize(), 0..4), any::<bool>()).prop_map(|(axes, log)| ops::Softmax { axes, log }.into()),
        any_usize().prop_map(|axis| ops::Sparsemax { axis }.into()),
        vec(prop_oneof![9 => 0..3usize, 1 => any_usize()], 0..4)
            .prop_map(|permutation| ops::Transpose { permutation }.into()),
        Just(Unary::Relu.into()),
        select(CompareKind::ALL.to_vec()).prop_map(|kind| ops::Compare { kind }.into()),
        vec(prop_oneof![any_i64().prop_map(FullDim::Fixed), any_usize().prop_map(FullDim::Of)], 0..4)
            .prop_map(|dims| ops::Full { dims, value: 1.0, dtype: DType::F32 }.into()),
        recurrent_op(),
        any_usize().prop_map(|axis| ops::Reverse { axis }.into()),
        (prop_oneof![9 => Just(1usize), 1 => any_usize()], prop_oneof![9 => Just(1usize), 1 => any_usize()])
            .prop_map(|(states, sequences)| {
                ops::Scan { body: BODY.clone(), states, sequences, reverse: false }.into()
            }),
        Just(ops::Select.into()),
    ]
    .boxed()
}

/// An operator and inputs, of the ranks that it takes more often than not.
fn any_node() -> impl Strategy<Value = (Op, Vec<TensorType>)> {
    let dims = vec(vec(any_dim(), 0..5), 0..4);
    let dtype = prop_oneof![8 => Just(DType::F32), 1 => Just(DType::I32), 1 => Just(DType::Bool)];
    (any_op(), dims, vec(any_dim(), 4), 0..8u8, vec(dtype, 7)).prop_map(
        |(op, mut dims, part, choice, mut dtypes)| {
            let [a, b, c, d] = <[Dim; 4]>::try_from(part).unwrap();
            if choice > 0 {
                dims = match &op {
                    Op::Conv(conv) => {
                        let (taps, steps): (Vec<Dim>, Vec<Dim>) =
                            conv.windows.iter().map(|window| (Dim::fixed(window.size()), a.clone())).unzip();
                        let groups = Dim::from_usize(conv.groups).unwrap_or(Dim::ONE);
                        let x = [vec![b], steps, vec![c.mul(&groups).unwrap_or(Dim::ONE)]].concat();
                        vec![x, [taps, vec![c, d.clone()]].concat(), vec![d]]
                    }
                    Op::Pool(pool) => vec![[vec![b], vec![a; pool.windows.len()], vec![c]].concat()],
                    Op::Dense(_) => vec![vec![a, b.clone()], vec![b, c.clone()], vec![c]],
                    Op::Affine(_) => vec![vec![a, b.clone(), c], vec![b.clone()], vec![b]],
                    Op::Concat(_) => vec![vec![a.clone(), b.clone(), c], vec![a, b, d]],
                    Op::Binary(_) => vec![vec![a.clone(), b.clone()], vec![a, b]],
                    Op::ConvTranspose(op) => {
                        let (taps, steps): (Vec<Dim>, Vec<Dim>) =
                            op.windows.iter().map(|window| (Dim::fixed(window.size()), a.clone())).unzip();
                        let x = [vec![b], steps, vec![c.clone()]].concat();
                        vec![x, [taps, vec![c, d.clone()]].concat(), vec![d]]
                    }
                    Op::Gather(_) => {
                        dtypes[1] = DType::I64;
                        vec![vec![a, b], vec![c, d]]
                    }
                    Op::MatMul(_) => {
                        dtypes[1] = dtypes[0];
                        vec![vec![a.clone(), b, c.clone()], vec![a, c, d]]
                    }
                    Op::Normalize(op) => {
                        let x = vec![a, b, c];
                        let sizes: Vec<Dim> =
                            op.axes.iter().filter_map(|&axis| x.get(axis).cloned()).collect();
                        vec![x, sizes]
                    }
                    Op::Reshape(op) if op.target.iter().any(|dim| matches!(dim, ReshapeDim::Like(_))) => {
                        vec![vec![a.mul(&b).unwrap_or(Dim::ONE), c], vec![a, b, d]]
                    }
                    Op::Pad(pad) => vec![vec![a; pad.amounts.len()]],
                    Op::Compare(_) => {
                        dtypes[1] = dtypes[0];
                        vec![vec![a.clone(), b.clone()], vec![a, b]]
                    }
                    Op::Select(_) => {
                        (dtypes[0], dtypes[2]) = (DType::Bool, dtypes[1]);
                        vec![vec![a.clone(), b.clone()], vec![b.clone()], vec![a, b]]
                    }
                    Op::Scan(_) => vec![vec![a.clone(), b], vec![a, c, d]],
                    Op::Gru(ops::Gru { recurrence, .. })
                    | Op::Lstm(ops::Lstm { recurrence, .. })
                    | Op::Rnn(ops::Rnn { recurrence, .. }) => {
                        let kind = match &op {
                            Op::Gru(gru) => (3, 1, if gru.reset_after { 2 } else { 1 }),
                            Op::Lstm(_) => (4, 2, 1),
                            _ => (1, 1, 1),
                        };
                        let dims = recurrent_operands(*recurrence, kind, [a, b, c, d]);
                        if choice > 1 {
                            dtypes = vec![DType::F32; dims.len()];
                        }
                        if recurrence.has_mask {
                            dtypes[dims.len() - 1] = DType::Bool;
                        }
                        dims
                    }
                    _ => vec![vec![a, b, c]],
                };
            }
            let types = dims.into_iter().zip(dtypes);
            (op, types.map(|(dims, dtype)| TensorType::new(Shape::new(dims), dtype)).collect())
        },
    )
}

/// The sizes of operators whose rule is a line, in arithmetic that cannot overflow.
fn exact(op: &Op, inputs: &[TensorType]) -> Option<Vec<i128>> {
    let sizes = |r#type: &TensorType| -> Option<Vec<i128>> {
        r#type.shape.iter().map(|dim| dim.as_fixed().map(i128::from)).collect()
    };
    let first = sizes(inputs.first()?)?;
    match op {
        Op::Full(op) => {
            let dims = op.dims.iter().map(|dim| match *dim {
                FullDim::Fixed(n) => Some(n.into()),
                FullDim::Of(axis) => first.get(axis).copied(),
            });
            dims.collect()
        }
        Op::Gru(_) | Op::Lstm(_) | Op::Rnn(_) => Some(vec![first[0], first[1], sizes(&inputs[2])?[0]]),
        Op::Pad(op) => {
            let padded = first.iter().zip(&op.amounts);
            Some(padded.map(|(n, &(before, after))| n + i128::from(before) + i128::from(after)).collect())
        }
        Op::Concat(op) => {
            let others = inputs.iter().map(|x| sizes(x)?.get(op.axis).copied());
            let mut joined = first;
            *joined.get_mut(op.axis)? = others.sum::<Option<i128>>()?;
            Some(joined)
        }
        Op::ConvTranspose(op) => {
            let reached = op.windows.iter().zip(&first[1..]).map(|(window, &n)| reached(window, n));
            let ends = (vec![first[0]], vec![*sizes(inputs.get(1)?)?.last()?]);
            Some([ends.0, reached.collect::<Option<Vec<_>>>()?, ends.1].concat())
        }
        Op::Gather(op) => {
            let picked = sizes(inputs.get(1)?)?;
            Some([&first[..op.axis], &picked, &first[op.axis + 1..]].concat())
        }
        Op::MatMul(_) => {
            let columns = *sizes(inputs.get(1)?)?.last()?;
            (inputs.len() == 2 && inputs[0].shape[..] == inputs[1].shape[..])
                .then(|| [&first[..first.len() - 1], &[columns]].concat())
        }
        Op::Repeat(op) => {
            let mut longer = first;
            *longer.get_mut(op.axis)? *= op.times as i128;
            Some(longer)
        }
        Op::Slice(op) => {
            let mut shorter = first;
            *shorter.get_mut(op.axis)? -= i128::from(op.before) + i128::from(op.after);
            Some(shorter)
        }
        Op::Cast(_)
        | Op::Normalize(_)
        | Op::Reverse(_)
        | Op::Scan(_)
        | Op::Softmax(_)
        | Op::Sparsemax(_)
        | Op::Unary(_) => Some(first),
        Op::Pool(op) => {
            let slid = op.windows.iter().zip(&first[1..]).map(|(window, &n)| positions(window, n));
            let ends = (vec![first[0]], vec![*first.last()?]);
            Some([ends.0, slid.collect::<Option<Vec<_>>>()?, ends.1].concat())
        }
        _ => None,
    }
}

/// How many steps of a transposed convolution are left, in arithmetic that cannot overflow.
fn reached(spread: &Spread, n: i128) -> Option<i128> {
    let [size, stride, dilation] = [spread.size(), spread.stride(), spread.dilation()].map(i128::from);
    let [before, after, added] = [spread.crop().0, spread.crop().1, spread.output_padding()].map(i128::from);
    let left = (n - 1) * stride + (size - 1) * dilation + 1 + added - before - after;
    (n > 0 && left > 0).then_some(left)
}

/// How often a window fits, in arithmetic that cannot overflow.
fn positions(window: &Window, n: i128) -> Option<i128> {
    let [size, stride, dilation] = [window.size(), window.stride(), window.dilation()].map(i128::from);
    let span = (size - 1) * dilation + 1;
    match window.padding() {
        Padding::Same => (n > 0).then_some((n + stride - 1) / stride),
        Padding::Explicit(before, after) => {
            let padded = n + i128::from(before) + i128::from(after);
            (n >= 0 && padded >= span).then(|| (padded - span) / stride + 1)
        }
    }
}

fn check_spread(spread: &Spread, input: i64) -> Result<(), TestCaseError> {
    let expected = reached(spread, input.into());
    let bindings = Bindings::from_iter([("n".into(), input)]);
    match spread.positions(&Dim::fixed(input), &mut Infer::default()) {
        Ok(given) => {
            prop_assert_eq!(given.as_fixed().map(i128::from), expected);
            // The last tap of the last step is a step that can be counted.
            let last = i128::from(input - 1) * i128::from(spread.stride()) + i128::from(spread.span() - 1);
            prop_assert!(i64::try_from(last).is_ok());
        }
        Err(error) => prop_assert!(expected.is_none() || error.kind() == ErrorKind::Limit, "{}", error),
    }
    let mut infer = Infer::default();
    if let Ok(symbolic) = spread.positions(&Dim::symbol("n"), &mut infer) {
        for constraint in infer.into_constraints() {
            prop_assert_eq!(constraint.holds(&bindings).unwrap(), Some(expected.is_some()), "{}", constraint);
        }
        if let (Ok(later), Some(expected)) = (symbolic.eval(&bindings), expected) {
            prop_assert_eq!(i128::from(later), expected);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn windows_of_any_numbers_are_refused_or_exact(
        size in any_i64(), stride in any_i64(), dilation in any_i64(), padding in padding(any_i64()), input in any_i64(),
    ) {
        let window = Window::new(size, stride, dilation, padding);
        let span = (i128::from(size) - 1) * i128::from(dilation) + 1;
        let fits = |n: i128| i64::try_from(n).is_ok();
        let pads_fit = match padding {
            Padding::Same => true,
            Padding::Explicit(before, after) => {
                before >= 0 && after >= 0 && fits(i128::from(before) + i128::from(after))
            }
        };
        prop_assert_eq!(window.is_ok(), size.min(stride).min(dilation) > 0 && fits(span) && pads_fit, "{:?}", window);
        let Ok(window) = window else { return Ok(()) };
        prop_assert_eq!(i128::from(window.span()), span);
        let counted = window.positions(&Dim::fixed(input), &mut Infer::default());
        let expected = positions(&window, input.into());
        let symbolic = window.positions(&Dim::symbol("n"), &mut Infer::default());
        match counted {
            Ok(given) => {
                prop_assert_eq!(given.as_fixed().map(i128::from), expected);
                if let Ok(Ok(later)) = symbolic.map(|dim| dim.eval(&Bindings::from_iter([("n".into(), input)]))) {
                    prop_assert_eq!(Some(i128::from(later)), expected);
                }
            }
            Err(error) => prop_assert!(expected.is_none() || error.kind() == ErrorKind::Limit, "{}", error),
        }
        if let Ok(extent) = usize::try_from(input).map_or_else(|_| window.extent(usize::MAX), |n| window.extent(n)) {
            prop_assert_eq!(Some(extent.output as i128), expected);
            // The last position reads no further than what is padded.
            prop_assert_eq!(window.taps(&extent, extent.output - 1).take(9).count() as i64, window.size().min(9));
        }
    }

    #[test]
    fn spreads_of_any_numbers_are_refused_or_exact(
        size in any_i64(), stride in any_i64(), dilation in any_i64(),
        crop in (any_i64(), any_i64()), output_padding in any_i64(), input in any_i64(),
    ) {
        let spread = Spread::new(size, stride, dilation, crop, output_padding);
        let span = (i128::from(size) - 1) * i128::from(dilation) + 1;
        let fits = |n: i128| i64::try_from(n).is_ok();
        let numbers_fit = size.min(stride).min(dilation) > 0
            && crop.0.min(crop.1).min(output_padding) >= 0
            && fits(span + i128::from(output_padding))
            && fits(i128::from(crop.0) + i128::from(crop.1));
        prop_assert_eq!(spread.is_ok(), numbers_fit, "{:?}", spread);
        let Ok(spread) = spread else { return Ok(()) };
        prop_assert_eq!(i128::from(spread.span()), span);
        check_spread(&spread, input)?;
    }

    #[test]
    fn spreads_that_were_made_are_refused_or_exact(spread in spread(), input in any_i64()) {
        check_spread(&spread, input)?;
    }

    #[test]
    fn shape_rules_bear_any_dimensions((op, inputs) in any_node(), batch in any_i64(), steps in any_i64()) {
        let mut infer = Infer::default();
        if let Ok(outputs) = op.infer(&inputs, &mut infer) {
            if let (Some(expected), Some(given)) = (
                exact(&op, &inputs),
                outputs[0].shape.iter().map(|dim| dim.as_fixed().map(i128::from)).collect::<Option<Vec<_>>>(),
            ) {
                prop_assert_eq!(given, expected);
            }
            let _ = op.cost(&inputs, &outputs);
            let bindings = Bindings::from_iter([("batch".into(), batch), ("steps".into(), steps)]);
            for constraint in infer.into_constraints() {
                if let Ok(holds) = constraint.holds(&bindings) {
                    prop_assert!(holds.is_some(), "{}", constraint);
                }
                prop_assert!(constraint.violation(&bindings).message().contains(&constraint.rule));
            }
            if let Ok(sizes) = outputs[0].shape.eval(&bindings) {
                prop_assert!(sizes.iter().all(|&n| i64::try_from(n).is_ok()));
            }
        }

        let mut builder = GraphBuilder::new();
        let values: Result<Vec<ValueId>, _> = inputs.into_iter().map(|x| builder.input("x", x)).collect();
        let Ok(values) = values else { return Ok(()) };
        let operands = values.into_iter().map(Into::into).collect();
        if let Ok(outputs) = builder.add_all(op, operands) {
            for y in outputs {
                let fixed = builder.type_of(y).shape.iter().filter_map(Dim::as_fixed).collect::<Vec<_>>();
                let bytes = fixed.iter().try_fold(8i64, |bytes, &n| bytes.checked_mul(n.max(1)));
                prop_assert!(bytes.is_some() && fixed.iter().all(|&n| n >= 0), "{:?}", fixed);
            }
            let graph = builder.finish();
            let _ = graph.cost(&graph.nodes()[0]);
            let sizes: Vec<Vec<usize>> = graph.inputs().iter().map(|port| {
                let shape = &graph.value(port.value).r#type.shape;
                shape.iter().map(|dim| dim.as_usize().unwrap_or(if batch < 0 { usize::MAX } else { steps as usize })).collect()
            }).collect();
            let _ = graph.bind(&sizes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    #[test]
    fn tensors_without_elements_bear_any_sizes(shape in vec(prop_oneof![2 => Just(0usize), 2 => any_usize()], 1..5), axis in 0..5usize) {
        let tensor = Tensor::new(shape.clone(), Data::F64(Vec::new()));
        prop_assert!(tensor.is_err() || shape.contains(&0));
        prop_assert_eq!(Tensor::from_le_bytes(shape.clone(), DType::F32, &[]).is_ok(), tensor.is_ok());
        let Ok(tensor) = tensor else { return Ok(()) };
        let moved = tensor.permute(&(0..shape.len()).rev().collect::<Vec<_>>()).unwrap();
        prop_assert!(moved.shape().iter().eq(shape.iter().rev()));
        let literal = ConstantExpr::literal(tensor);
        prop_assert!(literal.add(&literal).unwrap().evaluate().is_ok());
        prop_assert_eq!(literal.sum(axis).is_ok(), axis < shape.len());
        let _ = literal.reshape(&shape[..axis.min(shape.len())]).map(|expr| expr.evaluate());
    }

    #[test]
    fn constants_of_any_arguments_fail_when_made_or_not_at_all(
        shape in vec(0..4usize, 0..4), permutation in vec(any_usize(), 0..4), target in vec(any_usize(), 0..4),
        other in vec(0..3usize, 0..3), axis in any_usize(),
    ) {
        let filled = ConstantExpr::filled(&shape, 1.0).unwrap();
        let made = [
            filled.permute(&permutation),
            filled.reshape(&target),
            filled.sum(axis),
            filled.add(&ConstantExpr::filled(&other, 2.0).unwrap()),
        ];
        for expr in made.into_iter().flatten() {
            let tensor = expr.evaluate().unwrap();
            prop_assert_eq!(tensor.shape(), expr.shape());
        }
    }
}

/// Without this the properties could hold because nothing is ever accepted.
#[test]
fn every_operator_accepts_some_of_the_dimensions() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..8000 {
        let (op, inputs) = any_node().new_tree(&mut runner).unwrap().current();
        let taken = op.infer(&inputs, &mut Infer::default()).is_ok();
        *accepted.entry(op.name()).or_default() += usize::from(taken);
    }
    assert!(accepted.len() > 39 && accepted.values().all(|&n| n > 5), "{accepted:?}");
}

#[track_caller]
fn check_sizes(sizes: &[i64], expected: Option<ErrorKind>) {
    let dims: Vec<Dim> = sizes.iter().copied().map(Dim::fixed).collect();
    let given = GraphBuilder::new().input("x", (DType::F32, dims).into());
    assert_eq!(given.err().map(|error| error.kind()), expected, "{sizes:?}");
}

#[test]
fn an_input_that_could_never_fit_memory_is_refused() {
    check_sizes(&[0, 1 << 59], None);
    check_sizes(&[2, 1 << 59], Some(ErrorKind::Limit));
    check_sizes(&[0, 1 << 60], Some(ErrorKind::Limit));
    check_sizes(&[i64::MAX], Some(ErrorKind::Limit));
    check_sizes(&[-1], Some(ErrorKind::Shape));
    check_sizes(&[i64::MIN, i64::MIN], Some(ErrorKind::Shape));
}

#[test]
fn constants_are_held_to_the_same_limit() {
    let expr = ConstantExpr::literal(Tensor::f64([0, 1 << 59], Vec::new()).unwrap());
    let constant = |expr: &ConstantExpr| Constant { name: "w".into(), dtype: DType::F32, expr: expr.clone() };
    let mut builder = GraphBuilder::new();
    assert!(builder.constant(constant(&expr)).is_ok());
    assert_eq!(ConstantExpr::filled(&[1 << 60, 8], 0.0).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(ConstantExpr::filled(&[usize::MAX, 0], 0.0).unwrap_err().kind(), ErrorKind::Limit);
}

// An array file of no elements may claim any sizes beside the zero.
#[test]
fn an_empty_batch_of_enormous_steps_is_refused() {
    assert_eq!(Tensor::f64([0, 1 << 40, 1 << 40], Vec::new()).unwrap_err().kind(), ErrorKind::Limit);
}

/// Runs one node whose inputs may have any sizes; the output could not be addressed.
#[track_caller]
fn check_run_past_the_limit(op: impl Into<Op>, inputs: &[&[usize]]) {
    let (op, mut builder) = (op.into(), GraphBuilder::new());
    let mut values = Vec::new();
    let dtype = |i| if i == 1 && op.name() == "gather" { DType::I64 } else { DType::F32 };
    for (i, sizes) in inputs.iter().enumerate() {
        let dims: Vec<Dim> = (0..sizes.len()).map(|axis| Dim::symbol(&format!("x{i}_{axis}"))).collect();
        values.push(builder.input("x", (dtype(i), dims).into()).unwrap().into());
    }
    for y in builder.add_all(op.clone(), values).unwrap() {
        builder.output("y", y);
    }
    let tensors = inputs.iter().enumerate().map(|(i, &sizes)| Tensor::zeros(sizes, dtype(i)).unwrap());
    let inputs: Vec<Tensor> = tensors.collect();
    assert_eq!(run_reference(&builder.finish(), &inputs, &[]).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_run_whose_output_could_not_be_addressed_is_an_error() {
    check_run_past_the_limit(ops::Pad { amounts: vec![(1 << 31, 0); 3], value: 0.0 }, &[&[1, 1, 1]]);
    check_run_past_the_limit(ops::Repeat { axis: 0, times: 1 << 60 }, &[&[1]]);
    check_run_past_the_limit(ops::Repeat { axis: 1, times: 1 << 40 }, &[&[0, 1 << 40]]);
    let spread = Spread::new(1, 1 << 40, 1, (0, 0), 0).unwrap();
    check_run_past_the_limit(
        ops::ConvTranspose { windows: vec![spread] },
        &[&[1, (1 << 20) + 1, 0], &[1, 0, 1]],
    );
    // Matrices of no columns and no rows.
    check_run_past_the_limit(ops::MatMul, &[&[1 << 40, 0], &[0, 1 << 40]]);
    check_run_past_the_limit(ops::Dense, &[&[1 << 40, 0], &[0, 1 << 40]]);
    let conv = ops::Conv { windows: Vec::new(), groups: 1 };
    check_run_past_the_limit(conv, &[&[1 << 40, 0], &[0, 1 << 40]]);
    check_run_past_the_limit(ops::Gather { axis: 0 }, &[&[1, 1 << 40, 0], &[0, 1 << 40]]);
    let square = ops::Full { dims: vec![FullDim::Of(0); 2], value: 0.0, dtype: DType::F32 };
    check_run_past_the_limit(square, &[&[1 << 40, 0]]);
    // Steps of no channels.
    let weights: [&[usize]; 3] = [&[1, 1 << 52, 0], &[0, 1 << 10], &[1 << 10, 1 << 10]];
    let rnn = ops::Rnn { activation: None, recurrence: Recurrence::default() };
    check_run_past_the_limit(rnn, &weights);
    let scan = ops::Scan { body: BODY.clone(), states: 1, sequences: 1, reverse: false };
    check_run_past_the_limit(scan, &[&[1, 0], &[1, 1 << 59, 0]]);
}

// Symbols do not broadcast.
#[test]
fn a_broadcast_that_could_not_be_addressed_is_an_error() {
    let axes = [[1 << 21, 1, 1], [1, 1 << 21, 1], [1, 1, 1 << 21]];
    let condition = Tensor::zeros(axes[0], DType::Bool).unwrap();
    let [a, b] = [1, 2].map(|i| Tensor::zeros(axes[i], DType::F32).unwrap());
    let error = ops::Select.reference(&[&condition, &a, &b]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let [a, b] = [[0, 1 << 40, 1], [0, 1, 1 << 40]].map(|shape| Tensor::zeros(shape, DType::F32).unwrap());
    let error = ops::Compare { kind: CompareKind::Equal }.reference(&[&a, &b]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let [a, b] = [a, b].map(|x| Tensor::zeros(x.shape(), DType::Bool).unwrap());
    for kind in [BinaryKind::And, BinaryKind::Or] {
        let error = ops::Binary { kind }.reference(&[&a, &b]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}

#[test]
fn a_crop_does_not_hide_steps_past_the_limit() {
    let spread = Spread::new(2, 1 << 61, 1 << 62, (i64::MAX, 0), 0).unwrap();
    let x = Tensor::f64([1, 3, 1], vec![1.0; 3]).unwrap();
    let kernel = Tensor::f64([2, 1, 1], vec![1.0; 2]).unwrap();
    let error = ops::ConvTranspose { windows: vec![spread] }.reference(&[&x, &kernel]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}
