//! Which lengths of the input a model takes.

use k2o_core::{Bindings, Graph, Relation};
use std::sync::Arc;

/// Lengths that are tried one by one, where conditions do not say that more is enough.
const TRIED: i64 = 1 << 16;
/// Longer inputs are not looked for.
const LONGEST: i64 = 1 << 40;

/// What the symbols but the batch are called.
fn lengths(graph: &Graph) -> Vec<Arc<str>> {
    graph.symbols().into_iter().filter(|name| &**name != "batch").collect()
}

/// The symbols for `batch` examples with `length` for every other size that is not known.
pub(super) fn bindings(graph: &Graph, batch: i64, length: i64) -> Bindings {
    let mut bindings: Bindings = lengths(graph).into_iter().map(|name| (name, length)).collect();
    bindings.insert("batch".into(), batch);
    bindings
}

/// The least length from `from` on for which every condition on the sizes holds, used for all sizes that are not known.
/// `None` where all sizes are known, or where no length was found.
pub(super) fn shortest_from(graph: &Graph, from: i64) -> Option<i64> {
    let lengths = lengths(graph);
    if lengths.is_empty() {
        return None;
    }
    let mut bindings = bindings(graph, 1, from);
    let mut fits = |length: i64| {
        for name in &lengths {
            bindings.insert(name.clone(), length);
        }
        graph.constraints().iter().all(|constraint| matches!(constraint.holds(&bindings), Ok(Some(true))))
    };
    let only_at_least =
        graph.constraints().iter().all(|constraint| matches!(constraint.relation, Relation::AtLeast(_)));
    if !only_at_least {
        return (from..from.saturating_add(TRIED)).find(|&length| fits(length));
    }
    // More is enough: doubled until it is, and then halved.
    let mut enough = from.max(1);
    while !fits(enough) {
        enough = enough.checked_mul(2).filter(|&length| length <= LONGEST)?;
    }
    let mut short = from - 1;
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        if fits(middle) { enough = middle } else { short = middle }
    }
    Some(enough)
}
