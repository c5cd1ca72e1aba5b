//! `Binary`: one node in any layout; weights are put in the tensors' order of axes.
//!
//! `PRelu` lets its slopes repeat, but not what they are for; where that must repeat, the formula is written.

use super::concat::common_layout;
use super::{Emit, Layouts, Lower, TakesFlat, Tie};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::view::View;
use k2o_core::ops::{Binary, BinaryKind};
use k2o_core::{Dim, Graph, Node, Operand, Shape};

impl Lower for Binary {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn takes_flat(&self, graph: &Graph, node: &Node, operand: usize) -> TakesFlat {
        // Against a weight per element or a single number, where neither adds an axis.
        let other = node.inputs.iter().enumerate().find(|&(i, _)| i != operand).map(|(_, other)| *other);
        match other {
            Some(Operand::Constant(id))
                if graph.constant(id).shape().iter().rev().skip(1).all(|&n| n == 1) =>
            {
                let rank = graph.constant(id).shape().len();
                if rank <= 2 { TakesFlat::Passes } else { TakesFlat::Refuses }
            }
            _ => TakesFlat::Refuses,
        }
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let rank = site.output()?.shape.rank();
        let values: Vec<usize> = (0..site.node.inputs.len()).filter(|&i| !site.is_constant(i)).collect();
        let mut layout = Layout::keras(rank);
        let mut full = true;
        let mut flat = None;
        for &i in &values {
            full &= site.input(i)?.shape.rank() == rank;
            flat = flat.or(Some(site.layout(i)?).filter(|layout| layout.axes().is_none()));
        }
        // A tensor of fewer axes broadcasts along the last ones, so that all stay where they are.
        if full {
            layout = match flat {
                Some(flat) if site.may_be_flat() && values.len() == 1 => flat,
                _ => common_layout(site, &values, rank)?,
            };
        }
        let mut inputs = Vec::new();
        for i in 0..site.node.inputs.len() {
            inputs.push(match values.contains(&i) && !full {
                true => Layout::keras(site.input(i)?.shape.rank()),
                false => layout.clone(),
            });
        }
        Ok(Layouts { inputs, output: layout })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let values = emit.node.inputs.iter().filter_map(|operand| operand.value());
        let rank = values.map(|id| emit.graph.value(id).r#type.shape.rank()).max().unwrap_or(0);
        let args = [operand(emit, 0, rank)?, operand(emit, 1, rank)?];
        let op_type = match self.kind {
            BinaryKind::Add => "Add",
            BinaryKind::Sub => "Sub",
            BinaryKind::Mul => "Mul",
            BinaryKind::Div => "Div",
            BinaryKind::Max => "Max",
            BinaryKind::Min => "Min",
            BinaryKind::And => "And",
            BinaryKind::Or => "Or",
            BinaryKind::Prelu if repeats(&emit.type_of(1)?.shape, &emit.type_of(0)?.shape) => "PRelu",
            BinaryKind::Prelu => return prelu(emit, args),
        };
        Ok(emit.node(NodeSpec::new(op_type, args)))
    }
}

/// Whether only `slopes` have to be repeated to have the shape of `x`.
fn repeats(slopes: &Shape, x: &Shape) -> bool {
    let mut pairs = slopes.iter().rev().zip(x.iter().rev());
    slopes.rank() <= x.rank() && pairs.all(|(slope, dim)| *slope == Dim::ONE || *dim != Dim::ONE)
}

/// `max(x, 0) + min(x, 0) * slope`
fn prelu(emit: &mut Emit<'_>, [x, slope]: [Arg; 2]) -> Result<TensorId> {
    let zero = emit.scalar("zero", emit.type_of(0)?.dtype, 0.0)?;
    let (above, below) = (emit.call("Max", [x, zero]), emit.call("Min", [x, zero]));
    let below = emit.call("Mul", [below, slope]);
    Ok(emit.node(NodeSpec::new("Add", [above, below])))
}

/// An operand as it broadcasts in the output's layout; `rank` is the most axes that a computed operand has.
fn operand(emit: &mut Emit<'_>, i: usize, rank: usize) -> Result<Arg> {
    if emit.node.inputs[i].value().is_some() {
        return emit.input(i);
    }
    let shape = emit.constant(i)?.shape().to_vec();
    let view = match &emit.layouts.output {
        _ if shape.iter().all(|&n| n == 1) => View::of(&shape),
        layout if layout.is_keras() => View::of(&shape),
        Layout::Axes(order) => {
            let padded = [vec![1; order.len() - shape.len()], shape.clone()].concat();
            let view = View::permuted(&padded, order);
            let ones = view.dims().iter().take_while(|&&n| n == 1).count();
            let dims = view.dims()[if rank < order.len() { 0 } else { ones }..].to_vec();
            view.called(dims)
        }
        Layout::Flat(flat) => View::permuted(&flat.sizes, &flat.order).called(shape.clone()),
    };
    emit.weight(i, view)
}
