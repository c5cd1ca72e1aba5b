//! The mistakes: each in a model that Keras's outputs are recorded of.

use crate::net::Net;
use k2o::core::ops::{
    Binary, BinaryKind, CompareKind, NormalizeKind, Operator, Pad, PoolKind, ReduceKind, Reshape, ReshapeDim,
    Reverse, Spread, Transpose, Unary,
};
use k2o::core::{Op, Padding, Window};
use ndarray::{ArrayD, Axis, IxDyn, Slice};

type Weight = ArrayD<f64>;

/// One mistake.
pub struct Fault {
    /// The fixture that it is made in.
    pub model: &'static str,
    /// What is wrong.
    pub what: String,
    pub make: Box<dyn Fn(&mut Net)>,
}

/// Everything that is listed here.
pub fn faults() -> Vec<Fault> {
    let single = SINGLE.iter().map(|&(model, what, make)| fault(model, what, make));
    let windows = WINDOWS.iter().map(|&(model, what, window)| {
        fault(model, what, move |net| {
            let windows = net.nodes.iter_mut().find_map(|node| match &mut node.op {
                Op::Conv(op) => Some(&mut op.windows),
                Op::Pool(op) => Some(&mut op.windows),
                _ => None,
            });
            let first = &mut windows.unwrap()[0];
            let (stride, dilation, padding) = window;
            *first = Window::new(first.size(), stride, dilation, padding).unwrap();
        })
    });
    let gates = GATES.iter().flat_map(|&(model, names, weights, pairs)| {
        pairs.iter().map(move |&pair| {
            let what = format!("gates {} and {} of {weights:?} swapped", names[pair.0], names[pair.1]);
            fault(model, what, move |net| {
                weights.iter().for_each(|weight| net.swap_gates(weight, names.len(), pair));
            })
        })
    });
    let functions = FUNCTIONS.iter().map(|&(model, was, is)| {
        fault(model, format!("{was:?} for {is:?}"), move |net| {
            let mut places: Vec<&mut Unary> = net
                .nodes
                .iter_mut()
                .flat_map(|node| functions(&mut node.op))
                .filter(|f| **f == was)
                .collect();
            assert!(!places.is_empty(), "{model} has no {was:?}");
            places.iter_mut().for_each(|place| **place = is);
        })
    });
    let bits = BITS.iter().flat_map(|&(model, weight, at, bits)| {
        bits.iter().map(move |&(what, bit)| {
            fault(model, format!("{what} of element {at} of {weight} flipped"), move |net| {
                net.edit_one(weight, at, |x| f32::from_bits(x.to_bits() ^ 1 << bit));
            })
        })
    });
    single.chain(windows).chain(gates).chain(functions).chain(bits).collect()
}

fn fault(model: &'static str, what: impl Into<String>, make: impl Fn(&mut Net) + 'static) -> Fault {
    Fault { model, what: what.into(), make: Box::new(make) }
}

/// The functions of one element that an operator computes.
fn functions(op: &mut Op) -> Vec<&mut Unary> {
    match op {
        Op::Unary(function) => vec![function],
        Op::Lstm(op) => op.activation.iter_mut().chain(&mut op.recurrent_activation).collect(),
        Op::Gru(op) => op.activation.iter_mut().chain(&mut op.recurrent_activation).collect(),
        Op::Rnn(op) => op.activation.iter_mut().collect(),
        _ => Vec::new(),
    }
}

type Pairs = &'static [(usize, usize)];

/// Columns of weights read for another gate's: the model, its gates, which weights, and which gates.
const GATES: &[(&str, &[&str], &[&str], Pairs)] = &[
    ("lstm_sequences", LSTM, ALL, &[(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    ("lstm_sequences", LSTM, &["kernel"], &[(0, 1), (2, 3)]),
    ("lstm_sequences", LSTM, &["recurrent_kernel"], &[(0, 1), (2, 3)]),
    ("lstm_sequences", LSTM, &["bias"], &[(0, 1), (2, 3)]),
    ("lstm_last", LSTM, ALL, &[(1, 2)]),
    ("bidirectional_lstm_sequences", LSTM, BACKWARD, &[(0, 1), (1, 2)]),
    ("gru_sequences", GRU, ALL, &[(0, 1), (0, 2), (1, 2)]),
    ("gru_reset_before_sequences", GRU, ALL, &[(0, 1), (0, 2), (1, 2)]),
    ("gru_sequences", GRU, &["bias"], &[(0, 1), (1, 2)]),
];

const LSTM: &[&str] = &["i", "f", "c", "o"];
const GRU: &[&str] = &["z", "r", "h"];
const ALL: &[&str] = &["kernel", "recurrent_kernel", "bias"];
const BACKWARD: &[&str] = &[
    "backward_lstm/lstm_cell/kernel",
    "backward_lstm/lstm_cell/recurrent_kernel",
    "backward_lstm/lstm_cell/bias",
];

/// Functions taken for others that are like them.
const FUNCTIONS: &[(&str, Unary, Unary)] = &[
    ("stream_tcn", Unary::Relu, Unary::Clip { min: 0.0, max: 6.0 }),
    ("relu", Unary::Relu, Unary::LeakyRelu { slope: 0.01 }),
    ("relu_six", Unary::Clip { min: 0.0, max: 6.0 }, Unary::Relu),
    ("leaky_relu_default", Unary::LeakyRelu { slope: 0.3 }, Unary::LeakyRelu { slope: 0.2 }),
    ("leaky_relu_default", Unary::LeakyRelu { slope: 0.3 }, Unary::Relu),
    ("leaky_relu_and_elu", Unary::Elu { alpha: 1.0 }, Unary::Selu),
    ("leaky_relu_and_elu", Unary::Elu { alpha: 0.7 }, Unary::Elu { alpha: 1.0 }),
    ("leaky_relu_and_elu", Unary::Elu { alpha: 0.7 }, Unary::Celu { alpha: 0.7 }),
    ("activation_functions", GELU, Unary::Gelu { approximate: true }),
    ("activation_functions", GELU, Unary::Silu),
    ("activation_functions", Unary::Silu, Unary::HardSilu),
    ("activation_functions", Unary::Silu, Unary::Mish),
    ("activation_functions", Unary::Mish, Unary::Silu),
    ("activation_functions", Unary::Selu, Unary::Elu { alpha: 1.0 }),
    ("activation_functions", Unary::Sigmoid, Unary::HardSigmoid { slope: 0.2, offset: 0.5 }),
    ("activation_functions", Unary::Softplus, Unary::Relu),
    ("activation_functions", Unary::Softplus, Unary::Squareplus { b: 4.0 }),
    ("activation_functions", Unary::Softsign, Unary::Tanh),
    ("activation_functions", Unary::Tanh, Unary::Clip { min: -1.0, max: 1.0 }),
    ("activation_functions_of_keras3", Unary::Celu { alpha: 1.0 }, Unary::Selu),
    ("activation_functions_of_keras3", Unary::HardSilu, Unary::Silu),
    ("activation_functions_of_keras3", HARD_SHRINK, Unary::SoftShrink { threshold: 0.5 }),
    ("activation_functions_of_keras3", Unary::SoftShrink { threshold: 0.5 }, HARD_SHRINK),
    ("activation_functions_of_keras3", Unary::SparsePlus, Unary::Relu),
    ("activation_functions_of_keras3", Unary::TanhShrink, Unary::Tanh),
    ("activation_hard_sigmoid", OF_KERAS3, OF_KERAS2),
    ("lstm_hard_sigmoid", OF_KERAS3, OF_KERAS2),
    ("gru_hard_sigmoid", OF_KERAS3, OF_KERAS2),
    ("lstm_sequences", Unary::Sigmoid, OF_KERAS2),
    ("lstm_sequences", Unary::Tanh, Unary::Sigmoid),
    ("gru_sequences", Unary::Sigmoid, OF_KERAS3),
    ("gru_sequences", Unary::Tanh, Unary::Softsign),
    ("simple_rnn_sequences", Unary::Tanh, Unary::Relu),
    ("conv1d_relu", Unary::Relu, Unary::Elu { alpha: 1.0 }),
    ("dense_relu", Unary::Relu, Unary::Silu),
    ("thresholded_relu_theta", THRESHOLD, Unary::Relu),
];

const GELU: Unary = Unary::Gelu { approximate: false };
const HARD_SHRINK: Unary = Unary::HardShrink { threshold: 0.5 };
const OF_KERAS2: Unary = Unary::HardSigmoid { slope: 0.2, offset: 0.5 };
const OF_KERAS3: Unary = Unary::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };
const THRESHOLD: Unary = Unary::Threshold { threshold: 0.5, value: 0.0 };

/// The first convolution or pooling of a model with another stride, dilation or padding.
const WINDOWS: &[(&str, &str, (i64, i64, Padding))] = &[
    ("conv1d_same", "same padding a step late", (1, 1, Padding::Explicit(2, 0))),
    ("conv1d_same", "same padding a step early", (1, 1, Padding::Explicit(0, 2))),
    ("conv1d_strides_even", "the odd step of same padding before the input", (2, 1, Padding::Explicit(1, 0))),
    ("conv1d_strides2_same", "same padding all behind the input", (2, 1, Padding::Explicit(0, 2))),
    ("conv1d_causal", "causal padding behind the input", (1, 1, Padding::Explicit(0, 2))),
    ("conv1d_causal", "same padding for causal", (1, 1, Padding::Explicit(1, 1))),
    ("conv1d_dilation2_causal", "causal padding that forgets dilation", (1, 2, Padding::Explicit(2, 2))),
    ("conv1d_dilation2_causal", "no dilation", (1, 1, Padding::Explicit(2, 0))),
    ("conv1d_dilation2_same", "dilation 1 for 2", (1, 1, Padding::Explicit(1, 1))),
    ("conv1d_dilation2_same", "dilation 3 for 2", (1, 3, Padding::Explicit(3, 3))),
    ("conv1d_dilation2_valid", "dilation 1 for 2, at the start", (1, 1, Padding::Explicit(0, 0))),
    ("conv1d_strides2_valid", "stride 1 for 2", (1, 1, Padding::Explicit(0, 0))),
    ("conv1d_strides2_valid", "stride 3 for 2", (3, 1, Padding::Explicit(1, 2))),
    ("conv1d_strides2_same", "stride 3 for 2", (3, 1, Padding::Explicit(3, 3))),
    ("conv1d_strides2_causal", "windows a step late", (2, 1, Padding::Explicit(1, 1))),
    ("average_pooling1d_strides2_same", "windows a step early", (2, 1, Padding::Explicit(2, 0))),
    ("max_pooling1d_strides2_same", "windows a step late", (2, 1, Padding::Explicit(0, 2))),
    ("max_pooling1d_valid", "windows half a pool early", (2, 1, Padding::Explicit(1, 0))),
    ("tcn", "the first of many causal convolutions a step late", (1, 1, Padding::Explicit(1, 1))),
];

/// Bits flipped in single elements of weights: which weight, which element, and which bits.
///
/// In layers of few weights the smallest of these is found. In large ones a bit may be lost in what is allowed for rounding,
/// and of an element behind a rectifier that no recorded example opens nothing is seen at all.
const BITS: &[(&str, &str, usize, &[Bit])] = &[
    ("dense_plain", "kernel", 0, &[SIGN, EXPONENT, BFLOAT16, FLOAT16]),
    ("dense_plain", "bias", 2, &[SIGN, EXPONENT, BFLOAT16, FLOAT16]),
    ("conv1d_same", "kernel", 35, &[SIGN, EXPONENT, BFLOAT16, FLOAT16]),
    ("depthwise_conv1d_valid", "kernel", 4, &[SIGN, EXPONENT, BFLOAT16, FLOAT16]),
    ("lstm_sequences", "recurrent_kernel", 6, &[SIGN, EXPONENT, BFLOAT16, FLOAT16]),
    ("gru_sequences", "kernel", 3, &[SIGN, EXPONENT, BFLOAT16, FLOAT16]),
    ("embedding_int32", "embeddings", 0, &[SIGN, EXPONENT, BFLOAT16, FLOAT16]),
    ("tcn", "conv1d_3/kernel", 500, &[SIGN, EXPONENT]),
    ("advanced", "dense/kernel", 1_000_000, &[SIGN, EXPONENT]),
];

type Bit = (&'static str, u32);

const SIGN: Bit = ("the sign", 31);
const EXPONENT: Bit = ("the exponent's lowest bit", 23);
/// By how much rounding to these types is wrong at most.
const BFLOAT16: Bit = ("what bfloat16 rounds", 15);
const FLOAT16: Bit = ("what float16 rounds", 12);

/// Mistakes of which there is one of a kind.
type Single = (&'static str, &'static str, fn(&mut Net));

const SINGLE: &[Single] = &[
    // Recurrent layers.
    ("lstm_sequences", "the forget gate's bias is raised by 1", |net| {
        net.edit("bias", |bias| bias.slice_axis_mut(Axis(0), Slice::from(3..6)).map_inplace(|b| *b += 1.0));
    }),
    ("lstm_sequences", "steps from the last to the first", |net| net.lstm().recurrence.reverse = true),
    ("gru_sequences", "steps from the last to the first", |net| net.gru().recurrence.reverse = true),
    ("simple_rnn_sequences", "steps from the last to the first", |net| net.rnn().recurrence.reverse = true),
    ("lstm_backwards", "steps from the first to the last", |net| net.lstm().recurrence.reverse = false),
    ("gru_backwards", "steps from the first to the last", |net| net.gru().recurrence.reverse = false),
    ("lstm_backwards_sequences", "outputs in the order of the input", |net| net.bypass("reverse", 0)),
    ("masking_lstm", "kernel and recurrent kernel swapped", |net| net.swap_inputs("lstm", 1, 2)),
    ("masking_gru", "kernel and recurrent kernel swapped", |net| net.swap_inputs("gru", 1, 2)),
    ("masking_simple_rnn", "kernel and recurrent kernel swapped", |net| net.swap_inputs("rnn", 1, 2)),
    ("simple_rnn_sequences", "recurrent kernel transposed", |net| {
        net.edit("recurrent_kernel", |kernel| *kernel = kernel.t().to_owned());
    }),
    ("lstm_sequences", "recurrent kernel transposed, gate by gate", |net| {
        net.edit("recurrent_kernel", |kernel| transpose_gates(kernel, 4));
    }),
    ("gru_sequences", "recurrent kernel transposed, gate by gate", |net| {
        net.edit("recurrent_kernel", |kernel| transpose_gates(kernel, 3));
    }),
    ("lstm_sequences", "no bias", |net| {
        net.node("lstm").inputs.remove(3);
        net.lstm().recurrence.has_bias = false;
    }),
    ("gru_without_bias", "reset gate before the product", |net| net.gru().reset_after = false),
    ("gru_sequences", "reset gate before the product", |net| {
        net.edit("bias", |bias| *bias = bias.sum_axis(Axis(0)));
        net.gru().reset_after = false;
    }),
    ("gru_reset_before_sequences", "reset gate after the product", |net| {
        net.edit("bias", |bias| {
            let none = bias.mapv(|_| 0.0);
            *bias = ndarray::stack![Axis(0), bias.view(), none].into_dyn();
        });
        net.gru().reset_after = true;
    }),
    ("gru_sequences", "biases of input and state swapped", |net| {
        net.edit("bias", |bias| bias.invert_axis(Axis(0)));
    }),
    ("gru_sequences", "only the input's bias", |net| {
        net.edit("bias", |bias| bias.index_axis_mut(Axis(0), 1).fill(0.0));
    }),
    ("gru_sequences", "the update gate keeps what it should replace", |net| {
        for name in ALL {
            net.edit(name, |weight| {
                let last = Axis(weight.ndim() - 1);
                weight.slice_axis_mut(last, Slice::from(0..3)).map_inplace(|w| *w = -*w);
            });
        }
    }),
    ("recurrent_initial_states", "states of the LSTM swapped", |net| net.swap_inputs("lstm", 4, 5)),
    ("recurrent_initial_states", "first states of zeros", |net| {
        net.node("lstm").inputs.drain(4..6);
        net.lstm().recurrence.has_states = false;
    }),
    ("recurrent_states", "last states of the LSTM swapped", |net| net.swap_outputs("lstm", 1, 2)),
    ("lstm_last", "the memory cell for the output", |net| net.swap_outputs("lstm", 1, 2)),
    ("masking_lstm", "mask ignored", |net| {
        net.node("lstm").inputs.pop();
        net.lstm().recurrence.has_mask = false;
    }),
    ("masking_gru_sequences", "mask ignored", |net| {
        net.node("gru").inputs.pop();
        net.gru().recurrence.has_mask = false;
    }),
    ("masking_lstm", "mask from the last step to the first", |net| {
        net.prepend("lstm", 4, Reverse { axis: 1 })
    }),
    ("masking_left_rnn", "mask from the last step to the first", |net| {
        net.prepend("lstm", 4, Reverse { axis: 1 });
    }),
    ("masking_simple_rnn", "steps count where they should not", |net| {
        net.compare().kind = CompareKind::Equal
    }),
    ("masking_zero_output", "outputs of masked steps repeat the last", |net| net.bypass("select", 1)),
    ("bidirectional_lstm_sequences", "the backward half's outputs from the last step", |net| {
        let at = net.nodes.iter().rposition(|node| node.op.name() == "lstm").unwrap();
        net.append_at(at, 0, Reverse { axis: 1 }.into());
    }),
    ("bidirectional_lstm_sequences", "the backward half runs forwards", |net| {
        let Op::Lstm(op) = &mut net.nth("lstm", 1).op else { unreachable!() };
        op.recurrence.reverse = false;
    }),
    ("bidirectional_gru", "the backward half runs forwards", |net| {
        let Op::Gru(op) = &mut net.nth("gru", 1).op else { unreachable!() };
        op.recurrence.reverse = false;
    }),
    ("bidirectional_lstm_sequences", "the backward half has the forward one's weights", |net| {
        let forward = net.nth("lstm", 0).inputs.clone();
        net.nth("lstm", 1).inputs = forward;
    }),
    ("bidirectional_lstm_sequences", "halves joined the other way round", |net| {
        net.swap_inputs("concat", 0, 1)
    }),
    ("bidirectional_sum", "multiplied instead of added", |net| net.binary().kind = BinaryKind::Mul),
    ("bidirectional_lstm_modes", "the average without its division", |net| {
        let at = net
            .nodes
            .iter()
            .position(|node| matches!(&node.op, Op::Binary(op) if op.kind == BinaryKind::Div));
        let Op::Binary(op) = &mut net.nodes[at.unwrap()].op else { unreachable!() };
        op.kind = BinaryKind::Mul;
    }),
    ("tcn", "kernels of two convolutions swapped", |net| {
        let (a, b) = net.alike("kernel");
        net.swap_weights(&a, &b);
    }),
    // Convolutions.
    ("conv1d_same", "kernel from its last step to the first", |net| {
        net.edit("kernel", |kernel| kernel.invert_axis(Axis(0)));
    }),
    ("conv1d_causal", "input channels in the other order", |net| {
        net.edit("kernel", |kernel| kernel.invert_axis(Axis(1)));
    }),
    ("conv1d_valid", "filters in the other order", |net| {
        net.edit("kernel", |kernel| kernel.invert_axis(Axis(2)));
    }),
    ("conv1d_same", "kernel stored as [filters, channels, steps]", |net| {
        net.edit("kernel", |kernel| reread(kernel, &[2, 1, 0]));
    }),
    ("conv1d_same", "kernel stored as [channels, steps, filters]", |net| {
        net.edit("kernel", |kernel| reread(kernel, &[1, 0, 2]));
    }),
    ("tcn", "a square kernel with its channels transposed", |net| {
        let name = net.square("kernel");
        net.edit(&name, |kernel| kernel.swap_axes(1, 2));
    }),
    ("conv1d_groups_two", "kernels of the groups swapped", |net| {
        net.edit("kernel", |kernel| rotate(kernel, 2, 3))
    }),
    ("conv1d_groups_two", "one group for two", |net| {
        net.edit("kernel", |kernel| {
            *kernel = ndarray::concatenate![Axis(1), kernel.view(), kernel.view()];
        });
        net.conv().groups = 1;
    }),
    ("conv1d_groups_two", "channels of the groups interleaved", |net| {
        net.prepend("conv", 0, Reshape { target: reshaped(&[9, 2, 2]) });
        net.append("reshape", 0, Transpose { permutation: vec![0, 1, 3, 2] });
        net.append("transpose", 0, Reshape { target: reshaped(&[9, 4]) });
    }),
    ("depthwise_conv1d_multiplier2", "outputs by multiplier, then channel", |net| {
        net.edit("kernel", |kernel| {
            let mut by_channel = kernel.to_shape(IxDyn(&[3, 3, 2])).unwrap().into_owned();
            reread(&mut by_channel, &[0, 2, 1]);
            *kernel = by_channel.into_shape_with_order(kernel.shape()).unwrap();
        });
    }),
    ("conv1d_same", "no bias", |net| net.node("conv").inputs.truncate(2)),
    ("conv1d_same", "each filter with its neighbour's bias", |net| {
        net.edit("bias", |bias| rotate(bias, 0, 1))
    }),
    ("conv1d_relu", "bias taken off", |net| net.edit("bias", |bias| bias.map_inplace(|b| *b = -*b))),
    ("conv1d_relu", "no activation", |net| net.bypass("relu", 0)),
    ("conv1d_first", "channels first, in the other order", |net| {
        net.edit("kernel", |kernel| kernel.invert_axis(Axis(1)))
    }),
    ("conv1d_transpose_valid", "kernel from its last step to the first", |net| {
        net.edit("kernel", |kernel| kernel.invert_axis(Axis(0)));
    }),
    ("conv1d_transpose_valid", "kernel stored as [steps, filters, channels]", |net| {
        net.edit("kernel", |kernel| reread(kernel, &[0, 2, 1]));
    }),
    ("conv1d_transpose_same", "cropped a step too far on", |net| spread(net, (-1, 1), 0)),
    ("conv1d_transpose_strides2_same", "cropped a step too far back", |net| spread(net, (1, -1), 0)),
    ("conv1d_transpose_output_padding1", "no added steps", |net| spread(net, (0, 0), -1)),
    ("separable_conv1d_valid", "pointwise filters moved on by one", |net| {
        net.edit("pointwise_kernel", |kernel| rotate(kernel, 2, 1));
    }),
    // Dense layers.
    ("dense_plain", "no bias", |net| net.node("dense").inputs.truncate(2)),
    ("dense_plain", "each unit with its neighbour's bias", |net| net.edit("bias", |bias| rotate(bias, 0, 1))),
    ("dense_plain", "kernel stored as [units, inputs]", |net| {
        net.edit("kernel", |kernel| reread(kernel, &[1, 0]))
    }),
    ("many_of_one_class", "a square kernel transposed", |net| {
        let name = net.square("kernel");
        net.edit(&name, |kernel| kernel.swap_axes(0, 1));
    }),
    ("many_of_one_class", "weights of two layers swapped", |net| {
        let (a, b) = net.alike("kernel");
        net.swap_weights(&a, &b);
    }),
    ("dense_softmax", "softmax over the batch", |net| net.softmax().axes = vec![0]),
    ("dense_softmax", "the logarithm of softmax", |net| net.softmax().log = true),
    ("softmax", "softmax over the steps", |net| net.softmax().axes = vec![1]),
    ("softmax", "softmax over both axes", |net| net.softmax().axes = vec![1, 2]),
    // Shapes.
    ("flatten_dense", "channels before steps", |net| {
        net.edit("kernel", |kernel| {
            let units = kernel.len_of(Axis(1));
            let by_steps = kernel.to_shape((3, 4, units)).unwrap().into_owned();
            *kernel = by_steps
                .permuted_axes([1, 0, 2])
                .as_standard_layout()
                .to_shape((12, units))
                .unwrap()
                .into_owned()
                .into_dyn();
        });
    }),
    ("flatten_first_dense", "channels where steps are", |net| net.bypass("transpose", 0)),
    ("reshape", "column by column", |net| {
        net.prepend("reshape", 0, Transpose { permutation: vec![0, 2, 1] })
    }),
    ("permute_rank4", "the inverse permutation", |net| {
        net.transpose().permutation = vec![0, 2, 3, 1];
    }),
    ("repeat_vector", "a vector's numbers repeated, not the vector", |net| {
        net.append("repeat", 0, Transpose { permutation: vec![0, 2, 1] });
        net.append("transpose", 0, Reshape { target: reshaped(&[5, 3]) });
    }),
    ("up_sampling1d", "the sequence repeated, not its steps", |net| {
        net.append("repeat", 0, Reshape { target: reshaped(&[4, 2, 3]) });
        net.append("reshape", 0, Transpose { permutation: vec![0, 2, 1, 3] });
        net.append("transpose", 0, Reshape { target: reshaped(&[8, 3]) });
    }),
    ("cropping1d", "sides swapped", |net| {
        let slice = net.nodes.iter_mut().find_map(|node| match &mut node.op {
            Op::Slice(op) if op.before != op.after => Some(op),
            _ => None,
        });
        let slice = slice.unwrap();
        (slice.before, slice.after) = (slice.after, slice.before);
    }),
    ("zero_padding1d", "sides swapped", |net| {
        let pads = net.nodes.iter_mut().filter_map(|node| match &mut node.op {
            Op::Pad(op) => Some(op),
            _ => None,
        });
        let pad = pads.map(|op| &mut op.amounts[1]).find(|(before, after)| before != after).unwrap();
        *pad = (pad.1, pad.0);
    }),
    ("zero_padding1d", "ones for zeros", |net| net.pad().value = 1.0),
    ("concatenate_channels", "tensors in the other order", |net| net.swap_inputs("concat", 0, 1)),
    ("concatenate_steps", "tensors in the other order", |net| net.swap_inputs("concat", 0, 1)),
    ("concatenate_three", "two of three tensors swapped", |net| net.node("concat").inputs.rotate_left(1)),
    // Normalization.
    ("batch_normalization_last", "gamma and beta swapped", |net| {
        net.batch_norm(|norm| std::mem::swap(&mut norm.gamma, &mut norm.beta));
    }),
    ("batch_normalization_last", "mean and variance swapped", |net| {
        net.batch_norm(|norm| {
            std::mem::swap(&mut norm.mean, &mut norm.variance);
            norm.variance.iter_mut().for_each(|v| *v = v.abs());
        });
    }),
    ("batch_normalization_last", "beta and mean swapped", |net| {
        net.batch_norm(|norm| std::mem::swap(&mut norm.beta, &mut norm.mean));
    }),
    ("batch_normalization_last", "variance without its root", |net| {
        net.batch_norm(|norm| {
            let epsilon = norm.epsilon;
            norm.variance.iter_mut().for_each(|v| *v = (*v + epsilon).powi(2) - epsilon);
        });
    }),
    ("batch_normalization_last", "variance of a sample of 32", |net| {
        net.batch_norm(|norm| norm.variance.iter_mut().for_each(|v| *v *= 32.0 / 31.0));
    }),
    ("batch_normalization_last", "epsilon 1e-5 for 1e-3", |net| net.batch_norm(|norm| norm.epsilon = 1e-5)),
    ("batch_normalization_last", "epsilon a thousandfold", |net| net.batch_norm(|norm| norm.epsilon *= 1e3)),
    ("batch_normalization_last", "epsilon outside the root", |net| {
        net.batch_norm(|norm| {
            let epsilon = norm.epsilon;
            norm.variance.iter_mut().for_each(|v| *v = (v.sqrt() + epsilon).powi(2) - epsilon);
        });
    }),
    ("batch_normalization_last", "gamma left out", |net| net.batch_norm(|norm| norm.gamma.fill(1.0))),
    ("batch_normalization_last", "mean left out", |net| net.batch_norm(|norm| norm.mean.fill(0.0))),
    ("layer_normalization_last", "gamma and beta swapped", |net| net.swap_inputs("layer_norm", 1, 2)),
    ("layer_normalization_last", "epsilon 1e-5 for 1e-3", |net| net.normalize().epsilon = 1e-5),
    ("layer_normalization_last", "epsilon a thousandfold", |net| net.normalize().epsilon *= 1e3),
    ("layer_normalization_last", "the mean is not taken off", |net| {
        net.normalize().kind = NormalizeKind::Deviation;
    }),
    ("layer_normalization_last", "the root of the mean square", |net| {
        net.normalize().kind = NormalizeKind::RootMeanSquare;
    }),
    ("layer_normalization_two_axes", "gamma with its axes transposed", |net| {
        net.edit("gamma", |gamma| reread(gamma, &[1, 0]));
    }),
    ("rms_normalization_last", "the mean is taken off", |net| net.normalize().kind = NormalizeKind::Standard),
    ("rms_normalization_epsilon", "epsilon a thousandfold", |net| net.normalize().epsilon *= 1e3),
    ("group_normalization_two", "epsilon a thousandfold", |net| net.normalize().epsilon *= 1e3),
    ("group_normalization_two", "statistics of each step", |net| net.normalize().axes = vec![3]),
    ("group_normalization_two", "four groups for two", |net| {
        net.node("reshape").op = Reshape { target: reshaped(&[5, 4, 1]) }.into();
    }),
    ("group_normalization_two", "gamma and beta swapped", |net| net.swap_inputs("affine", 1, 2)),
    ("unit_normalization_last", "over the steps", |net| net.reduce().axes = vec![1]),
    ("normalization_adapted", "mean and deviation swapped", |net| {
        let names = (net.names("mean").remove(0), net.names("deviation").remove(0));
        net.swap_weights(&names.0, &names.1);
    }),
    ("normalization_before_dense", "divided by the variance", |net| {
        net.edit("deviation", |deviation| deviation.map_inplace(|d| *d *= *d));
    }),
    ("rescaling", "offset before scale", |net| {
        let offset = net.names("offset").remove(0);
        net.edit(&offset, |offset| offset.map_inplace(|o| *o *= 0.25));
    }),
    // Pooling.
    ("average_pooling1d_strides2_same", "the average counts padding", |net| pad_pooling(net, (1, 1))),
    ("max_pooling1d_strides2_same", "padding of zeros takes part in the maximum", |net| {
        pad_pooling(net, (1, 1))
    }),
    ("average_pooling1d_valid", "maximum for average", |net| net.pool().kind = PoolKind::Max),
    ("max_pooling1d_valid", "average for maximum", |net| net.pool().kind = PoolKind::Average),
    ("global_average_pooling1d_alone", "over the channels", |net| net.reduce().axes = vec![2]),
    ("global_average_pooling1d_alone", "the sum for the mean", |net| net.reduce().kind = ReduceKind::Sum),
    ("global_average_pooling1d_alone", "maximum for average", |net| net.reduce().kind = ReduceKind::Max),
    ("global_max_pooling1d_alone", "average for maximum", |net| net.reduce().kind = ReduceKind::Mean),
    ("global_max_pooling1d_alone", "minimum for maximum", |net| net.reduce().kind = ReduceKind::Min),
    ("adaptive_average_pooling1d_overlaps", "windows from the last to the first", |net| {
        net.append_to_output(Reverse { axis: 1 });
    }),
    // Layers of several inputs.
    ("merging_two", "the second less the first", |net| {
        let at = net
            .nodes
            .iter()
            .position(|node| matches!(&node.op, Op::Binary(op) if op.kind == BinaryKind::Sub));
        net.nodes[at.unwrap()].inputs.swap(0, 1);
    }),
    ("merging_two", "the first sum a product", |net| net.binary().kind = BinaryKind::Mul),
    ("merging_two", "minimum for maximum", |net| kind(net, BinaryKind::Max, BinaryKind::Min)),
    ("merging_two", "sum for maximum", |net| kind(net, BinaryKind::Max, BinaryKind::Add)),
    ("merging_three", "the average of three divided by two", |net| {
        let two = net.number(2.0);
        let at = net
            .nodes
            .iter()
            .position(|node| matches!(&node.op, Op::Binary(op) if op.kind == BinaryKind::Div));
        net.nodes[at.unwrap()].inputs[1] = two;
    }),
    ("functional_residual", "the residual is not added", |net| net.bypass("add", 0)),
    ("tcn", "the first residual is not added", |net| net.bypass("add", 0)),
    ("dot_mixed", "the second operand's steps in the other order", |net| {
        net.prepend("mat_mul", 1, Reverse { axis: 1 })
    }),
    ("prelu", "slopes of the next step", |net| {
        let name = net.names("alpha").remove(0);
        net.edit(&name, |alpha| rotate(alpha, 0, 1));
    }),
    ("dropouts", "dropout scales what it keeps", |net| scale(net, "identity", 1.25)),
    ("regularization_every_form", "dropout scales what it keeps", |net| scale(net, "identity", 1.25)),
    // Embeddings and masks.
    ("embedding_int32", "each row is its neighbour's", |net| {
        net.edit("embeddings", |rows| rotate(rows, 0, 1))
    }),
    ("embedding_int32", "rows stored as columns", |net| net.edit("embeddings", |rows| reread(rows, &[1, 0]))),
    ("embedding_mask_mean", "masked steps are added", |net| net.bypass("select", 1)),
    ("embedding_mask_lstm", "mask ignored", |net| {
        net.node("lstm").inputs.pop();
        net.lstm().recurrence.has_mask = false;
    }),
    ("embedding_mask_lstm", "padding at the other end", |net| net.prepend("lstm", 4, Reverse { axis: 1 })),
    ("masks_merged", "both masks are needed", |net| kind(net, BinaryKind::Or, BinaryKind::And)),
    // What the model gives.
    ("merging_two", "two outputs swapped", |net| net.outputs.swap(0, 2)),
    ("recurrent_states", "two outputs swapped", |net| net.outputs.swap(3, 4)),
    ("dense_plain", "examples in the other order", |net| net.append_to_output(Reverse { axis: 0 })),
    ("basic", "examples in the other order", |net| net.append_to_output(Reverse { axis: 0 })),
    ("lstm_last", "examples in the other order", |net| net.append_to_output(Reverse { axis: 0 })),
    ("conv1d_same", "steps in the other order", |net| net.append_to_output(Reverse { axis: 1 })),
    ("conv1d_same", "channels in the other order", |net| net.append_to_output(Reverse { axis: 2 })),
];

/// The target of a reshape that keeps the batch.
fn reshaped(sizes: &[i64]) -> Vec<ReshapeDim> {
    let sizes = sizes.iter().map(|&n| ReshapeDim::Fixed(n));
    [ReshapeDim::Keep].into_iter().chain(sizes).collect()
}

/// Transposes each of `gates` square matrices that lie beside each other.
fn transpose_gates(kernel: &mut Weight, gates: usize) {
    let units = kernel.len_of(Axis(0));
    for gate in 0..gates {
        let mut square = kernel.slice_axis_mut(Axis(1), Slice::from(gate * units..(gate + 1) * units));
        let transposed = square.t().to_owned();
        square.assign(&transposed);
    }
}

/// The elements as they are stored, read as if their axes were stored in the order `permutation`.
fn reread(weight: &mut Weight, permutation: &[usize]) {
    let moved = weight.view().permuted_axes(IxDyn(permutation)).as_standard_layout().into_owned();
    *weight = moved.into_shape_with_order(weight.shape()).unwrap();
}

/// Moves elements along an axis, those from the end to the start.
fn rotate(weight: &mut Weight, axis: usize, by: usize) {
    let (front, back) = weight.view().split_at(Axis(axis), weight.len_of(Axis(axis)) - by);
    *weight = ndarray::concatenate(Axis(axis), &[back, front]).unwrap();
}

/// Makes the first operator of two tensors that is `was` another.
fn kind(net: &mut Net, was: BinaryKind, is: BinaryKind) {
    let Op::Binary(op) = &mut net.node(Binary { kind: was }.name()).op else { unreachable!() };
    op.kind = is;
}

/// Crops a transposed convolution by so much more, and adds so many more steps.
fn spread(net: &mut Net, (before, after): (i64, i64), added: i64) {
    let spread = &mut net.conv_transpose().windows[0];
    let crop = (spread.crop().0 + before, spread.crop().1 + after);
    let padding = spread.output_padding() + added;
    *spread = Spread::new(spread.size(), spread.stride(), spread.dilation(), crop, padding).unwrap();
}

/// Writes the padding of a pooling as zeros before it.
fn pad_pooling(net: &mut Net, amounts: (i64, i64)) {
    let window = &mut net.pool().windows[0];
    *window =
        Window::new(window.size(), window.stride(), window.dilation(), Padding::Explicit(0, 0)).unwrap();
    let name = Op::from(net.pool().clone()).name();
    net.prepend(name, 0, Pad { amounts: vec![(0, 0), amounts, (0, 0)], value: 0.0 });
}

/// Multiplies what a layer that does nothing gives.
fn scale(net: &mut Net, name: &str, factor: f64) {
    let factor = net.number(factor);
    let node = net.node(name);
    node.op = Binary { kind: BinaryKind::Mul }.into();
    node.inputs.push(factor);
}
