//! The shape that a `Reshape` is to make: an initializer where every size is known or can be left to the runtime,
//! else joined of initializers and pieces of tensors' shapes.

use super::Emit;
use crate::draft::{Arg, NodeSpec};

/// One size of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// So much; more than 0.
    Number(i64),
    /// That of the reshaped tensor at the same axis.
    Same,
    /// That of `of`, which has `rank` axes, at `axis`.
    Axis { of: Arg, axis: usize, rank: usize },
    /// What is left. Only one size can be that.
    Rest,
}

/// Emits the shape.
pub(super) fn shape(emit: &mut Emit<'_>, mut sizes: Vec<Size>) -> Arg {
    if !sizes.contains(&Size::Rest)
        && let Some(last) = sizes.iter_mut().rfind(|size| matches!(size, Size::Axis { .. }))
    {
        *last = Size::Rest;
    }
    joined(emit, sizes)
}

/// Emits the shape with every [`Size::Axis`] computed: one that is all sizes, if there is no other kind but
/// [`Size::Number`].
pub(super) fn joined(emit: &mut Emit<'_>, sizes: Vec<Size>) -> Arg {
    let pieces: Vec<Arg> = sizes.chunk_by(is_one_piece).map(|piece| self::piece(emit, piece)).collect();
    match pieces.as_slice() {
        [] => emit.ints("shape", &[]),
        [whole] => *whole,
        _ => Arg::Tensor(emit.node(NodeSpec::new("Concat", pieces).int("axis", 0))),
    }
}

/// Whether two sizes that follow each other come out of one node or initializer.
fn is_one_piece(a: &Size, b: &Size) -> bool {
    match (a, b) {
        (Size::Axis { of, axis, .. }, Size::Axis { of: other, axis: next, .. }) => {
            of == other && axis + 1 == *next
        }
        (Size::Axis { .. }, _) | (_, Size::Axis { .. }) => false,
        _ => true,
    }
}

fn piece(emit: &mut Emit<'_>, sizes: &[Size]) -> Arg {
    if let [Size::Axis { of, axis, rank }, ..] = *sizes {
        return axes(emit, of, axis, axis + sizes.len(), rank);
    }
    let numbers = sizes.iter().map(|size| match size {
        Size::Number(n) => *n,
        Size::Same => 0,
        Size::Rest | Size::Axis { .. } => -1,
    });
    let numbers: Vec<i64> = numbers.collect();
    emit.ints("shape", &numbers)
}

/// The sizes of a tensor's axes from `start` up to `end`. `Shape` can leave out others from opset 15 on.
pub(super) fn axes(emit: &mut Emit<'_>, of: Arg, start: usize, end: usize, rank: usize) -> Arg {
    let mut shape = NodeSpec::new("Shape", [of]);
    if emit.opset() >= 15 {
        if start > 0 {
            shape = shape.int("start", start as i64);
        }
        if end < rank {
            shape = shape.int("end", end as i64);
        }
        return Arg::Tensor(emit.node(shape));
    }
    let shape = Arg::Tensor(emit.node(shape));
    if (start, end) == (0, rank) {
        return shape;
    }
    let (starts, ends) = (emit.ints("starts", &[start as i64]), emit.ints("ends", &[end as i64]));
    emit.call("Slice", [shape, starts, ends])
}
