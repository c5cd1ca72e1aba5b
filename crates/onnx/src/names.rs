//! Names for tensors, nodes and initializers, each unique.
//!
//! A tensor that is an input or output of the model bears its port's name. One that equals a layer's output, up to the
//! order of its axes, bears the layer's path, with `:1` and so on for further outputs. Any other is
//! `<layer>/<operator>`. Whatever is taken gets `_1`, `_2` and so on; a layer's second call is the layer with `_1`.

use crate::draft::{Arg, Content, Draft, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Assigned;
use crate::{Error, LayerName, Place, Result};
use k2o_core::{CallId, Graph, Outline, Tap, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Everything's name.
pub(crate) struct Names {
    tensors: Vec<String>,
    /// One per node of the draft, in the order of [`Draft::all_nodes`].
    pub nodes: Vec<String>,
    /// One per initializer of the draft.
    pub initializers: Vec<String>,
    /// Where each layer's output is, in the order of the graph's taps.
    pub layers: Vec<LayerName>,
    /// The tensors that bear layers' outputs and no port's name, with the value and layout, in the order of the taps.
    pub taps: Vec<(TensorId, ValueId, Layout)>,
}

/// Names given so far, and the last suffix tried for each.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    next: BTreeMap<String, usize>,
}

impl Taken {
    /// `name`, or `name` with the first suffix that is free. The empty name is never free: it means that an operand is
    /// left out.
    fn unique(&mut self, name: String) -> String {
        if !name.is_empty() && self.names.insert(name.clone()) {
            return name;
        }
        let next = self.next.entry(name.clone()).or_insert(1);
        loop {
            let candidate = format!("{name}_{next}");
            *next += 1;
            if self.names.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

/// What each layer call is called: its path, made unique.
fn labels(outline: &Outline) -> Vec<String> {
    let mut taken = Taken::default();
    let mut labels = vec![String::new(); outline.calls.len()];
    // First calls first, so that a repeated call takes no other layer's name.
    for first in [true, false] {
        for (label, call) in labels.iter_mut().zip(&outline.calls) {
            if (call.repetition == 0) == first {
                *label = taken.unique(call.path.clone());
            }
        }
    }
    labels
}

/// `MaxPool` as `max_pool`, `RMSNormalization` as `rms_normalization`.
fn snake_case(op_type: &str) -> String {
    let mut snake = String::new();
    let is = |c: Option<char>, kind: fn(&char) -> bool| c.is_some_and(|c| kind(&c));
    for (i, c) in op_type.char_indices() {
        let (before, after) = (op_type[..i].chars().next_back(), op_type[i + c.len_utf8()..].chars().next());
        let begins = is(before, char::is_ascii_lowercase) || is(after, char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && i > 0 && begins {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

pub(crate) fn names(graph: &Graph, outline: &Outline, assigned: &Assigned) -> Result<Names> {
    let draft = &assigned.draft;
    let labels = labels(outline);
    let label = |call: CallId| {
        let missing = || Error::shape(format!("the layer call {} is not in the outline", call.0));
        labels.get(call.0).map(String::as_str).ok_or_else(missing)
    };
    let within = |origin: Option<CallId>, name: &str| match origin {
        Some(call) => Ok(format!("{}/{name}", label(call)?)),
        None => Ok(name.to_string()),
    };
    let mut taken = Taken::default();
    let mut tensors: BTreeMap<TensorId, String> = BTreeMap::new();
    let ports =
        graph.inputs().iter().zip(&assigned.inputs).chain(graph.outputs().iter().zip(&assigned.outputs));
    for (port, &tensor) in ports {
        tensors.insert(tensor, taken.unique(port.name.clone()));
    }

    let mut taps = Vec::new();
    let mut layers = Vec::new();
    for tap in graph.taps() {
        let place = match seat(assigned, tap) {
            None => Place::Folded,
            Some((tensor, value, layout)) => {
                let name = match tensors.get(&tensor) {
                    Some(name) => name.clone(),
                    None => {
                        let path = label(tap.call)?;
                        let name =
                            if tap.output == 0 { path.to_string() } else { format!("{path}:{}", tap.output) };
                        let name = taken.unique(name);
                        tensors.insert(tensor, name.clone());
                        taps.push((tensor, value, layout.clone()));
                        name
                    }
                };
                let permutation = layout.axes().filter(|_| !layout.is_keras()).map(<[usize]>::to_vec);
                Place::Named { name, permutation }
            }
        };
        layers.push(LayerName { call: tap.call, output: tap.output, place });
    }
    // What bears a layer's name is that layer's output, even where the layer's own was folded away.
    taken.names.extend(labels.iter().cloned());

    let initializers = initializer_names(graph, draft, &mut taken, &within)?;
    // The format lets nodes share names with tensors, but tract makes nodes of inputs and initializers.
    let all_nodes = draft.all_nodes();
    let mut inputs: Vec<TensorId> = assigned.inputs.clone();
    for node in &all_nodes {
        for port in node.body.iter().flat_map(|body| &body.inputs) {
            tensors.insert(port.tensor, taken.unique(within(node.origin, &port.name)?));
            inputs.push(port.tensor);
        }
    }
    let inputs = inputs.iter().filter_map(|tensor| tensors.get(tensor).cloned());
    let names = initializers.iter().cloned().chain(inputs).collect();
    let mut taken_nodes = Taken { names, ..Taken::default() };
    let mut nodes = Vec::with_capacity(all_nodes.len());
    for node in all_nodes {
        let name = within(node.origin, &snake_case(node.spec.op_type))?;
        for &output in node.outputs.iter().flatten() {
            tensors.entry(output).or_insert_with(|| taken.unique(name.clone()));
        }
        nodes.push(taken_nodes.unique(name));
    }
    let tensors = (0..draft.tensors).map(|at| tensors.remove(&TensorId(at)).unwrap_or_default()).collect();
    Ok(Names { tensors, nodes, initializers, layers, taps })
}

fn initializer_names(
    graph: &Graph,
    draft: &Draft,
    taken: &mut Taken,
    within: &dyn Fn(Option<CallId>, &str) -> Result<String>,
) -> Result<Vec<String>> {
    let constant = |name: &str| if name.is_empty() { "constant".to_string() } else { name.to_string() };
    let name = |content: &Content| match content {
        Content::Constant(id, _) => Ok(constant(&graph.constant(*id).name)),
        Content::Derived(sources, role) => {
            let made = draft.derived.get(&(sources.clone(), *role));
            Ok(constant(made.map_or("", |made| &made.name)))
        }
        Content::Literal(origin, role, _) => within(*origin, role),
    };
    draft.initializers.iter().map(|initializer| Ok(taken.unique(name(&initializer.content)?))).collect()
}

/// The tensor that equals a layer's output, in the graph's layout if there is one in that.
fn seat(assigned: &Assigned, tap: &Tap) -> Option<(TensorId, ValueId, Layout)> {
    let id = tap.value?;
    let seat = assigned.seats.get(id)?;
    let keras = Layout::keras(seat.layout.axes()?.len());
    Some(match assigned.seats.find(id, &keras) {
        Some(tensor) => (tensor, id, keras),
        None => (seat.tensor, id, seat.layout.clone()),
    })
}

impl Names {
    /// The name of one of the draft's tensors.
    #[expect(
        clippy::indexing_slicing,
        reason = "the draft counts the tensors that it makes, and each has a name"
    )]
    pub fn tensor(&self, id: TensorId) -> &str {
        &self.tensors[id.0]
    }

    #[expect(clippy::indexing_slicing, reason = "each of the draft's initializers has a name")]
    fn initializer(&self, at: usize) -> &str {
        &self.initializers[at]
    }

    /// What a node calls an operand.
    pub fn arg(&self, arg: Arg) -> String {
        match arg {
            Arg::Tensor(id) => self.tensor(id).to_string(),
            Arg::Initializer(at) => self.initializer(at).to_string(),
            Arg::Absent => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_the_first_free_suffix() {
        let mut taken = Taken::default();
        let names = ["a", "a_1", "a", "a", "a_1"].map(|name| taken.unique(name.into()));
        assert_eq!(names, ["a", "a_1", "a_2", "a_3", "a_1_1"]);
    }

    #[test]
    fn the_empty_name_is_never_given() {
        let mut taken = Taken::default();
        assert_eq!(["", ""].map(|name| taken.unique(name.into())), ["_1", "_2"]);
    }

    #[test]
    fn operators_are_written_in_snake_case() {
        assert_eq!(["Conv", "MaxPool", "ReduceMean"].map(snake_case), ["conv", "max_pool", "reduce_mean"]);
        let names = ["PRelu", "TopK", "RMSNormalization"].map(snake_case);
        assert_eq!(names, ["p_relu", "top_k", "rms_normalization"]);
    }
}
