//! A graph that has every operator.

use k2o_core::ops::{
    self, BinaryKind, CompareKind, NormalizeKind, PoolKind, Recurrence, ReduceKind, ReshapeDim, Unary,
};
use k2o_core::{
    Constant, ConstantExpr, ConstantId, DType, Dim, Graph, GraphBuilder, Operand, Padding, Shape, Tensor,
    TensorType, ValueId, Window,
};

fn weight(builder: &mut GraphBuilder, shape: &[usize]) -> ConstantId {
    let data = (0..shape.iter().product::<usize>()).map(|i| (i * 7 % 11) as f64 / 16.0 - 0.25).collect();
    let expr = ConstantExpr::literal(Tensor::f64(shape, data).unwrap());
    builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap()
}

/// Every operator at least once, on an image `[batch, height, 8, 6]` and numbers `[batch, 2]` below 12. Of the outputs, `twice`
/// has the samples along its last axis.
pub fn graph() -> Graph {
    let mut builder = GraphBuilder::new();
    let b = &mut builder;
    let batch = Dim::symbol("batch");
    let image = Shape::new([batch.clone(), Dim::symbol("height"), 8.into(), 6.into()]);
    let x = b.input("image", TensorType::new(image, DType::F32)).unwrap();
    let ids = b.input("ids", TensorType::new(Shape::new([batch, 2.into()]), DType::I32)).unwrap();
    let window = |stride, padding| Window::new(3, stride, 1, padding).unwrap();

    let kernel = weight(b, &[3, 3, 6, 20]);
    let windows = vec![window(1, Padding::Same); 2];
    let y =
        b.add(ops::Conv { windows: windows.clone(), groups: 1 }, [Operand::from(x), kernel.into()]).unwrap();
    let (scale, shift) = (weight(b, &[20]), weight(b, &[20]));
    let y = b.add(ops::Affine { axis: 3 }, [Operand::from(y), scale.into(), shift.into()]).unwrap();
    let y = b.add(Unary::Relu, [y]).unwrap();
    let kernel = weight(b, &[3, 3, 1, 20]);
    let z = b.add(ops::Conv { windows, groups: 20 }, [Operand::from(y), kernel.into()]).unwrap();
    let kernel = weight(b, &[3, 3, 10, 20]);
    let windows = vec![window(1, Padding::Same); 2];
    let grouped = b.add(ops::Conv { windows, groups: 2 }, [Operand::from(y), kernel.into()]).unwrap();
    let z = b.add(ops::Concat { axis: 3 }, [y, z, grouped]).unwrap();
    let windows = vec![window(2, Padding::Explicit(1, 1)); 2];
    let z = b.add(ops::Pool { kind: PoolKind::Average, windows: windows.clone() }, [z]).unwrap();
    let z = b.add(ops::Pool { kind: PoolKind::Max, windows }, [z]).unwrap();
    let z = b.add(ops::Pad { amounts: vec![(0, 0), (1, 1), (0, 0), (0, 0)], value: 0.0 }, [z]).unwrap();
    let z = b.add(ops::Transpose { permutation: vec![0, 2, 1, 3] }, [z]).unwrap();
    let mean = ops::Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: true };
    let mean = b.add(mean, [z]).unwrap();
    let z = b.add(ops::Binary { kind: BinaryKind::Mul }, [z, mean]).unwrap();
    let sum = ops::Reduce { kind: ReduceKind::Sum, axes: vec![1, 2], keep_dims: false };
    let z = b.add(sum, [z]).unwrap();
    let z = b.add(ops::Identity, [z]).unwrap();
    let target = vec![ReshapeDim::Keep, ReshapeDim::Fixed(6), ReshapeDim::Infer];
    let z = b.add(ops::Reshape { target }, [z]).unwrap();
    let kernel = weight(b, &[10, 7]);
    let z = b.add(ops::Dense, [Operand::from(z), kernel.into()]).unwrap();
    let computed = weight(b, &[7, 3]);
    let computed =
        b.add(ops::Reshape { target: vec![ReshapeDim::Fixed(7), ReshapeDim::Fixed(3)] }, [computed]);
    let z = b.add(ops::Dense, [z, computed.unwrap()]).unwrap();
    let z = b.add(ops::Softmax::over([2]), [z]).unwrap();
    b.output("scores", z);
    let twice = b.add(ops::Concat { axis: 1 }, [ids, ids]).unwrap();
    let twice = b.add(ops::Transpose { permutation: vec![1, 0] }, [twice]).unwrap();
    b.output("twice", twice);
    added_operators(b, x, ids);
    builder.finish()
}

/// Those that the network above has no place for.
fn added_operators(b: &mut GraphBuilder, x: ValueId, ids: ValueId) {
    let table = weight(b, &[12, 5]);
    let picked = b.add(ops::Gather { axis: 0 }, [Operand::from(table), ids.into()]).unwrap();
    let numbers = b.add(ops::Cast { to: DType::F32 }, [ids]).unwrap();
    let target = vec![ReshapeDim::Like(0), ReshapeDim::Keep, ReshapeDim::Fixed(1)];
    let numbers = b.add(ops::Reshape { target }, [numbers, picked]).unwrap();
    let z = b.add(ops::Binary { kind: BinaryKind::Prelu }, [picked, numbers]).unwrap();
    let kernel = weight(b, &[3, 5, 20]);
    let windows = vec![ops::Spread::new(3, 2, 1, (0, 1), 0).unwrap()];
    let z =
        b.add(ops::ConvTranspose { windows: windows.clone() }, [Operand::from(z), kernel.into()]).unwrap();
    let computed = b.add(Unary::Exp, [kernel]).unwrap();
    let again = b.add(ops::ConvTranspose { windows }, [picked, computed]).unwrap();
    let z = b.add(ops::Slice { axis: 1, before: 1, after: 0 }, [z]).unwrap();
    let again = b.add(ops::Transpose { permutation: vec![0, 2, 1] }, [again]).unwrap();
    let z = b.add(ops::MatMul, [z, again]).unwrap();
    let (scale, bias) = (weight(b, &[4]), weight(b, &[4]));
    let normalize = ops::Normalize { kind: NormalizeKind::Standard, axes: vec![2], epsilon: 1e-3 };
    let z = b.add(normalize, [Operand::from(z), scale.into(), bias.into()]).unwrap();
    let z = b.add(ops::Repeat { axis: 2, times: 3 }, [z]).unwrap();
    let z = b.add(ops::Sparsemax { axis: 1 }, [z]).unwrap();
    let z = b.add(Unary::Sqrt, [z]).unwrap();
    let z = b.add(ops::Softmax { axes: vec![1, 2], log: true }, [z]).unwrap();
    b.output("added", z);
    recurrent_operators(b, ids);
    // More elements along the axis than a sort of few keeps in place.
    let z = b.add(ops::Sparsemax { axis: 1 }, [x]).unwrap();
    b.output("sparse", z);
}

/// Recurrent layers over embedded `ids`, with a mask, and one of them as a scan.
fn recurrent_operators(b: &mut GraphBuilder, ids: ValueId) {
    let table = weight(b, &[12, 5]);
    let x = b.add(ops::Gather { axis: 0 }, [Operand::from(table), ids.into()]).unwrap();
    let zeros = b.add(
        ops::Full { dims: vec![ops::FullDim::Of(0), ops::FullDim::Fixed(2)], value: 0.0, dtype: DType::I32 },
        [ids],
    );
    let mask = b.add(ops::Compare { kind: CompareKind::Greater }, [ids, zeros.unwrap()]).unwrap();
    let recurrence = Recurrence { reverse: true, has_bias: true, has_states: false, has_mask: true };
    let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
    let weights = |b: &mut GraphBuilder, gates: usize, bias: &[usize]| -> Vec<Operand> {
        let shapes = [&[5, 7 * gates][..], &[7, 7 * gates], bias];
        let weights: Vec<Operand> = shapes.iter().map(|shape| weight(b, shape).into()).collect();
        [x.into()].into_iter().chain(weights).chain([mask.into()]).collect()
    };
    let operands = weights(b, 4, &[28]);
    let lstm =
        b.add_all(ops::Lstm { activation, recurrent_activation, recurrence }.into(), operands).unwrap();
    let operands = weights(b, 3, &[2, 21]);
    let gru = ops::Gru { activation, recurrent_activation, reset_after: true, recurrence };
    let gru = b.add_all(gru.into(), operands).unwrap();
    let operands = weights(b, 1, &[7]);
    let rnn = b.add_all(ops::Rnn { activation, recurrence }.into(), operands).unwrap();
    let turned = b.add(ops::Reverse { axis: 1 }, [gru[0]]).unwrap();
    let sum = b.add(ops::Binary { kind: BinaryKind::Add }, [lstm[0], turned]).unwrap();
    let sum = b.add(ops::Binary { kind: BinaryKind::Add }, [sum, rnn[0]]).unwrap();
    let column = vec![ReshapeDim::Keep, ReshapeDim::Keep, ReshapeDim::Fixed(1)];
    let column = b.add(ops::Reshape { target: column }, [mask]).unwrap();
    let selected = b.add(ops::Select, [column, sum, lstm[0]]).unwrap();
    b.output("recurrent", selected);
    b.output("last", lstm[2]);
}
