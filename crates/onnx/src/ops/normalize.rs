//! `Normalize`: `LayerNormalization` (from opset 17 on) or `RMSNormalization` (from 23 on) where there is one for it,
//! read in a layout in which the axes are the last ones; else the formula, in any layout.
//!
//! The formula is some eight nodes, so that moving axes there and back is still shorter. It subtracts the mean before
//! it squares: the mean of the squares less the square of the mean would cancel.

use super::reduce::reduce;
use super::unary::with_float;
use super::{Emit, Layouts, Lower, Tie, any_axes};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::view::View;
use crate::{Error, Result};
use k2o_core::ops::{Normalize, NormalizeKind, ReduceKind};
use k2o_core::{DType, Node, Shape};

/// The most ones that are written where there is no scale.
const MAX_ONES: usize = 1 << 20;

/// The node that does it all, if the opset has one and a scale can be given to it, which it must be.
fn single_node(normalize: &Normalize, opset: i64, node: &Node, x: &Shape) -> Option<&'static str> {
    let op_type = match normalize.kind {
        NormalizeKind::Standard if opset >= 17 => "LayerNormalization",
        NormalizeKind::RootMeanSquare if opset >= 23 => "RMSNormalization",
        _ => return None,
    };
    (node.inputs.len() > 1 || ones(&normalize.axes, x).is_some()).then_some(op_type)
}

/// The sizes of a scale of ones for these axes, if they are known and not too large.
fn ones(axes: &[usize], x: &Shape) -> Option<Vec<usize>> {
    let sizes: Vec<usize> = axes.iter().map(|&axis| x.get(axis)?.as_usize()).collect::<Option<_>>()?;
    let n = sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size))?;
    (n <= MAX_ONES).then_some(sizes)
}

impl Lower for Normalize {
    fn tie(&self) -> Tie {
        match self.kind {
            NormalizeKind::Standard => Tie::Free,
            NormalizeKind::RootMeanSquare | NormalizeKind::Deviation => Tie::Same,
        }
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let computed = (1..site.node.inputs.len()).any(|operand| !site.is_constant(operand));
        let single = single_node(self, site.opset, site.node, &site.input(0)?.shape).is_some();
        let x = match any_axes(site)? {
            Layout::Axes(order) if computed || single => {
                let (mut others, axes): (Vec<usize>, Vec<usize>) =
                    order.into_iter().partition(|axis| !self.axes.contains(axis));
                let layout = Layout::Axes([others.clone(), axes.clone()].concat());
                // Computed weights stay in their order.
                if site.has(0, &layout) && (!computed || axes == self.axes) {
                    layout
                } else {
                    others.sort_unstable();
                    Layout::Axes([&others, self.axes.as_slice()].concat())
                }
            }
            layout => layout,
        };
        let weight = Layout::keras(self.axes.len());
        let mut inputs = vec![x.clone(), weight.clone(), weight];
        inputs.truncate(site.node.inputs.len());
        Ok(Layouts { inputs, output: x })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let (x, shape) = (emit.input(0)?, emit.type_of(0)?.shape);
        let scale = if emit.has(1) { Some(weight(self, emit, 1)?) } else { None };
        let bias = if emit.has(2) { weight(self, emit, 2)? } else { Arg::Absent };
        let Some(op_type) = single_node(self, emit.opset(), emit.node, &shape) else {
            return formula(self, emit, x, scale, bias);
        };
        let first = shape.rank() - self.axes.len();
        let scale = match (scale, &emit.layouts.output) {
            (Some(scale), _) => scale,
            (None, layout) => {
                let axes = layout.axes().unwrap_or_default().iter().copied().skip(first);
                let sizes = ones(&axes.collect::<Vec<_>>(), &shape).unwrap_or_default();
                emit.filled("scale", sizes, 1.0)
            }
        };
        let with_bias = self.kind == NormalizeKind::Standard;
        let mut node = NodeSpec::new(op_type, [x, scale, if with_bias { bias } else { Arg::Absent }]);
        if self.axes.len() != 1 {
            node = node.int("axis", first as i64);
        }
        let y = emit.node(with_float(node, "epsilon", self.epsilon, 1e-5));
        match with_bias || bias == Arg::Absent {
            true => Ok(y),
            false => Ok(emit.node(NodeSpec::new("Add", [Arg::Tensor(y), bias]))),
        }
    }
}

/// A weight as it broadcasts in the layout.
fn weight(normalize: &Normalize, emit: &mut Emit<'_>, operand: usize) -> Result<Arg> {
    let layout = &emit.layouts.output;
    let order = layout.axes().ok_or_else(|| Error::shape("a normalization of a flattened tensor"))?;
    if emit.operand(operand)?.value().is_some() {
        return emit.input(operand);
    }
    let shape = emit.constant(operand)?.shape();
    let place = |axis: &usize| normalize.axes.iter().position(|normalized| normalized == axis);
    let places: Vec<Option<usize>> = order.iter().map(place).skip_while(Option::is_none).collect();
    let misfit = || Error::shape(format!("a weight of shape {shape:?} for the axes {:?}", normalize.axes));
    let size = |place: &Option<usize>| match *place {
        Some(place) => shape.get(place).copied().ok_or_else(misfit),
        None => Ok(1),
    };
    let dims = places.iter().map(size).collect::<Result<_>>()?;
    let view = View::permuted(shape, &places.into_iter().flatten().collect::<Vec<_>>()).called(dims);
    emit.weight(operand, view)
}

fn formula(
    normalize: &Normalize,
    emit: &mut Emit<'_>,
    x: Arg,
    scale: Option<Arg>,
    bias: Arg,
) -> Result<TensorId> {
    let axes = emit.layouts.output.positions(&normalize.axes);
    let mut centred = x;
    if normalize.kind != NormalizeKind::RootMeanSquare {
        let mean = Arg::Tensor(reduce(emit, ReduceKind::Mean, x, &axes, true)?);
        centred = emit.call("Sub", [x, mean]);
    }
    let squares = emit.call("Mul", [centred, centred]);
    let variance = Arg::Tensor(reduce(emit, ReduceKind::Mean, squares, &axes, true)?);
    let epsilon = emit.scalar("epsilon", DType::F32, normalize.epsilon)?;
    let sum = emit.call("Add", [variance, epsilon]);
    let root = emit.call("Sqrt", [sum]);
    let dividend = if normalize.kind == NormalizeKind::Deviation { x } else { centred };
    let mut y = emit.call("Div", [dividend, root]);
    if let Some(scale) = scale {
        y = emit.call("Mul", [y, scale]);
    }
    if bias != Arg::Absent {
        y = emit.call("Add", [y, bias]);
    }
    Ok(emit.pass(y))
}
