//! `Repeat`: `Resize`, which for every size takes the nearest element that is not behind, one for repetitions along
//! several axes; in any layout.
//!
//! onnxruntime resizes no int64 and no bool, so those get a new axis, are expanded along it, and reshaped. `Expand` would
//! also do for an axis of size 1, but tract 0.23.9 does not load a matrix product that reads what it makes, nor `Tile`'s.

use super::target::{Size, shape};
use super::{Emit, Layouts, Lower, Tie, same_axes};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::{Error, Result};
use k2o_core::ops::Repeat;
use k2o_core::{DType, Dim, Graph, Node, Op};

/// Whole numbers up to this one are floats, and the whole parts of their quotients are right.
const EXACT: i64 = 1 << 24;

/// The node as one that is written as `Resize`.
fn resized<'a>(graph: &'a Graph, node: &'a Node) -> Option<&'a Repeat> {
    let (Op::Repeat(repeat), [x], [y]) = (&node.op, node.inputs.as_slice(), node.outputs.as_slice()) else {
        return None;
    };
    let (x, y) = (graph.type_of(*x), &graph.value(*y).r#type);
    let exact = y.shape.get(repeat.axis)?.as_fixed().is_none_or(|n| n <= EXACT);
    let scale = i64::try_from(repeat.times).is_ok_and(|times| times <= EXACT);
    (x.dtype == DType::F32 && exact && scale).then_some(repeat)
}

/// Whether the node that comes next, and reads nothing else, repeats for this one too.
fn is_left_to_the_next(emit: &Emit<'_>, node: &Node) -> bool {
    let next = node.outputs.first().and_then(|&id| emit.hints.sole_reader(id)).map(|id| emit.graph.node(id));
    resized(emit.graph, node).is_some() && next.is_some_and(|next| resized(emit.graph, next).is_some())
}

impl Lower for Repeat {
    fn tie(&self) -> Tie {
        Tie::Same
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        same_axes(site)
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let (x, x_type) = (emit.input(0)?, emit.type_of(0)?);
        let (rank, axis) = (x_type.shape.rank(), emit.layouts.output.position(self.axis));
        if self.times == 1 || is_left_to_the_next(emit, emit.node) {
            return Ok(emit.pass(x));
        }
        if resized(emit.graph, emit.node).is_some() {
            let scales = scales(emit, rank);
            let scales = emit.floats("scales", vec![rank], &scales);
            let node = NodeSpec::new("Resize", [x, Arg::Absent, scales])
                .string("coordinate_transformation_mode", "asymmetric")
                .string("nearest_mode", "floor");
            return Ok(emit.node(node));
        }
        let times = super::int(self.times)?;
        if *x_type.shape.dim(self.axis)? == Dim::ONE {
            return Ok(expand(emit, times, x, axis, rank));
        }
        let axes = emit.ints("axes", &[axis as i64 + 1]);
        let column = emit.call("Unsqueeze", [x, axes]);
        let copies = Arg::Tensor(expand(emit, times, column, axis + 1, rank + 1));
        let y_shape = emit.output_type()?.shape;
        let order = emit.layouts.output.axes().unwrap_or_default();
        let sizes = order.iter().enumerate().map(|(at, &from)| match y_shape.dim(from)?.as_fixed() {
            Some(n) if n > 0 => Ok(Size::Number(n)),
            _ if at < axis => Ok(Size::Same),
            Some(n) => Err(Error::unsupported(format!("a repetition of a dimension of {n}"))),
            None if at == axis => Ok(Size::Rest),
            None => Ok(Size::Axis { of: x, axis: at, rank }),
        });
        let sizes = sizes.collect::<Result<Vec<_>>>()?;
        let shape = shape(emit, sizes);
        Ok(emit.node(NodeSpec::new("Reshape", [copies, shape])))
    }
}

/// How often the elements come along each axis, by this node and by those that are left to it.
fn scales(emit: &Emit<'_>, rank: usize) -> Vec<f32> {
    let mut repeats = Vec::new();
    let mut node = emit.node;
    while let Some(repeat) = resized(emit.graph, node) {
        repeats.push((emit.layouts.output.position(repeat.axis), repeat.times as f32));
        let producer =
            node.inputs.first().and_then(|id| id.value()).and_then(|id| emit.graph.value(id).producer);
        match producer.map(|id| emit.graph.node(id)).filter(|before| is_left_to_the_next(emit, before)) {
            Some(before) => node = before,
            None => break,
        }
    }
    let along = |axis| repeats.iter().filter(|(at, _)| *at == axis).map(|(_, times)| times).product();
    (0..rank).map(along).collect()
}

/// The axis, which has size 1, as often as it is wanted.
fn expand(emit: &mut Emit<'_>, times: i64, x: Arg, axis: usize, rank: usize) -> TensorId {
    let sizes: Vec<i64> = (0..rank).map(|at| if at == axis { times } else { 1 }).collect();
    let sizes = emit.ints("sizes", &sizes);
    emit.node(NodeSpec::new("Expand", [x, sizes]))
}
