//! Random graphs that compute every sample alone, and what to run them on.

use k2o_core::ops::{
    self, BinaryKind, FullDim, NormalizeKind, PoolKind, Recurrence, ReduceKind, ReshapeDim, Spread, Unary,
};
use k2o_core::{
    CallId, Constant, ConstantExpr, ConstantId, DType, Data, Dim, Graph, GraphBuilder, Op, Operand, Padding,
    Shape, Tensor, TensorType, ValueId, Window,
};

/// Numbers that follow from a seed.
struct Source(u64);

impl Source {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below.max(1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next(from.len())]
    }

    /// A multiple of 1/512 between -1 and 1.
    fn number(&mut self) -> f64 {
        self.next(1024) as f64 / 512.0 - 1.0
    }
}

/// A graph of up to `nodes` operators that treat every sample alone, each value of it a tap.
pub fn random_graph(seed: u64, nodes: usize) -> Graph {
    let mut source = Source(seed);
    let mut builder = GraphBuilder::new();
    let steps = match source.next(4) {
        0 => Dim::symbol("steps"),
        _ => Dim::fixed(9),
    };
    let mut values = Vec::new();
    for (name, channels) in [("a", 4), ("b", source.pick(&[1, 4, 20]))] {
        let shape = Shape::new([Dim::symbol("batch"), steps.clone(), channels.into()]);
        values.push(builder.input(name, TensorType::new(shape, DType::F32)).unwrap());
    }
    for call in 0..nodes {
        // Most nodes read the newest value, so that there are chains to join and fold.
        let x = if source.next(3) > 0 { values[values.len() - 1] } else { source.pick(&values) };
        let other = source.pick(&values);
        builder.within(Some(CallId(call)));
        let Some((op, operands)) = random_node(&mut source, &mut builder, x, other) else { continue };
        if let Ok(outputs) = builder.add_all(op, operands) {
            values.extend(outputs);
        }
    }
    for (at, &value) in values.iter().enumerate() {
        builder.tap(CallId(at), 0, Some(value));
    }
    builder.output("last", values[values.len() - 1]);
    builder.output("other", source.pick(&values));
    builder.finish()
}

fn weight(source: &mut Source, builder: &mut GraphBuilder, shape: &[usize], scale: f64) -> ConstantId {
    let n = shape.iter().product();
    let data = (0..n).map(|_| source.number() * scale).collect();
    let expr = ConstantExpr::literal(Tensor::f64(shape, data).unwrap());
    builder.constant(Constant { name: "layer/weight".into(), dtype: DType::F32, expr }).unwrap()
}

fn random_node(
    source: &mut Source,
    builder: &mut GraphBuilder,
    x: ValueId,
    other: ValueId,
) -> Option<(Op, Vec<Operand>)> {
    let shape = builder.type_of(x).shape;
    let rank = shape.rank();
    let channels = shape.last()?.as_usize()?;
    let axis = 1 + source.next(rank - 1);
    let windows = |source: &mut Source| -> Vec<Window> {
        let padding = [Padding::Same, Padding::Explicit(0, 0), Padding::Explicit(1, 0)];
        let mut window = || {
            let (size, stride, dilation) =
                (source.pick(&[1, 2, 3]), source.pick(&[1, 1, 2]), source.pick(&[1, 1, 2]));
            Window::new(size, stride, dilation, source.pick(&padding)).unwrap()
        };
        (0..rank - 2).map(|_| window()).collect()
    };
    let linear = |source: &mut Source, builder: &mut GraphBuilder, mut kernel: Vec<usize>| {
        let filters = *kernel.last()?;
        let depth: usize = kernel[..kernel.len() - 1].iter().product();
        let mut operands: Vec<Operand> = vec![x.into()];
        operands
            .push(weight(source, builder, &std::mem::take(&mut kernel), 1.5 / (depth as f64).sqrt()).into());
        if source.next(2) == 0 {
            operands.push(weight(source, builder, &[filters], 0.5).into());
        }
        Some(operands)
    };
    Some(match source.next(20) {
        0 | 1 if rank > 2 => {
            let windows = windows(source);
            let groups = source.pick(&[1, 1, 1, 2, channels]);
            let mut kernel: Vec<usize> = windows.iter().map(|window| window.size() as usize).collect();
            kernel.extend([channels / groups, groups * source.pick(&[1, 3, 17])]);
            (ops::Conv { windows, groups }.into(), linear(source, builder, kernel)?)
        }
        2 | 3 => {
            let units = source.pick(&[1, 4, 5, 33]);
            (ops::Dense.into(), linear(source, builder, vec![channels, units])?)
        }
        4 if rank > 2 => {
            let kind = source.pick(&[PoolKind::Max, PoolKind::Average]);
            (ops::Pool { kind, windows: windows(source) }.into(), vec![x.into()])
        }
        5 | 6 => {
            let functions = [
                Unary::Relu,
                Unary::LeakyRelu { slope: 0.1 },
                Unary::Clip { min: 0.0, max: 6.0 },
                Unary::Elu { alpha: 1.0 },
                Unary::Sigmoid,
                Unary::Tanh,
                Unary::Gelu { approximate: false },
                Unary::Mish,
                Unary::Celu { alpha: 0.5 },
                Unary::LogSigmoid,
                Unary::TanhShrink,
                Unary::SoftShrink { threshold: 0.25 },
                Unary::Squareplus { b: 4.0 },
                Unary::SparsePlus,
            ];
            (source.pick(&functions).into(), vec![x.into()])
        }
        7 | 8 => {
            let n = shape[axis].as_usize()?;
            let (scale, shift) = (weight(source, builder, &[n], 1.5), weight(source, builder, &[n], 0.5));
            (ops::Affine { axis }.into(), vec![x.into(), scale.into(), shift.into()])
        }
        9 => {
            let kinds =
                [BinaryKind::Add, BinaryKind::Sub, BinaryKind::Mul, BinaryKind::Max, BinaryKind::Prelu];
            let kind = source.pick(&kinds);
            match source.next(3) {
                0 => {
                    let vector = weight(source, builder, &[channels], 1.0);
                    (ops::Binary { kind }.into(), vec![vector.into(), x.into()])
                }
                // Of different ranks, one's samples would be another's steps.
                _ if builder.type_of(other).shape.rank() != rank => return None,
                _ => (ops::Binary { kind }.into(), vec![x.into(), other.into()]),
            }
        }
        10 => (ops::Concat { axis }.into(), vec![x.into(), other.into(), x.into()]),
        11 => {
            let kind = source.pick(&[ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean]);
            let keep_dims = source.next(2) == 0 || rank == 2;
            (ops::Reduce { kind, axes: vec![axis], keep_dims }.into(), vec![x.into()])
        }
        12 => match source.next(4) {
            0 => (ops::Softmax { axes: vec![axis], log: source.next(2) == 0 }.into(), vec![x.into()]),
            1 => (ops::Identity.into(), vec![x.into()]),
            2 => {
                let mut permutation: Vec<usize> = (0..rank).collect();
                permutation.swap(axis, rank - 1);
                (ops::Transpose { permutation }.into(), vec![x.into()])
            }
            _ => {
                let mut amounts = vec![(0, 0); rank];
                amounts[axis] = (source.next(3) as i64, source.next(2) as i64);
                (ops::Pad { amounts, value: 0.5 }.into(), vec![x.into()])
            }
        },
        13 if rank > 2 => {
            let spread = |source: &mut Source| {
                let (size, stride, dilation) =
                    (source.pick(&[1, 2, 3]), source.pick(&[1, 2, 3]), source.pick(&[1, 1, 2]));
                let crop = source.pick(&[(0, 0), (0, 1), (1, 1)]);
                Spread::new(size, stride, dilation, crop, source.pick(&[0, 0, 1])).unwrap()
            };
            let windows: Vec<Spread> = (0..rank - 2).map(|_| spread(source)).collect();
            let mut kernel: Vec<usize> = windows.iter().map(|window| window.size() as usize).collect();
            kernel.extend([channels, source.pick(&[1, 3, 17])]);
            (ops::ConvTranspose { windows }.into(), linear(source, builder, kernel)?)
        }
        14 if rank > 2 => {
            // `x` times the transpose of another, or of itself.
            let mut permutation: Vec<usize> = (0..rank).collect();
            permutation.swap(rank - 2, rank - 1);
            if builder.type_of(other).shape.rank() != rank {
                return None;
            }
            let turned = builder.add(ops::Transpose { permutation }, [other]).ok()?;
            (ops::MatMul.into(), vec![x.into(), turned.into()])
        }
        15 => {
            let kinds = [NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation];
            let kind = source.pick(&kinds);
            let mut operands: Vec<Operand> = vec![x.into()];
            if let Some(n) = shape[axis].as_usize() {
                for _ in 0..source.next(3) {
                    operands.push(weight(source, builder, &[n], 1.0).into());
                }
            }
            // Little noise is magnified by 1 over the root of this.
            (ops::Normalize { kind, axes: vec![axis], epsilon: 0.25 }.into(), operands)
        }
        16 => match source.next(3) {
            0 => (ops::Repeat { axis, times: 1 + source.next(3) }.into(), vec![x.into()]),
            1 => {
                let (before, after) = (source.next(2) as i64, source.next(2) as i64);
                if shape[axis].as_fixed().is_some_and(|n| n <= before + after) {
                    return None;
                }
                (ops::Slice { axis, before, after }.into(), vec![x.into()])
            }
            _ => {
                let n = shape[axis].as_usize().filter(|&n| n > 0)?;
                let indices = (0..2 + source.next(2)).map(|_| source.next(n) as i64).collect();
                let expr = ConstantExpr::literal(Tensor::new([2], Data::I64(indices)).ok()?);
                let indices = Constant { name: "indices".into(), dtype: DType::I64, expr };
                (ops::Gather { axis }.into(), vec![x.into(), builder.constant(indices).unwrap().into()])
            }
        },
        17 if rank == 3 => {
            let units = source.pick(&[1, 5, 17]);
            let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
            let recurrence =
                Recurrence { reverse: source.next(2) == 0, has_bias: true, ..Recurrence::default() };
            let (op, gates, bias): (Op, usize, &[usize]) = match source.next(4) {
                0 => (ops::Rnn { activation, recurrence }.into(), 1, &[]),
                1 => (ops::Lstm { activation, recurrent_activation, recurrence }.into(), 4, &[]),
                n => {
                    let reset_after = n == 2;
                    let op = ops::Gru { activation, recurrent_activation, reset_after, recurrence };
                    (op.into(), 3, if reset_after { &[2] } else { &[] })
                }
            };
            let columns = gates * units;
            let kernel = weight(source, builder, &[channels, columns], 1.0 / (channels as f64).sqrt());
            let recurrent = weight(source, builder, &[units, columns], 1.0 / units as f64);
            let bias = weight(source, builder, &[bias, &[columns]].concat(), 0.5);
            (op, vec![x.into(), kernel.into(), recurrent.into(), bias.into()])
        }
        18 => {
            let turned = builder.add(ops::Reverse { axis }, [x]).ok()?;
            let like = source.pick(&[x, turned]);
            let ones =
                ops::Full { dims: (0..rank).map(FullDim::Of).collect(), value: 1.0, dtype: DType::F32 };
            let ones = builder.add(ones, [like]).ok()?;
            (ops::Binary { kind: BinaryKind::Sub }.into(), vec![ones.into(), turned.into()])
        }
        19 if rank > 2 => {
            // Apart and together again, with the sizes of what it was.
            let target = vec![ReshapeDim::Keep, ReshapeDim::Infer];
            let flat = builder.add(ops::Reshape { target }, [x]).ok()?;
            let flat = builder.add(Unary::Tanh, [flat]).ok()?;
            let mut target: Vec<ReshapeDim> = (0..rank).map(ReshapeDim::Like).collect();
            (target[0], target[rank - 1]) = (ReshapeDim::Keep, ReshapeDim::Infer);
            (ops::Reshape { target }.into(), vec![flat.into(), x.into()])
        }
        _ => {
            let targets = [
                vec![ReshapeDim::Keep, ReshapeDim::Infer],
                vec![ReshapeDim::Keep, ReshapeDim::Infer, ReshapeDim::Fixed(4)],
                vec![ReshapeDim::Keep, ReshapeDim::Infer, ReshapeDim::Fixed(3), ReshapeDim::Fixed(2)],
            ];
            (ops::Reshape { target: targets[source.next(3)].clone() }.into(), vec![x.into()])
        }
    })
}

/// Sizes and elements.
pub type Array = (Vec<usize>, Vec<f32>);

/// An array for each input of a graph.
pub fn random_inputs(graph: &Graph, batch: usize, seed: u64) -> Vec<Array> {
    let mut source = Source(seed ^ 0x5bd1_e995);
    let bindings = [("batch".into(), batch as i64), ("steps".into(), 7)].into_iter().collect();
    let inputs = graph.inputs().iter().map(|port| {
        let shape = graph.value(port.value).r#type.shape.eval(&bindings).unwrap();
        let n: usize = shape.iter().product();
        (shape, (0..n).map(|_| source.number() as f32).collect())
    });
    inputs.collect()
}
