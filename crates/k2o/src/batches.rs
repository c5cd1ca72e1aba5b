//! Runs a model on a few examples at a time.

use crate::{Array, Error, ErrorKind, Model, Result};
use k2o_core::ops::Operator;
use k2o_core::{Dim, Graph, Node, Op, Shape};
use k2o_cpu::Session;
use ndarray::{ArrayD, IxDyn};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// The outputs for all of `inputs`, computed by `session` for `batch_size` rows at a time; `progress` is told after each
/// batch how many are done.
pub(crate) fn predict(
    model: &Model,
    session: &mut Session,
    inputs: &[Array],
    batch_size: NonZeroUsize,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<ArrayD<f32>>> {
    let graph = model.graph();
    check(model)?;
    let sizes: Vec<&[usize]> = inputs.iter().map(Array::shape).collect();
    graph.bind(&sizes).map_err(|error| model.core_error(&error))?;
    let rows = sizes.first().and_then(|sizes| sizes.first()).copied().unwrap_or(0);
    let mut whole: Vec<(Vec<usize>, Vec<f32>)> = Vec::new();
    let mut from = 0usize;
    // No rows are one batch too: the outputs have shapes all the same.
    loop {
        let to = rows.min(from.saturating_add(batch_size.get()));
        let part: Vec<Array> = inputs.iter().map(|array| array.rows(from, to)).collect();
        let outputs = model.run(session, &part)?;
        if whole.is_empty() {
            let empty = |output: &ArrayD<f32>| {
                let mut shape = output.shape().to_vec();
                shape.iter_mut().take(1).for_each(|first| *first = rows);
                let elements = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
                (shape, Vec::with_capacity(elements.unwrap_or(0)))
            };
            whole = outputs.iter().map(empty).collect();
        }
        for ((_, elements), output) in whole.iter_mut().zip(outputs) {
            elements.extend(output);
        }
        progress(to);
        from = to;
        if from >= rows {
            break;
        }
    }
    let array = |(shape, elements): (Vec<usize>, Vec<f32>)| {
        ArrayD::from_shape_vec(IxDyn(&shape), elements)
            .map_err(|error| Error::new(ErrorKind::Limit, error.to_string()))
    };
    whole.into_iter().map(array).collect()
}

/// Refuses a model that computes something else for some rows than it does for the same rows among others.
fn check(model: &Model) -> Result<()> {
    let graph = model.graph();
    let mut batch: Option<Arc<str>> = None;
    for port in model.inputs() {
        let shape = &port.r#type.shape;
        let symbol = shape.first().and_then(Dim::as_symbol).map(Arc::from);
        if symbol.is_none() || batch.as_ref().is_some_and(|batch| Some(batch) != symbol.as_ref()) {
            let message = format!(
                "input {:?} has shape {shape}: the size of its batch is fixed, so the model cannot be run in batches \
                 of another size",
                port.name
            );
            return Err(Error::new(ErrorKind::Input, message));
        }
        batch = symbol;
    }
    let Some(batch) = batch else { return Ok(()) };
    if let Some(node) = graph.nodes().iter().find(|node| mixes_rows(graph, node, &batch)) {
        let message = format!("{} over the batch: the model cannot be run in parts", node.op.name());
        return Err(Error::at_layer(ErrorKind::Input, &message, node.origin, model.outline()));
    }
    for port in model.outputs() {
        let shape = &port.r#type.shape;
        let is_batch = shape.first().and_then(Dim::as_symbol) == Some(&*batch);
        if !is_batch || shape.iter().skip(1).any(|dim| mentions(dim, &batch)) {
            let message = format!(
                "output {:?} has shape {shape}: its first axis is not the batch, so it cannot be put together of parts",
                port.name
            );
            return Err(Error::new(ErrorKind::Input, message));
        }
    }
    Ok(())
}

/// Whether the operator computes something from the elements along an axis whose size depends on the batch's.
fn mixes_rows(graph: &Graph, node: &Node, batch: &str) -> bool {
    let axes: &[usize] = match &node.op {
        Op::Softmax(op) => &op.axes,
        Op::Sparsemax(op) => std::slice::from_ref(&op.axis),
        Op::Normalize(op) => &op.axes,
        Op::Reduce(op) => &op.axes,
        _ => &[],
    };
    let shape = node.inputs.first().map_or_else(Shape::default, |&input| graph.type_of(input).shape);
    axes.iter().filter_map(|&axis| shape.get(axis)).any(|dim| mentions(dim, batch))
}

fn mentions(dim: &Dim, symbol: &str) -> bool {
    let mut found = false;
    dim.visit_symbols(&mut |name| found |= &**name == symbol);
    found
}
