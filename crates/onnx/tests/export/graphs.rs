//! Which nodes graphs become, and what everything is called.

use crate::cases;
use crate::decode::{at, decode, op_types, port, text};
use crate::net::{Case, Net, VALID, window};
use crate::operators;
use k2o_core::ops::{Affine, Conv, Reshape, Unary};
use k2o_core::{Operand, Padding};
use k2o_onnx::{ExportOptions, Place, export};

#[track_caller]
fn check(case: &Case, opset: i64, expected: &str) {
    assert_eq!(op_types(case, opset), expected, "{} at opset {opset}", case.name);
}

/// The whole of a model, a line per port, node and initializer.
fn listing(case: &Case) -> Vec<String> {
    let model = decode(case, &at(17));
    let inputs = model.graph.input.iter().map(|info| format!("in  {}", port(info)));
    let nodes = model.graph.node.iter().map(|node| format!("{} \"{}\"", text(node), node.doc_string));
    let weights = model.graph.initializer.iter().map(|tensor| format!("{} {:?}", tensor.name, tensor.dims));
    let outputs = model.graph.output.iter().map(|info| format!("out {}", port(info)));
    inputs.chain(nodes).chain(weights).chain(outputs).collect()
}

#[test]
fn the_basic_network_is_twelve_nodes() {
    let expected = [
        "in  input_layer: 1 [batch, 100, 1]",
        "Transpose conv1d/transpose (input_layer) -> conv1d/transpose perm=[0, 2, 1] \"Conv1D\"",
        "Conv conv1d/conv (conv1d/transpose, conv1d/kernel, conv1d/bias) -> conv1d/conv kernel_shape=[3] \"Conv1D\"",
        "Relu conv1d/relu (conv1d/conv) -> conv1d \"Conv1D\"",
        "MaxPool max_pooling1d/max_pool (conv1d) -> max_pooling1d kernel_shape=[2] strides=[2] \"MaxPooling1D\"",
        "Conv conv1d_1/conv (max_pooling1d, conv1d_1/kernel, conv1d_1/bias) -> conv1d_1/conv kernel_shape=[3] \"Conv1D\"",
        "Relu conv1d_1/relu (conv1d_1/conv) -> conv1d_1 \"Conv1D\"",
        "MaxPool max_pooling1d_1/max_pool (conv1d_1) -> max_pooling1d_1 kernel_shape=[2] strides=[2] \"MaxPooling1D\"",
        "Flatten flatten/flatten (max_pooling1d_1) -> flatten/flatten \"Flatten\"",
        "Gemm dense/gemm (flatten/flatten, dense/kernel, dense/bias) -> dense/gemm \"Dense\"",
        "Relu dense/relu (dense/gemm) -> dense \"Dense\"",
        "Gemm dense_1/gemm (dense, dense_1/kernel, dense_1/bias) -> dense_1/gemm \"Dense\"",
        "Sigmoid dense_1/sigmoid (dense_1/gemm) -> dense_1 \"Dense\"",
        "conv1d/kernel [32, 1, 3]",
        "conv1d/bias [32]",
        "conv1d_1/kernel [64, 32, 3]",
        "conv1d_1/bias [64]",
        "dense/kernel [1472, 128]",
        "dense/bias [128]",
        "dense_1/kernel [128, 1]",
        "dense_1/bias [1]",
        "out dense_1: 1 [batch, 1]",
    ];
    assert_eq!(listing(&cases::basic_cnn()), expected);
}

#[test]
fn batch_normalization_that_cannot_be_folded_is_one_node() {
    let case = cases::advanced_cnn(true);
    let expected = "Transpose Conv Relu BatchNormalization MaxPool Conv Relu BatchNormalization MaxPool \
                    Flatten Gemm Relu Gemm Softmax";
    check(&case, 17, expected);
    let expected = "Transpose Conv Relu BatchNormalization MaxPool Conv Relu BatchNormalization MaxPool \
                    Flatten Gemm Relu BatchNormalization Gemm Softmax";
    check(&cases::advanced_cnn(false), 17, expected);
    let export = export(&case.graph, &case.outline, &at(17)).unwrap();
    let place = |path: &str| {
        let layer = |layer: &&k2o_onnx::LayerName| case.outline.get(layer.call).unwrap().path == path;
        export.layer_names().iter().find(layer).unwrap().place.clone()
    };
    let named = |name: &str| Place::Named { name: name.into(), permutation: Some(vec![0, 2, 1]) };
    assert_eq!(place("conv1d"), named("conv1d"));
    assert_eq!(place("dropout"), named("max_pooling1d"), "dropout is what it reads");
    assert_eq!(place("flatten"), Place::Folded, "flattened in another order");
    assert_eq!(place("batch_normalization_2"), Place::Folded);
    assert_eq!(place("dense_1"), Place::Named { name: "dense_1".into(), permutation: None });
}

#[test]
fn a_layer_that_was_folded_leaves_its_name_to_none() {
    let mut net = Net::new();
    let x = net.input("x", "batch 9 2");
    let y = net.conv("conv1d", x, 3, &[window(3, 1, 1, VALID)], None);
    let y = net.batch_norm("batch_normalization", y);
    net.output("y", y);
    let case = net.done("folded", &[]);
    check(&case, 17, "Transpose Conv Transpose");
    let export = export(&case.graph, &case.outline, &at(17)).unwrap();
    assert_eq!(export.layer_names()[1].place, Place::Folded);
    assert_eq!(export.layer_names()[2].place, Place::Named { name: "y".into(), permutation: None });
    let names: Vec<String> =
        decode(&case, &at(17)).graph.node.iter().map(|node| node.output.concat()).collect();
    assert_eq!(names, ["conv1d/transpose", "conv1d/conv", "y"]);
}

#[test]
fn a_folded_layers_name_is_given_to_nothing_else() {
    let mut net = Net::new();
    let x = net.input("x", "batch 9 2");
    let folded = net.begin("block/conv", "Conv1D", 0);
    net.builder.tap(folded, 0, None);
    let y = net.conv("block", x, 3, &[window(3, 1, 1, VALID)], Some(Unary::Relu));
    net.output("y", y);
    let model = decode(&net.done("folded", &[]), &at(17));
    let text = text(&model.graph.node[1]);
    assert!(
        text.starts_with("Conv block/conv (block/transpose, block/kernel, block/bias) -> block/conv_1 "),
        "{text}"
    );
}

#[test]
fn transpositions_stand_only_where_the_layout_changes() {
    check(&cases::dense_between_convs(), 17, "Transpose Conv Relu Conv Relu Conv Transpose");
    check(&cases::channels_first(), 17, "Conv MaxPool Flatten Gemm");
    check(&cases::dense_only(), 17, "MatMul Add Elu MatMul Add Transpose Conv Transpose");
    let residual = "Transpose Conv Relu Conv Relu BatchNormalization Add Conv Relu BatchNormalization Add Add \
                    ReduceMean Gemm";
    check(&cases::residual(), 17, residual);
    let squeeze_and_excite =
        "Transpose Conv Relu ReduceMean Unsqueeze Conv Relu Conv Sigmoid Mul ReduceMax Conv Mul ReduceMean";
    check(&cases::squeeze_and_excite(), 17, squeeze_and_excite);
    let flat = "Transpose Conv Flatten Relu Mul Add Add Gemm Tanh Gemm";
    check(&cases::flat_in_another_order(), 17, flat);
    check(&cases::flatten_to_output(), 17, "Transpose Conv Transpose Flatten Conv Flatten");
    let reshaped = "Unsqueeze Conv Relu Squeeze Gemm Unsqueeze Reshape Add";
    check(&operators::unsqueeze_and_squeeze(), 17, reshaped);
}

#[test]
fn a_flattening_that_others_than_dense_layers_need_is_in_the_graphs_order() {
    let mut net = Net::new();
    let x = net.input("x", "batch 6 2");
    let x = net.conv("conv", x, 3, &[window(3, 1, 1, VALID)], None);
    let x = net.flatten("flatten", x);
    let x = net.op("relu", "ReLU", Unary::Relu, [x]);
    let y = net.dense("dense", x, 2, None);
    net.output("relu", x);
    net.output("dense", y);
    check(&net.done("flat", &[]), 17, "Transpose Conv Transpose Flatten Relu Gemm");
}

#[test]
fn what_is_there_in_both_layouts_is_read_in_the_one_that_is_needed() {
    let mut net = Net::new();
    let x = net.input("x", "batch 9 2");
    let conv = |net: &mut Net, path: &str, x| net.conv(path, x, 2, &[window(3, 1, 1, VALID)], None);
    let first = conv(&mut net, "conv", x);
    let y = net.op("relu", "ReLU", Unary::Relu, [x]);
    let y = conv(&mut net, "conv_1", y);
    let z = net.op("tanh", "Activation", Unary::Tanh, [x]);
    for (name, value) in [("first", first), ("y", y), ("z", z)] {
        net.output(name, value);
    }
    let case = net.done("both", &[]);
    check(&case, 17, "Transpose Conv Relu Conv Tanh Transpose Transpose");
}

#[test]
fn reductions_have_their_axes_where_the_opset_wants_them() {
    let expected = "Transpose Conv Relu ReduceMean ReduceMax Concat Gemm Softmax";
    let pooled = [
        (17, "(conv1d) -> global_average_pooling1d axes=[2] keepdims=0"),
        (18, "(conv1d, global_average_pooling1d/axes) -> global_average_pooling1d keepdims=0"),
    ];
    for (opset, end) in pooled {
        check(&cases::global_pooling(), opset, expected);
        let model = decode(&cases::global_pooling(), &at(opset));
        assert!(text(&model.graph.node[3]).ends_with(end), "{}", text(&model.graph.node[3]));
    }
    let sum = "ReduceMax Sub Exp ReduceSum Div";
    let all = format!("Transpose Conv Softmax Softmax {sum} Softmax {sum} Transpose Transpose Transpose");
    check(&operators::softmax(), 13, &all);
    check(&operators::softmax(), 23, &all);
}

#[test]
fn same_padding_is_automatic_only_over_unknown_steps() {
    for (symbolic, padding) in [(true, " auto_pad=SAME_UPPER"), (false, " pads=[0, 1]")] {
        let model = decode(&operators::same_stride(symbolic), &at(17));
        let expected = format!("kernel_shape=[3] strides=[2]{padding}");
        assert!(text(&model.graph.node[1]).ends_with(&expected), "{}", text(&model.graph.node[1]));
    }
    let model = decode(&operators::same_stride(true), &at(17));
    assert_eq!(port(&model.graph.input[0]), "x: 1 [batch, steps, 3]");
    assert_eq!(port(&model.graph.output[0]), "conv_1: 1 [batch, (steps + 11) / 12, 4]");
}

#[test]
fn ports_have_their_names_and_never_share_a_tensor() {
    let expected = [
        "in  x: 1 [batch, 4, 2]",
        "Transpose conv/transpose (x) -> conv/transpose perm=[0, 2, 1] \"Conv1D\"",
        "Conv conv/conv (conv/transpose, conv/kernel, conv/bias) -> conv/conv kernel_shape=[1] \"Conv1D\"",
        "Identity identity (x) -> x_1 \"\"",
        "Identity identity_1 (x) -> dropout \"\"",
        "Transpose conv/transpose_1 (conv/conv) -> conv perm=[0, 2, 1] \"Conv1D\"",
        "Identity conv/identity (conv) -> again \"Conv1D\"",
        "Identity conv/identity_1 (conv) -> conv_relu \"Conv1D\"",
        "conv/kernel [2, 2, 1]",
        "conv/bias [2]",
        "out x_1: 1 [batch, 4, 2]",
        "out dropout: 1 [batch, 4, 2]",
        "out conv: 1 [batch, 4, 2]",
        "out again: 1 [batch, 4, 2]",
        "out conv_relu: 1 [batch, 4, 2]",
    ];
    let case = operators::identities();
    assert_eq!(listing(&case), expected);
    let export = export(&case.graph, &case.outline, &at(17)).unwrap();
    assert_eq!(export.input_names(), ["x"]);
    assert_eq!(export.output_names(), ["x_1", "dropout", "conv", "again", "conv_relu"]);
}

#[test]
fn a_second_call_takes_no_other_layers_name_and_shares_the_weights() {
    let model = decode(&cases::shared_layer(), &at(17));
    let nodes: Vec<String> = model.graph.node.iter().map(text).collect();
    assert_eq!(nodes[2], "Relu conv/relu (conv/conv) -> conv");
    assert_eq!(
        nodes[4],
        "Conv conv_2/conv (conv_2/transpose, conv/kernel, conv/bias) -> conv_2/conv kernel_shape=[3]"
    );
    assert_eq!(nodes[6], "Sub conv_1/sub (conv, conv_2) -> conv_1/sub");
    assert_eq!(model.graph.initializer.len(), 2);
}

#[test]
fn a_weight_in_two_layouts_is_there_twice() {
    let model = decode(&operators::dense_without_bias(), &at(17));
    let weights: Vec<String> =
        model.graph.initializer.iter().map(|w| format!("{} {:?}", w.name, w.dims)).collect();
    assert_eq!(weights, ["kernel [3, 2]", "conv/kernel [3, 3, 1]", "conv/bias [3]", "kernel_1 [2, 3, 1]"]);
}

#[test]
fn names_that_are_taken_get_a_suffix() {
    let mut net = Net::new();
    // An output called as a layer that is not it, and layers called as nodes and weights of others.
    let x = net.input("conv/conv", "batch 5 2");
    let x = net.conv("conv", x, 2, &[window(1, 1, 1, VALID)], Some(Unary::Relu));
    let x = net.op("conv/kernel", "ReLU", Unary::Relu, [x]);
    let x = net.op("y", "ReLU", Unary::Tanh, [x]);
    net.output("conv", x);
    let model = decode(&net.done("clashes", &[]), &at(17));
    let mut names: Vec<&str> =
        model.graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
    names.extend(model.graph.initializer.iter().map(|tensor| tensor.name.as_str()));
    let expected = [
        "conv/transpose",
        "conv/conv_1",
        "conv_1",
        "conv/kernel",
        "y/tanh",
        "conv",
        "conv/kernel_1",
        "conv/bias",
    ];
    assert_eq!(names, expected);
}

#[test]
fn taps_are_outputs_of_the_same_nodes() {
    let case = cases::basic_cnn();
    let plain = decode(&case, &at(17));
    let options = ExportOptions::default().with_taps(true);
    let tapped = decode(&case, &options);
    assert_eq!(plain.graph.node, tapped.graph.node);
    let outputs: Vec<String> = tapped.graph.output.iter().map(port).collect();
    let expected = [
        "dense_1: 1 [batch, 1]",
        "conv1d: 1 [batch, 32, 98]",
        "max_pooling1d: 1 [batch, 32, 49]",
        "conv1d_1: 1 [batch, 64, 47]",
        "max_pooling1d_1: 1 [batch, 64, 23]",
        "dense: 1 [batch, 128]",
    ];
    assert_eq!(outputs, expected);
    let export = export(&case.graph, &case.outline, &options).unwrap();
    assert_eq!(export.output_names(), ["dense_1"]);
    let folded = export.layer_names().iter().filter(|layer| layer.place == Place::Folded);
    let folded: Vec<&str> = folded.map(|layer| case.outline.get(layer.call).unwrap().name.as_str()).collect();
    assert_eq!(folded, ["flatten"]);
}

#[test]
fn further_outputs_of_a_layer_are_numbered() {
    let mut net = Net::new();
    let x = net.input("x", "batch 2");
    let call = net.begin("split", "Split", 0);
    let a = net.builder.add(Unary::Relu, [x]).unwrap();
    let b = net.builder.add(Unary::Tanh, [x]).unwrap();
    net.builder.tap(call, 0, Some(a));
    net.builder.tap(call, 1, Some(b));
    let y = net.binary("add", k2o_core::ops::BinaryKind::Add, a, b);
    net.output("add", y);
    let model = decode(&net.done("outputs", &[]), &at(17));
    assert_eq!(text(&model.graph.node[2]), "Add add/add (split, split:1) -> add");
}

#[test]
fn computed_weights_are_moved_by_nodes() {
    let mut net = Net::new();
    let x = net.input("x", "batch 9 2");
    let kernel = net.input("kernel", "3 2 4");
    let scale = net.input("scale", "4");
    let y = net.layer("conv", "Conv1D", |net| {
        let op = Conv { windows: vec![window(3, 2, 1, Padding::Same)], groups: 1 };
        net.builder.add(op, [Operand::from(x), kernel.into()]).unwrap()
    });
    let y = net.op("affine", "Affine", Affine { axis: 2 }, [y, scale, scale]);
    let y = net.op("same", "Reshape", Reshape { target: vec![k2o_core::ops::ReshapeDim::Keep; 3] }, [y]);
    net.output("y", y);
    check(&net.unrewritten("computed", &[]), 17, "Transpose Transpose Conv Transpose Mul Add");
}
