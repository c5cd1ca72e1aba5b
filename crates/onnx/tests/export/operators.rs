//! Graphs of every operator in each of its forms.

use crate::net::{Case, Net, VALID, window};
use k2o_core::ops::{
    Binary, BinaryKind, Concat, Identity, Pad, Reduce, ReduceKind, Reshape, ReshapeDim, Softmax, Transpose,
    Unary,
};
use k2o_core::{DType, Operand, Padding};

const RELU: Option<Unary> = Some(Unary::Relu);
const CAUSAL: Padding = Padding::Explicit(4, 0);

pub fn activations() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 9 2");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    let relu =
        |negative_slope, max_value, threshold| Unary::GeneralRelu { negative_slope, max_value, threshold };
    let all = [
        Unary::Relu,
        Unary::LeakyRelu { slope: 0.3 },
        Unary::Clip { min: -0.5, max: 1.5 },
        Unary::Clip { min: f64::NEG_INFINITY, max: 1.0 },
        Unary::Clip { min: -1.0, max: f64::INFINITY },
        relu(0.0, None, 0.0),
        relu(0.2, None, 0.0),
        relu(0.0, Some(1.0), 0.0),
        relu(0.2, Some(1.0), 0.0),
        relu(0.0, None, 0.5),
        relu(0.0, Some(1.0), 0.5),
        relu(0.2, None, -0.5),
        relu(0.2, Some(1.0), 0.5),
        Unary::Elu { alpha: 1.0 },
        Unary::Elu { alpha: 0.7 },
        Unary::Selu,
        Unary::Sigmoid,
        Unary::HardSigmoid { slope: 0.2, offset: 0.5 },
        Unary::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
        Unary::Tanh,
        Unary::Softplus,
        Unary::Softsign,
        Unary::Exp,
        Unary::Silu,
        Unary::HardSilu,
        Unary::Gelu { approximate: false },
        Unary::Gelu { approximate: true },
        Unary::Mish,
    ];
    for (i, function) in all.into_iter().enumerate() {
        let name = format!("{}_{i}", k2o_core::ops::Operator::name(&function));
        let y = net.op(&name, "Activation", function, [y]);
        net.output(&name, y);
    }
    net.done("activations", &[&[3, 9, 2]])
}

pub fn affine() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 8 3");
    let last = net.batch_norm("on_the_input", x);
    net.output("last", last);
    let y = net.conv("conv", x, 4, &[window(3, 1, 1, Padding::Same)], RELU);
    let y = net.batch_norm("between", y);
    net.output("between_out", y);
    let y = net.conv("conv_1", y, 4, &[window(3, 1, 1, Padding::Same)], RELU);
    let y = net.global("max", y, ReduceKind::Max, false);
    let y = net.batch_norm("of_rank_2", y);
    net.output("of_rank_2", y);
    net.done("affine", &[&[2, 8, 3]])
}

pub fn average_pool() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 11 2");
    let steps = net.input("steps", "batch n 2");
    for (name, x) in [("fixed", x), ("symbolic", steps)] {
        let same = net.average_pool(&format!("{name}_same"), x, &[window(2, 2, 1, Padding::Same)]);
        let wide = net.average_pool(&format!("{name}_wide"), x, &[window(4, 3, 1, Padding::Same)]);
        let max = net.max_pool(&format!("{name}_max"), x, &[window(3, 2, 1, Padding::Same)]);
        let both = net.average_pool(&format!("{name}_unit_stride"), x, &[window(3, 1, 1, Padding::Same)]);
        for (part, y) in [("same", same), ("wide", wide), ("max", max), ("both", both)] {
            net.output(&format!("{name}.{part}"), y);
        }
    }
    net.done("average_pool", &[&[2, 11, 2], &[2, 10, 2]])
}

pub fn binary() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 5 2");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    let (channel, element) = (net.weight("channel", &[3]), net.weight("element", &[5, 3]));
    let (step, number) = (net.weight("step", &[5, 1]), net.literal("number", &[], vec![2.5]));
    let (full, one) = (net.weight("full", &[1, 5, 3]), net.literal("one", &[1, 1, 1], vec![-0.5]));
    for (at, (x, c)) in [(x, 2), (y, 3)].into_iter().enumerate() {
        let name = |part: &str| format!("{part}_{at}");
        if c == 3 {
            let z = net.binary(&name("add"), BinaryKind::Add, x, channel);
            let z = net.binary(&name("mul"), BinaryKind::Mul, element, z);
            let z = net.binary(&name("max"), BinaryKind::Max, z, full);
            net.output(&name("by_channel"), z);
        }
        let z = net.binary(&name("sub"), BinaryKind::Sub, step, x);
        let z = net.binary(&name("div"), BinaryKind::Div, z, number);
        let z = net.binary(&name("min"), BinaryKind::Min, z, one);
        net.output(&name("by_step"), z);
    }
    net.done("binary", &[&[2, 5, 2]])
}

pub fn broadcast() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "4 6 3");
    let row = net.input("row", "3");
    let matrix = net.input("matrix", "6 3");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    let y = net.binary("plus_row", BinaryKind::Add, y, row);
    let y = net.conv("conv_1", y, 3, &[window(1, 1, 1, VALID)], None);
    let y = net.binary("times_matrix", BinaryKind::Mul, matrix, y);
    let mean = net.global("mean", y, ReduceKind::Mean, true);
    let y = net.binary("centred", BinaryKind::Sub, y, mean);
    net.output("y", y);
    let full = net.weight("full", &[2, 1, 3]);
    let wide = net.binary("wide", BinaryKind::Add, matrix, full);
    net.output("wide", wide);
    net.done("broadcast", &[&[4, 6, 3], &[3], &[6, 3]])
}

pub fn causal_dilated() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let x = net.conv("conv", x, 5, &[window(3, 1, 2, CAUSAL)], RELU);
    let x = net.conv("conv_1", x, 3, &[window(3, 2, 1, Padding::Explicit(2, 0))], None);
    net.output("y", x);
    net.done("causal_dilated", &[&[2, 13, 2]])
}

pub fn concat() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "2 10 3");
    let a = net.conv("narrow", x, 2, &[window(1, 1, 1, VALID)], RELU);
    let b = net.conv("wide", x, 4, &[window(5, 1, 1, Padding::Same)], RELU);
    let c = net.op("channels", "Concatenate", Concat { axis: 2 }, [a, x, b]);
    let d = net.op("steps", "Concatenate", Concat { axis: 1 }, [c, c]);
    net.output("steps", d);
    let token = net.weight("token", &[2, 1, 3]);
    let e = net.op("token", "Concatenate", Concat { axis: 1 }, [Operand::from(token), x.into()]);
    net.output("with_token", e);
    let e = net.conv("after_token", e, 2, &[window(2, 1, 1, VALID)], None);
    net.output("after_token", e);
    net.done("concat", &[&[2, 10, 3]])
}

pub fn conv_3d() -> Case {
    let mut net = Net::new();
    let x = net.input("volume", "batch 5 6 7 2");
    let x = net.conv("conv3d", x, 3, &[window(2, 1, 1, VALID); 3], RELU);
    let x = net.average_pool("average_pooling3d", x, &[window(2, 2, 1, Padding::Same); 3]);
    let x = net.dense("dense", x, 2, None);
    net.output("dense", x);
    net.done("conv_3d", &[&[1, 5, 6, 7, 2]])
}

pub fn dense_without_bias() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 3");
    let steps = net.input("steps", "batch 4 3");
    let kernel = net.weight("kernel", &[3, 2]);
    for (name, x) in [("matrix", x), ("tensor", steps)] {
        let y = net.op(name, "Dense", k2o_core::ops::Dense, [x.into(), Operand::from(kernel)]);
        net.output(name, y);
    }
    let y = net.conv("conv", steps, 3, &[window(1, 1, 1, VALID)], None);
    let y = net.op("after_conv", "Dense", k2o_core::ops::Dense, [y.into(), Operand::from(kernel)]);
    net.output("after_conv", y);
    net.done("dense_without_bias", &[&[2, 3], &[2, 4, 3]])
}

pub fn grouped() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 9 4");
    let x = net.grouped_conv("grouped", x, 6, &[window(3, 1, 1, VALID)], 2, None);
    let x = net.grouped_conv("depthwise", x, 12, &[window(2, 1, 1, VALID)], 6, None);
    net.output("y", x);
    net.done("grouped", &[&[2, 9, 4]])
}

/// An input that is an output, one value under two names, and layers that do nothing.
pub fn identities() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 4 2");
    let y = net.op("dropout", "Dropout", Identity, [x]);
    let z = net.conv("conv", y, 2, &[window(1, 1, 1, VALID)], None);
    let w = net.op("dropout_1", "Dropout", Identity, [z]);
    for (name, value) in [("x", x), ("dropout", y), ("conv", z), ("again", w), ("conv_relu", z)] {
        net.output(name, value);
    }
    net.done("identities", &[&[2, 4, 2]])
}

pub fn integers() -> Case {
    let mut net = Net::new();
    let x = net.typed_input("ids", "batch 4", DType::I32);
    let y = net.typed_input("long", "batch 3", DType::I64);
    let z = net.op("twice", "Concatenate", Concat { axis: 1 }, [x, x]);
    net.output("twice", z);
    let target = vec![ReshapeDim::Keep, ReshapeDim::Fixed(3), ReshapeDim::Fixed(1)];
    let z = net.op("column", "Reshape", Reshape { target }, [y]);
    net.output("column", z);
    net.done("integers", &[&[2, 4], &[2, 3]])
}

pub fn pad() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let pad = |amounts: &[(i64, i64)], value| Pad { amounts: amounts.to_vec(), value };
    let y = net.op("before", "ZeroPadding1D", pad(&[(0, 0), (2, 1), (0, 0)], 0.0), [x]);
    let y = net.conv("conv", y, 3, &[window(3, 1, 1, VALID)], None);
    let y = net.op("after", "ZeroPadding1D", pad(&[(0, 0), (1, 3), (0, 2)], -1.5), [y]);
    net.output("after", y);
    net.done("pad", &[&[2, 5, 2]])
}

pub fn permute() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 4 5 2");
    let x = net.conv("conv", x, 3, &[window(2, 1, 1, VALID); 2], None);
    let turn = |permutation: &[usize]| Transpose { permutation: permutation.to_vec() };
    let a = net.op("permute", "Permute", turn(&[0, 3, 1, 2]), [x]);
    let b = net.op("permute_1", "Permute", turn(&[0, 2, 1, 3]), [x]);
    let c = net.op("permute_2", "Permute", turn(&[0, 2, 3, 1]), [b]);
    let c = net.op("permute_3", "Permute", turn(&[0, 3, 1, 2]), [c]);
    for (name, value) in [("permute", a), ("permute_1", b), ("permute_3", c)] {
        net.output(name, value);
    }
    let d = net.conv("after", b, 2, &[window(2, 1, 1, VALID); 2], None);
    let d = net.global("mean", d, ReduceKind::Mean, false);
    net.output("mean", d);
    net.done("permute", &[&[2, 4, 5, 2]])
}

pub fn reduce() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 4 5 2");
    let y = net.conv("conv", x, 3, &[window(2, 1, 1, VALID); 2], None);
    let kinds = [ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean];
    for (at, (x, kind)) in [x, y].into_iter().flat_map(|x| kinds.map(|kind| (x, kind))).enumerate() {
        for (i, axes) in [vec![1], vec![3], vec![1, 3], vec![]].into_iter().enumerate() {
            let name = format!("reduce_{at}_{i}");
            let y = net.op(&name, "Reduce", Reduce { kind, axes, keep_dims: (at + i) % 2 == 0 }, [x]);
            net.output(&name, y);
        }
    }
    net.done("reduce", &[&[2, 4, 5, 2]])
}

pub fn reshape() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 40");
    let reshape = |target: &[ReshapeDim]| Reshape { target: target.to_vec() };
    use ReshapeDim::{Fixed, Infer, Keep};
    let x = net.op("reshape", "Reshape", reshape(&[Keep, Fixed(10), Fixed(4)]), [x]);
    let x = net.conv("conv", x, 6, &[window(3, 1, 1, VALID)], None);
    let x = net.op("reshape_1", "Reshape", reshape(&[Keep, Infer, Fixed(3)]), [x]);
    net.output("reshape_1", x);
    net.done("reshape", &[&[2, 40]])
}

pub fn same_stride(symbolic: bool) -> Case {
    let mut net = Net::new();
    let x = net.input("x", if symbolic { "batch steps 3" } else { "batch 14 3" });
    let x = net.conv("conv", x, 4, &[window(3, 2, 1, Padding::Same)], RELU);
    let x = net.max_pool("pool", x, &[window(3, 2, 1, Padding::Same)]);
    let x = net.conv("conv_1", x, 4, &[window(4, 3, 1, Padding::Same)], None);
    net.output("conv_1", x);
    net.done(if symbolic { "same_stride_symbolic" } else { "same_stride_fixed" }, &[&[2, 14, 3]])
}

pub fn softmax() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 4 3");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    for (name, x, axes) in [
        ("channels", y, vec![2]),
        ("steps", y, vec![1]),
        ("both", y, vec![1, 2]),
        ("channels_last", x, vec![2]),
        ("both_last", x, vec![1, 2]),
    ] {
        let y = net.op(name, "Softmax", Softmax::over(axes), [x]);
        net.output(name, y);
    }
    net.done("softmax", &[&[2, 4, 3]])
}

pub fn unsqueeze_and_squeeze() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 12");
    let reshape = |target: &[ReshapeDim]| Reshape { target: target.to_vec() };
    use ReshapeDim::{Fixed, Infer, Keep};
    let y = net.op("steps", "Reshape", reshape(&[Keep, Fixed(12), Fixed(1)]), [x]);
    let y = net.conv("conv", y, 1, &[window(3, 1, 1, VALID)], RELU);
    let y = net.op("vector", "Reshape", reshape(&[Keep, Fixed(10)]), [y]);
    let y = net.dense("dense", y, 3, None);
    net.output("dense", y);
    let y = net.op("row", "Reshape", reshape(&[Keep, Fixed(1), Infer]), [x]);
    net.output("row", y);
    let y = net.op("column", "Reshape", reshape(&[Keep, Infer, Fixed(1)]), [y]);
    net.output("column", y);
    let op = Binary { kind: BinaryKind::Add };
    let y = net.op("sum", "Add", op, [y, y]);
    net.output("sum", y);
    net.done("unsqueeze_and_squeeze", &[&[2, 12]])
}
