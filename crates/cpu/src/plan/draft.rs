//! Which operators become one step, and which need none.

use crate::kernels::conv;
use crate::kernels::products::MOST_LINKS;
use crate::table::{Id, NonEmpty, Table};
use k2o_core::ops::{BinaryKind, Unary};
use k2o_core::{DType, Graph, Node, NodeId, Op, Operand, PerValue, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// A step before its kernel is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// The node that starts the step.
    pub node: NodeId,
    /// Nodes of functions of single elements that follow, and of a pooling.
    pub links: Vec<NodeId>,
    /// What the last of them computes: of several outputs, in their order, those that something reads.
    pub outputs: NonEmpty<ValueId>,
}

/// The steps of a graph.
pub(super) struct Drafts {
    /// In an order in which they can be run.
    pub drafts: Table<Draft>,
    /// For each value, the one whose elements it shares, or the constant; itself if it has its own.
    pub roots: PerValue<Operand>,
    /// Whether a value is an output, kept, or read on the way to one.
    pub needed: PerValue<bool>,
}

impl Drafts {
    /// The steps of `graph`, such that the values in `kept` are computed.
    pub fn new(graph: &Graph, kept: &BTreeSet<ValueId>) -> Drafts {
        let mut needed = PerValue::new(graph, false);
        let exits = graph.outputs().iter().map(|port| port.value).chain(kept.iter().copied());
        exits.for_each(|id| needed[id] = true);
        // How many steps read a value; what can be read after the run is read once more.
        let mut uses = PerValue::of(graph, |id| usize::from(needed[id]));
        for node in graph.nodes().iter().rev() {
            if node.outputs.iter().any(|&id| needed[id]) {
                for id in elements_read(node).iter().filter_map(|operand| operand.value()) {
                    needed[id] = true;
                    uses[id] += 1;
                }
            }
        }

        let mut roots = PerValue::of(graph, Operand::Value);
        let mut drafts: Table<Draft> = Table::new();
        let mut computed_by: BTreeMap<ValueId, Id<Draft>> = BTreeMap::new();
        // The draft that computes each value, whether anything can join it or not.
        let mut made_by: BTreeMap<ValueId, Id<Draft>> = BTreeMap::new();
        for (at, node) in graph.nodes_with_ids() {
            let outputs = node.outputs.iter().copied().filter(|&id| needed[id]);
            let Some(outputs) = NonEmpty::of(outputs) else { continue };
            let output = *outputs.first();
            if let Some(input) = same_elements(graph, node) {
                roots[output] = match input {
                    Operand::Value(id) => roots[id],
                    constant => constant,
                };
                continue;
            }
            let alone = |input: &ValueId| uses[*input] == 1;
            let before = joinable(graph, node).filter(alone);
            let before = before.filter(|input| {
                computed_by.get(input).is_some_and(|&draft| joins(graph, &drafts[draft], node))
            });
            let before = before.and_then(|input| computed_by.remove(&input)).or_else(|| {
                let (input, draft) = sums(graph, node).into_iter().find_map(|(input, other)| {
                    let draft = *computed_by.get(&input).filter(|_| alone(&input))?;
                    let Operand::Value(root) = roots[other] else { return None };
                    let is_there = made_by.get(&root).is_none_or(|&made| made < draft);
                    (is_there && adds_in_registers(graph, &drafts[draft])).then_some((input, draft))
                })?;
                computed_by.remove(&input);
                Some(draft)
            });
            let draft = match before {
                Some(draft) => {
                    drafts[draft].links.push(at);
                    drafts[draft].outputs = outputs.clone();
                    draft
                }
                None => drafts.push(Draft { node: at, links: Vec::new(), outputs: outputs.clone() }),
            };
            made_by.extend(outputs.iter().map(|&id| (id, draft)));
            // Nothing joins an operator of several outputs.
            if node.outputs.len() == 1 {
                computed_by.insert(output, draft);
            }
        }
        Drafts { drafts, roots, needed }
    }
}

/// The operands of which more than the shape is read.
pub(super) fn elements_read(node: &Node) -> &[Operand] {
    match node.op {
        Op::Full(_) => &[],
        Op::Reshape(_) => node.inputs.first().map_or(&[], std::slice::from_ref),
        _ => &node.inputs,
    }
}

/// The operand whose elements the node's output has in the same order.
fn same_elements(graph: &Graph, node: &Node) -> Option<Operand> {
    let input = *node.inputs.first()?;
    let same = match &node.op {
        Op::Reshape(_) | Op::Identity(_) => true,
        // Computed with in the same precision, whatever they are stored in.
        Op::Cast(cast) => match graph.type_of(input).dtype {
            from if from.is_float() => cast.to.is_float(),
            DType::Bool => !cast.to.is_float(),
            from => from == cast.to || from.is_integer() && cast.to == DType::I64,
        },
        _ => false,
    };
    same.then_some(input)
}

/// The value whose step the node can be joined to, if the node computes each element from that value's element and
/// from constants, or pools.
fn joinable(graph: &Graph, node: &Node) -> Option<ValueId> {
    let input = node.inputs.first()?.value()?;
    let r#type = &graph.value(input).r#type;
    let joins = match &node.op {
        Op::Unary(_) | Op::Pool(_) => true,
        Op::Affine(affine) => {
            affine.axis + 1 == r#type.shape.rank()
                && node.inputs.iter().skip(1).all(|other| other.constant().is_some())
        }
        _ => false,
    };
    (joins && r#type.dtype == DType::F32).then_some(input)
}

/// Whether a node that can be joined to the step before it is: what is pooled must be in registers, and what follows must
/// be computed there too.
fn joins(graph: &Graph, draft: &Draft, node: &Node) -> bool {
    let pools = |&at: &NodeId| matches!(graph.node(at).op, Op::Pool(_));
    match (&node.op, graph.node(draft.node)) {
        (Op::Pool(pool), Node { op: Op::Conv(op), inputs, .. }) => {
            let kernel =
                inputs.get(1).and_then(|kernel| kernel.constant()).map(|id| graph.constant(id).shape());
            draft.links.iter().all(|&at| is_cheap(&graph.node(at).op))
                && draft.links.len() <= MOST_LINKS
                && kernel.is_some_and(|kernel| conv::pooled(op, kernel, pool).is_some())
        }
        (Op::Pool(_), _) => false,
        _ if draft.links.iter().any(pools) => draft.links.len() <= MOST_LINKS && is_cheap(&node.op),
        _ => true,
    }
}

/// If the node adds two values of the same shape: each of them, and the other.
fn sums(graph: &Graph, node: &Node) -> Vec<(ValueId, ValueId)> {
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(op), &[Operand::Value(a), Operand::Value(b)])
            if op.kind == BinaryKind::Add && graph.value(a).r#type == graph.value(b).r#type && a != b =>
        {
            vec![(a, b), (b, a)]
        }
        _ => Vec::new(),
    }
}

/// Whether a step's results are still in registers when they are complete, so that another value can be added there.
fn adds_in_registers(graph: &Graph, draft: &Draft) -> bool {
    matches!(graph.node(draft.node).op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_))
        && draft.links.len() < MOST_LINKS
        && draft.links.iter().all(|&at| is_cheap(&graph.node(at).op))
}

/// Whether what a node computes of a single element is computed in registers.
fn is_cheap(op: &Op) -> bool {
    matches!(op, Op::Unary(Unary::Relu) | Op::Affine(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k2o_core::ops::{Binary, Cast, Dense, Full, Lstm, Recurrence, Reshape, ReshapeDim};
    use k2o_core::{Dim, GraphBuilder, Shape, TensorType};

    fn graph(build: impl FnOnce(&mut GraphBuilder, ValueId) -> Vec<ValueId>) -> Graph {
        let mut builder = GraphBuilder::new();
        let shape = Shape::new([Dim::symbol("batch"), 6.into()]);
        let x = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
        for output in build(&mut builder, x) {
            builder.output("y", output);
        }
        builder.finish()
    }

    #[track_caller]
    fn check(graph: &Graph, kept: &[ValueId], expected: &[(usize, &[usize])]) {
        let drafts = Drafts::new(graph, &kept.iter().copied().collect()).drafts;
        let given = drafts.iter().map(|draft| {
            let links: Vec<usize> = draft.links.iter().map(|link| link.0 as usize).collect();
            (draft.node.0 as usize, links)
        });
        let expected = expected.iter().map(|(node, links)| (*node, links.to_vec()));
        assert_eq!(given.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn functions_join_the_step_that_only_they_read() {
        let mut middle = None;
        let chain = graph(|builder, x| {
            let a = builder.add(Unary::Exp, [x]).unwrap();
            let b = builder.add(Unary::Relu, [a]).unwrap();
            middle = Some(a);
            vec![builder.add(Unary::Tanh, [b]).unwrap()]
        });
        check(&chain, &[], &[(0, &[1, 2])]);
        check(&chain, &[middle.unwrap()], &[(0, &[]), (1, &[2])]);

        let two_readers = graph(|builder, x| {
            let a = builder.add(Unary::Exp, [x]).unwrap();
            let b = builder.add(Unary::Relu, [a]).unwrap();
            let c = builder.add(Binary { kind: BinaryKind::Add }, [a, b]).unwrap();
            vec![builder.add(Unary::Tanh, [c]).unwrap()]
        });
        check(&two_readers, &[], &[(0, &[]), (1, &[]), (2, &[3])]);
    }

    #[test]
    fn a_sum_joins_the_product_that_is_computed_last() {
        let product = |builder: &mut GraphBuilder, x: ValueId| {
            let square = TensorType::new(Shape::new([6.into(), 6.into()]), DType::F32);
            let kernel = builder.input("kernel", square).unwrap();
            builder.add(Dense, [x, kernel]).unwrap()
        };
        let add = Binary { kind: BinaryKind::Add };
        let residual = graph(|builder, x| {
            let y = product(builder, x);
            let y = builder.add(Unary::Relu, [y]).unwrap();
            let y = builder.add(add, [x, y]).unwrap();
            vec![builder.add(Unary::Relu, [y]).unwrap()]
        });
        check(&residual, &[], &[(0, &[1, 2, 3])]);

        let two_products = graph(|builder, x| {
            let (a, b) = (product(builder, x), product(builder, x));
            vec![builder.add(add, [a, b]).unwrap()]
        });
        check(&two_products, &[], &[(0, &[]), (1, &[2])]);

        // What is added comes of a later step, or the sum is of something that is no product.
        let later = graph(|builder, x| {
            let a = product(builder, x);
            let b = builder.add(Unary::Exp, [x]).unwrap();
            vec![builder.add(add, [a, b]).unwrap()]
        });
        check(&later, &[], &[(0, &[]), (1, &[]), (2, &[])]);
        let exotic = graph(|builder, x| {
            let y = product(builder, x);
            let y = builder.add(Unary::Exp, [y]).unwrap();
            vec![builder.add(add, [x, y]).unwrap()]
        });
        check(&exotic, &[], &[(0, &[1]), (2, &[])]);
    }

    #[test]
    fn what_nothing_reads_is_no_step_and_reshapes_are_none() {
        let graph = graph(|builder, x| {
            builder.add(Unary::Exp, [x]).unwrap();
            let target = vec![ReshapeDim::Keep, ReshapeDim::Fixed(2), ReshapeDim::Fixed(3)];
            let a = builder.add(Reshape { target }, [x]).unwrap();
            vec![builder.add(Unary::Tanh, [a]).unwrap()]
        });
        check(&graph, &[], &[(2, &[])]);
        let drafts = Drafts::new(&graph, &BTreeSet::new());
        assert_eq!(drafts.roots[ValueId(2)], Operand::Value(ValueId(0)));
    }

    #[test]
    fn what_only_lends_its_shape_is_not_computed() {
        let like = Reshape { target: vec![ReshapeDim::Like(0), ReshapeDim::Infer] };
        let alone = graph(|builder, x| {
            let a = builder.add(Unary::Exp, [x]).unwrap();
            let b = builder.add(Unary::Tanh, [a]).unwrap();
            vec![builder.add(like.clone(), [x, b]).unwrap()]
        });
        check(&alone, &[], &[]);
        let needed = Drafts::new(&alone, &BTreeSet::new()).needed;
        assert_eq!(needed.iter().map(|(_, needed)| *needed).collect::<Vec<_>>(), [true, false, false, true]);

        let filled = graph(|builder, x| {
            let a = builder.add(Unary::Exp, [x]).unwrap();
            let b = builder.add(Full::zeros_per_row(4, DType::F32), [a]).unwrap();
            vec![builder.add(Unary::Sigmoid, [b]).unwrap()]
        });
        check(&filled, &[], &[(1, &[2])]);

        // Nor does it keep a function from joining another.
        let between = graph(|builder, x| {
            let a = builder.add(Unary::Exp, [x]).unwrap();
            let b = builder.add(like, [x, a]).unwrap();
            let c = builder.add(Unary::Relu, [a]).unwrap();
            vec![b, c]
        });
        check(&between, &[], &[(0, &[2])]);
    }

    #[test]
    fn of_several_outputs_only_those_that_are_read_are_computed_and_nothing_joins_them() {
        let recurrent = |read: &[usize]| {
            let mut builder = GraphBuilder::new();
            let shape = Shape::new([Dim::symbol("batch"), 5.into(), 6.into()]);
            let x = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
            let square = TensorType::new(Shape::new([6.into(), 24.into()]), DType::F32);
            let kernel = builder.input("kernel", square).unwrap();
            let lstm =
                Lstm { activation: None, recurrent_activation: None, recurrence: Recurrence::default() };
            let outputs = builder.add_all(lstm.into(), vec![x.into(), kernel.into(), kernel.into()]).unwrap();
            for &at in read {
                let y = builder.add(Unary::Tanh, [outputs[at]]).unwrap();
                builder.output("y", y);
            }
            let drafts = Drafts::new(&builder.finish(), &BTreeSet::new()).drafts;
            assert!(drafts.iter().all(|draft| draft.links.is_empty()));
            let at = |id: &ValueId| outputs.iter().position(|output| output == id).unwrap();
            drafts.iter().next().unwrap().outputs.iter().map(at).collect::<Vec<_>>()
        };
        for read in [&[0][..], &[1], &[0, 2], &[0, 1, 2]] {
            assert_eq!(recurrent(read), read);
        }
    }

    #[test]
    fn casts_that_change_no_element_are_no_step() {
        let cast = |from: DType, to: DType| {
            let mut builder = GraphBuilder::new();
            let x = builder.input("x", TensorType::new(Shape::new([2.into()]), from)).unwrap();
            let y = builder.add(Cast { to }, [x]).unwrap();
            builder.output("y", y);
            Drafts::new(&builder.finish(), &BTreeSet::new()).drafts.len()
        };
        use DType::{Bool, F32, I32, I64};
        for (from, to) in
            [(F32, F32), (I32, I64), (I32, I32), (I64, I64), (Bool, Bool), (Bool, I32), (Bool, I64)]
        {
            assert_eq!(cast(from, to), 0, "{from} to {to}");
        }
        for (from, to) in [(F32, I32), (I32, F32), (I64, I32), (Bool, F32), (I32, Bool), (F32, Bool)] {
            assert_eq!(cast(from, to), 1, "{from} to {to}");
        }
    }
}
