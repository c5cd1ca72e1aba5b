//! Sums over the rows of a weight within another expression: what a map before a dense layer adds to its bias.

use super::elements::is_same;
use super::{ConstantExpr, ExprKind, StoredTensor};
use crate::tensor::element_count;
use crate::{Result, Tensor};
use std::sync::Arc;

/// How many rows there are at least: the sums, in double precision, then take a sixteenth of the weight's memory at most.
const MANY: usize = 32;

/// A sum within `expr` over rows that are made of the same stored tensor as `weight`, each element of the same one, and what
/// is summed.
pub(super) fn of_rows<'a>(
    expr: &'a ConstantExpr,
    weight: &ConstantExpr,
) -> Option<(&'a ConstantExpr, &'a ConstantExpr)> {
    match expr.kind() {
        ExprKind::Sum(terms, axis) => {
            let (before, sizes) = terms.shape().split_at(*axis);
            let has_rows = before.iter().all(|&size| size == 1) && *sizes.first()? >= MANY;
            let same = is_same(stored(terms)?, stored(weight)?);
            (has_rows && same && !matches!(weight.kind(), ExprKind::Stored(_))).then_some((expr, terms))
        }
        ExprKind::Reshape(a) => of_rows(a, weight),
        ExprKind::Arithmetic(_, a, b) => of_rows(a, weight).or_else(|| of_rows(b, weight)),
        _ => None,
    }
}

/// The stored tensor that has an element for each of the expression's.
fn stored(expr: &ConstantExpr) -> Option<&Arc<dyn StoredTensor>> {
    match expr.kind() {
        ExprKind::Stored(stored) => Some(stored),
        ExprKind::Reshape(a) | ExprKind::Sqrt(a) | ExprKind::Rounded(a, _) => stored(a),
        ExprKind::Arithmetic(_, a, b) => {
            let count = element_count(expr.shape()).ok()?;
            let has_all = |operand: &&ConstantExpr| element_count(operand.shape()).ok() == Some(count);
            [a, b].into_iter().filter(has_all).find_map(stored)
        }
        _ => None,
    }
}

/// The sums of nothing.
pub(super) fn empty(sum: &ConstantExpr) -> Vec<f64> {
    vec![std::iter::empty::<f64>().sum(); sum.shape().iter().product()]
}

/// `expr` with `sums` in place of `sum`.
pub(super) fn replace(expr: &ConstantExpr, sum: &ConstantExpr, sums: Vec<f64>) -> Result<ConstantExpr> {
    // Of NaNs, not each machine has the same ones.
    let sums = sums.into_iter().map(|x| if x.is_nan() { f64::NAN } else { x }).collect();
    with(expr, sum, &ConstantExpr::literal(Tensor::f64(sum.shape(), sums)?))
}

fn with(expr: &ConstantExpr, old: &ConstantExpr, new: &ConstantExpr) -> Result<ConstantExpr> {
    if Arc::ptr_eq(&expr.0, &old.0) {
        return Ok(new.clone());
    }
    match expr.kind() {
        ExprKind::Reshape(a) => with(a, old, new)?.reshape(expr.shape()),
        ExprKind::Arithmetic(op, a, b) => with(a, old, new)?.arithmetic(*op, &with(b, old, new)?),
        _ => Ok(expr.clone()),
    }
}
