//! Recurrent operators in both directions, and what reads them.

use crate::decode::{at, decode, text};
use crate::net::{Case, Net, VALID, window};
use crate::recurrent::{Kind, USUAL};
use k2o_core::ops::{BinaryKind, Concat, Recurrence, ReduceKind, Unary};
use k2o_core::{ConstantId, DType, Operand, ValueId};
use k2o_onnx::{ExportOptions, IoLayout, Target, WeightsType};
use onnx_protobuf::ModelProto;

const AHEAD: Recurrence = Recurrence { reverse: false, has_bias: true, has_states: false, has_mask: false };
const BACK: Recurrence = Recurrence { reverse: true, ..AHEAD };

/// A layer of 3 units in both directions, within a call; its outputs ahead and back.
fn both(net: &mut Net, path: &str, kind: Kind, x: ValueId) -> [Vec<ValueId>; 2] {
    let around = net.begin(path, "Bidirectional", 0);
    [("forward", AHEAD), ("backward", BACK)].map(|(name, recurrence)| {
        let child = net.outline.calls.len();
        let outputs = net.recurrent(&format!("{path}/{name}"), kind, (x, 3), USUAL, recurrence, &[]);
        net.outline.calls[child].parent = Some(around);
        outputs
    })
}

fn concat(net: &mut Net, path: &str, axis: usize, [a, b]: [ValueId; 2]) -> ValueId {
    net.op(path, "Concatenate", Concat { axis }, [a, b])
}

fn nodes(case: &Case, options: &ExportOptions) -> Vec<String> {
    decode(case, options).graph.node.iter().map(text).collect()
}

fn op_types(case: &Case, options: &ExportOptions) -> String {
    let model: ModelProto = decode(case, options);
    model.graph.node.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>().join(" ")
}

/// Steps joined, and read as they are.
fn joined(kind: Kind) -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let [ahead, back] = both(&mut net, "bi", kind, x);
    let y = concat(&mut net, "y", 2, [ahead[0], back[0]]);
    net.output("y", y);
    net.done("joined", &[&[2, 4, 2]])
}

#[test]
fn both_directions_are_one_node() {
    let lstm = [
        "Transpose bi/transpose (x) -> bi/transpose perm=[1, 0, 2]",
        "LSTM bi/lstm (bi/transpose, bi/kernel, bi/recurrent_kernel, bi/bias) -> bi/lstm hidden_size=3 \
         direction=bidirectional",
        "Transpose y/transpose (bi/lstm) -> y/transpose perm=[2, 0, 1, 3]",
        "Reshape y/reshape (y/transpose, y/shape) -> y",
    ];
    assert_eq!(nodes(&joined(Kind::Lstm), &at(17)), lstm);
    for (kind, expected) in [
        (
            Kind::Rnn,
            "RNN bi/rnn (bi/transpose, bi/kernel, bi/recurrent_kernel, bi/bias) -> bi/rnn hidden_size=3 \
                     direction=bidirectional",
        ),
        (
            Kind::Gru { reset_after: true },
            "GRU bi/gru (bi/transpose, bi/kernel, bi/recurrent_kernel, bi/bias) -> \
                     bi/gru hidden_size=3 direction=bidirectional linear_before_reset=1",
        ),
    ] {
        assert_eq!(nodes(&joined(kind), &at(17))[1], expected);
    }
}

/// The numbers of a constant of the graph.
fn numbers(case: &Case, name: &str) -> Vec<f32> {
    let constants = case.graph.constants();
    constants.iter().find(|constant| constant.name == name).unwrap().to_f32().unwrap()
}

#[test]
fn the_weights_of_the_directions_follow_each_other() {
    let case = joined(Kind::Lstm);
    let model = decode(&case, &at(17));
    let tensor = |name: &str| model.graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
    let floats = |name: &str| {
        let (chunks, _) = tensor(name).raw_data.as_chunks::<4>();
        chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>()
    };
    assert_eq!(tensor("bi/kernel").dims, [2, 12, 2]);
    assert_eq!(tensor("bi/bias").dims, [2, 24]);
    // Gates of i, f, g, o (3 units each) as i, o, f, g.
    let places: Vec<usize> = [0..3, 9..12, 3..6, 6..9].into_iter().flatten().collect();
    let mut kernels = Vec::new();
    let mut biases = Vec::new();
    for direction in ["forward", "backward"] {
        let kernel = numbers(&case, &format!("bi/{direction}/kernel"));
        kernels.extend(places.iter().flat_map(|place| [kernel[*place], kernel[12 + place]]));
        let bias = numbers(&case, &format!("bi/{direction}/bias"));
        biases.extend(places.iter().map(|place| bias[*place]).chain([0.0; 12]));
    }
    assert_eq!(floats("bi/kernel"), kernels);
    assert_eq!(floats("bi/bias"), biases);
    let narrow = decode(&case, &at(17).with_weights_type(WeightsType::F16));
    let types = |name: &str| narrow.graph.initializer.iter().find(|t| t.name == name).map(|t| t.data_type);
    assert_eq!(["bi/kernel", "bi/recurrent_kernel", "bi/bias"].map(types), [Some(10), Some(10), Some(1)]);
}

#[test]
fn joined_steps_are_left_as_they_are_wanted() {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let [ahead, back] = both(&mut net, "bi", Kind::Lstm, x);
    let y = concat(&mut net, "joined", 2, [ahead[0], back[0]]);
    let [ahead, back] = both(&mut net, "bi_1", Kind::Lstm, y);
    let y = concat(&mut net, "joined_1", 2, [ahead[0], back[0]]);
    let y = net.conv("conv", y, 4, &[window(2, 1, 1, VALID)], None);
    let y = net.global("pool", y, ReduceKind::Max, false);
    net.output("y", y);
    let case = net.done("stacked", &[&[2, 4, 2]]);
    let expected = "Transpose LSTM Transpose Reshape LSTM Transpose Reshape Conv ReduceMax";
    assert_eq!(op_types(&case, &at(17)), expected);
    assert_eq!(op_types(&case, &at(17).with_target(Target::Tract)).matches("LSTM").count(), 2);
    let first = at(17).with_io_layout(IoLayout::ChannelsFirst);
    assert_eq!(op_types(&joined(Kind::Lstm), &first), "Transpose LSTM Transpose Reshape");
}

#[test]
fn sums_and_last_states_are_read_off_the_node() {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let [ahead, back] = both(&mut net, "sum", Kind::Rnn, x);
    let y = net.binary("added", BinaryKind::Add, back[0], Operand::from(ahead[0]));
    net.output("added", y);
    let [ahead, back] = both(&mut net, "last", Kind::Lstm, x);
    let y = concat(&mut net, "states", 1, [ahead[1], back[1]]);
    net.output("states", y);
    let case = net.done("merged", &[&[2, 4, 2]]);
    let expected = "Transpose RNN ReduceSum LSTM Transpose Flatten Transpose";
    assert_eq!(op_types(&case, &at(17)), expected);
}

#[test]
fn a_direction_that_is_read_alone_is_gathered() {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let [ahead, back] = both(&mut net, "bi", Kind::Lstm, x);
    // Joined the other way round, and one of them read once more.
    let y = concat(&mut net, "y", 2, [back[0], ahead[0]]);
    net.output("y", y);
    net.output("state", back[2]);
    let case = net.done("alone", &[&[2, 4, 2]]);
    let nodes = nodes(&case, &at(17));
    let gathers: Vec<&String> = nodes.iter().filter(|node| node.starts_with("Gather")).collect();
    assert_eq!(
        gathers,
        [
            "Gather bi/gather (bi/lstm, bi/direction) -> bi/gather axis=1",
            "Gather bi/gather_1 (bi/lstm, bi/direction_1) -> bi/gather_1 axis=1",
            "Gather bi/gather_2 (bi/lstm_1, bi/direction_1) -> state",
        ]
    );
    assert!(
        nodes[1].ends_with("-> bi/lstm, , bi/lstm_1 hidden_size=3 direction=bidirectional"),
        "{}",
        nodes[1]
    );
}

#[test]
fn what_differs_in_more_than_direction_stays_apart() {
    let relu = [Some(Unary::Relu), Some(Unary::Sigmoid)];
    let masked = Recurrence { has_mask: true, ..AHEAD };
    let rows = [
        (Kind::Lstm, Kind::Lstm, (3, 3), (USUAL, USUAL), (AHEAD, BACK), 1),
        (Kind::Lstm, Kind::Gru { reset_after: false }, (3, 3), (USUAL, USUAL), (AHEAD, BACK), 2),
        (Kind::Lstm, Kind::Lstm, (3, 2), (USUAL, USUAL), (AHEAD, BACK), 2),
        (Kind::Lstm, Kind::Lstm, (3, 3), (USUAL, relu), (AHEAD, BACK), 2),
        (Kind::Lstm, Kind::Lstm, (3, 3), (relu, relu), (AHEAD, BACK), 1),
        (Kind::Lstm, Kind::Lstm, (3, 3), (USUAL, USUAL), (AHEAD, AHEAD), 2),
        (Kind::Lstm, Kind::Lstm, (3, 3), (USUAL, USUAL), (AHEAD, Recurrence { has_bias: false, ..BACK }), 2),
        (Kind::Rnn, Kind::Rnn, (3, 3), (USUAL, USUAL), (masked, Recurrence { reverse: true, ..masked }), 2),
    ];
    for (a, b, units, functions, recurrences, expected) in rows {
        let mut net = Net::new();
        let x = net.input("x", "batch 4 2");
        let mask = net.typed_input("mask", "batch 4", DType::Bool);
        let rest = |recurrence: Recurrence| if recurrence.has_mask { vec![mask] } else { Vec::new() };
        let first = net.recurrent("a", a, (x, units.0), functions.0, recurrences.0, &rest(recurrences.0));
        let second = net.recurrent("b", b, (x, units.1), functions.1, recurrences.1, &rest(recurrences.1));
        let y = concat(&mut net, "y", 2, [first[0], second[0]]);
        net.output("y", y);
        let case = net.done("apart", &[&[2, 4, 2], &[2, 4]]);
        let options = at(17).with_right_padding(true);
        let recurrent = |name: &&str| matches!(*name, "LSTM" | "GRU" | "RNN");
        let found = op_types(&case, &options);
        assert_eq!(found.split(' ').filter(recurrent).count(), expected, "{a:?} {b:?} {units:?}: {found}");
    }
}

#[test]
fn layers_that_have_nothing_in_common_stay_apart() {
    let mut net = Net::new();
    let x = net.input("x", "batch 4 2");
    for (path, recurrence) in [("a", AHEAD), ("b", BACK)] {
        let outputs = net.recurrent(path, Kind::Lstm, (x, 3), USUAL, recurrence, &[]);
        net.output(path, outputs[0]);
    }
    let case = net.done("strangers", &[&[2, 4, 2]]);
    assert_eq!(op_types(&case, &at(17)).matches("LSTM").count(), 2);
}

#[test]
fn shared_weights_in_two_pairs_are_joined_with_their_own_partners() {
    // One forward layer, called with two backward layers' inputs.
    let mut net = Net::new();
    let x = net.input("x", "batch 4 2");
    let mut weight = |name: &str, shape: &[usize]| -> ConstantId { net.weight(name, shape) };
    let weights = ["a", "b", "c"].map(|layer| {
        [weight(&format!("{layer}/kernel"), &[2, 3]), weight(&format!("{layer}/recurrent_kernel"), &[3, 3])]
    });
    let plain = |reverse| Recurrence { reverse, has_bias: false, has_states: false, has_mask: false };
    let run = |net: &mut Net, path: &str, weights: [ConstantId; 2], reverse| {
        net.begin(path, "SimpleRNN", 0);
        let inputs = vec![Operand::from(x), weights[0].into(), weights[1].into()];
        let op = k2o_core::ops::Rnn { activation: Some(Unary::Tanh), recurrence: plain(reverse) };
        net.builder.add_all(op.into(), inputs).unwrap()[0]
    };
    for (name, back) in [("first", weights[1]), ("second", weights[2])] {
        let ahead = run(&mut net, &format!("{name}/a"), weights[0], false);
        let back = run(&mut net, &format!("{name}/b"), back, true);
        let y = concat(&mut net, name, 2, [ahead, back]);
        net.output(name, y);
    }
    let case = net.unrewritten("shared", &[&[2, 4, 2]]);
    let model = decode(&case, &at(17));
    let kernels: Vec<Vec<u8>> = model
        .graph
        .node
        .iter()
        .filter(|node| node.op_type == "RNN")
        .map(|node| {
            let name = &node.input[1];
            model.graph.initializer.iter().find(|tensor| tensor.name == *name).unwrap().raw_data.to_vec()
        })
        .collect();
    assert_eq!(kernels.len(), 2);
    assert_ne!(kernels[0], kernels[1]);
}
