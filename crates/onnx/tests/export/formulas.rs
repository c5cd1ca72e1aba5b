//! Graphs of operators that compute new elements from others.

use crate::net::{Case, Net, VALID, window};
use k2o_core::ops::{
    BinaryKind, ConvTranspose, MatMul, Normalize, NormalizeKind, Operator, Softmax, Sparsemax, Spread,
    Transpose, Unary,
};
use k2o_core::{Operand, ValueId};

fn spread(size: i64, stride: i64, dilation: i64, crop: (i64, i64), output_padding: i64) -> Spread {
    Spread::new(size, stride, dilation, crop, output_padding).unwrap()
}

fn conv_transpose_of(net: &mut Net, path: &str, x: ValueId, windows: &[Spread], bias: bool) -> ValueId {
    let channels = net.builder.type_of(x).shape.last().unwrap().as_usize().unwrap();
    let taps = windows.iter().map(|window| window.size() as usize);
    let shape: Vec<usize> = taps.chain([channels, 5]).collect();
    let mut inputs: Vec<Operand> = vec![x.into(), net.weight(&format!("{path}/kernel"), &shape).into()];
    if bias {
        inputs.push(net.weight(&format!("{path}/bias"), &[5]).into());
    }
    let y = net.op(path, "ConvTranspose", ConvTranspose { windows: windows.to_vec() }, inputs);
    net.output(path, y);
    y
}

pub fn conv_transpose() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 7 3");
    let steps = net.input("steps", "batch steps 3");
    let image = net.input("image", "batch 4 5 2");
    let spreads = [
        spread(3, 1, 1, (0, 0), 0),
        spread(3, 2, 1, (0, 0), 0),
        spread(4, 2, 1, (1, 1), 0),
        spread(3, 2, 1, (0, 1), 0),
        spread(3, 1, 2, (2, 2), 0),
        spread(3, 2, 1, (0, 0), 1),
        spread(3, 2, 1, (1, 1), 1),
        spread(2, 3, 1, (0, 0), 0),
        spread(2, 3, 1, (0, 0), 2),
        spread(1, 1, 1, (0, 0), 0),
        spread(1, 2, 1, (0, 0), 1),
    ];
    for (i, spread) in spreads.into_iter().enumerate() {
        conv_transpose_of(&mut net, &format!("fixed_{i}"), x, &[spread], i % 2 == 0);
        conv_transpose_of(&mut net, &format!("symbolic_{i}"), steps, &[spread], i % 2 == 1);
    }
    let windows = [spread(3, 2, 1, (1, 0), 0), spread(2, 1, 2, (0, 1), 0)];
    let y = conv_transpose_of(&mut net, "image_up", image, &windows, true);
    let y = net.op("relu", "ReLU", Unary::Relu, [y]);
    let y = net.conv("conv", y, 2, &[window(2, 1, 1, VALID); 2], None);
    net.output("conv", y);
    net.done("conv_transpose", &[&[2, 7, 3], &[2, 4, 3], &[2, 4, 5, 2]])
}

pub fn conv_transpose_3d() -> Case {
    let mut net = Net::new();
    let x = net.input("volume", "batch 2 3 2 2");
    conv_transpose_of(&mut net, "up", x, &[spread(2, 2, 1, (0, 0), 0); 3], true);
    net.done("conv_transpose_3d", &[&[1, 2, 3, 2, 2]])
}

/// Every function that is not in `activations`.
pub fn functions() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 9 2");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    let all = [
        Unary::Celu { alpha: 1.0 },
        Unary::Celu { alpha: 0.4 },
        Unary::Celu { alpha: 2.5 },
        Unary::Celu { alpha: -1.5 },
        Unary::LogSigmoid,
        Unary::TanhShrink,
        Unary::HardShrink { threshold: 0.5 },
        Unary::HardShrink { threshold: 1.25 },
        Unary::HardShrink { threshold: -0.5 },
        Unary::SoftShrink { threshold: 0.5 },
        Unary::SoftShrink { threshold: 0.75 },
        Unary::SoftShrink { threshold: 0.0 },
        Unary::Squareplus { b: 4.0 },
        Unary::Squareplus { b: 0.0 },
        Unary::SparsePlus,
        Unary::Threshold { threshold: 0.5, value: 0.0 },
        Unary::Threshold { threshold: -0.5, value: 0.0 },
        Unary::Threshold { threshold: 1.0, value: 0.0 },
        Unary::Threshold { threshold: 0.5, value: -2.0 },
    ];
    for (i, function) in all.into_iter().enumerate() {
        let name = format!("{}_{i}", function.name());
        let z = net.op(&name, "Activation", function, [y]);
        net.output(&name, z);
    }
    let y = net.op("softplus", "Activation", Unary::Softplus, [y]);
    let y = net.op("sqrt", "Sqrt", Unary::Sqrt, [y]);
    net.output("sqrt", y);
    net.done("functions", &[&[3, 9, 2]])
}

/// What lies on a function's steps, and far away.
pub fn functions_at_their_ends() -> Case {
    let mut net = Net::new();
    let numbers = net.input("x", "2");
    let points = [-80.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 80.0];
    let points = net.literal("points", &[9, 1], points.to_vec());
    let zero = net.literal("zero", &[], vec![0.0]);
    let x = net.binary("zeros", BinaryKind::Mul, numbers, zero);
    let x = net.binary("spread", BinaryKind::Add, points, x);
    let all = [
        Unary::Celu { alpha: 0.5 },
        Unary::LogSigmoid,
        Unary::TanhShrink,
        Unary::HardShrink { threshold: 0.5 },
        Unary::SoftShrink { threshold: 0.5 },
        Unary::SparsePlus,
        Unary::Squareplus { b: 4.0 },
        Unary::Threshold { threshold: 0.5, value: 0.0 },
        Unary::Threshold { threshold: 0.5, value: 7.0 },
    ];
    for function in all {
        let name = format!("{}_{}", function.name(), net.outline.calls.len());
        let y = net.op(&name, "Activation", function, [x]);
        net.output(&name, y);
    }
    net.done("functions_at_their_ends", &[&[2]])
}

/// Scaled dot-product attention, and products that broadcast.
pub fn mat_mul() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 4");
    let heads = net.input("heads", "batch 2 steps 4");
    let [q, k, v] = ["query", "key", "value"].map(|name| net.dense(name, x, 3, None));
    let turned = net.op("turned", "Permute", Transpose { permutation: vec![0, 2, 1] }, [k]);
    let scores = net.op("scores", "Dot", MatMul, [q, turned]);
    let weights = net.op("softmax", "Softmax", Softmax::over([2]), [scores]);
    let y = net.op("attended", "Dot", MatMul, [weights, v]);
    net.output("attended", y);
    let y = net.conv("conv", y, 2, &[window(1, 1, 1, VALID)], None);
    let turned = net.op("turned_back", "Permute", Transpose { permutation: vec![0, 2, 1] }, [y]);
    let y = net.op("grams", "Dot", MatMul, [turned, y]);
    net.output("grams", y);
    let matrix = net.weight("matrix", &[2, 4, 3]);
    let y = net.op("by_head", "Dot", MatMul, [heads.into(), Operand::from(matrix)]);
    net.output("by_head", y);
    net.done("mat_mul", &[&[2, 5, 4], &[2, 2, 5, 4]])
}

pub fn normalize() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 4 3");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID); 2], None);
    let kinds = [NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation];
    for (at, x) in [x, y].into_iter().enumerate() {
        for kind in kinds {
            for (axes, sizes) in [(vec![3], vec![3]), (vec![2], vec![4]), (vec![2, 3], vec![4, 3])] {
                for n in 0..3 {
                    let op = Normalize { kind, axes: axes.clone(), epsilon: 1e-3 };
                    let name = format!("{}_{at}_{}_{n}", op.name(), axes.len() * axes[0]);
                    let weights = ["scale", "bias"].map(|role| net.weight(&format!("{name}/{role}"), &sizes));
                    let weights = weights.into_iter().take(n).map(Operand::from);
                    let z = net.op(&name, "Normalization", op, [x.into()].into_iter().chain(weights));
                    net.output(&name, z);
                }
            }
        }
    }
    // Over an axis of unknown size, where no scale can be written.
    let op = Normalize { kind: NormalizeKind::Standard, axes: vec![1], epsilon: 1e-5 };
    let z = net.op("steps", "Normalization", op, [y]);
    net.output("steps", z);
    let scale = net.input("scale", "3");
    for kind in kinds {
        let op = Normalize { kind, axes: vec![3], epsilon: 1e-5 };
        let name = format!("computed_{}", op.name());
        let z = net.op(&name, "Normalization", op, [y, scale, scale]);
        net.output(&name, z);
    }
    net.done("normalize", &[&[2, 5, 4, 3], &[3]])
}

/// A block as in ConvNeXt: convolution, normalization over the channels, and two dense layers beside a shortcut.
pub fn normalized_between_convs() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 4");
    let mut x = net.conv("stem", x, 4, &[window(3, 1, 1, VALID)], None);
    for i in 0..2 {
        let same = window(3, 1, 1, k2o_core::Padding::Same);
        let y = net.grouped_conv(&format!("depthwise_{i}"), x, 4, &[same], 4, None);
        let op = Normalize { kind: NormalizeKind::Standard, axes: vec![2], epsilon: 1e-6 };
        let weights = ["gamma", "beta"].map(|role| net.weight(&format!("norm_{i}/{role}"), &[4]));
        let inputs = [y.into(), Operand::from(weights[0]), weights[1].into()];
        let y = net.op(&format!("norm_{i}"), "LayerNormalization", op, inputs);
        let y = net.dense(&format!("expand_{i}"), y, 8, Some(Unary::Gelu { approximate: false }));
        let y = net.dense(&format!("shrink_{i}"), y, 4, None);
        x = net.binary(&format!("add_{i}"), BinaryKind::Add, x, y);
    }
    net.output("y", x);
    net.done("normalized_between_convs", &[&[2, 8, 4]])
}

pub fn prelu() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 5 4 2");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID); 2], None);
    let vector = net.input("vector", "batch 3");
    let row = net.input("row", "3");
    for (i, shape) in [vec![5, 4, 3], vec![1, 1, 3], vec![3], vec![5, 1, 1], vec![]].into_iter().enumerate() {
        let slope = net.weight(&format!("prelu_{i}/alpha"), &shape);
        let z = net.binary(&format!("prelu_{i}"), BinaryKind::Prelu, y, slope);
        net.output(&format!("prelu_{i}"), z);
    }
    let slope = net.weight("wide/alpha", &[2, 1, 3]);
    let z = net.binary("wide", BinaryKind::Prelu, row, slope);
    net.output("wide", z);
    let z = net.binary("computed", BinaryKind::Prelu, y, row);
    net.output("computed", z);
    let slope = net.weight("of_rank_2/alpha", &[3]);
    let z = net.binary("of_rank_2", BinaryKind::Prelu, vector, slope);
    net.output("of_rank_2", z);
    let slope = net.weight("flat/alpha", &[60]);
    let z = net.flatten("flatten", y);
    let z = net.binary("flat", BinaryKind::Prelu, z, slope);
    let z = net.dense("dense", z, 2, None);
    net.output("dense", z);
    net.done("prelu", &[&[2, 5, 4, 2], &[2, 3], &[3]])
}

pub fn softmax_variants() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 4 3");
    let y = net.conv("conv", x, 5, &[window(1, 1, 1, VALID)], None);
    for (at, x) in [x, y].into_iter().enumerate() {
        for axes in [vec![2], vec![1], vec![1, 2]] {
            let name = format!("log_{at}_{axes:?}");
            let op = Softmax { axes: axes.clone(), log: true };
            let z = net.op(&name, "Activation", op, [x]);
            net.output(&name, z);
            if let [axis] = axes[..] {
                let name = format!("sparse_{at}_{axis}");
                let z = net.op(&name, "Activation", Sparsemax { axis }, [x]);
                net.output(&name, z);
            }
        }
    }
    net.done("softmax_variants", &[&[2, 4, 3]])
}

/// Over an axis of unknown size, which tract 0.23.9 cannot sort.
pub fn sparsemax_over_steps() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 3");
    let y = net.conv("conv", x, 5, &[window(1, 1, 1, VALID)], None);
    for (name, x) in [("last", x), ("second", y)] {
        let z = net.op(name, "Activation", Sparsemax { axis: 1 }, [x]);
        net.output(name, z);
    }
    net.done("sparsemax_over_steps", &[&[2, 6, 3]])
}
