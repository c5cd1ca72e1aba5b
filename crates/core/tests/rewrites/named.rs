//! Networks of which it is known what must become of them.

use crate::equal;
use crate::network::{Layer, Net, Signs, VALID};
use k2o_core::ops::{self, Operator, PoolKind, ReduceKind, Spread, Unary};
use k2o_core::{
    Constant, ConstantExpr, DType, Data, Dim, Error, ErrorKind, Graph, Op, Operand, Padding, Result,
    StoredTensor, Tensor, Window, rewrite, run_reference,
};
use std::sync::Arc;

fn conv(size: i64, padding: Padding) -> Layer {
    Layer::Conv { filters: 6, window: Window::new(size, 1, 1, padding).unwrap(), groups: 1, bias: true }
}

fn grouped(groups: usize) -> Layer {
    Layer::Conv { filters: 3, window: Window::new(3, 1, 1, VALID).unwrap(), groups, bias: false }
}

fn transposed(spread: Spread, bias: bool) -> Layer {
    Layer::ConvTranspose { filters: 3, spread, bias }
}

fn affine(signs: Signs) -> Layer {
    Layer::Affine { signs, axis_from_end: 0 }
}

fn pool(kind: PoolKind, padding: Padding) -> Layer {
    Layer::Pool(kind, Window::new(2, 2, 1, padding).unwrap())
}

const DENSE: Layer = Layer::Dense { units: 5, bias: true };
const RELU: Layer = Layer::Unary(Unary::Relu);

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes().iter().map(|node| node.op.name()).collect()
}

/// Builds the layers in a row on `[batch, 9, 4]` and compares the operators that are left.
#[track_caller]
fn check(layers: &[Layer], expected: &[&str]) {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let y = net.chain(layers);
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[2, 9, 4])), expected);
}

#[test]
fn a_map_after_a_linear_layer_folds_back() {
    for signs in [Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero] {
        check(&[conv(3, VALID), affine(signs)], &["conv"]);
        check(&[conv(3, Padding::Same), affine(signs), affine(signs)], &["conv"]);
        check(&[DENSE, affine(signs)], &["dense"]);
        check(&[grouped(2), affine(signs)], &["conv"]);
        check(&[Layer::Nothing(0), grouped(4), Layer::Nothing(0), affine(signs)], &["conv"]);
    }
}

#[test]
fn a_map_after_a_transposed_convolution_folds_back() {
    for (crop, output_padding) in [((0, 0), 0), ((1, 2), 0), ((0, 1), 2)] {
        // Strides shorter than the kernel, as long, and longer, which leaves steps that no tap reaches.
        for stride in [1, 3, 4] {
            let spread = Spread::new(3, stride, 1, crop, output_padding).unwrap();
            for signs in [Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero] {
                check(&[transposed(spread, true), affine(signs)], &["conv_transpose"]);
                check(&[transposed(spread, false), affine(signs)], &["conv_transpose"]);
            }
        }
    }
    let spread = Spread::new(2, 2, 1, (0, 0), 0).unwrap();
    let (layer, map) = (transposed(spread, true), affine(Signs::Mixed));
    check(&[layer.clone(), map.clone(), map.clone(), RELU], &["conv_transpose", "relu"]);
    check(&[layer.clone(), RELU, map.clone()], &["conv_transpose", "relu", "affine"]);
    let steps = Layer::Affine { signs: Signs::Positive, axis_from_end: 1 };
    check(&[layer.clone(), steps], &["conv_transpose", "affine"]);
    check(&[layer, map.clone(), conv(3, VALID), map], &["conv_transpose", "conv"]);
}

// Steps that no tap reaches are zero whatever the map's shift is.
#[test]
fn a_map_does_not_enter_a_transposed_convolution() {
    for (stride, crop) in [(1, (0, 0)), (1, (2, 2)), (4, (0, 0))] {
        let spread = Spread::new(3, stride, 1, crop, 0).unwrap();
        for bias in [false, true] {
            let layers = [affine(Signs::Positive), transposed(spread, bias)];
            check(&layers, &["affine", "conv_transpose"]);
        }
    }
    let spread = Spread::new(2, 2, 1, (0, 0), 0).unwrap();
    check(
        &[affine(Signs::Positive), pool(PoolKind::Max, VALID), transposed(spread, true)],
        &["max_pool", "affine", "conv_transpose"],
    );
}

#[test]
fn a_row_of_maps_folds_no_deeper_than_evaluation_may_recurse() {
    let spread = Spread::new(2, 2, 1, (0, 0), 0).unwrap();
    for layer in [transposed(spread, true), transposed(spread, false), conv(3, VALID), DENSE] {
        let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
        let maps = vec![affine(Signs::Mixed); 150];
        let y = net.chain(&[&maps[..], &[layer], &maps].concat());
        net.output(y);
        let new = equal(&net.finish(), &[1, 9, 4]);
        let left = names(&new).iter().filter(|name| **name == "affine").count();
        assert!((100..290).contains(&left), "{left} maps are left of 300");
        // Folding once more nests up to six operations.
        let deepest = new.constants().iter().map(|constant| constant.expr.depth()).max();
        assert!(deepest <= Some(64 + 6), "{deepest:?}");
    }
}

#[test]
fn a_map_before_a_linear_layer_folds_forward() {
    for signs in [Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero] {
        check(&[affine(signs), conv(3, VALID)], &["conv"]);
        check(&[affine(signs), DENSE], &["dense"]);
        check(&[affine(signs), grouped(2)], &["conv"]);
        check(&[affine(signs), grouped(4)], &["conv"]);
        check(&[affine(signs), Layer::Dense { units: 1, bias: false }], &["dense"]);
    }
}

#[test]
fn a_map_does_not_enter_a_padded_convolution() {
    check(&[affine(Signs::Positive), conv(3, Padding::Same)], &["affine", "conv"]);
    check(&[affine(Signs::Positive), conv(3, Padding::Explicit(2, 0))], &["affine", "conv"]);
    check(&[affine(Signs::Positive), Layer::Pad(1, 1), conv(3, VALID)], &["affine", "pad", "conv"]);
    check(
        &[RELU, affine(Signs::Positive), pool(PoolKind::Max, VALID), conv(3, Padding::Same)],
        &["relu", "max_pool", "affine", "conv"],
    );
}

#[test]
fn a_map_never_passes_a_nonlinear_function() {
    check(&[conv(3, VALID), RELU, affine(Signs::Positive)], &["conv", "relu", "affine"]);
    check(&[affine(Signs::Positive), RELU, conv(3, VALID)], &["affine", "relu", "conv"]);
}

#[test]
fn a_map_after_relu_sinks_through_pooling_into_the_next_layer() {
    let start = [conv(3, Padding::Same), RELU, affine(Signs::Positive)];
    let with = |more: &[Layer]| [&start, more].concat();
    for padding in [VALID, Padding::Same] {
        let max = pool(PoolKind::Max, padding);
        check(&with(&[max.clone(), conv(3, VALID)]), &["conv", "relu", "max_pool", "conv"]);
        check(&with(&[max.clone(), grouped(3)]), &["conv", "relu", "max_pool", "conv"]);
        check(&with(&[max, Layer::Flatten, DENSE]), &["conv", "relu", "max_pool", "reshape", "dense"]);
    }
    check(&with(&[Layer::Flatten, DENSE]), &["conv", "relu", "reshape", "dense"]);
}

#[test]
fn a_map_that_turns_the_order_stays_before_a_maximum() {
    for signs in [Signs::Negative, Signs::Mixed, Signs::WithZero] {
        check(&[affine(signs), pool(PoolKind::Max, VALID), conv(3, VALID)], &["affine", "max_pool", "conv"]);
        for kind in [ReduceKind::Max, ReduceKind::Min] {
            let names =
                ["affine", if kind == ReduceKind::Max { "reduce_max" } else { "reduce_min" }, "dense"];
            check(&[affine(signs), Layer::Reduce(kind, vec![1], false), DENSE], &names);
        }
    }
}

#[test]
fn a_map_sinks_through_an_average_whatever_its_signs() {
    for signs in [Signs::Positive, Signs::Negative, Signs::Mixed, Signs::WithZero] {
        for padding in [VALID, Padding::Same] {
            check(
                &[affine(signs), pool(PoolKind::Average, padding), conv(3, VALID)],
                &["average_pool", "conv"],
            );
        }
        for keep_dims in [false, true] {
            check(
                &[affine(signs), Layer::Reduce(ReduceKind::Mean, vec![1], keep_dims), DENSE],
                &["reduce_mean", "dense"],
            );
        }
    }
}

#[test]
fn a_map_sinks_through_reductions_of_other_axes() {
    for (kind, name) in [(ReduceKind::Max, "reduce_max"), (ReduceKind::Min, "reduce_min")] {
        check(&[affine(Signs::Positive), Layer::Reduce(kind, vec![1], false), DENSE], &[name, "dense"]);
    }
    // A sum multiplies the shift, and a reduced axis is not there any more.
    check(
        &[affine(Signs::Positive), Layer::Reduce(ReduceKind::Sum, vec![1], false), DENSE],
        &["affine", "reduce_sum", "dense"],
    );
    check(
        &[affine(Signs::Positive), Layer::Reduce(ReduceKind::Mean, vec![2], true)],
        &["affine", "reduce_mean"],
    );
    let steps = Layer::Affine { signs: Signs::Positive, axis_from_end: 1 };
    check(&[steps, Layer::Reduce(ReduceKind::Mean, vec![2], false), DENSE], &["reduce_mean", "dense"]);
}

#[test]
fn a_map_passes_flattening_only_on_the_way_into_a_dense_layer() {
    check(&[affine(Signs::Mixed), Layer::Flatten, DENSE], &["reshape", "dense"]);
    check(&[affine(Signs::Mixed), Layer::Flatten, RELU, DENSE], &["affine", "reshape", "relu", "dense"]);
    check(&[affine(Signs::Mixed), Layer::Flatten], &["affine", "reshape"]);
    let steps = Layer::Affine { signs: Signs::Positive, axis_from_end: 1 };
    check(&[steps, Layer::Flatten, DENSE], &["affine", "reshape", "dense"]);
}

#[test]
fn a_map_along_another_axis_is_left_alone() {
    let steps = Layer::Affine { signs: Signs::Positive, axis_from_end: 1 };
    check(&[conv(3, VALID), steps.clone()], &["conv", "affine"]);
    check(&[steps.clone(), conv(3, VALID)], &["affine", "conv"]);
    check(&[steps.clone(), DENSE, steps.clone()], &["affine", "dense", "affine"]);
    check(&[steps, pool(PoolKind::Average, VALID)], &["affine", "average_pool"]);
}

#[test]
fn what_changes_nothing_is_dropped() {
    check(&(0..4).map(Layer::Nothing).collect::<Vec<_>>(), &[]);
    check(
        &[RELU, Layer::Nothing(0), Layer::Reduce(ReduceKind::Mean, vec![1], false), Layer::Flatten],
        &["relu", "reduce_mean"],
    );
}

#[test]
fn a_value_that_someone_else_reads_is_not_folded_away() {
    for layers in [
        [conv(3, VALID), affine(Signs::Positive)],
        [affine(Signs::Positive), conv(3, VALID)],
        [affine(Signs::Positive), pool(PoolKind::Max, VALID)],
    ] {
        for read_by_a_node in [false, true] {
            let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
            let first = net.chain(&layers[..1]);
            let second = net.chain(&layers[1..]);
            let other = if read_by_a_node { net.layer(&RELU, first).unwrap() } else { first };
            net.output(second);
            net.output(other);
            let graph = net.finish();
            assert_eq!(names(&equal(&graph, &[2, 9, 4])), names(&graph));
        }
    }
}

#[test]
fn a_shared_weight_is_folded_for_the_layer_with_the_map_only() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let x = net.last();
    let kernel = net.constant("kernel", &[3, 4, 6], |_, x| x);
    let op = ops::Conv { windows: vec![Window::new(3, 1, 1, VALID).unwrap()], groups: 1 };
    let other = net.layer(&RELU, x).unwrap();
    let plain = net.add(op.clone(), [other.into(), kernel.into()]).unwrap();
    net.output(plain);
    let scaled = net.add(op, [x.into(), kernel.into()]).unwrap();
    let scaled = net.layer(&affine(Signs::Mixed), scaled).unwrap();
    net.output(scaled);
    let new = equal(&net.finish(), &[1, 9, 4]);
    assert_eq!(names(&new), ["relu", "conv", "conv"]);
    let kernels: Vec<Operand> = new.nodes()[1..].iter().map(|node| node.inputs[1]).collect();
    assert_ne!(kernels[0], kernels[1]);
}

#[test]
fn weights_shared_by_unfolded_layers_stay_one_constant() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let kernel = net.constant("kernel", &[4, 4], |_, x| x);
    for _ in 0..2 {
        let x = net.last();
        let y = net.add(ops::Dense, [x.into(), kernel.into()]).unwrap();
        net.layer(&Layer::Nothing(0), y).unwrap();
    }
    net.output(net.last());
    let new = equal(&net.finish(), &[1, 9, 4]);
    assert_eq!((names(&new), new.constants().len()), (vec!["dense", "dense"], 1));
}

#[test]
fn a_map_whose_vectors_are_computed_is_left_alone() {
    for after in [DENSE, pool(PoolKind::Average, VALID), Layer::Flatten] {
        let mut net = Net::new(vec![2.into(), 4.into(), 4.into()]);
        let x = net.last();
        let [_, shift] = net.affine(Signs::Positive, 4);
        let scale = net.layer(&Layer::Reduce(ReduceKind::Mean, vec![0, 1], false), x).unwrap();
        let before = net.layer(&Layer::Dense { units: 4, bias: true }, x).unwrap();
        let map = net.add(ops::Affine { axis: 2 }, [before.into(), scale.into(), shift.into()]).unwrap();
        let y = net.layer(&after, map).unwrap();
        let y = if matches!(after, Layer::Flatten) { net.layer(&DENSE, y).unwrap() } else { y };
        net.output(y);
        let graph = net.finish();
        assert_eq!(names(&equal(&graph, &[2, 4, 4])), names(&graph));
    }
}

#[test]
fn a_layer_whose_kernel_is_computed_is_left_alone() {
    let mut net = Net::new(vec![4.into(), 4.into()]);
    let x = net.last();
    let y = net.add(ops::Dense, [x.into(), x.into()]).unwrap();
    let y = net.layer(&affine(Signs::Mixed), y).unwrap();
    let y = net.add(ops::Dense, [y.into(), x.into()]).unwrap();
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[4, 4])), ["dense", "affine", "dense"]);
}

#[test]
fn a_vector_of_scaled_elements_flattens_to_a_column() {
    let mut net = Net::new(vec![3.into()]);
    let y = net.chain(&[affine(Signs::Mixed), Layer::Flatten, DENSE]);
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[3])), ["affine", "reshape", "dense"]);
}

#[test]
fn a_map_before_flattening_unknown_steps_stays() {
    let mut net = Net::new(vec![Dim::symbol("batch"), Dim::symbol("steps"), 2.into()]);
    let x = net.chain(&[affine(Signs::Positive), Layer::Flatten]);
    let kernel = net.constant("kernel", &[14, 3], |_, x| x);
    let y = net.add(ops::Dense, [x.into(), kernel.into()]).unwrap();
    net.output(y);
    assert_eq!(names(&equal(&net.finish(), &[2, 7, 2])), ["affine", "reshape", "dense"]);
}

/// A weight of which only the shape is known.
#[derive(Debug)]
struct Unbound(Vec<usize>);

impl StoredTensor for Unbound {
    fn shape(&self) -> &[usize] {
        &self.0
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn is_bound(&self) -> bool {
        false
    }
    fn read(&self) -> Result<Vec<u8>> {
        Err(Error::new(ErrorKind::Input, "there is nothing to read"))
    }
}

#[test]
fn weights_without_elements_are_folded_unread_but_not_taken_for_positive() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 9.into(), 4.into()]);
    let add = |net: &mut Net, op: Op, shapes: &[&[usize]]| {
        let mut inputs: Vec<Operand> = vec![net.last().into()];
        for shape in shapes {
            let expr = ConstantExpr::stored(Arc::new(Unbound(shape.to_vec())));
            let constant = Constant { name: "w".into(), dtype: DType::F32, expr };
            inputs.push(net.builder.constant(constant).unwrap().into());
        }
        net.add(op, inputs).unwrap()
    };
    let affine = |n| (Op::from(ops::Affine { axis: 2 }), [[n], [n]]);
    let window = Window::new(2, 2, 1, VALID).unwrap();
    add(&mut net, ops::Conv { windows: vec![window], groups: 1 }.into(), &[&[2, 4, 6]]);
    let (op, [scale, shift]) = affine(6);
    add(&mut net, op.clone(), &[&scale, &shift]);
    add(&mut net, Unary::Relu.into(), &[]);
    add(&mut net, op, &[&scale, &shift]);
    let y = add(&mut net, ops::Pool { kind: PoolKind::Max, windows: vec![window] }.into(), &[]);
    net.output(y);
    let new = rewrite(&net.finish()).unwrap();
    assert_eq!(names(&new), ["conv", "relu", "affine", "max_pool"]);
    assert!(new.constants().iter().all(|constant| !constant.expr.is_bound()));
}

#[test]
fn an_input_may_be_an_output() {
    let mut net = Net::new(vec![Dim::symbol("batch"), 2.into()]);
    let y = net.chain(&[Layer::Nothing(0)]);
    net.output(y);
    let x = net.values[0];
    net.output(x);
    let new = equal(&net.finish(), &[3, 2]);
    assert_eq!(new.nodes(), []);
    let x = Tensor::new([1, 2], Data::F64(vec![1.0, 2.0])).unwrap();
    assert_eq!(run_reference(&new, std::slice::from_ref(&x), &[]).unwrap().outputs, [x.clone(), x]);
}
