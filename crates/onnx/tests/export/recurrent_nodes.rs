//! The nodes that recurrent operators become, and what is chosen for which runtime.

use crate::cases;
use crate::decode::{at, decode, op_types, text};
use crate::net::{Case, Net, random};
use crate::recurrent::{self, Kind, USUAL, single};
use k2o_core::ops::{Recurrence, Rnn, Scan, Unary};
use k2o_core::{DType, Dim, GraphBuilder, Operand, Shape, TensorType};
use k2o_onnx::{ErrorKind, ExportOptions, Target, export};
use onnx_protobuf::ModelProto;
use std::sync::Arc;

const PLAIN: Recurrence = Recurrence { reverse: false, has_bias: false, has_states: false, has_mask: false };
const MASKED: Recurrence = Recurrence { has_mask: true, ..PLAIN };

fn padded() -> ExportOptions {
    ExportOptions::default().with_right_padding(true)
}

fn tract() -> ExportOptions {
    padded().with_target(Target::Tract)
}

/// The nodes of these types.
fn nodes(case: &Case, options: &ExportOptions, op_types: &[&str]) -> Vec<String> {
    let model = decode(case, options);
    let nodes = model.graph.node.iter().filter(|node| op_types.contains(&node.op_type.as_str()));
    nodes.map(text).collect()
}

fn choices(case: &Case, options: &ExportOptions) -> Vec<String> {
    let export = export(&case.graph, &case.outline, options).unwrap();
    export.choices().iter().map(ToString::to_string).collect()
}

/// The elements of an initializer.
fn floats(model: &ModelProto, name: &str) -> (Vec<i64>, Vec<f32>) {
    let tensor = model.graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
    let (chunks, _) = tensor.raw_data.as_chunks::<4>();
    (tensor.dims.clone(), chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[test]
fn recurrent_operators_are_nodes_of_their_own() {
    let all = Recurrence { reverse: true, has_bias: true, has_states: true, has_mask: false };
    let rows = [
        (
            Kind::Rnn,
            PLAIN,
            "RNN layer/rnn (layer/transpose, layer/kernel, layer/recurrent_kernel) -> \
                            layer/rnn, layer/rnn_1 hidden_size=5",
        ),
        (
            Kind::Gru { reset_after: false },
            Recurrence { has_bias: true, ..PLAIN },
            "GRU layer/gru (layer/transpose, layer/kernel, layer/recurrent_kernel, layer/bias) -> \
          layer/gru, layer/gru_1 hidden_size=5",
        ),
        (
            Kind::Gru { reset_after: true },
            Recurrence { has_states: true, ..PLAIN },
            "GRU layer/gru (layer/transpose, layer/kernel, layer/recurrent_kernel, , , layer/unsqueeze) -> \
          layer/gru, layer/gru_1 hidden_size=5 linear_before_reset=1",
        ),
        (
            Kind::Lstm,
            all,
            "LSTM layer/lstm (layer/transpose, layer/kernel, layer/recurrent_kernel, layer/bias, , \
          layer/unsqueeze, layer/unsqueeze_1) -> layer/lstm, layer/lstm_1, layer/lstm_2 hidden_size=5 \
          direction=reverse",
        ),
    ];
    for (kind, recurrence, expected) in rows {
        let case = single("case", kind, USUAL, recurrence);
        assert_eq!(nodes(&case, &ExportOptions::default(), &["LSTM", "GRU", "RNN"]), [expected]);
        assert!(choices(&case, &ExportOptions::default()).is_empty());
    }
}

#[test]
fn layers_on_top_of_each_other_need_one_transposition() {
    let expected = "Transpose LSTM Squeeze GRU Squeeze LSTM Squeeze";
    assert_eq!(op_types(&recurrent::stacked(), 17), expected);
    let last = nodes(&recurrent::stacked(), &ExportOptions::default(), &["LSTM"]).remove(1);
    assert!(last.contains(" -> , c/lstm hidden_size=2"), "{last}");
}

#[test]
fn gates_stand_in_the_order_of_the_node() {
    let biased = Recurrence { has_bias: true, ..PLAIN };
    let orders = [
        (Kind::Lstm, vec![0, 3, 1, 2]),
        (Kind::Gru { reset_after: false }, vec![0, 1, 2]),
        (Kind::Gru { reset_after: true }, vec![0, 1, 2]),
        (Kind::Rnn, vec![0]),
    ];
    for (kind, order) in orders {
        let case = single("case", kind, USUAL, biased);
        let model = decode(&case, &ExportOptions::default());
        let columns = 5 * order.len();
        let mut state = 0;
        for (name, rows) in [("layer/kernel", 3), ("layer/recurrent_kernel", 5)] {
            let weights = random(&mut state, rows * columns);
            let (dims, elements) = floats(&model, name);
            assert_eq!(dims, [1, columns as i64, rows as i64], "{kind:?}");
            let column = |at: usize| order[at / 5] * 5 + at % 5;
            let expected = (0..columns).flat_map(|at| (0..rows).map(move |row| (row, at)));
            let expected: Vec<f32> =
                expected.map(|(row, at)| weights[row * columns + column(at)] as f32).collect();
            assert_eq!(elements, expected, "{kind:?} {name}");
        }
        let (dims, elements) = floats(&model, "layer/bias");
        assert_eq!(dims, [1, 2 * columns as i64]);
        let after = kind == Kind::Gru { reset_after: true };
        let bias = random(&mut state, if after { 2 * columns } else { columns });
        let outer = (0..columns).map(|at| bias[order[at / 5] * 5 + at % 5] as f32);
        let inner = (0..columns).map(|at| if after { bias[columns + at] as f32 } else { 0.0 });
        assert_eq!(elements, outer.chain(inner).collect::<Vec<f32>>(), "{kind:?}");
    }
}

#[test]
fn a_layer_that_is_called_twice_has_its_weights_once() {
    let model = decode(&recurrent::shared(), &ExportOptions::default());
    let weights = model.graph.initializer.iter().filter(|tensor| tensor.data_type == 1);
    let names: Vec<&str> = weights.map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["lstm/kernel", "lstm/recurrent_kernel", "lstm/bias"]);
}

#[test]
fn activations_are_named_where_they_are_not_assumed() {
    let elu = Some(Unary::Elu { alpha: 0.5 });
    let hard = Some(Unary::HardSigmoid { slope: 0.25, offset: 0.5 });
    let leaky = Some(Unary::LeakyRelu { slope: 0.125 });
    let rows = [
        (Kind::Lstm, USUAL, ""),
        (
            Kind::Lstm,
            [USUAL[0], hard],
            " activations=[HardSigmoid, Tanh, Tanh] activation_alpha=[0.25] \
                                         activation_beta=[0.5]",
        ),
        (
            Kind::Lstm,
            [elu, hard],
            " activations=[HardSigmoid, Elu, Elu] activation_alpha=[0.25, 0.5, 0.5] \
                                    activation_beta=[0.5]",
        ),
        (
            Kind::Gru { reset_after: false },
            [leaky, USUAL[1]],
            " activations=[Sigmoid, LeakyRelu] activation_alpha=[0.125]",
        ),
        (Kind::Rnn, [Some(Unary::Relu), None], " activations=[Relu]"),
        (Kind::Rnn, [None, None], " activations=[Affine] activation_alpha=[1.0] activation_beta=[0.0]"),
    ];
    for (kind, functions, expected) in rows {
        let case = single("case", kind, functions, PLAIN);
        let node = nodes(&case, &ExportOptions::default(), &["LSTM", "GRU", "RNN"]).remove(0);
        let (_, attributes) = node.split_once("hidden_size=5").unwrap();
        assert_eq!(attributes, expected);
    }
}

#[test]
fn what_no_node_computes_is_a_scan_and_said_once() {
    let hard = [USUAL[0], Some(Unary::HardSigmoid { slope: 0.2, offset: 0.5 })];
    let selu = [Some(Unary::Selu), USUAL[1]];
    let softplus = [Some(Unary::Softplus), USUAL[1]];
    let reverse = Recurrence { reverse: true, ..PLAIN };
    let stateful = Recurrence { has_states: true, ..MASKED };
    let default = ExportOptions::default();
    let rows = [
        (USUAL, PLAIN, tract(), None),
        (hard, PLAIN, default.clone(), None),
        (hard, PLAIN, default.clone().with_target(Target::OnnxRuntime), None),
        (hard, PLAIN, tract(), Some("as Scan (tract ignores `activations`)")),
        (USUAL, reverse, tract(), Some("as Scan (tract ignores `direction`)")),
        (USUAL, MASKED, tract(), Some("as Scan (tract has no `sequence_lens`)")),
        (USUAL, MASKED, default.clone(), Some("as Scan (its mask may leave out any step)")),
        (USUAL, MASKED, padded(), Some("with sequence_lens (masks assumed right-padded)")),
        (USUAL, stateful, padded(), Some("as Scan (an empty sequence keeps its states)")),
        (selu, PLAIN, default.clone(), Some("as Scan (ONNX has no such activation)")),
        (softplus, PLAIN, default, Some("as Scan (onnxruntime overflows in its `Softplus`)")),
    ];
    for ((functions, recurrence, options, expected), kind) in
        rows.iter().flat_map(|row| Kind::ALL.map(|kind| (row, kind)))
    {
        // Of an RNN only the first function is.
        if kind == Kind::Rnn && *functions == hard {
            continue;
        }
        let (name, node) = match kind {
            Kind::Gru { .. } => ("gru", "GRU"),
            Kind::Lstm => ("lstm", "LSTM"),
            Kind::Rnn => ("rnn", "RNN"),
        };
        let case = single("case", kind, *functions, *recurrence);
        let expected = match (kind, expected) {
            (Kind::Gru { .. }, None) if options.target == Some(Target::Tract) => {
                Some("as Scan (tract fails on some inputs)")
            }
            (Kind::Lstm, None) if options.target == Some(Target::Tract) => {
                Some("as Scan (tract fails where steps and states are read)")
            }
            _ => *expected,
        };
        let expected_choices: Vec<String> =
            expected.iter().map(|choice| format!("{name} {choice}")).collect();
        assert_eq!(choices(&case, options), expected_choices);
        let scans = expected.is_some_and(|choice| choice.starts_with("as Scan"));
        let found = nodes(&case, options, &["Scan", "LSTM", "GRU", "RNN"]);
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert!(found.starts_with(if scans { "Scan" } else { node }), "{found}");
    }
    let both = recurrent::stacked();
    assert_eq!(choices(&both, &tract()), ["gru as Scan (tract ignores `direction`)"]);
}

#[test]
fn lengths_come_from_the_mask_and_padded_steps_keep_the_last_state() {
    let case = single("case", Kind::Rnn, USUAL, MASKED);
    let kinds = ["Cast", "ReduceSum", "RNN", "Unsqueeze", "Where"];
    let expected = [
        "Cast mask/cast (lengths) -> mask/cast to=1",
        "Cast layer/cast (layer/transpose_1) -> layer/cast to=6",
        "ReduceSum layer/reduce_sum (layer/cast, layer/axes) -> layer/reduce_sum keepdims=0",
        "RNN layer/rnn (layer/transpose, layer/kernel, layer/recurrent_kernel, , layer/reduce_sum) -> \
         layer/rnn, layer/rnn_1 hidden_size=5",
        "Unsqueeze layer/unsqueeze (layer/transpose_1, layer/axes_2) -> layer/unsqueeze",
        "Where layer/where (layer/unsqueeze, layer/squeeze, layer/rnn_1) -> layer/where",
    ];
    assert_eq!(nodes(&case, &padded(), &kinds), expected);
    let steps = nodes(&recurrent::one_masked_output("case", 0), &padded(), &["LSTM", "Where"]);
    assert!(steps[0].contains(" -> layer/lstm, layer/lstm_1 hidden_size=5"), "{}", steps[0]);
    assert_eq!(steps[1], expected[5].replace("rnn", "lstm"));
    let state = nodes(&recurrent::one_masked_output("case", 2), &padded(), &["LSTM", "Where"]);
    assert_eq!(state.len(), 1);
    assert!(state[0].contains("layer/reduce_sum) -> , , layer/lstm hidden_size=5"), "{}", state[0]);
    // Steps that come first when run backwards leave the zeros that they find.
    let case = single("case", Kind::Rnn, USUAL, Recurrence { reverse: true, ..MASKED });
    assert!(nodes(&case, &padded(), &["Where"]).is_empty());
}

#[test]
fn a_scan_reads_weights_and_tensors_around_it_by_name() {
    let body = "body={(scan/h, scan/n, scan/x, scan/other) -> \
                (scan/tanh, scan/identity, scan/identity_1, scan/identity_2): \
                Gemm scan/gemm (scan/x, scan/weight) -> scan/gemm; \
                Add scan/add (scan/gemm, scan/h) -> scan/add; \
                Add scan/add_1 (scan/add, scan/other) -> scan/add_1; \
                Add scan/add_2 (scan/add_1, around) -> scan/add_2; \
                Tanh scan/tanh (scan/add_2) -> scan/tanh; \
                Identity scan/identity (scan/n) -> scan/identity; \
                Identity scan/identity_1 (scan/tanh) -> scan/identity_1; \
                Identity scan/identity_2 (scan/n) -> scan/identity_2}";
    let start = "Scan scan/scan (h, n, x, other) -> output_0, output_1, output_2, output_4 num_scan_inputs=2";
    for (reverse, axes) in [
        (false, "scan_input_axes=[1, 1] scan_output_axes=[1, 1]"),
        (
            true,
            "scan_input_axes=[1, 1] scan_input_directions=[1, 1] scan_output_axes=[1, 1] \
                scan_output_directions=[1, 1]",
        ),
    ] {
        let case = recurrent::scan("case", reverse);
        assert_eq!(nodes(&case, &ExportOptions::default(), &["Scan"]), [format!("{start} {axes} {body}")]);
    }
}

#[test]
fn an_operator_inside_of_a_scan_that_is_no_node_is_refused() {
    let nested = |reverse| {
        let mut body = GraphBuilder::new();
        let tensor = |dims: &[i64]| {
            let dims = dims.iter().map(|&n| if n == 0 { Dim::symbol("batch") } else { Dim::fixed(n) });
            TensorType::new(Shape::new(dims.collect::<Vec<_>>()), DType::F32)
        };
        let inputs = [("x", vec![0, 5, 3]), ("kernel", vec![3, 2]), ("recurrent_kernel", vec![2, 2])];
        let inputs = inputs.map(|(name, dims)| body.input(name, tensor(&dims)).unwrap());
        let rnn = Rnn { activation: USUAL[0], recurrence: Recurrence { reverse, ..PLAIN } };
        let outputs = body.add_all(rnn.into(), inputs.map(Operand::from).to_vec()).unwrap();
        body.output("h", outputs[1]);
        let scan = Scan { body: Arc::new(body.finish()), states: 0, sequences: 1, reverse: false };
        let mut net = Net::new();
        let x = net.input("x", "batch steps 5 3");
        let kernel = net.weight("scan/kernel", &[3, 2]);
        let recurrent = net.weight("scan/recurrent_kernel", &[2, 2]);
        let y = net.op("scan", "TimeDistributed", scan, [x.into(), Operand::from(kernel), recurrent.into()]);
        net.output("y", y);
        net.done("nested", &[&[2, 4, 5, 3]])
    };
    let inner = nodes(&nested(false), &tract(), &["Scan"]).remove(0);
    assert!(inner.contains("RNN scan/rnn (scan/transpose, scan/kernel, scan/recurrent_kernel"), "{inner}");
    let case = nested(true);
    assert!(decode(&case, &padded()).graph.node[0].op_type == "Scan");
    let error = export(&case.graph, &case.outline, &tract()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.message(), "rnn inside of a scan: tract ignores `direction`");
}

#[test]
fn tract_is_given_the_states_of_a_batch_of_unknown_size() {
    for (dims, expected) in [("batch 6 3", true), ("4 6 3", false)] {
        let name = format!("lstm_output_1_forth_{}", dims.replace(' ', "_"));
        let case = recurrent::one_output().into_iter().find(|case| case.name == name).unwrap();
        let node = nodes(&case, &tract(), &["LSTM"]).remove(0);
        assert_eq!(node.contains("layer/bias, , layer/expand, layer/expand)"), expected, "{node}");
    }
}

#[test]
fn nothing_is_written_as_a_loop() {
    for (case, options) in
        cases::all().iter().flat_map(|case| [padded(), tract(), at(13)].map(|options| (case, options)))
    {
        assert!(nodes(case, &options, &["Loop", "If"]).is_empty(), "{}", case.name);
    }
}

#[test]
fn comparisons_choices_and_values_are_nodes_of_onnx() {
    let expected = "Equal Where Not Where Less Where LessOrEqual Where Greater Where GreaterOrEqual Where \
                    And Or Cast Cast Less Slice Slice Shape Shape Concat Expand Expand";
    assert_eq!(op_types(&recurrent::choices(), 17), expected);
    let reversed = nodes(&recurrent::choices(), &at(17), &["Slice"]).remove(0);
    let inputs = "x, reversed/starts, reversed/ends, reversed/axes, reversed/steps";
    assert_eq!(reversed, format!("Slice reversed/slice ({inputs}) -> reversed"));
}
