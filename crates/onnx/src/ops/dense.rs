//! `Dense`: `Gemm` for a matrix; else `MatMul` and `Add` where the features are the last axis, and a `Conv` of size 1
//! where they are the second, so that nothing has to be transposed.
//!
//! An input that was flattened in another order of axes is met by putting the kernel's rows in that order.

use super::{Emit, Layouts, Lower, TakesFlat, Tie};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::view::View;
use crate::{Error, Result};
use k2o_core::ops::Dense;
use k2o_core::{Graph, Node};

/// The ranks of tensors that runtimes convolve.
const CONV_RANKS: std::ops::RangeInclusive<usize> = 3..=5;

impl Lower for Dense {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn takes_flat(&self, graph: &Graph, node: &Node, operand: usize) -> TakesFlat {
        match node.inputs.as_slice() {
            [x, kernel, ..]
                if operand == 0 && kernel.constant().is_some() && graph.type_of(*x).shape.rank() == 2 =>
            {
                TakesFlat::Absorbs
            }
            _ => TakesFlat::Refuses,
        }
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let rank = site.input(0)?.shape.rank();
        let convolves = CONV_RANKS.contains(&rank) && site.is_constant(1);
        let first = Layout::channels_first(rank);
        let x = match site.layout(0)? {
            _ if convolves && site.prefers_channels_first() && site.has(0, &first) => first,
            Layout::Axes(order) if order.last() == Some(&(rank - 1)) && rank > 2 => Layout::Axes(order),
            Layout::Axes(order) if order.get(1) == Some(&(rank - 1)) && convolves => Layout::Axes(order),
            Layout::Flat(flat) => Layout::Flat(flat),
            Layout::Axes(_) => Layout::keras(rank),
        };
        let output = if rank == 2 { Layout::keras(2) } else { x.clone() };
        let mut inputs = vec![x, Layout::keras(2), Layout::keras(1)];
        inputs.truncate(site.node.inputs.len());
        Ok(Layouts { inputs, output })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let bias = if emit.has(2) { emit.input(2)? } else { Arg::Absent };
        let layout = emit.layouts.inputs[0].clone();
        match &layout {
            Layout::Flat(flat) => {
                let [rows, units] = kernel_shape(emit)?;
                let sizes = [flat.sizes.as_slice(), &[units]].concat();
                let order = [flat.order.as_slice(), &[flat.sizes.len()]].concat();
                let kernel = emit.weight(1, View::permuted(&sizes, &order).called(vec![rows, units]))?;
                Ok(emit.node(NodeSpec::new("Gemm", [x, kernel, bias])))
            }
            Layout::Axes(order) if order.len() == 2 => {
                let kernel = emit.input(1)?;
                Ok(emit.node(NodeSpec::new("Gemm", [x, kernel, bias])))
            }
            Layout::Axes(order) if order.last() == Some(&(order.len() - 1)) => {
                let kernel = emit.input(1)?;
                let product = emit.node(NodeSpec::new("MatMul", [x, kernel]));
                match bias {
                    Arg::Absent => Ok(product),
                    bias => Ok(emit.node(NodeSpec::new("Add", [Arg::Tensor(product), bias]))),
                }
            }
            Layout::Axes(order) => {
                let [rows, units] = kernel_shape(emit)?;
                let taps = vec![1; order.len() - 2];
                let dims = [vec![units, rows], taps.clone()].concat();
                let kernel = emit.weight(1, View::permuted(&[rows, units], &[1, 0]).called(dims))?;
                let node = NodeSpec::new("Conv", [x, kernel, bias]);
                Ok(emit.node(node.ints("kernel_shape", &super::ints(&taps)?)))
            }
        }
    }
}

fn kernel_shape(emit: &Emit<'_>) -> Result<[usize; 2]> {
    let shape = emit.constant(1)?.shape();
    shape.try_into().map_err(|_| Error::shape(format!("a dense kernel of shape {shape:?}")))
}
