//! What an operator costs.

use crate::{Dim, Result};

/// The work of one operator, as expressions of the symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications that are each followed by an addition into an accumulator.
    pub multiply_adds: Dim,
    /// Other operations on elements: additions, comparisons, function evaluations.
    pub element_ops: Dim,
}

impl Cost {
    /// No work: the operator only moves or renames data.
    pub const NONE: Cost = Cost { multiply_adds: Dim::ZERO, element_ops: Dim::ZERO };

    /// `n` multiply-adds.
    pub fn multiply_adds(n: Dim) -> Cost {
        Cost { multiply_adds: n, ..Cost::NONE }
    }

    /// `n` element operations.
    pub fn element_ops(n: Dim) -> Cost {
        Cost { element_ops: n, ..Cost::NONE }
    }

    /// The sum of both.
    pub fn add(&self, other: &Cost) -> Result<Cost> {
        Ok(Cost {
            multiply_adds: self.multiply_adds.add(&other.multiply_adds)?,
            element_ops: self.element_ops.add(&other.element_ops)?,
        })
    }
}
