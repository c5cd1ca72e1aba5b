//! Drops what no output needs.

use super::Rebuild;
use super::outputs::Live;
use crate::{Graph, Result, ValueId};

/// The graph without nodes that no output needs; layer outputs among them are folded away.
pub(super) fn drop_dead(graph: &Graph) -> Result<Graph> {
    let outputs: Vec<ValueId> = graph.outputs().iter().map(|port| port.value).collect();
    let live = Live::new(graph, &outputs);
    let mut rebuild = Rebuild::new(graph)?;
    for node in graph.nodes().iter().filter(|node| live.node(node)) {
        rebuild.copy(node)?;
    }
    rebuild.finish()
}
