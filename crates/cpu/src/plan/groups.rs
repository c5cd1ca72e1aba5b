//! Which steps compute each sample of a batch alone, so that a few samples go through all of them before the next few.

use super::Step;
use super::draft::{Draft, Drafts};
use k2o_core::{Graph, Op, Operand, TensorType, ValueId, computes_samples_alone};
use std::ops::Range;

/// Bytes of weights from which on a step computes as many samples at once as there are: reading its weights takes
/// longer than reading the samples.
pub(crate) const HEAVY: usize = 1 << 20;

/// As many samples as a recurrent layer's rows should be, so that weights are read for several rows at each step.
const RECURRENT_ROWS: usize = 12;

/// Steps that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub steps: Range<usize>,
    /// Whether each of them computes every sample alone.
    pub by_sample: bool,
    /// Whether its weights ask for as many samples at once as there are.
    pub is_heavy: bool,
    /// Samples that are computed at once even where they are not all nearby.
    pub least: usize,
}

/// The samples of a batch: which values have some.
pub(super) struct Samples<'a> {
    graph: &'a Graph,
    /// The name of the number of samples, if the graph has such a symbol.
    symbol: Option<&'a str>,
}

impl<'a> Samples<'a> {
    pub fn new(graph: &'a Graph) -> Samples<'a> {
        let leads = |port: &'a k2o_core::Port| graph.value(port.value).r#type.shape.first()?.as_symbol();
        Samples { graph, symbol: graph.inputs().iter().find_map(leads) }
    }

    /// Whether a value has the samples along axis 0, and their number nowhere else.
    pub fn has(&self, value: ValueId) -> bool {
        let shape = &self.graph.value(value).r#type.shape;
        let Some((first, others)) = shape.split_first() else { return false };
        let mut elsewhere = false;
        others.iter().for_each(|dim| {
            dim.visit_symbols(&mut |symbol| elsewhere |= Some(&**symbol) == self.symbol);
        });
        self.symbol.is_some() && first.as_symbol() == self.symbol && !elsewhere
    }

    /// Whether all nodes of a step compute every sample alone.
    fn alone(&self, drafts: &Drafts, draft: &Draft) -> bool {
        let nodes = std::iter::once(&draft.node).chain(&draft.links);
        nodes.into_iter().all(|&node| {
            let node = self.graph.node(node);
            let types: Vec<TensorType> =
                node.inputs.iter().map(|&operand| self.graph.type_of(operand).clone()).collect();
            let mut agree = true;
            let batched: Vec<bool> = node
                .inputs
                .iter()
                .map(|operand| {
                    let Operand::Value(id) = *operand else { return false };
                    let has = self.has(id);
                    // The elements of a value are those of its root, which is read in parts or not.
                    agree &= match drafts.roots[id] {
                        Operand::Value(root) => self.has(root) == has,
                        Operand::Constant(_) => !has,
                    };
                    has
                })
                .collect();
            agree
                && computes_samples_alone(&node.op, &types, &batched)
                && node.outputs.iter().all(|&id| self.has(id))
        })
    }

    /// The steps in groups, each as long as can be.
    pub fn groups(&self, drafts: &Drafts, steps: &[Step]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (at, (draft, step)) in drafts.drafts.iter().zip(steps).enumerate() {
            let by_sample = self.alone(drafts, draft);
            let is_heavy = by_sample && step.weight_bytes >= HEAVY;
            let is_recurrent =
                matches!(self.graph.node(draft.node).op, Op::Lstm(_) | Op::Gru(_) | Op::Rnn(_));
            let least = if is_recurrent { RECURRENT_ROWS } else { 1 };
            match groups.last_mut() {
                Some(last) if by_sample && !is_heavy && last.by_sample && !last.is_heavy => {
                    last.steps.end = at + 1;
                    last.least = last.least.max(least);
                }
                _ => groups.push(Group { steps: at..at + 1, by_sample, is_heavy, least }),
            }
        }
        groups
    }
}
