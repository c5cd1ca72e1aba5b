//! `Dense`: `Gemm` for a matrix; else `MatMul` and `Add` where the features are the last axis, and a `Conv` of size 1
//! where they are the second, so that nothing has to be transposed.
//!
//! An input that was flattened in another order of axes is met by putting the kernel's rows in that order.

use super::{Emit, Layouts, Lower, TakesFlat, Tie};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::layout::{Flat, Layout};
use crate::view::View;
use crate::{Error, Result};
use k2o_core::ops::Dense;
use k2o_core::{Graph, Node};

/// The ranks of tensors that runtimes convolve.
const CONV_RANKS: std::ops::RangeInclusive<usize> = 3..=5;

/// The node that the input's layout asks for.
enum Form {
    Gemm(Option<Flat>),
    MatMul,
    /// With a kernel of these sizes, all 1.
    Conv(Vec<usize>),
}

fn form(layout: &Layout) -> Form {
    match layout {
        Layout::Flat(flat) => Form::Gemm(Some(flat.clone())),
        Layout::Axes(order) if order.len() == 2 => Form::Gemm(None),
        Layout::Axes(order) if order.last() == Some(&(order.len() - 1)) => Form::MatMul,
        Layout::Axes(order) => Form::Conv(vec![1; order.len().saturating_sub(2)]),
    }
}

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
            _ if convolves && site.feeds_channels_first() && site.has(0, &first) => first,
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
        let form = form(emit.layout(0)?);
        let kernel = match &form {
            Form::Gemm(None) | Form::MatMul => emit.input(1)?,
            Form::Gemm(Some(flat)) => {
                let [rows, units] = kernel_shape(emit)?;
                let sizes = [flat.sizes.as_slice(), &[units]].concat();
                let order = [flat.order.as_slice(), &[flat.sizes.len()]].concat();
                emit.weight(1, View::permuted(&sizes, &order).called(vec![rows, units]))?
            }
            Form::Conv(taps) => {
                let [rows, units] = kernel_shape(emit)?;
                let dims = [&[units, rows], taps.as_slice()].concat();
                emit.weight(1, View::permuted(&[rows, units], &[1, 0]).called(dims))?
            }
        };
        let bias = if emit.has(2) { emit.input(2)? } else { Arg::Absent };
        Ok(match form {
            Form::Gemm(_) => emit.node(NodeSpec::new("Gemm", [x, kernel, bias])),
            Form::MatMul => match (emit.node(NodeSpec::new("MatMul", [x, kernel])), bias) {
                (product, Arg::Absent) => product,
                (product, bias) => emit.node(NodeSpec::new("Add", [Arg::Tensor(product), bias])),
            },
            Form::Conv(taps) => {
                let node = NodeSpec::new("Conv", [x, kernel, bias]);
                emit.node(node.ints("kernel_shape", &super::ints(&taps)?))
            }
        })
    }
}

fn kernel_shape(emit: &Emit<'_>) -> Result<[usize; 2]> {
    let shape = emit.constant(1)?.shape();
    shape.try_into().map_err(|_| Error::shape(format!("a dense kernel of shape {shape:?}")))
}
