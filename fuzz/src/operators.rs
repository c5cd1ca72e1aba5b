//! Operators of any parameters, and graphs of those that fit.

use super::fixed;
use arbitrary::{Result, Unstructured};
use k2o::core::ops::{
    self, BinaryKind, CompareKind, FullDim, NormalizeKind, PoolKind, Recurrence, ReduceKind, ReshapeDim,
    Spread, Unary,
};
use k2o::core::{
    CallId, Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Padding, Tensor,
    TensorType, ValueId, Window,
};
use std::sync::{Arc, LazyLock};

/// Whether numbers may be of any size, or only such that a computer computes with.
#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    Any,
    Small,
}

/// A number, often one at the limits of what 64 bits hold.
pub fn any_number(u: &mut Unstructured<'_>) -> Result<i64> {
    const EDGES: [i64; 10] =
        [i64::MIN, i64::MIN + 1, -1, 1 << 31, 1 << 32, 1 << 53, 1 << 60, 1 << 62, i64::MAX - 1, i64::MAX];
    match u.int_in_range(0..=5)? {
        0 => Ok(*u.choose(&EDGES)?),
        1 => u.arbitrary(),
        _ => u.int_in_range(-2..=9),
    }
}

impl Numbers {
    fn integer(self, u: &mut Unstructured<'_>) -> Result<i64> {
        match self {
            Numbers::Any => any_number(u),
            Numbers::Small => u.int_in_range(0..=4),
        }
    }

    fn size(self, u: &mut Unstructured<'_>) -> Result<usize> {
        Ok(self.integer(u)? as usize)
    }

    fn axis(self, u: &mut Unstructured<'_>) -> Result<usize> {
        match self == Numbers::Any && u.ratio(1, 8)? {
            true => self.size(u),
            false => u.int_in_range(0..=3),
        }
    }

    fn axes(self, u: &mut Unstructured<'_>) -> Result<Vec<usize>> {
        let count = u.int_in_range(0..=3)?;
        (0..count).map(|_| self.axis(u)).collect()
    }
}

fn window(u: &mut Unstructured<'_>, numbers: Numbers) -> Result<Window> {
    let padding = match u.int_in_range(0..=3)? {
        0 => Padding::Same,
        1 => Padding::Explicit(numbers.integer(u)?, numbers.integer(u)?),
        _ => Padding::Explicit(0, 0),
    };
    let [size, stride, dilation] = [numbers.integer(u)?, numbers.integer(u)?, numbers.integer(u)?];
    Window::new(size, stride, dilation, padding).map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn spread(u: &mut Unstructured<'_>, numbers: Numbers) -> Result<Spread> {
    let [size, stride, dilation] = [numbers.integer(u)?, numbers.integer(u)?, numbers.integer(u)?];
    let crop = if u.arbitrary()? { (0, 0) } else { (numbers.integer(u)?, numbers.integer(u)?) };
    let more = if u.arbitrary()? { 0 } else { numbers.integer(u)? };
    Spread::new(size, stride, dilation, crop, more).map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn windows<T>(
    u: &mut Unstructured<'_>,
    numbers: Numbers,
    window: fn(&mut Unstructured<'_>, Numbers) -> Result<T>,
) -> Result<Vec<T>> {
    let count = *u.choose(&[1, 1, 1, 1, 0, 2, 3])?;
    (0..count).map(|_| window(u, numbers)).collect()
}

fn function(u: &mut Unstructured<'_>) -> Result<Unary> {
    let number = |u: &mut Unstructured<'_>| -> Result<f64> {
        if u.arbitrary()? { u.arbitrary() } else { Ok(f64::from(u.int_in_range(-8..=8)?) / 4.0) }
    };
    const PLAIN: [Unary; 14] = [
        Unary::Relu,
        Unary::Selu,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Softplus,
        Unary::Softsign,
        Unary::Exp,
        Unary::Silu,
        Unary::HardSilu,
        Unary::Mish,
        Unary::LogSigmoid,
        Unary::TanhShrink,
        Unary::SparsePlus,
        Unary::Sqrt,
    ];
    Ok(match u.int_in_range(0..=8)? {
        0 => Unary::LeakyRelu { slope: number(u)? },
        1 => Unary::Clip { min: number(u)?, max: number(u)? },
        2 => {
            let max_value = if u.arbitrary()? { Some(number(u)?) } else { None };
            Unary::GeneralRelu { negative_slope: number(u)?, max_value, threshold: number(u)? }
        }
        3 => Unary::Elu { alpha: number(u)? },
        4 => Unary::HardSigmoid { slope: number(u)?, offset: number(u)? },
        _ => *u.choose(&PLAIN)?,
    })
}

fn dtype(u: &mut Unstructured<'_>) -> Result<DType> {
    Ok(*u.choose(&[DType::F32, DType::F32, DType::F32, DType::I32, DType::I64, DType::Bool])?)
}

/// A body of a state `[batch, units]` and a sequence `[batch, channels]`, which stand side by side in its other output.
static BODY: LazyLock<Arc<Graph>> = LazyLock::new(|| {
    let mut body = GraphBuilder::new();
    let [h, x] = ["units", "channels"].map(|columns| {
        let dims = ["batch", columns].map(Dim::symbol).to_vec();
        body.input(columns, (DType::F32, dims).into()).unwrap()
    });
    let y = body.add(ops::Concat { axis: 1 }, [h, x]).unwrap();
    body.output("h", h);
    body.output("y", y);
    Arc::new(body.finish())
});

/// An operator of any kind.
fn op(u: &mut Unstructured<'_>, n: Numbers) -> Result<Op> {
    const BINARY: [BinaryKind; 9] = [
        BinaryKind::Add,
        BinaryKind::Sub,
        BinaryKind::Mul,
        BinaryKind::Div,
        BinaryKind::Max,
        BinaryKind::Min,
        BinaryKind::Prelu,
        BinaryKind::And,
        BinaryKind::Or,
    ];
    const NORMALIZE: [NormalizeKind; 3] =
        [NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation];
    const REDUCE: [ReduceKind; 4] = [ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean];
    Ok(match u.int_in_range(0..=29)? {
        0 => ops::Affine { axis: n.axis(u)? }.into(),
        1 => ops::Binary { kind: *u.choose(&BINARY)? }.into(),
        2 => ops::Cast { to: dtype(u)? }.into(),
        3 => ops::Compare { kind: *u.choose(&CompareKind::ALL)? }.into(),
        4 => ops::Concat { axis: n.axis(u)? }.into(),
        5 | 28 => {
            let groups = n.size(u)?;
            ops::Conv { windows: windows(u, n, window)?, groups: *u.choose(&[1, 1, 2, groups])? }.into()
        }
        6 => ops::ConvTranspose { windows: windows(u, n, spread)? }.into(),
        7 => ops::Dense.into(),
        8 => {
            let dims = u.int_in_range(0..=4)?;
            let dim = |u: &mut Unstructured<'_>| match u.arbitrary()? {
                true => Ok(FullDim::Of(n.axis(u)?)),
                false => Ok(FullDim::Fixed(n.integer(u)?)),
            };
            let dims = (0..dims).map(|_| dim(u)).collect::<Result<Vec<_>>>()?;
            ops::Full { dims, value: u.arbitrary()?, dtype: dtype(u)? }.into()
        }
        9 => ops::Gather { axis: n.axis(u)? }.into(),
        10 => ops::Identity.into(),
        11 => ops::MatMul.into(),
        12 => {
            ops::Normalize { kind: *u.choose(&NORMALIZE)?, axes: n.axes(u)?, epsilon: u.arbitrary()? }.into()
        }
        13 => {
            let amounts = u.int_in_range(0..=4)?;
            let amounts = (0..amounts).map(|_| Ok((n.integer(u)?, n.integer(u)?))).collect::<Result<_>>()?;
            ops::Pad { amounts, value: u.arbitrary()? }.into()
        }
        14 | 29 => {
            let kind = *u.choose(&[PoolKind::Max, PoolKind::Average])?;
            ops::Pool { kind, windows: windows(u, n, window)? }.into()
        }
        15 => ops::Reduce { kind: *u.choose(&REDUCE)?, axes: n.axes(u)?, keep_dims: u.arbitrary()? }.into(),
        16 => ops::Repeat { axis: n.axis(u)?, times: n.size(u)? }.into(),
        17 | 18 => {
            let dims = u.int_in_range(0..=4)?;
            let dim = |u: &mut Unstructured<'_>| {
                Ok(match u.int_in_range(0..=5)? {
                    0 | 1 => ReshapeDim::Keep,
                    2 => ReshapeDim::Infer,
                    3 => ReshapeDim::Of(n.axis(u)?),
                    4 => ReshapeDim::Like(n.axis(u)?),
                    _ => ReshapeDim::Fixed(n.integer(u)?),
                })
            };
            ops::Reshape { target: (0..dims).map(|_| dim(u)).collect::<Result<_>>()? }.into()
        }
        19 => ops::Reverse { axis: n.axis(u)? }.into(),
        20..=22 => {
            let [reverse, has_bias, has_states, has_mask]: [bool; 4] = u.arbitrary()?;
            let recurrence = Recurrence { reverse, has_bias, has_states, has_mask };
            let activation = if u.ratio(7, 8)? { Some(function(u)?) } else { None };
            let recurrent_activation = if u.ratio(7, 8)? { Some(function(u)?) } else { None };
            match u.int_in_range(0..=2)? {
                0 => {
                    let reset_after = u.arbitrary()?;
                    ops::Gru { activation, recurrent_activation, reset_after, recurrence }.into()
                }
                1 => ops::Lstm { activation, recurrent_activation, recurrence }.into(),
                _ => ops::Rnn { activation, recurrence }.into(),
            }
        }
        23 => {
            let (states, sequences) = if u.ratio(7, 8)? { (1, 1) } else { (n.size(u)?, n.size(u)?) };
            ops::Scan { body: BODY.clone(), states, sequences, reverse: u.arbitrary()? }.into()
        }
        24 => ops::Select.into(),
        25 => ops::Slice { axis: n.axis(u)?, before: n.integer(u)?, after: n.integer(u)? }.into(),
        26 => match u.arbitrary()? {
            true => ops::Softmax { axes: n.axes(u)?, log: u.arbitrary()? }.into(),
            false => ops::Sparsemax { axis: n.axis(u)? }.into(),
        },
        _ => match u.arbitrary()? {
            true => ops::Transpose { permutation: n.axes(u)? }.into(),
            false => function(u)?.into(),
        },
    })
}

/// The operands that fit behind a first one of `dims`; `d` is a size that is free.
fn others(u: &mut Unstructured<'_>, op: &Op, x: &TensorType, d: Dim) -> Result<Vec<TensorType>> {
    let dims = x.shape.to_vec();
    let at = |axis: usize| dims.get(axis).cloned().unwrap_or(Dim::ONE);
    let last = dims.last().cloned().unwrap_or(Dim::ONE);
    let f32 = |dims: Vec<Dim>| TensorType::from((DType::F32, dims));
    let with_bias = |u: &mut Unstructured<'_>, kernel: Vec<Dim>| -> Result<Vec<TensorType>> {
        let bias = if u.arbitrary()? { Some(f32(vec![d.clone()])) } else { None };
        Ok([f32(kernel)].into_iter().chain(bias).collect())
    };
    Ok(match op {
        Op::Affine(op) => vec![f32(vec![at(op.axis)]); 2],
        Op::Binary(_) | Op::Compare(_) => {
            let dims = if u.arbitrary()? { dims } else { vec![last] };
            vec![TensorType::from((x.dtype, dims))]
        }
        Op::Concat(_) => vec![x.clone(); u.int_in_range(0..=2)?],
        Op::Conv(op) => {
            let channels = last.as_usize().and_then(|n| n.checked_div(op.groups)).map_or(last, fixed);
            let taps = op.windows.iter().map(|window| Dim::fixed(window.size()));
            with_bias(u, taps.chain([channels, d.clone()]).collect())?
        }
        Op::ConvTranspose(op) => {
            let taps = op.windows.iter().map(|window| Dim::fixed(window.size()));
            with_bias(u, taps.chain([last, d.clone()]).collect())?
        }
        Op::Dense(_) => with_bias(u, vec![last, d.clone()])?,
        Op::Gather(_) => vec![TensorType::from((DType::I64, vec![d]))],
        Op::MatMul(_) => {
            let mut dims = dims;
            if let [.., rows, columns] = dims.as_mut_slice() {
                (*rows, *columns) = (columns.clone(), d);
            }
            vec![f32(dims)]
        }
        Op::Normalize(op) => {
            let sizes: Vec<Dim> = op.axes.iter().map(|&axis| at(axis)).collect();
            vec![f32(sizes); u.int_in_range(0..=2)?]
        }
        Op::Reshape(op) if op.target.iter().any(|dim| matches!(dim, ReshapeDim::Like(_))) => vec![x.clone()],
        Op::Scan(_) => vec![f32(vec![at(0), d, last])],
        Op::Select(_) => vec![f32(dims.clone()), f32(dims)],
        Op::Gru(ops::Gru { recurrence, .. })
        | Op::Lstm(ops::Lstm { recurrence, .. })
        | Op::Rnn(ops::Rnn { recurrence, .. }) => {
            let (gates, states, rows) = match op {
                Op::Gru(gru) => (3, 1, if gru.reset_after { 2 } else { 1 }),
                Op::Lstm(_) => (4, 2, 1),
                _ => (1, 1, 1),
            };
            let columns = d.mul_const(gates).unwrap_or(Dim::ONE);
            let mut types = vec![f32(vec![last, columns.clone()]), f32(vec![d.clone(), columns.clone()])];
            let bias = if rows > 1 { vec![fixed(rows), columns] } else { vec![columns] };
            types.extend(recurrence.has_bias.then(|| f32(bias)));
            if recurrence.has_states {
                types.extend(vec![f32(vec![at(0), d]); states]);
            }
            types.extend(recurrence.has_mask.then(|| TensorType::from((DType::Bool, vec![at(0), at(1)]))));
            types
        }
        _ => Vec::new(),
    })
}

fn any_dim(u: &mut Unstructured<'_>) -> Result<Dim> {
    let symbol = Dim::symbol(u.choose(&["batch", "steps"])?);
    let dim = match u.int_in_range(0..=7)? {
        0 | 1 => symbol,
        2 => symbol
            .mul_const(any_number(u)?)
            .and_then(|dim| dim.add_const(any_number(u).unwrap_or(0)))
            .unwrap_or(symbol),
        3 => symbol.floor_div(any_number(u)?).unwrap_or(symbol),
        _ => Dim::fixed(any_number(u)?),
    };
    Ok(dim)
}

fn any_type(u: &mut Unstructured<'_>) -> Result<TensorType> {
    let rank = *u.choose(&[3, 3, 3, 2, 4, 1, 0])?;
    let dims = (0..rank).map(|_| any_dim(u)).collect::<Result<Vec<_>>>()?;
    Ok((dtype(u)?, dims).into())
}

/// An operator and types of operands that often fit it.
pub fn with_types(u: &mut Unstructured<'_>) -> Result<(Op, Vec<TensorType>)> {
    let op = op(u, Numbers::Any)?;
    if u.ratio(1, 8)? {
        let count = u.int_in_range(0..=5)?;
        return Ok((op, (0..count).map(|_| any_type(u)).collect::<Result<_>>()?));
    }
    let x = any_type(u)?;
    let free = any_dim(u)?;
    let mut types = others(u, &op, &x, free)?;
    types.insert(0, x);
    if u.ratio(1, 8)? {
        let at = u.choose_index(types.len())?;
        types[at] = any_type(u)?;
    }
    Ok((op, types))
}

/// A graph of operators that fit each other, with inputs of few elements.
pub fn graph(u: &mut Unstructured<'_>) -> Result<Graph> {
    let mut builder = GraphBuilder::new();
    let mut values: Vec<ValueId> = Vec::new();
    for name in ["a", "b"] {
        let batch = if u.ratio(3, 4)? { Dim::symbol("batch") } else { Dim::fixed(u.int_in_range(0..=3)?) };
        let steps = if u.arbitrary()? { Dim::symbol("steps") } else { Dim::fixed(u.int_in_range(0..=9)?) };
        let channels = Dim::fixed(u.int_in_range(0..=5)?);
        let dims = [vec![batch, steps], vec![channels]].concat();
        let rank = *u.choose(&[3, 3, 3, 2])?;
        let r#type = TensorType::from((dtype(u)?, dims[3 - rank..].to_vec()));
        values.extend(builder.input(name, r#type).ok());
    }
    for call in 0..u.int_in_range(1..=10)? {
        // The end of the bytes ends the graph, not the run.
        if u.is_empty() || node(u, &mut builder, &mut values, call).is_err() {
            break;
        }
    }
    let newest = *values.last().ok_or(arbitrary::Error::NotEnoughData)?;
    builder.output("newest", newest);
    builder.output("another", *u.choose(&values)?);
    Ok(builder.finish())
}

/// Adds one node, if it fits, that reads values and constants.
fn node(
    u: &mut Unstructured<'_>,
    builder: &mut GraphBuilder,
    values: &mut Vec<ValueId>,
    call: usize,
) -> Result<()> {
    let op = op(u, Numbers::Small)?;
    let x = if u.arbitrary()? { values.last().copied() } else { None };
    let x = x.map_or_else(|| u.choose(values).copied(), Ok)?;
    let free = Dim::fixed(u.int_in_range(0..=6)?);
    let r#type = builder.type_of(x);
    let mut operands: Vec<Operand> = vec![x.into()];
    for r#type in others(u, &op, &r#type, free)? {
        let same: Vec<ValueId> = values.iter().copied().filter(|&id| builder.type_of(id) == r#type).collect();
        let operand = match same.is_empty() || u.ratio(1, 4)? {
            true => constant(u, builder, &r#type)?,
            false => Some(Operand::from(*u.choose(&same)?)),
        };
        operands.extend(operand);
    }
    if u.ratio(1, 16)? {
        operands.reverse();
    }
    builder.within(Some(CallId(call)));
    let Ok(outputs) = builder.add_all(op, operands) else { return Ok(()) };
    for (at, &output) in outputs.iter().enumerate() {
        builder.tap(CallId(call), at, Some(output));
    }
    values.extend(outputs);
    Ok(())
}

fn constant(
    u: &mut Unstructured<'_>,
    builder: &mut GraphBuilder,
    r#type: &TensorType,
) -> Result<Option<Operand>> {
    let Some(shape) = r#type.shape.as_fixed() else { return Ok(None) };
    let n = shape.iter().fold(1_usize, |product, &n| product.saturating_mul(n));
    if n > 1 << 12 {
        return Ok(None);
    }
    let mut numbers = Vec::with_capacity(n);
    let any: bool = u.ratio(1, 8)?;
    for i in 0..n {
        numbers.push(if any { u.arbitrary::<f32>()?.into() } else { (i % 9) as f64 / 4.0 - 1.0 });
    }
    let expr = Tensor::f64(shape, numbers).map(ConstantExpr::literal);
    let constant =
        expr.and_then(|expr| builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }));
    Ok(constant.ok().map(Operand::from))
}
