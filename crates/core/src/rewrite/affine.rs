//! Folds affine maps (batch normalization) into the weights beside them.
//!
//! - Backwards: an affine map right after a convolution, a transposed one or a dense layer scales its kernel and bias.
//! - Forwards: one right before scales the kernel's rows and adds to its bias. Exact for a convolution only where
//!   no window reads padding, because padding is zero before the map and would not be zero after it.
//! - On the way there it sinks through pooling, flattening and dropped axes: through an average always, through a
//!   maximum where every scale is positive.
//!
//! It never passes a nonlinear function: with a relu between convolution and batch normalization the map can only
//! go forwards.

use super::Rebuild;
use crate::ops::{Affine, PoolKind, ReduceKind};
use crate::tensor::element_count;
use crate::{Constant, ConstantExpr, ConstantId, Error, Graph, Node, NodeId, Op, Operand, Result};
use std::collections::BTreeSet;

/// Moves and folds until nothing changes.
pub(super) fn fold_affines(mut graph: Graph) -> Result<Graph> {
    // Every step moves an affine map later or removes it, so this ends.
    loop {
        let steps = find_steps(&graph)?;
        if steps.is_empty() {
            return Ok(graph);
        }
        graph = apply(&graph, &steps)?;
    }
}

/// Two neighbouring nodes to replace.
struct Step {
    first: NodeId,
    second: NodeId,
    kind: StepKind,
}

enum StepKind {
    /// Linear node, then affine map: the map goes into the node's weights.
    Back,
    /// Affine map, then linear node: the map goes into the node's weights.
    Forward,
    /// Affine map, then a node it may change places with, to work on this axis there, its vectors repeated.
    Sink { axis: usize, repeat: usize },
}

/// The first steps, of which none changes what the next one would be.
fn find_steps(graph: &Graph) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let uses = graph.uses();
    // The nodes that the maps of these steps are at, and those that they may get to.
    let mut reached = BTreeSet::new();
    for (second, node) in graph.nodes_with_ids() {
        let mut producers = node.inputs.iter().filter_map(|operand| graph.value(operand.value()?).producer);
        if lets_maps_pass(&node.op) && producers.any(|id| reached.contains(&id)) {
            reached.insert(second);
        }
        let Some(input) = node.inputs.first().and_then(|operand| operand.value()) else { continue };
        let Some(first) = graph.value(input).producer else { continue };
        if uses[input] != 1 {
            continue;
        }
        let before = graph.node(first);
        let kind = match (&before.op, &node.op) {
            (Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_), Op::Affine(affine)) => {
                let rank = graph.value(input).r#type.shape.rank();
                let constant = weights_are_constant(graph, before) && weights_are_constant(graph, node);
                (is_last(affine.axis, rank) && constant).then_some(StepKind::Back)
            }
            (Op::Affine(affine), _) if weights_are_constant(graph, before) => {
                after_affine(graph, affine, before, node)?
            }
            _ => None,
        };
        let Some(kind) = kind else { continue };
        if reached.contains(&first) || reached.contains(&second) {
            break;
        }
        reached.insert(second);
        steps.push(Step { first, second, kind });
    }
    Ok(steps)
}

/// Whether `axis` is the last of `rank` axes.
fn is_last(axis: usize, rank: usize) -> bool {
    rank.checked_sub(1) == Some(axis)
}

/// Whether an affine map may become a part of the operator, or change places with it.
fn lets_maps_pass(op: &Op) -> bool {
    matches!(
        op,
        Op::Affine(_)
            | Op::Conv(_)
            | Op::ConvTranspose(_)
            | Op::Dense(_)
            | Op::Pool(_)
            | Op::Reduce(_)
            | Op::Reshape(_)
    )
}

/// What may be done with an affine map and the only reader of its output.
fn after_affine(graph: &Graph, affine: &Affine, before: &Node, node: &Node) -> Result<Option<StepKind>> {
    let shape = &graph.value(before.output()?).r#type.shape;
    let last = is_last(affine.axis, shape.rank());
    Ok(match &node.op {
        Op::Dense(_) => (last && weights_are_constant(graph, node)).then_some(StepKind::Forward),
        Op::Conv(conv) => {
            let unpadded = conv.windows.iter().all(|window| window.is_unpadded());
            (last && unpadded && weights_are_constant(graph, node)).then_some(StepKind::Forward)
        }
        Op::Pool(pool) if last && (pool.kind == PoolKind::Average || is_positive(graph, before)?) => {
            Some(StepKind::Sink { axis: affine.axis, repeat: 1 })
        }
        Op::Reduce(reduce) => {
            let Some(axis) = reduce.axis_after(affine.axis) else { return Ok(None) };
            let legal = match reduce.kind {
                ReduceKind::Mean => true,
                ReduceKind::Max | ReduceKind::Min => is_positive(graph, before)?,
                ReduceKind::Sum => false,
            };
            legal.then_some(StepKind::Sink { axis, repeat: 1 })
        }
        // Only if the longer vectors can then be folded: a map by itself is cheaper before.
        Op::Reshape(reshape)
            if last && affine.axis > 0 && reshape.is_flatten() && feeds_dense(graph, node) =>
        {
            let inner = shape
                .iter()
                .take(affine.axis)
                .skip(1)
                .try_fold(1usize, |n, dim| n.checked_mul(dim.as_usize()?));
            inner.map(|repeat| StepKind::Sink { axis: 1, repeat })
        }
        _ => None,
    })
}

/// How deep folded weights may be nested: evaluating them recurses, and a file may have any number of maps in a row.
const MAX_DEPTH: usize = 64;

/// Whether the node's weights can be folded into: constants, and not yet folded too often.
fn weights_are_constant(graph: &Graph, node: &Node) -> bool {
    node.inputs
        .iter()
        .skip(1)
        .all(|operand| operand.constant().is_some_and(|id| graph.constant(id).expr.depth() <= MAX_DEPTH))
}

/// Whether the only reader of the node's output is a dense layer.
fn feeds_dense(graph: &Graph, node: &Node) -> bool {
    let Some(&output) = node.outputs.first() else { return false };
    let reads = |other: &&Node| other.inputs.contains(&output.into());
    let readers: Vec<&Node> = graph.nodes().iter().filter(reads).collect();
    // A graph's output has no reader and is used all the same.
    graph.uses()[output] == 1
        && matches!(readers.as_slice(), [node] if matches!(node.op, Op::Dense(_)) && weights_are_constant(graph, node))
}

/// Whether every scale of an affine map is above zero; unknown weights count as not.
fn is_positive(graph: &Graph, affine: &Node) -> Result<bool> {
    let Some(scale) = affine.operand(1)?.constant().map(|id| graph.constant(id)) else { return Ok(false) };
    if !scale.expr.is_bound() {
        return Ok(false);
    }
    Ok(scale.evaluate()?.as_f64()?.iter().all(|&scale| scale > 0.0))
}

/// The affine map's scale and shift.
fn vectors(graph: &Graph, affine: &Node) -> Result<(ConstantExpr, ConstantExpr)> {
    let expr = |operand: Operand| {
        let id = operand.constant().ok_or_else(|| Error::shape("an affine map with computed weights"))?;
        Ok(graph.constant(id).expr.clone())
    };
    Ok((expr(affine.operand(1)?)?, expr(affine.operand(2)?)?))
}

fn apply(graph: &Graph, steps: &[Step]) -> Result<Graph> {
    let mut rebuild = Rebuild::new(graph)?;
    for (at, node) in graph.nodes_with_ids() {
        if steps.iter().any(|step| step.first == at) {
            continue;
        }
        let Some(step) = steps.iter().find(|step| step.second == at) else {
            rebuild.copy(node)?;
            continue;
        };
        let (first, second) = (graph.node(step.first), node);
        let input = rebuild.operand(first.operand(0)?)?;
        let output = match step.kind {
            StepKind::Back => {
                let weights = scaled_columns(graph, first, &vectors(graph, second)?)?;
                linear(&mut rebuild, first, input, weights)?
            }
            StepKind::Forward => {
                let weights = scaled_rows(graph, second, &vectors(graph, first)?)?;
                linear(&mut rebuild, second, input, weights)?
            }
            StepKind::Sink { axis, repeat } => {
                rebuild.new.within(second.origin);
                let moved = rebuild.new.add(second.op.clone(), [input])?;
                let (scale, shift) = vectors(graph, first)?;
                let tile = |rebuild: &mut Rebuild<'_>, expr: &ConstantExpr, operand: Operand| {
                    if repeat == 1 {
                        return rebuild.operand(operand);
                    }
                    let ones = ConstantExpr::filled(&[repeat, 1], 1.0)?;
                    let tiled = ones.mul(expr)?;
                    let tiled = tiled.reshape(&[element_count(tiled.shape())?])?;
                    let constant = operand.constant().map(|id| graph.constant(id));
                    let name = constant.map_or_else(String::new, |constant| constant.name.clone());
                    rebuild
                        .new
                        .constant(Constant { name, dtype: crate::DType::F32, expr: tiled })
                        .map(Operand::from)
                };
                let scale = tile(&mut rebuild, &scale, first.operand(1)?)?;
                let shift = tile(&mut rebuild, &shift, first.operand(2)?)?;
                rebuild.new.within(first.origin);
                rebuild.new.add(Affine { axis }, [moved.into(), scale, shift])?
            }
        };
        rebuild.replace(second.output()?, output);
    }
    rebuild.finish()
}

/// Kernel, bias, and the name that a new bias gets.
struct Weights {
    kernel: (String, ConstantExpr),
    bias: (String, ConstantExpr),
}

fn weights_of(graph: &Graph, node: &Node) -> Result<(Constant, Option<Constant>)> {
    let constant = |operand: &Operand| {
        let id: Option<ConstantId> = operand.constant();
        id.map(|id| graph.constant(id).clone()).ok_or_else(|| Error::shape("computed weights"))
    };
    let kernel = constant(&node.operand(1)?)?;
    let bias = node.inputs.get(2).map(constant).transpose()?;
    Ok((kernel, bias))
}

/// The weights of `affine(linear(x))` as a linear node: kernel columns times scale, bias times scale plus shift.
fn scaled_columns(
    graph: &Graph,
    linear: &Node,
    (scale, shift): &(ConstantExpr, ConstantExpr),
) -> Result<Weights> {
    let (kernel, bias) = weights_of(graph, linear)?;
    let folded = match &bias {
        Some(bias) => bias.expr.mul(scale)?.add(shift)?,
        None => shift.clone(),
    };
    let bias_name = bias_name(&kernel, bias);
    Ok(Weights { kernel: (kernel.name.clone(), kernel.expr.mul(scale)?), bias: (bias_name, folded) })
}

/// The weights of `linear(affine(x))` as a linear node: kernel rows times scale, bias plus shift times kernel.
fn scaled_rows(
    graph: &Graph,
    linear: &Node,
    (scale, shift): &(ConstantExpr, ConstantExpr),
) -> Result<Weights> {
    let (kernel, bias) = weights_of(graph, linear)?;
    let shape = kernel.shape().to_vec();
    let groups = match &linear.op {
        Op::Conv(conv) => conv.groups,
        _ => 1,
    };
    // As [taps, channels per group, groups, filters per group], against vectors as [channels per group, groups, 1].
    let [taps @ .., rows, filters] = shape.as_slice() else {
        return Err(Error::shape(format!("a kernel of shape {shape:?}")));
    };
    let (taps, rows, filters) = (element_count(taps)?, *rows, *filters);
    let per_group = filters.checked_div(groups).ok_or_else(|| Error::shape("a convolution of no groups"))?;
    let split = kernel.expr.reshape(&[taps, rows, groups, per_group])?;
    let by_group = |vector: &ConstantExpr| {
        vector.reshape(&[groups, rows])?.permute(&[1, 0])?.reshape(&[rows, groups, 1])
    };
    let scaled = split.mul(&by_group(scale)?)?.reshape(&shape)?;
    let added = split.mul(&by_group(shift)?)?.sum(0)?.sum(0)?.reshape(&[filters])?;
    let folded = match &bias {
        Some(bias) => bias.expr.add(&added)?,
        None => added,
    };
    let bias_name = bias_name(&kernel, bias);
    Ok(Weights { kernel: (kernel.name.clone(), scaled), bias: (bias_name, folded) })
}

fn bias_name(kernel: &Constant, bias: Option<Constant>) -> String {
    bias.map_or_else(
        || format!("{}/bias", kernel.name.rsplit_once('/').map_or(kernel.name.as_str(), |(layer, _)| layer)),
        |bias| bias.name,
    )
}

fn linear(
    rebuild: &mut Rebuild<'_>,
    node: &Node,
    input: Operand,
    weights: Weights,
) -> Result<crate::ValueId> {
    rebuild.new.within(node.origin);
    let mut constant = |(name, expr)| rebuild.new.constant(Constant { name, dtype: crate::DType::F32, expr });
    let (kernel, bias) = (constant(weights.kernel)?, constant(weights.bias)?);
    debug_assert!(matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_)));
    rebuild.new.add(node.op.clone(), [input, kernel.into(), bias.into()])
}
