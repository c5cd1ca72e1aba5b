//! `Affine`: one `BatchNormalization` (mean 0, variance 1, epsilon 0) where the channels are the second axis, else
//! `Mul` and `Add`.
//!
//! `scale * (x - 0) / sqrt(1 + 0) + shift` is exact.

use super::{Emit, Layouts, Lower, TakesFlat, Tie};
use crate::Result;
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::view::View;
use k2o_core::ops::Affine;
use k2o_core::{Graph, Node};

fn is_constant(node: &Node) -> bool {
    node.inputs.iter().skip(1).all(|operand| operand.constant().is_some())
}

impl Lower for Affine {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn takes_flat(&self, _: &Graph, node: &Node, operand: usize) -> TakesFlat {
        match operand == 0 && self.axis == 1 && is_constant(node) {
            true => TakesFlat::Passes,
            false => TakesFlat::Refuses,
        }
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let x = match site.layout(0)? {
            layout if is_constant(site.node) => layout,
            // Computed vectors broadcast along the last axis only.
            Layout::Axes(mut order) => {
                order.retain(|&axis| axis != self.axis);
                order.push(self.axis);
                Layout::Axes(order)
            }
            Layout::Flat(_) => Layout::keras(2),
        };
        Ok(Layouts { inputs: vec![x.clone(), Layout::keras(1), Layout::keras(1)], output: x })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let layout = emit.layouts.output.clone();
        let constant = is_constant(emit.node);
        match &layout {
            Layout::Flat(flat) => {
                let view =
                    || View::permuted(&flat.sizes, &flat.order).called(vec![flat.sizes.iter().product()]);
                let (scale, shift) = (emit.weight(1, view())?, emit.weight(2, view())?);
                Ok(multiply_add(emit, x, scale, shift))
            }
            Layout::Axes(order) if constant && order.get(1) == Some(&self.axis) => {
                let (scale, shift) = (emit.input(1)?, emit.input(2)?);
                let channels = emit.constant(1)?.shape().iter().product();
                let mut filled = |role, value| emit.filled(role, vec![channels], value);
                let (mean, variance) = (filled("mean", 0.0), filled("variance", 1.0));
                let node = NodeSpec::new("BatchNormalization", [x, scale, shift, mean, variance]);
                Ok(emit.node(node.float("epsilon", 0.0)))
            }
            Layout::Axes(order) => {
                let after = order.len() - 1 - layout.position(self.axis);
                let mut vector = |operand: usize| {
                    if after == 0 {
                        return emit.input(operand);
                    }
                    let shape = emit.constant(operand)?.shape();
                    let dims = [shape, &vec![1; after]].concat();
                    emit.weight(operand, View::of(shape).called(dims))
                };
                let (scale, shift) = (vector(1)?, vector(2)?);
                Ok(multiply_add(emit, x, scale, shift))
            }
        }
    }
}

fn multiply_add(emit: &mut Emit<'_>, x: Arg, scale: Arg, shift: Arg) -> TensorId {
    let scaled = emit.call("Mul", [x, scale]);
    emit.node(NodeSpec::new("Add", [scaled, shift]))
}
