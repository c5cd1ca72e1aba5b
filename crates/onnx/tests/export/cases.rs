//! Graphs that models are made of, and the list of all graphs.

use crate::net::{Case, Net, VALID, window};
use crate::{formulas, moving, operators, recurrent};
use k2o_core::ops::{
    BinaryKind, Concat, Identity, ReduceKind, Reshape, ReshapeDim, Softmax, Transpose, Unary,
};
use k2o_core::{Operand, Padding, ValueId};

const RELU: Option<Unary> = Some(Unary::Relu);

/// Every case: in alphabetical order, then the recurrent ones.
pub fn all() -> Vec<Case> {
    let mut cases = vec![
        operators::activations(),
        advanced_cnn(true),
        advanced_cnn(false),
        operators::affine(),
        operators::average_pool(),
        basic_cnn(),
        operators::binary(),
        operators::broadcast(),
        moving::casts(),
        operators::causal_dilated(),
        channels_first(),
        operators::concat(),
        conv_2d(),
        operators::conv_3d(),
        formulas::conv_transpose(),
        formulas::conv_transpose_3d(),
        dense_between_convs(),
        dense_only(),
        operators::dense_without_bias(),
        flat_in_another_order(),
        flatten_to_output(),
        formulas::functions(),
        formulas::functions_at_their_ends(),
        moving::gather(),
        global_pooling(),
        operators::grouped(),
        operators::identities(),
        operators::integers(),
        formulas::mat_mul(),
        formulas::normalize(),
        formulas::normalized_between_convs(),
        operators::pad(),
        operators::permute(),
        formulas::prelu(),
        operators::reduce(),
        moving::repeat(),
        moving::repeat_vector(),
        moving::repeated_integers(),
        operators::reshape(),
        moving::reshape_like(),
        residual(),
        operators::same_stride(true),
        operators::same_stride(false),
        shared_layer(),
        moving::slice(),
        operators::softmax(),
        formulas::softmax_variants(),
        formulas::sparsemax_over_steps(),
        squeeze_and_excite(),
        symbolic_steps(),
        two_inputs_two_outputs(),
        operators::unsqueeze_and_squeeze(),
    ];
    cases.extend(recurrent::all());
    cases
}

pub fn basic_cnn() -> Case {
    let mut net = Net::new();
    let x = net.input("input_layer", "batch 100 1");
    let x = net.conv("conv1d", x, 32, &[window(3, 1, 1, VALID)], RELU);
    let x = net.max_pool("max_pooling1d", x, &[window(2, 2, 1, VALID)]);
    let x = net.conv("conv1d_1", x, 64, &[window(3, 1, 1, VALID)], RELU);
    let x = net.max_pool("max_pooling1d_1", x, &[window(2, 2, 1, VALID)]);
    let x = net.flatten("flatten", x);
    let x = net.dense("dense", x, 128, RELU);
    let x = net.dense("dense_1", x, 1, Some(Unary::Sigmoid));
    net.output("dense_1", x);
    net.done("basic_cnn", &[&[2, 100, 1]])
}

pub fn advanced_cnn(rewritten: bool) -> Case {
    let mut net = Net::new();
    let mut x = net.input("input_layer", "batch 40 4");
    for (i, filters) in [8, 16].into_iter().enumerate() {
        let suffix = if i == 0 { String::new() } else { format!("_{i}") };
        x = net.conv(&format!("conv1d{suffix}"), x, filters, &[window(3, 1, 1, Padding::Same)], RELU);
        x = net.batch_norm(&format!("batch_normalization{suffix}"), x);
        x = net.max_pool(&format!("max_pooling1d{suffix}"), x, &[window(2, 2, 1, VALID)]);
        x = net.op(&format!("dropout{suffix}"), "Dropout", Identity, [x]);
    }
    let x = net.flatten("flatten", x);
    let x = net.dense("dense", x, 12, RELU);
    let x = net.batch_norm("batch_normalization_2", x);
    let x = net.op("dropout_2", "Dropout", Identity, [x]);
    let x = net.layer("dense_1", "Dense", |net| {
        let kernel = net.weight("dense_1/kernel", &[12, 3]);
        let bias = net.weight("dense_1/bias", &[3]);
        let y =
            net.builder.add(k2o_core::ops::Dense, [x.into(), Operand::from(kernel), bias.into()]).unwrap();
        net.builder.add(Softmax::over([1]), [y]).unwrap()
    });
    net.output("dense_1", x);
    match rewritten {
        true => net.done("advanced_cnn", &[&[2, 40, 4]]),
        false => net.unrewritten("advanced_cnn_as_is", &[&[2, 40, 4]]),
    }
}

pub fn channels_first() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 3 20");
    let to_last = || Transpose { permutation: vec![0, 2, 1] };
    let x = net.layer("conv", "Conv1D", |net| {
        let x = net.builder.add(to_last(), [x]).unwrap();
        let kernel = net.weight("conv/kernel", &[3, 3, 4]);
        let op = k2o_core::ops::Conv { windows: vec![window(3, 2, 1, Padding::Same)], groups: 1 };
        let x = net.builder.add(op, [x.into(), Operand::from(kernel)]).unwrap();
        net.builder.add(to_last(), [x]).unwrap()
    });
    let x = net.layer("pool", "MaxPooling1D", |net| {
        let x = net.builder.add(to_last(), [x]).unwrap();
        let op =
            k2o_core::ops::Pool { kind: k2o_core::ops::PoolKind::Max, windows: vec![window(2, 2, 1, VALID)] };
        let x = net.builder.add(op, [x]).unwrap();
        net.builder.add(to_last(), [x]).unwrap()
    });
    let features = net.flatten("flatten", x);
    let y = net.dense("dense", features, 2, None);
    net.output("pool", x);
    net.output("dense", y);
    net.done("channels_first", &[&[2, 3, 20]])
}

pub fn conv_2d() -> Case {
    let mut net = Net::new();
    let x = net.input("image", "batch 13 12 3");
    let same = window(3, 2, 1, Padding::Same);
    let x = net.conv("conv2d", x, 6, &[same, same], RELU);
    let x = net.max_pool("max_pooling2d", x, &[window(2, 2, 1, VALID), window(3, 1, 1, Padding::Same)]);
    let x = net.dense("dense", x, 5, Some(Unary::Tanh));
    let x = net.conv("conv2d_1", x, 4, &[window(2, 1, 1, VALID), window(3, 1, 2, VALID)], None);
    let y = net.global("global", x, ReduceKind::Mean, false);
    let x = net.flatten("flatten", x);
    let x = net.dense("dense_1", x, 3, None);
    net.output("dense_1", x);
    net.output("global", y);
    net.done("conv_2d", &[&[2, 13, 12, 3]])
}

pub fn dense_between_convs() -> Case {
    let mut net = Net::new();
    let x = net.input("input_layer", "batch 20 3");
    let x = net.conv("conv1d", x, 4, &[window(3, 1, 1, VALID)], RELU);
    let x = net.dense("dense", x, 6, RELU);
    let x = net.conv("conv1d_1", x, 2, &[window(3, 1, 1, VALID)], None);
    net.output("conv1d_1", x);
    net.done("dense_between_convs", &[&[2, 20, 3]])
}

pub fn dense_only() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 3");
    let x = net.dense("dense", x, 4, Some(Unary::Elu { alpha: 1.0 }));
    let y = net.dense("dense_1", x, 2, None);
    net.output("dense_1", y);
    let z = net.conv("conv", x, 2, &[window(2, 1, 1, VALID)], None);
    net.output("conv", z);
    net.done("dense_only", &[&[2, 7, 3]])
}

/// Functions, weights and maps between a flattening and the dense layers that put it in order.
pub fn flat_in_another_order() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 6 2");
    let x = net.conv("conv", x, 3, &[window(3, 1, 1, VALID)], None);
    let x = net.flatten("flatten", x);
    let x = net.op("relu", "ReLU", Unary::Relu, [x]);
    let x = net.batch_norm("batch_normalization", x);
    let offset = net.weight("offset", &[1, 12]);
    let x = net.binary("shifted", BinaryKind::Add, offset, x);
    let a = net.dense("head_a", x, 2, None);
    let x = net.op("tanh", "Activation", Unary::Tanh, [x]);
    let b = net.dense("head_b", x, 3, None);
    net.output("head_a", a);
    net.output("head_b", b);
    net.done("flat_in_another_order", &[&[2, 6, 2]])
}

pub fn flatten_to_output() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let y = net.conv("conv", x, 3, &[window(3, 1, 1, VALID)], None);
    let y = net.flatten("flatten", y);
    net.output("flatten", y);
    let y = net.conv("one_filter", x, 1, &[window(3, 1, 1, VALID)], None);
    let y = net.flatten("in_order", y);
    net.output("in_order", y);
    net.done("flatten_to_output", &[&[2, 6, 2]])
}

pub fn global_pooling() -> Case {
    let mut net = Net::new();
    let x = net.input("input_layer", "batch steps 3");
    let x = net.conv("conv1d", x, 5, &[window(3, 1, 1, VALID)], RELU);
    let a = net.global("global_average_pooling1d", x, ReduceKind::Mean, false);
    let b = net.global("global_max_pooling1d", x, ReduceKind::Max, false);
    let x = net.op("concatenate", "Concatenate", Concat { axis: 1 }, [a, b]);
    let x = net.dense("dense", x, 4, None);
    let x = net.op("softmax", "Softmax", Softmax::over([1]), [x]);
    net.output("softmax", x);
    net.done("global_pooling", &[&[2, 15, 3]])
}

pub fn residual() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 4");
    let mut y = net.conv("stem", x, 4, &[window(3, 1, 1, Padding::Same)], RELU);
    for i in 0..2 {
        let z = net.conv(&format!("conv_{i}"), y, 4, &[window(3, 1, 1, Padding::Same)], RELU);
        let z = net.batch_norm(&format!("norm_{i}"), z);
        y = net.binary(&format!("add_{i}"), BinaryKind::Add, z, y);
    }
    let y = net.binary("add_input", BinaryKind::Add, x, y);
    let y = net.global("pool", y, ReduceKind::Mean, false);
    let y = net.dense("head", y, 2, None);
    net.output("head", y);
    net.done("residual", &[&[3, 9, 4]])
}

/// One layer called twice, beside a layer that is called what its second call would be.
pub fn shared_layer() -> Case {
    let mut net = Net::new();
    let (a, b) = (net.input("a", "batch 6 3"), net.input("b", "batch 6 3"));
    let kernel = net.weight("conv/kernel", &[3, 3, 4]);
    let bias = net.weight("conv/bias", &[4]);
    let op = k2o_core::ops::Conv { windows: vec![window(3, 1, 1, VALID)], groups: 1 };
    let mut parts: Vec<ValueId> = Vec::new();
    for (repetition, x) in [a, b].into_iter().enumerate() {
        let call = net.begin("conv", "Conv1D", repetition);
        let x = net.builder.add(op.clone(), [x.into(), Operand::from(kernel), bias.into()]).unwrap();
        let x = net.builder.add(Unary::Relu, [x]).unwrap();
        net.builder.tap(call, 0, Some(x));
        parts.push(x);
    }
    let x = net.binary("conv_1", BinaryKind::Sub, parts[0], parts[1]);
    net.output("difference", x);
    net.done("shared_layer", &[&[2, 6, 3], &[2, 6, 3]])
}

pub fn squeeze_and_excite() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 3");
    let x = net.conv("conv", x, 8, &[window(3, 1, 1, Padding::Same)], RELU);
    let y = net.global("squeeze", x, ReduceKind::Mean, false);
    let target = vec![ReshapeDim::Keep, ReshapeDim::Fixed(1), ReshapeDim::Fixed(8)];
    let y = net.op("reshape", "Reshape", Reshape { target }, [y]);
    let y = net.dense("reduce", y, 2, RELU);
    let y = net.dense("expand", y, 8, Some(Unary::Sigmoid));
    let y = net.binary("excite", BinaryKind::Mul, x, y);
    let z = net.global("kept", y, ReduceKind::Max, true);
    let z = net.dense("gate", z, 8, None);
    let y = net.binary("gated", BinaryKind::Mul, y, z);
    let y = net.global("pool", y, ReduceKind::Mean, false);
    net.output("pool", y);
    net.done("squeeze_and_excite", &[&[2, 9, 3]])
}

/// Every output dimension is an expression of the input's.
pub fn symbolic_steps() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let x = net.conv("conv", x, 3, &[window(3, 2, 1, VALID)], RELU);
    net.output("steps_by_2", x);
    let y = net.max_pool("pool", x, &[window(3, 2, 1, VALID)]);
    net.output("steps_by_4", y);
    let y = net.op("joined", "Concatenate", Concat { axis: 1 }, [x, y]);
    net.output("joined", y);
    net.done("symbolic_steps", &[&[2, 23, 2]])
}

pub fn two_inputs_two_outputs() -> Case {
    let mut net = Net::new();
    let (a, b) = (net.input("series", "batch steps 2"), net.input("features", "batch 5"));
    let x = net.conv("conv", a, 4, &[window(3, 1, 1, VALID)], RELU);
    let x = net.global("pool", x, ReduceKind::Max, false);
    let y = net.dense("dense", b, 4, RELU);
    let z = net.op("concatenate", "Concatenate", Concat { axis: 1 }, [x, y]);
    let class = net.dense("class", z, 3, None);
    let class = net.op("class_softmax", "Softmax", Softmax::over([1]), [class]);
    let value = net.dense("value", z, 1, None);
    net.output("class_softmax", class);
    net.output("value", value);
    net.done("two_inputs_two_outputs", &[&[2, 9, 2], &[2, 5]])
}
