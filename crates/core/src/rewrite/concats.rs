//! Lets reductions go before the joining of tensors, so that what is joined is small.

use super::Rebuild;
use crate::ops::Concat;
use crate::{Graph, Node, NodeId, Op, Operand, Result};
use std::collections::BTreeSet;

/// The same graph with every reduction along other axes than the one that a [`Concat`] joins, and that is all that reads
/// it, done on each of its parts: the maximum over the steps of a bidirectional layer, say. `None` where there is no such.
///
/// # Errors
/// Those of inference, which there are none of where `graph` was inferred.
pub fn reduce_before_concat(graph: &Graph) -> Result<Option<Graph>> {
    let uses = graph.uses();
    // The node that joins what is reduced, and how the reduced parts are joined.
    let concat_of = |node: &Node| -> Option<(NodeId, Concat)> {
        let (Op::Reduce(reduce), Operand::Value(input)) = (&node.op, *node.inputs.first()?) else {
            return None;
        };
        let at = graph.value(input).producer?;
        let Op::Concat(concat) = graph.node(at).op else { return None };
        let axis = reduce.axis_after(concat.axis)?;
        (uses[input] == 1).then_some((at, Concat { axis }))
    };
    let found: Vec<Option<(NodeId, Concat)>> = graph.nodes().iter().map(concat_of).collect();
    let moved: BTreeSet<NodeId> = found.iter().flatten().map(|(at, _)| *at).collect();
    if moved.is_empty() {
        return Ok(None);
    }
    let mut rebuild = Rebuild::new(graph)?;
    for ((id, node), found) in graph.nodes_with_ids().zip(found) {
        let (Op::Reduce(reduce), Some((at, concat))) = (&node.op, found) else {
            if !moved.contains(&id) {
                rebuild.copy(node)?;
            }
            continue;
        };
        let parts = graph.node(at).inputs.iter().map(|&part| {
            let part = rebuild.operand(part)?;
            rebuild.new.within(node.origin);
            Ok(rebuild.new.add(reduce.clone(), [part])?.into())
        });
        let parts = parts.collect::<Result<Vec<Operand>>>()?;
        let joined = rebuild.new.add(concat, parts)?;
        rebuild.replace(node.output()?, joined);
    }
    Ok(Some(rebuild.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Operator, Reduce, ReduceKind, Unary};
    use crate::{DType, Dim, GraphBuilder, Shape, Tensor, TensorType, ValueId, run_reference};

    /// Two sequences joined along an axis, and what comes of it.
    fn graph(axis: usize, build: impl FnOnce(&mut GraphBuilder, ValueId) -> Vec<ValueId>) -> Graph {
        let mut builder = GraphBuilder::new();
        let mut input = |name: &str, channels: i64| {
            let shape = Shape::new([Dim::symbol("batch"), 4.into(), channels.into()]);
            builder.input(name, TensorType::new(shape, DType::F32)).unwrap()
        };
        let inputs = [input("a", 3), input("b", if axis == 2 { 2 } else { 3 })];
        let joined = builder.add(Concat { axis }, inputs).unwrap();
        for output in build(&mut builder, joined) {
            builder.output("y", output);
        }
        builder.finish()
    }

    fn reduce(kind: ReduceKind, axes: &[usize], keep_dims: bool) -> Reduce {
        Reduce { kind, axes: axes.to_vec(), keep_dims }
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph.nodes().iter().map(|node| node.op.name()).collect()
    }

    #[test]
    fn what_is_reduced_along_other_axes_is_joined_afterwards() {
        for (axis, axes, keep_dims) in
            [(2, &[1][..], false), (2, &[1], true), (2, &[0, 1], false), (1, &[2], false), (1, &[0], false)]
        {
            let op = reduce(ReduceKind::Max, axes, keep_dims);
            let before = graph(axis, |builder, x| {
                let y = builder.add(op.clone(), [x]).unwrap();
                vec![builder.add(Unary::Exp, [y]).unwrap()]
            });
            let after = reduce_before_concat(&before).unwrap().unwrap();
            assert_eq!(names(&after), ["reduce_max", "reduce_max", "concat", "exp"], "{axis} {axes:?}");
            let ports = [&before, &after].map(|graph| graph.value(graph.outputs()[0].value).r#type.clone());
            assert_eq!(ports[0], ports[1]);
            let inputs = before.inputs().iter().enumerate().map(|(i, port)| {
                let channels = before.value(port.value).r#type.shape[2].as_usize().unwrap();
                let data = (0..8 * channels).map(|j| ((7 * j + 3 * i) % 11) as f64).collect();
                Tensor::f64([2, 4, channels], data).unwrap()
            });
            let inputs: Vec<Tensor> = inputs.collect();
            let [a, b] =
                [&before, &after].map(|graph| run_reference(graph, &inputs, &[]).unwrap().outputs.remove(0));
            assert_eq!(a, b, "{axis} {axes:?}");
        }
    }

    #[test]
    fn what_is_read_otherwise_or_reduced_along_the_joined_axis_stays() {
        let max = |axes: &[usize]| reduce(ReduceKind::Max, axes, false);
        let along = graph(2, |builder, x| vec![builder.add(max(&[2]), [x]).unwrap()]);
        assert!(reduce_before_concat(&along).unwrap().is_none());
        let twice = graph(2, |builder, x| vec![builder.add(max(&[1]), [x]).unwrap(), x]);
        assert!(reduce_before_concat(&twice).unwrap().is_none());
        let other = graph(2, |builder, x| vec![builder.add(Unary::Exp, [x]).unwrap()]);
        assert!(reduce_before_concat(&other).unwrap().is_none());
    }
}
