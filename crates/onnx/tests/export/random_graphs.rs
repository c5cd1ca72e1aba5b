//! Random graphs: as many layers of a recipe as fit, with weights of any bits.

use crate::recipes::{Layer, Recipe, Step};
use crate::recurrent::Kind;
use k2o_core::ops::{self, Recurrence, ReduceKind};
use k2o_core::{
    CallId, Constant, ConstantExpr, ConstantId, DType, Dim, Error, Graph, GraphBuilder, LayerCall, Op,
    Operand, Outline, Result, Shape, StoredTensor, TensorType, ValueId,
};
use proptest::sample::Index;
use std::sync::Arc;

/// A signalling NaN, quiet ones with and without a payload, minus infinity, a denormal number, and minus zero.
const SPECIAL: [u32; 6] = [0x7f80_0001, 0xffc1_2345, 0x7fc0_0000, 0xff80_0000, 0x0000_0001, 0x8000_0000];

/// A weight of any bits.
#[derive(Debug)]
struct Bits {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl StoredTensor for Bits {
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn read(&self) -> Result<Vec<u8>> {
        Ok(self.bytes.clone())
    }
}

/// A graph in the making.
struct Maker<'a> {
    recipe: &'a Recipe,
    builder: GraphBuilder,
    outline: Outline,
    values: Vec<ValueId>,
    random: u64,
}

/// The graph of as many of the layers as fit, in which every value is read or an output.
pub fn make(recipe: &Recipe) -> (Graph, Outline) {
    let outline = Outline { name: recipe.model.clone(), ..Outline::default() };
    let mut maker =
        Maker { recipe, builder: GraphBuilder::new(), outline, values: vec![], random: recipe.seed };
    for (name, dims, dtype) in &recipe.inputs {
        let r#type = TensorType::new(Shape::new(dims.clone()), *dtype);
        maker.values.push(maker.builder.input(name.clone(), r#type).unwrap());
    }
    recipe.steps.iter().for_each(|step| maker.step(step));
    let uses = maker.builder.graph().uses();
    let unread = uses.iter().filter(|(_, uses)| **uses == 0).map(|(id, _)| id);
    let chosen = recipe.outputs.iter().map(|at| *at.get(&maker.values));
    for (value, name) in chosen.chain(unread).zip(recipe.names.iter().cycle()) {
        maker.builder.output(name, value);
    }
    (maker.builder.finish(), maker.outline)
}

impl Maker<'_> {
    /// Adds a layer if it fits; nodes of it that do are left in any case.
    fn step(&mut self, step: &Step) {
        let call = CallId(self.outline.calls.len());
        self.outline.calls.push(LayerCall {
            path: step.path.clone(),
            name: step.path.clone(),
            class: step.class.clone(),
            parent: None,
            object: call.0,
            repetition: step.repetition,
            outputs: Vec::new(),
            inputs: Vec::new(),
            weights: Vec::new(),
        });
        self.builder.within(Some(call));
        let source = *step.source.get(&self.values);
        let Ok(outputs) = self.layer(&step.layer, source) else { return };
        for (output, &value) in outputs.iter().enumerate().filter(|_| step.is_tapped) {
            self.builder.tap(call, output, Some(value));
        }
        self.values.extend(outputs);
    }

    /// A weight of any bits; of bits that are numbers if it is computed with.
    fn weight(&mut self, shape: &[usize], finite: bool) -> Result<ConstantId> {
        let mut bytes = Vec::new();
        for _ in 0..shape.iter().product() {
            self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let special = SPECIAL.get((self.random >> 60) as usize).filter(|_| !finite);
            let mut bits = special.copied().unwrap_or((self.random >> 28) as u32);
            if finite && !f32::from_bits(bits).is_finite() {
                // Half the exponent.
                bits &= !0x4000_0000;
            }
            bytes.extend(bits.to_le_bytes());
        }
        let expr = ConstantExpr::stored(Arc::new(Bits { shape: shape.to_vec(), bytes }));
        let names = &self.recipe.weight_names;
        let name = names[self.builder.graph().constants().len() % names.len()].clone();
        self.builder.constant(Constant { name, dtype: DType::F32, expr })
    }

    fn same_type(&self, x: ValueId, at: &Index) -> ValueId {
        let same = |id: &ValueId| self.builder.type_of(*id) == self.builder.type_of(x);
        let known: Vec<ValueId> = self.values.iter().copied().filter(same).collect();
        *at.get(&known)
    }

    fn layer(&mut self, layer: &Layer, x: ValueId) -> Result<Vec<ValueId>> {
        let TensorType { shape, dtype } = self.builder.type_of(x);
        let misfit = || Error::shape(format!("{layer:?} on {shape}"));
        let size = |axis: usize| shape.get(axis).and_then(Dim::as_usize).ok_or_else(misfit);
        let last = shape.rank().saturating_sub(1);
        let mut inputs: Vec<Operand> = vec![x.into()];
        let op: Op = match layer {
            Layer::Conv { filters, window, groups, bias } => {
                let groups = if size(last)? % groups == 0 { *groups } else { 1 };
                let filters = filters * groups;
                let kernel = [window.size() as usize, size(last)? / groups, filters];
                inputs.push(self.weight(&kernel, false)?.into());
                inputs.extend(self.bias(*bias, filters)?);
                ops::Conv { windows: vec![*window], groups }.into()
            }
            Layer::ConvTranspose { filters, spread, bias } => {
                inputs.push(self.weight(&[spread.size() as usize, size(last)?, *filters], false)?.into());
                inputs.extend(self.bias(*bias, *filters)?);
                ops::ConvTranspose { windows: vec![*spread] }.into()
            }
            Layer::Dense { units, bias } => {
                inputs.push(self.weight(&[size(last)?, *units], false)?.into());
                inputs.extend(self.bias(*bias, *units)?);
                ops::Dense.into()
            }
            Layer::Affine { axis } => {
                let n = size(*axis)?;
                inputs.extend([self.weight(&[n], false)?, self.weight(&[n], false)?].map(Operand::from));
                ops::Affine { axis: *axis }.into()
            }
            Layer::Pool(kind, window) => ops::Pool { kind: *kind, windows: vec![*window] }.into(),
            Layer::Reduce(kind, axes, keep_dims) => {
                ops::Reduce { kind: *kind, axes: axes.clone(), keep_dims: *keep_dims }.into()
            }
            Layer::Unary(function) => (*function).into(),
            Layer::Softmax(axes) => ops::Softmax::over(axes.clone()).into(),
            Layer::Normalize { kind, weights } => {
                for _ in 0..*weights {
                    inputs.push(self.weight(&[size(last)?], false)?.into());
                }
                ops::Normalize { kind: *kind, axes: vec![last], epsilon: 1e-3 }.into()
            }
            Layer::Pad(before, after) => {
                let mut amounts = vec![(0, 0); shape.rank()];
                *amounts.get_mut(1).ok_or_else(misfit)? = (*before, *after);
                ops::Pad { amounts, value: 0.0 }.into()
            }
            Layer::Flatten => ops::Reshape::flatten().into(),
            Layer::Swap if shape.rank() == 3 => ops::Transpose { permutation: vec![0, 2, 1] }.into(),
            Layer::Swap => return Err(misfit()),
            Layer::Slice { axis, before, after } => {
                ops::Slice { axis: *axis, before: *before, after: *after }.into()
            }
            Layer::Reverse(axis) => ops::Reverse { axis: *axis }.into(),
            Layer::Repeat { axis, times } => ops::Repeat { axis: *axis, times: *times }.into(),
            Layer::Cast(to) => ops::Cast { to: *to }.into(),
            Layer::Binary(kind, at) => {
                inputs.push(self.same_type(x, at).into());
                ops::Binary { kind: *kind }.into()
            }
            Layer::WithWeight(kind, first) => {
                let weight = self.weight(&[size(last)?], false)?;
                inputs.insert(usize::from(!first), weight.into());
                ops::Binary { kind: *kind }.into()
            }
            Layer::Concat(axis, at) => {
                inputs.push(self.same_type(x, at).into());
                ops::Concat { axis: *axis }.into()
            }
            Layer::Choose(kind, at) => {
                let other = self.same_type(x, at);
                let holds = self.builder.add(ops::Compare { kind: *kind }, [x, other])?;
                inputs = [holds, x, other].map(Operand::from).to_vec();
                ops::Select.into()
            }
            Layer::Embed(to) => {
                let table = self.weight(&[5, 2], false)?;
                let indices = self.builder.add(ops::Cast { to: *to }, [x])?;
                inputs = vec![table.into(), indices.into()];
                ops::Gather { axis: 0 }.into()
            }
            Layer::Recurrent { kind, units, functions, recurrence } => {
                if dtype != DType::F32 || shape.rank() != 3 {
                    return Err(misfit());
                }
                inputs.extend(self.recurrent_operands(*kind, x, *units, recurrence)?);
                kind.op(*functions, *recurrence)
            }
        };
        self.builder.add_all(op, inputs)
    }

    fn bias(&mut self, has_bias: bool, n: usize) -> Result<Option<Operand>> {
        has_bias.then(|| Ok(self.weight(&[n], false)?.into())).transpose()
    }

    /// All but the first operand of a recurrence over `x` `[batch, steps, channels]`.
    fn recurrent_operands(
        &mut self,
        kind: Kind,
        x: ValueId,
        units: usize,
        recurrence: &Recurrence,
    ) -> Result<Vec<Operand>> {
        let shape = self.builder.type_of(x).shape;
        let channels = shape[2].as_usize().ok_or_else(|| Error::shape("steps of an unknown size"))?;
        let (gates, states) = kind.sizes();
        let columns = gates * units;
        let mut operands: Vec<Operand> = vec![
            self.weight(&[channels, columns], true)?.into(),
            self.weight(&[units, columns], true)?.into(),
        ];
        if recurrence.has_bias {
            let rows: &[usize] = if kind == (Kind::Gru { reset_after: true }) { &[2] } else { &[] };
            operands.push(self.weight(&[rows, &[columns]].concat(), true)?.into());
        }
        let maximum = |axis| ops::Reduce { kind: ReduceKind::Max, axes: vec![axis], keep_dims: false };
        if recurrence.has_states {
            let row = self.builder.add(maximum(1), [x])?;
            for _ in 0..states {
                let kernel = self.weight(&[channels, units], false)?;
                operands.push(self.builder.add(ops::Dense, [row.into(), Operand::from(kernel)])?.into());
            }
        }
        if recurrence.has_mask {
            let largest = self.builder.add(maximum(2), [x])?;
            operands.push(self.builder.add(ops::Cast { to: DType::Bool }, [largest])?.into());
        }
        Ok(operands)
    }
}
