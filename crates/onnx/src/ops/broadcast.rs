//! What operators with NumPy's broadcasting have in common: all operands in one layout, weights put in that.

use super::concat::common_layout;
use super::{Emit, Layouts};
use crate::Result;
use crate::draft::Arg;
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::view::View;

/// The layouts that cost the fewest transpositions.
pub(super) fn layouts(site: &Site<'_>) -> Result<Layouts> {
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

/// The most axes that a computed operand has.
pub(super) fn value_rank(emit: &Emit<'_>) -> usize {
    let values = emit.node.inputs.iter().filter_map(|operand| operand.value());
    values.map(|id| emit.graph.value(id).r#type.shape.rank()).max().unwrap_or(0)
}

/// An operand as it broadcasts in the output's layout; `rank` is the [`value_rank`].
pub(super) fn operand(emit: &mut Emit<'_>, i: usize, rank: usize) -> Result<Arg> {
    if emit.operand(i)?.value().is_some() {
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
            let dims = view.dims().iter().skip(if rank < order.len() { 0 } else { ones }).copied().collect();
            view.called(dims)
        }
        Layout::Flat(flat) => View::permuted(&flat.sizes, &flat.order).called(shape.clone()),
    };
    emit.weight(i, view)
}
