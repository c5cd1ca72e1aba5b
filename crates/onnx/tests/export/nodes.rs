//! Which nodes single operators become.

use crate::decode::{at, decode, op_types, text};
use crate::net::{Case, Net, VALID, window};
use crate::{formulas, moving};
use k2o_core::ops::{
    BinaryKind, Cast, ConvTranspose, Gather, MatMul, Normalize, NormalizeKind, Repeat, Reshape, ReshapeDim,
    Slice, Softmax, Sparsemax, Spread, Unary,
};
use k2o_core::{DType, Op, Operand};
use onnx_protobuf::NodeProto;

/// The nodes of a graph without their names, which are made of their outputs'.
fn nodes(case: &Case, opset: i64) -> String {
    let node = |node: &NodeProto| text(node).replacen(&format!(" {} ", node.name), " ", 1);
    decode(case, &at(opset)).graph.node.iter().map(node).collect::<Vec<_>>().join("; ")
}

/// A graph of one operator `f` on inputs `x` and `y` of these sizes, and then on weights `a` and `b`.
fn single(op: impl Into<Op>, inputs: &[&str], weights: &[&[usize]]) -> Case {
    let mut net = Net::new();
    let mut operands: Vec<Operand> = Vec::new();
    for (name, dims) in ["x", "y"].iter().zip(inputs) {
        operands.push(net.input(name, dims).into());
    }
    for (name, shape) in ["a", "b"].iter().zip(weights) {
        operands.push(net.weight(name, shape).into());
    }
    let y = net.op("f", "Layer", op, operands);
    net.output("f", y);
    net.done("single", &[])
}

fn function(function: Unary, opset: i64) -> String {
    nodes(&single(function, &["batch 2"], &[]), opset)
}

/// The elements of an initializer of 64-bit integers.
#[track_caller]
fn ints(case: &Case, name: &str) -> Vec<i64> {
    let model = decode(case, &at(17));
    let tensor = model.graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
    let (chunks, _) = tensor.raw_data.as_chunks::<8>();
    chunks.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

#[test]
fn functions_are_one_node_from_the_opset_that_has_them() {
    assert_eq!(function(Unary::Gelu { approximate: true }, 20), "Gelu (x) -> f approximate=tanh");
    assert_eq!(function(Unary::Gelu { approximate: false }, 20), "Gelu (x) -> f");
    assert_eq!(function(Unary::Gelu { approximate: false }, 19).matches(';').count(), 4);
    assert_eq!(function(Unary::Mish, 18), "Mish (x) -> f");
    let mish = "Softplus (x) -> f/softplus; Tanh (f/softplus) -> f/tanh; Mul (x, f/tanh) -> f";
    assert_eq!(function(Unary::Mish, 17), mish);
    assert_eq!(function(Unary::HardSilu, 14), "HardSwish (x) -> f");
    let hard = "HardSigmoid (x) -> f/hard_sigmoid alpha=0.16666667; Mul (x, f/hard_sigmoid) -> f";
    assert_eq!(function(Unary::HardSilu, 13), hard);
    assert_eq!(function(Unary::Silu, 23), "Sigmoid (x) -> f/sigmoid; Mul (x, f/sigmoid) -> f");
    assert_eq!(function(Unary::Clip { min: f64::NEG_INFINITY, max: 6.0 }, 17), "Clip (x, , f/max) -> f");
    assert_eq!(function(Unary::Clip { min: 0.0, max: f64::INFINITY }, 17), "Clip (x, f/min) -> f");
    let relu = |negative_slope, max_value, threshold| {
        function(Unary::GeneralRelu { negative_slope, max_value, threshold }, 17)
    };
    assert_eq!(relu(0.0, None, 0.0), "Relu (x) -> f");
    assert_eq!(relu(0.25, None, 0.0), "LeakyRelu (x) -> f alpha=0.25");
    assert_eq!(relu(0.0, Some(6.0), 0.0), "Clip (x, f/min, f/max) -> f");
    assert_eq!(relu(0.0, None, 1.0), "ThresholdedRelu (x) -> f alpha=1");
    let leaky = "ThresholdedRelu (x) -> f/thresholded_relu alpha=1; Min (x, f/threshold) -> f/min; \
                 Sub (f/min, f/threshold) -> f/sub; Mul (f/sub, f/negative_slope) -> f/mul; \
                 Add (f/thresholded_relu, f/mul) -> f";
    assert_eq!(relu(0.25, None, 1.0), leaky);
}

#[test]
fn functions_without_an_operator_are_a_few_nodes() {
    let celu = "Div (x, f/alpha) -> f/div; Elu (f/div) -> f/elu; Mul (f/elu, f/alpha) -> f";
    assert_eq!(function(Unary::Celu { alpha: 0.5 }, 17), celu);
    assert_eq!(function(Unary::Celu { alpha: 1.0 }, 17), "Elu (x) -> f");
    assert_eq!(function(Unary::Celu { alpha: -1.0 }, 17).matches(';').count(), 6);
    let log_sigmoid = "Neg (x) -> f/neg; Softplus (f/neg) -> f/softplus; Neg (f/softplus) -> f";
    assert_eq!(function(Unary::LogSigmoid, 17), log_sigmoid);
    assert_eq!(function(Unary::TanhShrink, 17), "Tanh (x) -> f/tanh; Sub (x, f/tanh) -> f");
    assert_eq!(function(Unary::HardShrink { threshold: 0.5 }, 17), "Shrink (x) -> f");
    assert_eq!(function(Unary::HardShrink { threshold: 2.0 }, 17), "Shrink (x) -> f lambd=2");
    assert_eq!(function(Unary::SoftShrink { threshold: 0.5 }, 17), "Shrink (x) -> f bias=0.5");
    let parabola = "HardSigmoid (x) -> f/hard_sigmoid alpha=0.5; \
                    Mul (f/hard_sigmoid, f/hard_sigmoid) -> f/mul; Max (x, f/mul) -> f";
    assert_eq!(function(Unary::SparsePlus, 17), parabola);
    let squareplus = "Mul (x, x) -> f/mul; Add (f/mul, f/b) -> f/add; Sqrt (f/add) -> f/sqrt; \
                      Add (x, f/sqrt) -> f/add_1; Mul (f/add_1, f/half) -> f";
    assert_eq!(function(Unary::Squareplus { b: 4.0 }, 17), squareplus);
    assert_eq!(
        function(Unary::Threshold { threshold: 0.5, value: 0.0 }, 17),
        "ThresholdedRelu (x) -> f alpha=0.5"
    );
    let threshold = "Greater (x, f/threshold) -> f/greater; Where (f/greater, x, f/value) -> f";
    assert_eq!(function(Unary::Threshold { threshold: 0.5, value: 1.0 }, 17), threshold);
    assert_eq!(function(Unary::Sqrt, 17), "Sqrt (x) -> f");
}

#[test]
fn simple_operators_are_one_node() {
    assert_eq!(nodes(&single(MatMul, &["batch 2 3", "batch 3 4"], &[]), 17), "MatMul (x, y) -> f");
    assert_eq!(nodes(&single(Cast { to: DType::Bool }, &["batch"], &[]), 17), "Cast (x) -> f to=9");
    assert_eq!(nodes(&single(Cast { to: DType::F32 }, &["batch"], &[]), 17), "Identity (x) -> f");
    let log = |axes: &[usize]| Softmax { axes: axes.to_vec(), log: true };
    assert_eq!(nodes(&single(log(&[1]), &["batch 2 3"], &[]), 17), "LogSoftmax (x) -> f axis=1");
    let both = op_types(&single(log(&[1, 2]), &["batch 2 3"], &[]), 17);
    assert_eq!(both, "ReduceMax Sub Exp ReduceSum Log Sub");
    let sparsemax = "TopK CumSum Sub Div Greater Cast ReduceSum Mul ReduceSum Sub Div Sub Relu";
    assert_eq!(op_types(&single(Sparsemax { axis: 1 }, &["batch 3"], &[]), 17), sparsemax);
}

#[test]
fn indices_pick_along_any_axis() {
    for (axis, expected) in [(0, "Gather (x, ids) -> f"), (1, "Gather (x, ids) -> f axis=1")] {
        let mut net = Net::new();
        let x = net.input("x", "batch 4");
        let ids = net.typed_input("ids", "n", DType::I32);
        let y = net.op("f", "Take", Gather { axis }, [x, ids]);
        net.output("f", y);
        assert_eq!(nodes(&net.done("gather", &[]), 17), expected);
    }
}

#[test]
fn the_ends_of_a_slice_are_counted_from_the_last() {
    for (before, after, ends) in [(2, 0, i64::MAX), (0, 3, -3), (1, 1, -1)] {
        let case = single(Slice { axis: 1, before, after }, &["batch steps 2"], &[]);
        assert_eq!(nodes(&case, 17), "Slice (x, f/starts, f/ends, f/axes) -> f");
        let parts = ["f/starts", "f/ends", "f/axes"].map(|name| ints(&case, name));
        assert_eq!(parts, [vec![before], vec![ends], vec![1]]);
    }
}

#[test]
fn transposed_convolutions_say_only_what_is_not_assumed() {
    let node = |size, stride, dilation, crop, added| {
        let spread = Spread::new(size, stride, dilation, crop, added).unwrap();
        let op = ConvTranspose { windows: vec![spread] };
        let nodes = nodes(&single(op, &["batch steps 2"], &[&[size as usize, 2, 3], &[3]]), 17);
        nodes.split("; ").nth(1).unwrap().to_string()
    };
    let start = "ConvTranspose (f/transpose, a, b) -> f/conv_transpose";
    assert_eq!(node(3, 1, 1, (0, 0), 0), format!("{start} kernel_shape=[3]"));
    let all = "kernel_shape=[3] strides=[4] dilations=[2] pads=[1, 0] output_padding=[3]";
    assert_eq!(node(3, 4, 2, (1, 0), 3), format!("{start} {all}"));
    // What is cropped at the end and then added again.
    assert_eq!(node(3, 2, 1, (0, 1), 1), format!("{start} kernel_shape=[3] strides=[2]"));
    assert_eq!(node(3, 2, 1, (1, 2), 1), format!("{start} kernel_shape=[3] strides=[2] pads=[1, 1]"));
}

#[test]
fn a_normalization_is_one_node_from_the_opset_that_has_it() {
    let normalize = |kind, axes: &[usize]| Normalize { kind, axes: axes.to_vec(), epsilon: 1e-3 };
    let weights: [&[usize]; 2] = [&[4], &[4]];
    let standard = single(normalize(NormalizeKind::Standard, &[2]), &["batch 3 4"], &weights);
    assert_eq!(nodes(&standard, 17), "LayerNormalization (x, a, b) -> f epsilon=0.001");
    assert_eq!(op_types(&standard, 16), "ReduceMean Sub Mul ReduceMean Add Sqrt Div Mul Add");
    let plain = single(normalize(NormalizeKind::Standard, &[1, 2]), &["batch 3 4"], &[]);
    assert_eq!(nodes(&plain, 17), "LayerNormalization (x, f/scale) -> f axis=1 epsilon=0.001");
    let unknown = single(normalize(NormalizeKind::Standard, &[1]), &["batch steps"], &[]);
    assert_eq!(op_types(&unknown, 17), "ReduceMean Sub Mul ReduceMean Add Sqrt Div");
    let inner = single(normalize(NormalizeKind::Standard, &[1]), &["batch 4 3"], &weights);
    assert_eq!(op_types(&inner, 17), "Transpose LayerNormalization Transpose");
    assert_eq!(op_types(&inner, 16), "ReduceMean Sub Mul ReduceMean Add Sqrt Div Mul Add");
    let rms = single(normalize(NormalizeKind::RootMeanSquare, &[2]), &["batch 3 4"], &weights[..1]);
    assert_eq!(nodes(&rms, 23), "RMSNormalization (x, a) -> f epsilon=0.001");
    assert_eq!(op_types(&rms, 22), "Mul ReduceMean Add Sqrt Div Mul");
    let deviation = single(normalize(NormalizeKind::Deviation, &[2]), &["batch 3 4"], &weights[..1]);
    assert_eq!(op_types(&deviation, 23), "ReduceMean Sub Mul ReduceMean Add Sqrt Div Mul");
    let mut net = Net::new();
    let x = net.input("x", "batch 5 3 2");
    let x = net.conv("conv", x, 2, &[window(1, 1, 1, VALID); 2], None);
    let y = net.op("f", "LayerNormalization", normalize(NormalizeKind::Standard, &[2, 3]), [x]);
    net.output("f", y);
    let both = net.done("both", &[]);
    assert_eq!(op_types(&both, 17), "Transpose Conv Transpose LayerNormalization");
    let block = "Conv Transpose LayerNormalization MatMul Add Gelu MatMul Add Transpose Add";
    let expected = format!("Transpose Conv {block} {block}");
    assert_eq!(op_types(&formulas::normalized_between_convs(), 20), expected);
}

#[test]
fn outputs_of_several_merges_share_what_is_transposed_for_them() {
    let mut net = Net::new();
    let x = net.input("x", "batch 5 3");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    for (name, kind) in [("sum", BinaryKind::Add), ("product", BinaryKind::Mul), ("largest", BinaryKind::Max)]
    {
        let z = net.binary(name, kind, y, x);
        net.output(name, z);
    }
    assert_eq!(op_types(&net.done("merges", &[]), 17), "Transpose Conv Transpose Add Mul Max");
    let mut net = Net::new();
    let x = net.input("x", "batch 5 3");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    let slope = net.weight("slope", &[3]);
    let y = net.binary("prelu", BinaryKind::Prelu, y, slope);
    net.output("prelu", y);
    assert_eq!(op_types(&net.done("one", &[]), 17), "Transpose Conv PRelu Transpose");
}

#[test]
fn slopes_may_repeat_but_not_what_they_are_for() {
    let prelu = |dims: &str, slope: &[usize]| {
        let mut net = Net::new();
        let x = net.input("x", dims);
        let slope = net.weight("a", slope);
        let y = net.binary("f", BinaryKind::Prelu, x, slope);
        net.output("f", y);
        net.done("prelu", &[])
    };
    for (dims, slope) in [("batch 5 3", vec![5, 3]), ("batch 5 3", vec![1, 3]), ("n", vec![1])] {
        assert_eq!(nodes(&prelu(dims, &slope), 17), "PRelu (x, a) -> f");
    }
    for (dims, slope) in [("5 3", vec![2, 5, 3]), ("batch 1 3", vec![5, 3])] {
        assert_eq!(op_types(&prelu(dims, &slope), 17), "Max Min Mul Add");
    }
}

#[test]
fn repetitions_that_follow_each_other_are_one_node() {
    let twice = |tapped: bool| {
        let mut net = Net::new();
        let x = net.input("x", "batch h w 2");
        let x = net.conv("conv", x, 2, &[window(1, 1, 1, VALID); 2], None);
        let call = net.begin("f", "UpSampling2D", 0);
        let y = net.builder.add(Repeat { axis: 1, times: 2 }, [x]).unwrap();
        net.builder.tap(call, 1, tapped.then_some(y));
        let y = net.builder.add(Repeat { axis: 2, times: 3 }, [y]).unwrap();
        net.output("f", y);
        net.done("twice", &[])
    };
    assert_eq!(op_types(&twice(false), 17), "Transpose Conv Resize Transpose");
    assert_eq!(op_types(&twice(true), 17), "Transpose Conv Resize Resize Transpose");
    let model = decode(&twice(false), &at(17));
    let scales = model.graph.initializer.iter().find(|tensor| tensor.name == "f/scales").unwrap();
    assert_eq!(scales.raw_data, [1.0f32, 1.0, 2.0, 3.0].map(f32::to_le_bytes).concat());
    assert_eq!(op_types(&moving::repeat_vector(), 17), "Unsqueeze Resize Conv Transpose Transpose");
    let single = single(Repeat { axis: 0, times: 1 }, &["batch 2"], &[]);
    assert_eq!(op_types(&single, 17), "Identity");
}

#[test]
fn integers_are_repeated_by_a_new_axis() {
    let mut net = Net::new();
    let x = net.typed_input("x", "batch rows columns", DType::I64);
    let y = net.op("f", "Repeat", Repeat { axis: 1, times: 3 }, [x]);
    net.output("f", y);
    let case = net.done("integers", &[]);
    let expected = "Unsqueeze (x, f/axes) -> f/unsqueeze; Expand (f/unsqueeze, f/sizes) -> f/expand; \
                    Shape (x) -> f/shape_1 start=2; Concat (f/shape, f/shape_1) -> f/concat axis=0; \
                    Reshape (f/expand, f/concat) -> f";
    assert_eq!(nodes(&case, 17), expected);
    assert_eq!([ints(&case, "f/sizes"), ints(&case, "f/shape")], [vec![1, 1, 3, 1], vec![0, -1]]);
}

#[test]
fn shapes_are_computed_only_where_two_sizes_are_unknown() {
    use ReshapeDim::{Fixed, Infer, Keep, Like, Of};
    let reshape = |target: &[ReshapeDim], x: &str, like: &[&str]| {
        single(Reshape { target: target.to_vec() }, &[&[x], like].concat(), &[])
    };
    type Row<'a> = (&'a [ReshapeDim], &'a str, &'a [&'a str], &'a [i64]);
    let known: [Row<'_>; 5] = [
        (&[Infer, Of(2)], "batch steps 4", &[], &[-1, 4]),
        (&[Keep, Of(2), Of(1)], "batch steps 4", &[], &[0, 4, -1]),
        (&[Keep, Infer, Fixed(2)], "batch 6", &[], &[0, 3, 2]),
        (&[Like(0), Like(1), Fixed(2)], "n 2", &["batch 5"], &[-1, 5, 2]),
        (&[Infer, Like(1)], "n 6", &["batch 3"], &[-1, 3]),
    ];
    for (target, x, like, expected) in known {
        let case = reshape(target, x, like);
        assert_eq!(nodes(&case, 17), "Reshape (x, f/shape) -> f");
        assert_eq!(ints(&case, "f/shape"), expected);
    }
    let split = reshape(&[Like(0), Like(1), Fixed(2)], "n 2", &["batch steps"]);
    let expected = "Shape (y) -> f/shape_1 end=1; Concat (f/shape_1, f/shape) -> f/concat axis=0; \
                    Reshape (x, f/concat) -> f";
    assert_eq!(nodes(&split, 15), expected);
    assert_eq!(ints(&split, "f/shape"), [-1, 2]);
    let expected = "Shape (y) -> f/shape_1; Slice (f/shape_1, f/starts, f/ends) -> f/slice; \
                    Concat (f/slice, f/shape) -> f/concat axis=0; Reshape (x, f/concat) -> f";
    assert_eq!(nodes(&split, 14), expected);
    let whole = reshape(&[Like(0), Like(1), Infer], "m batch steps", &["batch steps"]);
    let expected = "Shape (y) -> f/shape_1; Concat (f/shape_1, f/shape) -> f/concat axis=0; \
                    Reshape (x, f/concat) -> f";
    assert_eq!(nodes(&whole, 17), expected);
    assert_eq!(nodes(&whole, 13), expected);
}

#[test]
fn a_shape_is_read_in_the_layout_that_its_tensor_has() {
    let mut net = Net::new();
    let x = net.input("x", "n 3");
    let y = net.input("y", "batch steps 2");
    let y = net.conv("conv", y, 4, &[window(1, 1, 1, VALID)], None);
    let target = vec![ReshapeDim::Like(1), ReshapeDim::Like(0), ReshapeDim::Fixed(3)];
    let z = net.op("f", "Reshape", Reshape { target }, [x, y]);
    net.output("f", z);
    let nodes = nodes(&net.done("like", &[]), 17);
    assert!(nodes.contains("Shape (conv) -> f/shape_1 start=2; "), "{nodes}");
    assert_eq!(nodes.matches("Transpose").count(), 1, "{nodes}");
}

#[test]
fn what_is_a_part_of_two_functions_is_computed_once() {
    let mut net = Net::new();
    let x = net.input("x", "batch 4");
    for (name, function) in
        [("softplus", Unary::Softplus), ("mish", Unary::Mish), ("shrink", Unary::TanhShrink)]
    {
        let y = net.op(name, "Activation", function, [x]);
        net.output(name, y);
    }
    let y = net.op("tanh", "Activation", Unary::Tanh, [x]);
    net.output("tanh", y);
    let case = net.done("shared", &[&[2, 4]]);
    assert_eq!(op_types(&case, 17), "Softplus Tanh Mul Tanh Sub");
    assert_eq!(op_types(&case, 18), "Softplus Mish Tanh Sub");
}

#[test]
fn outputs_that_are_the_same_are_tensors_of_their_own() {
    let mut net = Net::new();
    let x = net.input("x", "batch 4");
    for name in ["a", "b", "c"] {
        net.output(name, x);
    }
    assert_eq!(op_types(&net.done("same", &[&[2, 4]]), 17), "Identity Identity Identity");
}
