//! The pass that assigns layouts: walks the graph once, moves axes where they must be moved, and lets every operator
//! emit its nodes.

use super::hints::Hints;
use super::{Layout, permuted};
use crate::draft::{Arg, Body, BodyPort, Draft, NodeSpec, TensorId};
use crate::ops::bidirectional::{self, Merge, Pair, Pairs, Role};
use crate::ops::group_norm::{self, GroupNorm, GroupNorms};
use crate::ops::{self, Emit, Layouts};
use crate::{Error, IoLayout, Result};
use k2o_core::{CallId, Graph, Node, Operand, PerValue, Port, TensorType, ValueId};
use std::collections::BTreeMap;

/// Where a value is to be found.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// The tensor that an operator made.
    pub tensor: TensorId,
    /// How its axes stand to the value's.
    pub layout: Layout,
}

/// The tensors of the values, and the copies made of them in other orders of axes.
#[derive(Debug)]
pub(crate) struct Seats {
    seats: PerValue<Option<Seat>>,
    /// What was permuted, and how, to make a tensor.
    sources: BTreeMap<TensorId, (TensorId, Vec<usize>)>,
    copies: BTreeMap<(TensorId, Vec<usize>), TensorId>,
}

impl Seats {
    fn set(&mut self, id: ValueId, seat: Seat) {
        self.seats[id] = Some(seat);
    }

    /// The tensor that was made for the value.
    pub fn get(&self, id: ValueId) -> Option<&Seat> {
        self.seats[id].as_ref()
    }

    /// The tensor that was never permuted, and the permutation that makes of it what `order` makes of `tensor`.
    fn source(&self, tensor: TensorId, order: &[usize]) -> (TensorId, Vec<usize>) {
        match self.sources.get(&tensor) {
            Some((source, first)) => (*source, permuted(first, order)),
            None => (tensor, order.to_vec()),
        }
    }

    /// The value's tensor in `layout`, if there is one by now.
    pub fn find(&self, id: ValueId, layout: &Layout) -> Option<TensorId> {
        let seat = self.get(id)?;
        let order = seat.layout.permutation(layout)?;
        let (source, order) = self.source(seat.tensor, &order);
        match is_identity(&order) {
            true => Some(source),
            false => self.copies.get(&(source, order)).copied(),
        }
    }
}

fn is_identity(order: &[usize]) -> bool {
    order.iter().copied().eq(0..order.len())
}

/// What an operator can ask about its node before it says which layouts it wants.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
    /// The version of the operator set.
    pub opset: i64,
    io_layout: IoLayout,
    seats: &'a Seats,
    hints: &'a Hints,
}

impl Site<'_> {
    /// Shape and element type of an operand.
    pub fn input(&self, operand: usize) -> Result<TensorType> {
        let missing = || Error::shape(format!("{} without an operand {operand}", ops::name(&self.node.op)));
        self.node.inputs.get(operand).map(|&id| self.graph.type_of(id)).ok_or_else(missing)
    }

    /// Shape and element type of the output.
    pub fn output(&self) -> Result<TensorType> {
        let missing = || Error::shape(format!("{} without an output", ops::name(&self.node.op)));
        self.node.outputs.first().map(|&id| self.graph.value(id).r#type.clone()).ok_or_else(missing)
    }

    /// Whether anything reads an output.
    pub fn uses(&self, output: usize) -> bool {
        self.node.outputs.get(output).is_some_and(|&id| self.hints.used(id))
    }

    /// Whether an operand is a weight.
    pub fn is_constant(&self, operand: usize) -> bool {
        self.node.inputs.get(operand).is_some_and(|id| id.constant().is_some())
    }

    /// The layout that an operand was made in; a weight can be had in any and is as it stands in the graph.
    pub fn layout(&self, operand: usize) -> Result<Layout> {
        let rank = self.input(operand)?.shape.rank();
        let seat = self.node.inputs.get(operand).and_then(|id| id.value()).and_then(|id| self.seats.get(id));
        Ok(seat.map_or_else(|| Layout::keras(rank), |seat| seat.layout.clone()))
    }

    /// Whether an operand can be read in `layout` without another transposition.
    pub fn has(&self, operand: usize, layout: &Layout) -> bool {
        match self.node.inputs.get(operand) {
            Some(Operand::Constant(_)) => true,
            Some(Operand::Value(id)) => self.seats.find(*id, layout).is_some(),
            None => false,
        }
    }

    /// Whether the output is in a region of the graph that is channels-first.
    pub fn among_channels_first(&self) -> bool {
        self.node.outputs.first().is_some_and(|&id| self.hints.channels_first(id))
    }

    /// Whether the output will be needed channels-first.
    pub fn feeds_channels_first(&self) -> bool {
        self.node.outputs.first().is_some_and(|&id| self.hints.feeds_channels_first(id))
    }

    /// The layout in which an operator that takes any is best fed: channels-first if it is there already and will be
    /// needed, else as the operand was made.
    pub fn best_layout(&self, operand: usize) -> Result<Layout> {
        let first = Layout::channels_first(self.input(operand)?.shape.rank());
        match self.feeds_channels_first() && self.has(operand, &first) {
            true => Ok(first),
            false => self.layout(operand),
        }
    }

    /// Whether all readers of the output can do with it flattened in another order.
    pub fn may_be_flat(&self) -> bool {
        self.node.outputs.first().is_some_and(|&id| self.hints.flat(id))
    }

    /// The layout that costs the fewest transpositions if all of `operands` are read in it. Of equal ones the first, but
    /// where several are computed and the output is one of the model, that of the model's outputs: what is transposed for
    /// it can be of use to others.
    pub fn cheapest(&self, candidates: Vec<Layout>, operands: &[usize]) -> Option<Layout> {
        let port = self.node.outputs.first().filter(|&&id| self.hints.is_output(id));
        let port = port.map(|&id| Layout::of_port(self.io_layout, self.graph.value(id).r#type.shape.rank()));
        let several = operands.iter().filter(|&&operand| !self.is_constant(operand)).count() > 1;
        let cost = |layout: &Layout| {
            let moved = operands.iter().filter(|&&operand| !self.has(operand, layout)).count();
            let is_other = port.as_ref().is_some_and(|port| port != layout);
            (moved + usize::from(is_other), is_other && several)
        };
        candidates.into_iter().min_by_key(cost)
    }
}

/// The nodes, not yet named, and where every value and output is.
pub(crate) struct Assigned {
    pub draft: Draft,
    pub seats: Seats,
    /// The tensors of the graph's inputs.
    pub inputs: Vec<TensorId>,
    /// The tensors of the graph's outputs: each another one, and none an input.
    pub outputs: Vec<TensorId>,
}

/// Writes the graph into the empty `draft`, in execution order; its inputs and outputs are in `io_layout`.
pub(crate) fn assign(graph: &Graph, io_layout: IoLayout, mut draft: Draft) -> Result<Assigned> {
    let inputs: Vec<TensorId> = graph.inputs().iter().map(|_| draft.tensor()).collect();
    let mut walk = Walk::new(graph, &inputs, io_layout, None, &mut draft);
    walk.nodes()?;
    let outputs = walk.outputs(graph.outputs().iter(), &inputs)?;
    let seats = walk.seats;
    draft.cast_narrow_weights(graph);
    Ok(Assigned { draft, seats, inputs, outputs })
}

/// The graph as a body in the graph that `draft` has so far.
///
/// `inputs` are its inputs' tensors: those of the graph around it where it reads them as they are, else new ones, which
/// become inputs of the body. Of its outputs the body has those for which `has_output` holds. Nodes without an origin
/// get `origin`.
pub(crate) fn assign_body(
    graph: &Graph,
    inputs: &[(TensorId, bool)],
    has_output: &dyn Fn(usize) -> bool,
    origin: Option<CallId>,
    draft: &mut Draft,
) -> Result<Body> {
    let tensors: Vec<TensorId> = inputs.iter().map(|&(tensor, _)| tensor).collect();
    let ports: Vec<&Port> =
        graph.outputs().iter().enumerate().filter(|(at, _)| has_output(*at)).map(|(_, port)| port).collect();
    let (nodes, outputs) = draft.apart(|draft| {
        let mut walk = Walk::new(graph, &tensors, IoLayout::ChannelsLast, origin, draft);
        walk.nodes()?;
        walk.outputs(ports.iter().copied(), &tensors)
    });
    let port = |port: &Port, tensor: TensorId| {
        let dtype = graph.value(port.value).r#type.dtype;
        BodyPort { tensor, name: port.name.clone(), dtype }
    };
    let own = graph.inputs().iter().zip(inputs).filter(|(_, (_, captured))| !captured);
    Ok(Body {
        nodes,
        inputs: own.map(|(input, &(tensor, _))| port(input, tensor)).collect(),
        outputs: ports.iter().zip(outputs?).map(|(output, tensor)| port(output, tensor)).collect(),
    })
}

struct Walk<'a> {
    graph: &'a Graph,
    /// The layout of the graph's inputs and outputs.
    io_layout: IoLayout,
    /// Where nodes come from that do not say it.
    origin: Option<CallId>,
    draft: &'a mut Draft,
    seats: Seats,
}

impl<'a> Walk<'a> {
    fn new(
        graph: &'a Graph,
        inputs: &[TensorId],
        io_layout: IoLayout,
        origin: Option<CallId>,
        draft: &'a mut Draft,
    ) -> Walk<'a> {
        let seats = PerValue::new(graph, None);
        let mut seats = Seats { seats, sources: BTreeMap::new(), copies: BTreeMap::new() };
        for (port, &tensor) in graph.inputs().iter().zip(inputs) {
            let layout = Layout::of_port(io_layout, graph.value(port.value).r#type.shape.rank());
            seats.set(port.value, Seat { tensor, layout });
        }
        Walk { graph, io_layout, origin, draft, seats }
    }

    fn nodes(&mut self) -> Result<()> {
        let hints = Hints::new(self.graph);
        let pairs = Pairs::new(self.graph, self.draft);
        let groups = GroupNorms::new(self.graph, &hints);
        let mut results: BTreeMap<usize, Vec<Option<TensorId>>> = BTreeMap::new();
        for (at, node) in self.graph.nodes_with_ids() {
            let origin = self.draft.layer(node.origin).or(self.origin);
            match (pairs.role(at), groups.role(at)) {
                (None, None) => self.node(node, origin, &hints),
                (None, Some(group_norm::Role::Last(group))) => self.group(group, node, origin, &hints),
                (Some(Role::Second), _) | (None, Some(group_norm::Role::Part)) => Ok(()),
                (Some(Role::First(pair)), _) => {
                    self.pair(&pairs, pair, node, &hints).map(|of| _ = results.insert(pair, of))
                }
                (Some(Role::Merge { pair, output, how }), _) => {
                    match results.get(&pair).and_then(|of| of.get(output)) {
                        Some(&Some(result)) => self.merge(node, origin, &hints, how, output, result),
                        _ => Err(Error::shape("a direction is read before it is computed")),
                    }
                }
            }
            .map_err(|error| error.at(origin))?;
        }
        Ok(())
    }

    /// A group normalization, whose last node is `node`.
    fn group(&mut self, group: &GroupNorm, node: &Node, origin: Option<CallId>, hints: &Hints) -> Result<()> {
        let Some(&id) = node.outputs.first() else { return Ok(()) };
        let x = self.read(group.x, &group.layout(), origin)?;
        let layouts = Layouts { inputs: vec![group.layout()], output: group.layout() };
        let mut emit = Emit::new(self.graph, node, origin, hints, &layouts, vec![Some(x)], self.draft);
        let tensor = group.emit(&mut emit, x)?;
        self.seats.set(id, Seat { tensor, layout: group.layout() });
        Ok(())
    }

    /// Both nodes of a pair as one, whose results are returned.
    fn pair(
        &mut self,
        pairs: &Pairs,
        pair: usize,
        node: &Node,
        hints: &Hints,
    ) -> Result<Vec<Option<TensorId>>> {
        let pair = pairs.pairs.get(pair).ok_or_else(|| Error::shape("a pair that was not found"))?;
        let origin = self.draft.layer(pair.origin(self.graph, self.draft)).or(self.origin);
        let x = match node.inputs.first() {
            Some(&Operand::Value(id)) => self.read(id, &Pair::layout(), origin)?,
            _ => return Err(Error::unsupported("a recurrent operator over a weight")),
        };
        let layouts = Layouts { inputs: vec![Pair::layout()], output: Pair::layout() };
        let mut emit = Emit::new(self.graph, node, origin, hints, &layouts, vec![Some(x)], self.draft);
        let results = pair.emit(&mut emit, x)?;
        for (id, tensor, layout) in pair.separate(&mut emit, pairs, &results)? {
            self.seats.set(id, Seat { tensor, layout });
        }
        Ok(results)
    }

    /// What reads both directions of a pair as one.
    fn merge(
        &mut self,
        node: &Node,
        origin: Option<CallId>,
        hints: &Hints,
        how: Merge,
        output: usize,
        result: TensorId,
    ) -> Result<()> {
        let Some(&id) = node.outputs.first() else { return Ok(()) };
        let wanted = match self.graph.value(id).r#type.shape.rank() {
            3 if hints.feeds_recurrent(id) => Pair::layout(),
            rank if hints.feeds_channels_first(id) => Layout::channels_first(rank),
            rank if hints.is_output(id) => Layout::of_port(self.io_layout, rank),
            rank => Layout::keras(rank),
        };
        let layouts = Layouts { inputs: Vec::new(), output: wanted.clone() };
        let mut emit = Emit::new(self.graph, node, origin, hints, &layouts, Vec::new(), self.draft);
        let (tensor, layout) = bidirectional::merge(&mut emit, how, output, result, wanted)?;
        self.seats.set(id, Seat { tensor, layout });
        Ok(())
    }

    /// The tensors of the graph's outputs: each another one, and none of `inputs`.
    fn outputs<'p>(
        &mut self,
        ports: impl Iterator<Item = &'p Port>,
        inputs: &[TensorId],
    ) -> Result<Vec<TensorId>> {
        let mut outputs = Vec::new();
        for port in ports {
            let value = self.graph.value(port.value);
            let origin = value.producer.and_then(|id| self.graph.node(id).origin);
            let origin = self.draft.layer(origin).or(self.origin);
            let layout = Layout::of_port(self.io_layout, value.r#type.shape.rank());
            let mut tensor = self.read(port.value, &layout, origin)?;
            if inputs.contains(&tensor) || outputs.contains(&tensor) {
                tensor = self.draft.another_node(NodeSpec::new("Identity", [Arg::Tensor(tensor)]), origin);
            }
            outputs.push(tensor);
        }
        Ok(outputs)
    }

    fn node(&mut self, node: &Node, origin: Option<CallId>, hints: &Hints) -> Result<()> {
        let (graph, opset, io_layout) = (self.graph, self.draft.opset, self.io_layout);
        let site = Site { graph, node, opset, io_layout, seats: &self.seats, hints };
        let layouts = ops::layouts(&node.op, &site)?;
        let Layouts { inputs, output } = &layouts;
        if inputs.len() != node.inputs.len() {
            return Err(Error::shape(format!("{} with {} inputs", ops::name(&node.op), node.inputs.len())));
        }
        let mut tensors = Vec::with_capacity(inputs.len());
        for (operand, layout) in node.inputs.iter().zip(inputs) {
            tensors.push(match operand {
                Operand::Value(id) => Some(self.read(*id, layout, origin)?),
                Operand::Constant(_) => None,
            });
        }
        let mut emit = Emit::new(self.graph, node, origin, hints, &layouts, tensors, self.draft);
        let tensors = ops::emit(&node.op, &mut emit)?;
        if tensors.len() != node.outputs.len() {
            let (name, count) = (ops::name(&node.op), node.outputs.len());
            return Err(Error::shape(format!("{name} with {count} outputs")));
        }
        for (at, (&id, tensor)) in node.outputs.iter().zip(tensors).enumerate() {
            let Some(tensor) = tensor else { continue };
            let layout = match at {
                0 => output.clone(),
                _ => Layout::keras(self.graph.value(id).r#type.shape.rank()),
            };
            self.seats.set(id, Seat { tensor, layout });
        }
        Ok(())
    }

    /// The value's tensor in `layout`, transposed at most once.
    fn read(&mut self, id: ValueId, layout: &Layout, origin: Option<CallId>) -> Result<TensorId> {
        if let Some(tensor) = self.seats.find(id, layout) {
            return Ok(tensor);
        }
        let seat = self.seats.get(id).ok_or_else(|| Error::shape("a value is used before it is computed"))?;
        let order = seat.layout.permutation(layout).ok_or_else(|| {
            Error::unsupported("a tensor flattened channels-first is needed in the order of the graph")
        })?;
        let (source, order) = self.seats.source(seat.tensor, &order);
        let perm: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        let tensor =
            self.draft.node(NodeSpec::new("Transpose", [Arg::Tensor(source)]).ints("perm", &perm), origin);
        self.seats.sources.insert(tensor, (source, order.clone()));
        self.seats.copies.insert((source, order), tensor);
        Ok(tensor)
    }
}
