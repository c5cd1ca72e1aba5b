//! Fixes symbols of a graph: its inputs get these sizes, and every shape is inferred again.

use super::Rebuild;
use crate::{Bindings, Constraint, Graph, GraphBuilder, Relation, Result};

/// The same graph for inputs of which some sizes are known: the symbols in `bindings` are the numbers there.
///
/// # Errors
/// [`Shape`](crate::ErrorKind::Shape), naming the layer call, where a constraint does not hold for these numbers.
pub fn substitute(graph: &Graph, bindings: &Bindings) -> Result<Graph> {
    let mut rebuild = Rebuild::of(graph, GraphBuilder::new());
    for constraint in graph.constraints() {
        match constraint.holds(bindings)? {
            Some(true) => {}
            Some(false) => return Err(constraint.violation(bindings)),
            None => rebuild.new.constraint(substituted(constraint, bindings)?),
        }
    }
    for port in graph.inputs() {
        let mut r#type = graph.value(port.value).r#type.clone();
        r#type.shape = r#type.shape.substitute(bindings)?;
        let value = rebuild.new.input(port.name.clone(), r#type)?;
        rebuild.replace(port.value, value);
    }
    for node in graph.nodes() {
        rebuild.copy(node)?;
    }
    rebuild.finish()
}

fn substituted(constraint: &Constraint, bindings: &Bindings) -> Result<Constraint> {
    Ok(Constraint {
        left: constraint.left.substitute(bindings)?,
        relation: match &constraint.relation {
            Relation::AtLeast(n) => Relation::AtLeast(*n),
            Relation::EqualTo(right) => Relation::EqualTo(right.substitute(bindings)?),
            Relation::MultipleOf(right) => Relation::MultipleOf(right.substitute(bindings)?),
        },
        ..constraint.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Pool, PoolKind};
    use crate::{DType, Dim, Padding, Shape, TensorType, Window};

    /// A maximum over windows of 3 steps, 2 apart.
    fn pooled() -> Graph {
        let mut builder = GraphBuilder::new();
        let shape = Shape::new(vec![Dim::symbol("batch"), Dim::symbol("steps"), 2.into()]);
        let x = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
        let windows = vec![Window::new(3, 2, 1, Padding::Explicit(0, 0)).unwrap()];
        let y = builder.add(Pool { kind: PoolKind::Max, windows }, [x]).unwrap();
        builder.output("y", y);
        builder.finish()
    }

    fn output(graph: &Graph) -> String {
        graph.value(graph.outputs()[0].value).r#type.shape.to_string()
    }

    #[test]
    fn shapes_follow_from_the_sizes_that_are_known() {
        let graph = pooled();
        let steps = Bindings::from([("steps".into(), 9)]);
        let fixed = substitute(&graph, &steps).unwrap();
        assert_eq!(output(&fixed), "[batch, 4, 2]");
        assert!(fixed.constraints().is_empty());
        let batch = Bindings::from([("batch".into(), 5)]);
        let fixed = substitute(&graph, &batch).unwrap();
        assert_eq!(output(&fixed), output(&graph).replace("batch", "5"));
        assert_eq!(fixed.constraints(), graph.constraints());
        assert_eq!(output(&substitute(&fixed, &steps).unwrap()), "[5, 4, 2]");
    }

    #[test]
    fn sizes_that_break_a_rule_are_refused() {
        let error = substitute(&pooled(), &Bindings::from([("steps".into(), 2)])).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Shape);
        assert!(error.message().contains("does not hold"), "{}", error.message());
    }
}
