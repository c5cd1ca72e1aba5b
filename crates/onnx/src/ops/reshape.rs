//! `Reshape`: `Flatten` where it flattens, `Unsqueeze` or `Squeeze` where it only adds or drops axes of size 1, else
//! `Reshape` in the graph's order of axes. Of a tensor that only lends its shape, that is read in any layout.
//!
//! A channels-first tensor is flattened as it is if that changes no order, or if every reader can do with another
//! order; else it is transposed before.

use super::target::{Size, shape};
use super::{Emit, Layouts, Lower, Tie, any_axes, ints};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::assign::Site;
use crate::layout::{Flat, Layout};
use crate::{Error, Result};
use k2o_core::ops::{Reshape, ReshapeDim};
use k2o_core::{Dim, Shape};

/// The least that does what a reshape does.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// The shape is the same.
    Nothing,
    Flatten,
    /// New axes of size 1, by their places in the output.
    Unsqueeze(Vec<usize>),
    /// Axes of size 1 that go, by their places in the input.
    Squeeze(Vec<usize>),
    Reshape,
}

fn form(reshape: &Reshape, from: &Shape, to: &Shape) -> Form {
    if from == to {
        return Form::Nothing;
    }
    if reshape.is_flatten() && from.rank() > 1 {
        return Form::Flatten;
    }
    match (added(from, to), added(to, from)) {
        (Some(axes), _) if !axes.is_empty() => Form::Unsqueeze(axes),
        (_, Some(axes)) if !axes.is_empty() => Form::Squeeze(axes),
        _ => Form::Reshape,
    }
}

/// The axes of size 1 by which `long` is more than `short`, if nothing else differs.
fn added(short: &[Dim], long: &[Dim]) -> Option<Vec<usize>> {
    let mut rest = short.iter().peekable();
    let mut axes = Vec::new();
    for (axis, dim) in long.iter().enumerate() {
        if rest.next_if(|&next| next == dim).is_some() {
            continue;
        }
        if *dim != Dim::ONE {
            return None;
        }
        axes.push(axis);
    }
    rest.next().is_none().then_some(axes)
}

impl Lower for Reshape {
    fn tie(&self) -> Tie {
        Tie::Free
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let (from, to) = (site.input(0)?.shape, site.output()?.shape);
        let input = any_axes(site)?;
        let (input, output) = match form(self, &from, &to) {
            Form::Nothing => (input.clone(), input),
            Form::Flatten => flatten(site, &from, input),
            Form::Squeeze(axes) => {
                let output = input.without(&axes);
                (input, output)
            }
            Form::Unsqueeze(axes) => {
                let (first, last) = (Layout::channels_first(to.rank()), Layout::keras(to.rank()));
                // A new axis can be put anywhere; what matters is the order of the old ones.
                let is_there = |output: &Layout| site.has(0, &output.without(&axes));
                let output = match site.among_channels_first() && (is_there(&first) || !is_there(&last)) {
                    true => first,
                    false => last,
                };
                (output.without(&axes), output)
            }
            Form::Reshape => (Layout::keras(from.rank()), Layout::keras(to.rank())),
        };
        let mut inputs = vec![input];
        if site.node.inputs.len() == 2 {
            inputs.push(site.layout(1)?);
        }
        Ok(Layouts { inputs, output })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let x = emit.input(0)?;
        let from = emit.type_of(0)?.shape;
        let to = emit.output_type()?.shape;
        match form(self, &from, &to) {
            Form::Nothing => Ok(emit.pass(x)),
            Form::Flatten => Ok(emit.node(NodeSpec::new("Flatten", [x]))),
            Form::Unsqueeze(axes) => {
                let axes = emit.ints("axes", &ints(&emit.layouts.output.positions(&axes))?);
                Ok(emit.node(NodeSpec::new("Unsqueeze", [x, axes])))
            }
            Form::Squeeze(axes) => {
                let axes = emit.ints("axes", &ints(&emit.layout(0)?.positions(&axes))?);
                Ok(emit.node(NodeSpec::new("Squeeze", [x, axes])))
            }
            Form::Reshape => {
                let sizes = sizes(self, emit, x, &from, &to)?;
                let shape = shape(emit, sizes);
                Ok(emit.node(NodeSpec::new("Reshape", [x, shape])))
            }
        }
    }
}

/// The sizes of `to`, as the reshape comes to know them.
fn sizes(reshape: &Reshape, emit: &mut Emit<'_>, x: Arg, from: &Shape, to: &Shape) -> Result<Vec<Size>> {
    let mut sizes = Vec::with_capacity(to.rank());
    for (axis, (dim, target)) in to.iter().zip(&reshape.target).enumerate() {
        sizes.push(match (dim.as_fixed(), target) {
            (Some(n), _) if n > 0 => Size::Number(n),
            _ if from.get(axis) == Some(dim) => Size::Same,
            (Some(n), _) => return Err(Error::unsupported(format!("a reshape to a dimension of {n}"))),
            (None, ReshapeDim::Of(axis)) => Size::Axis { of: x, axis: *axis, rank: from.rank() },
            (None, ReshapeDim::Like(axis)) => {
                let (of, layout) = (emit.input(1)?, emit.layout(1)?);
                let rank = emit.type_of(1)?.shape.rank();
                Size::Axis { of, axis: layout.position(*axis), rank }
            }
            (None, ReshapeDim::Keep | ReshapeDim::Fixed(_) | ReshapeDim::Infer) => Size::Rest,
        });
    }
    Ok(sizes)
}

/// How a tensor of shape `from` in layout `input` is best flattened.
fn flatten(site: &Site<'_>, from: &Shape, input: Layout) -> (Layout, Layout) {
    let keras = (Layout::keras(from.rank()), Layout::keras(2));
    let Some((0, inner)) =
        input.axes().and_then(|order| order.split_first()).map(|(&first, rest)| (first, rest))
    else {
        return keras;
    };
    // Axes of size 1 may stand anywhere.
    if inner.iter().filter(|&&axis| from.get(axis) != Some(&Dim::ONE)).is_sorted() {
        return (input, Layout::keras(2));
    }
    let sizes: Option<Vec<usize>> = from.iter().skip(1).map(Dim::as_usize).collect();
    match sizes {
        Some(sizes) if site.may_be_flat() => {
            let order = inner.iter().map(|axis| axis - 1).collect();
            (input, Layout::Flat(Flat { sizes, order }))
        }
        _ => keras,
    }
}
