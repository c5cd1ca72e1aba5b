//! Conditions on symbolic dimensions, checked when the symbols are bound.

use crate::{Bindings, CallId, Dim, Error, Result};
use std::fmt;

/// What must hold for a graph's shapes to be right: `left` stands in `relation` to a right side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// The constrained dimension.
    pub left: Dim,
    /// What must hold of it.
    pub relation: Relation,
    /// The rule it comes from, such as `a window of 3 steps needs as many`.
    pub rule: String,
    /// The layer call that needs it.
    pub origin: Option<CallId>,
}

/// What must hold of a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// At least this much.
    AtLeast(i64),
    /// Equal to this dimension.
    EqualTo(Dim),
    /// A multiple of this dimension.
    MultipleOf(Dim),
}

impl Constraint {
    /// `None` where symbols are left, else whether it holds.
    pub fn holds(&self, bindings: &Bindings) -> Result<Option<bool>> {
        let left = self.left.substitute(bindings)?;
        Ok(match &self.relation {
            Relation::AtLeast(n) => left.as_fixed().map(|left| left >= *n),
            Relation::EqualTo(right) => {
                let difference = left.sub(&right.substitute(bindings)?)?;
                difference.as_fixed().map(|d| d == 0)
            }
            Relation::MultipleOf(right) => {
                let right = right.substitute(bindings)?;
                match (left.as_fixed(), right.as_fixed()) {
                    (Some(left), Some(right)) => Some(right > 0 && left.checked_rem(right) == Some(0)),
                    _ if left.exact_div(&right).is_some() => Some(true),
                    _ => None,
                }
            }
        })
    }

    /// The error to give where the constraint does not hold for `bindings`.
    pub fn violation(&self, bindings: &Bindings) -> Error {
        let bound = self.left.substitute(bindings).unwrap_or_else(|_| self.left.clone());
        let bound = if bound == self.left { String::new() } else { format!(" (it is {bound})") };
        Error::shape(format!("{}: {self} does not hold{bound}", self.rule)).at(self.origin)
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.relation {
            Relation::AtLeast(n) => write!(f, "{} >= {n}", self.left),
            Relation::EqualTo(right) => write!(f, "{} = {right}", self.left),
            Relation::MultipleOf(right) => write!(f, "{} is a multiple of {right}", self.left),
        }
    }
}
