//! Networks in the making: layers that bring weights of the shape they need.

use k2o_core::ops::{self, BinaryKind, PoolKind, ReduceKind, ReshapeDim, Spread, Unary};
use k2o_core::{
    CallId, Constant, ConstantExpr, ConstantId, DType, Dim, Error, Graph, GraphBuilder, Op, Operand, Padding,
    Result, Tensor, ValueId, Window,
};
use proptest::sample::Index;

/// No padding.
pub(crate) const VALID: Padding = Padding::Explicit(0, 0);

/// What is added to a network; its weights follow from the value that it is added to.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    Conv {
        filters: usize,
        window: Window,
        groups: usize,
        bias: bool,
    },
    ConvTranspose {
        filters: usize,
        spread: Spread,
        bias: bool,
    },
    Dense {
        units: usize,
        bias: bool,
    },
    Affine {
        signs: Signs,
        axis_from_end: usize,
    },
    Pool(PoolKind, Window),
    Flatten,
    Reduce(ReduceKind, Vec<usize>, bool),
    Unary(Unary),
    Pad(i64, i64),
    Swap,
    /// Something that changes nothing.
    Nothing(usize),
    /// The sum with an earlier value of the same shape.
    Residual(Index),
    /// Beside an earlier value of the same shape.
    Concat(Index),
}

/// The scales of an affine map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Signs {
    Positive,
    Negative,
    Mixed,
    WithZero,
}

/// A network in the making.
pub(crate) struct Net {
    pub(crate) builder: GraphBuilder,
    pub(crate) values: Vec<ValueId>,
    constants: Vec<(Vec<usize>, ConstantId)>,
    /// Whether a weight may be one that another layer has already.
    pub(crate) shares: bool,
    pub(crate) seed: u64,
}

impl Net {
    pub(crate) fn new(input: Vec<Dim>) -> Net {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", (DType::F32, input).into()).unwrap();
        Net { builder, values: vec![x], constants: Vec::new(), shares: false, seed: 1 }
    }

    pub(crate) fn last(&self) -> ValueId {
        self.values[self.values.len() - 1]
    }

    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.seed >> 33) as f64 / (1u64 << 30) as f64 - 1.0
    }

    pub(crate) fn constant(
        &mut self,
        name: &str,
        shape: &[usize],
        value: impl Fn(usize, f64) -> f64,
    ) -> ConstantId {
        if self.shares
            && self.random() < 0.0
            && let Some((_, id)) = self.constants.iter().find(|(known, _)| known == shape)
        {
            return *id;
        }
        let data = (0..shape.iter().product()).map(|i| value(i, self.random())).collect();
        let expr = ConstantExpr::literal(Tensor::f64(shape, data).unwrap());
        let name = format!("layer_{}/{name}", self.values.len());
        let id = self.builder.constant(Constant { name, dtype: DType::F32, expr }).unwrap();
        self.constants.push((shape.to_vec(), id));
        id
    }

    pub(crate) fn affine(&mut self, signs: Signs, n: usize) -> [ConstantId; 2] {
        let scale = self.constant("scale", &[n], |i, x| match signs {
            Signs::Positive => x.abs() + 0.1,
            Signs::Negative => -x.abs() - 0.1,
            Signs::Mixed if i % 2 == 0 => -x.abs() - 0.1,
            Signs::WithZero if i % 2 == 0 => 0.0,
            Signs::Mixed | Signs::WithZero => x.abs() + 0.1,
        });
        [scale, self.constant("shift", &[n], |_, x| x)]
    }

    /// Adds a node that belongs to a call of its own and is that call's output.
    pub(crate) fn add(
        &mut self,
        op: impl Into<Op>,
        inputs: impl IntoIterator<Item = Operand>,
    ) -> Result<ValueId> {
        let call = CallId(self.values.len());
        self.builder.within(Some(call));
        let value = self.builder.add(op, inputs)?;
        self.builder.tap(call, 0, Some(value));
        self.values.push(value);
        Ok(value)
    }

    pub(crate) fn layer(&mut self, layer: &Layer, x: ValueId) -> Result<ValueId> {
        let shape = self.builder.type_of(x).shape;
        let misfit = || Error::shape(format!("{layer:?} on {shape}"));
        let size = |axis: usize| shape.get(axis).and_then(Dim::as_usize).ok_or_else(misfit);
        let channels = size(shape.rank().saturating_sub(1));
        let earlier = |net: &Net, at: &Index| {
            let like = |id: &ValueId| net.builder.type_of(*id) == net.builder.type_of(x);
            let known: Vec<ValueId> = net.values.iter().copied().filter(like).collect();
            known[at.index(known.len())]
        };
        let mut inputs: Vec<Operand> = vec![x.into()];
        let op: Op = match layer {
            Layer::Conv { filters, window, groups, bias } => {
                let groups = if channels.clone()? % groups == 0 { *groups } else { 1 };
                let filters = filters * groups;
                let kernel = [window.size() as usize, channels? / groups, filters];
                inputs.push(self.constant("kernel", &kernel, |_, x| x).into());
                inputs.extend(bias.then(|| Operand::from(self.constant("bias", &[filters], |_, x| x))));
                ops::Conv { windows: vec![*window], groups }.into()
            }
            Layer::ConvTranspose { filters, spread, bias } => {
                let kernel = [spread.size() as usize, channels?, *filters];
                inputs.push(self.constant("kernel", &kernel, |_, x| x).into());
                inputs.extend(bias.then(|| Operand::from(self.constant("bias", &[*filters], |_, x| x))));
                ops::ConvTranspose { windows: vec![*spread] }.into()
            }
            Layer::Dense { units, bias } => {
                inputs.push(self.constant("kernel", &[channels?, *units], |_, x| x).into());
                inputs.extend(bias.then(|| Operand::from(self.constant("bias", &[*units], |_, x| x))));
                ops::Dense.into()
            }
            Layer::Affine { signs, axis_from_end } => {
                let axis = shape.rank().checked_sub(1 + axis_from_end).ok_or_else(misfit)?;
                inputs.extend(self.affine(*signs, size(axis)?).map(Operand::from));
                ops::Affine { axis }.into()
            }
            Layer::Pool(kind, window) => ops::Pool { kind: *kind, windows: vec![*window] }.into(),
            Layer::Flatten => ops::Reshape::flatten().into(),
            Layer::Reduce(kind, axes, keep_dims) => {
                ops::Reduce { kind: *kind, axes: axes.clone(), keep_dims: *keep_dims }.into()
            }
            Layer::Unary(function) => (*function).into(),
            Layer::Pad(before, after) => {
                let mut amounts = vec![(0, 0); shape.rank()];
                *amounts.get_mut(1).ok_or_else(misfit)? = (*before, *after);
                ops::Pad { amounts, value: 0.0 }.into()
            }
            Layer::Swap if shape.rank() == 3 => ops::Transpose { permutation: vec![0, 2, 1] }.into(),
            Layer::Swap => return Err(misfit()),
            Layer::Nothing(0) => ops::Identity.into(),
            Layer::Nothing(1) => ops::Reshape { target: vec![ReshapeDim::Keep; shape.rank()] }.into(),
            Layer::Nothing(2) => ops::Pad { amounts: vec![(0, 0); shape.rank()], value: 1.0 }.into(),
            Layer::Nothing(_) => ops::Transpose { permutation: (0..shape.rank()).collect() }.into(),
            Layer::Residual(at) => {
                inputs.push(earlier(self, at).into());
                ops::Binary { kind: BinaryKind::Add }.into()
            }
            Layer::Concat(at) => {
                inputs.insert(0, earlier(self, at).into());
                ops::Concat { axis: shape.rank() - 1 }.into()
            }
        };
        self.add(op, inputs)
    }

    pub(crate) fn chain(&mut self, layers: &[Layer]) -> ValueId {
        layers.iter().fold(self.last(), |x, layer| self.layer(layer, x).unwrap())
    }

    pub(crate) fn output(&mut self, value: ValueId) {
        self.builder.output(format!("y{}", value.0), value);
    }

    pub(crate) fn finish(self) -> Graph {
        self.builder.finish()
    }
}
