//! Which recurrent operators become nodes of their own, and which scans.

use crate::ops::recurrence::{Form, form};
use crate::{ExportOptions, Result};
use k2o_core::{Graph, Node, to_scans};
use std::borrow::Cow;
use std::fmt;

/// A way to write an operator that was chosen among several, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The operator, such as `lstm`.
    pub operator: &'static str,
    /// How it is written, such as `as Scan`.
    pub form: &'static str,
    /// Why it is written like that.
    pub reason: &'static str,
}

/// `lstm as Scan (tract ignores `activations`)`
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.operator, self.form, self.reason)
    }
}

/// The graph with every recurrent operator that cannot be a node of its own written as a scan, and what was chosen.
pub(crate) fn choose<'a>(graph: &'a Graph, options: &ExportOptions) -> Result<(Cow<'a, Graph>, Vec<Choice>)> {
    let target = options.target.unwrap_or_default();
    let form = |node: &Node| form(graph, node, target, options.assume_right_padded);
    let mut choices: Vec<Choice> = Vec::new();
    let mut scans = false;
    for node in graph.nodes() {
        let (form, reason) = match form(node) {
            None | Some(Form::Native) => continue,
            Some(Form::WithLengths) => ("with sequence_lens", "masks assumed right-padded"),
            Some(Form::Scan(reason)) => {
                scans = true;
                ("as Scan", reason)
            }
        };
        let choice = Choice { operator: crate::ops::name(&node.op), form, reason };
        if !choices.contains(&choice) {
            choices.push(choice);
        }
    }
    let graph = match scans {
        true => Cow::Owned(to_scans(graph, &|node| matches!(form(node), Some(Form::Scan(_))))?),
        false => Cow::Borrowed(graph),
    };
    Ok((graph, choices))
}
