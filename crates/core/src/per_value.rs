//! Tables with something for each value of a graph.

use crate::{Graph, ValueId};
use std::ops::{Index, IndexMut};

/// Something for each value of one graph, by its id.
///
/// ```
/// # use k2o_core::{DType, GraphBuilder, PerValue, Shape, TensorType};
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", TensorType::new(Shape::of(&[3])?, DType::F32))?;
/// let mut is_input = PerValue::new(builder.graph(), false);
/// is_input[x] = true;
/// assert_eq!(is_input.iter().collect::<Vec<_>>(), [(x, &true)]);
/// # Ok::<(), k2o_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerValue<T>(Vec<T>);

impl<T> PerValue<T> {
    /// The same for each value of the graph.
    pub fn new(graph: &Graph, each: T) -> PerValue<T>
    where
        T: Clone,
    {
        PerValue(vec![each; graph.values().len()])
    }

    /// What `each` makes of each value of the graph.
    pub fn of(graph: &Graph, each: impl FnMut(ValueId) -> T) -> PerValue<T> {
        PerValue(ids(graph.values().len()).map(each).collect())
    }

    /// The values in the graph's order, with what there is for each.
    pub fn iter(&self) -> impl Iterator<Item = (ValueId, &T)> {
        ids(self.0.len()).zip(&self.0)
    }
}

/// A graph has no more values than ids can tell apart.
fn ids(count: usize) -> impl Iterator<Item = ValueId> {
    (0..count).map(|at| ValueId(at as u32))
}

impl<T> Index<ValueId> for PerValue<T> {
    type Output = T;

    /// # Panics
    /// If the id is another graph's.
    #[expect(clippy::indexing_slicing, reason = "one element for each value of the graph")]
    fn index(&self, id: ValueId) -> &T {
        &self.0[id.0 as usize]
    }
}

impl<T> IndexMut<ValueId> for PerValue<T> {
    /// # Panics
    /// If the id is another graph's.
    #[expect(clippy::indexing_slicing, reason = "one element for each value of the graph")]
    fn index_mut(&mut self, id: ValueId) -> &mut T {
        &mut self.0[id.0 as usize]
    }
}
