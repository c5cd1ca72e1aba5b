//! Parts of constants and constants side by side: what they are, and that nothing is read before it is needed.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::{ConstantExpr, DType, Error, ErrorKind, Result, StoredTensor, Tensor};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The numbers 0, 1, ... in this shape.
fn counted(shape: &[usize]) -> ConstantExpr {
    let data = (0..shape.iter().product::<usize>()).map(|i| i as f64).collect();
    ConstantExpr::literal(Tensor::f64(shape, data).unwrap())
}

#[track_caller]
fn check(expr: &ConstantExpr, shape: &[usize], data: &[f64]) {
    assert_eq!(expr.shape(), shape);
    assert_eq!(expr.evaluate().unwrap(), Tensor::f64(shape, data.to_vec()).unwrap());
}

#[test]
fn a_slice_is_the_elements_of_its_range() {
    let x = counted(&[2, 3]);
    check(&x.slice(1, 1..3).unwrap(), &[2, 2], &[1., 2., 4., 5.]);
    check(&x.slice(0, 1..2).unwrap(), &[1, 3], &[3., 4., 5.]);
    check(&x.slice(1, 0..3).unwrap(), &[2, 3], &[0., 1., 2., 3., 4., 5.]);
    check(&x.slice(1, 3..3).unwrap(), &[2, 0], &[]);
    let cube = counted(&[2, 3, 2]);
    check(&cube.slice(1, 1..2).unwrap(), &[2, 1, 2], &[2., 3., 8., 9.]);
    check(&cube.slice(1, 1..3).unwrap().slice(2, 1..2).unwrap(), &[2, 2, 1], &[3., 5., 9., 11.]);
}

#[test]
fn parts_stand_one_after_the_other_along_their_axis() {
    let (x, row) = (counted(&[2, 3]), counted(&[1, 3]));
    let join = |parts: &[&ConstantExpr], axis| {
        ConstantExpr::concat(&parts.iter().map(|&part| part.clone()).collect::<Vec<_>>(), axis).unwrap()
    };
    check(&join(&[&x, &row], 0), &[3, 3], &[0., 1., 2., 3., 4., 5., 0., 1., 2.]);
    check(&join(&[&x, &counted(&[2, 0]), &counted(&[2, 1])], 1), &[2, 4], &[0., 1., 2., 0., 3., 4., 5., 1.]);
    check(&join(&[&x], 1), &[2, 3], &[0., 1., 2., 3., 4., 5.]);
}

#[test]
fn ranges_and_parts_that_do_not_fit_are_refused() {
    let error = |made: Result<ConstantExpr>| {
        let error = made.unwrap_err();
        (error.kind(), error.message().to_string())
    };
    let x = counted(&[2, 3]);
    let refused = |text: &str| (ErrorKind::Shape, text.to_string());
    let slices = [
        (1, 1..4, "no elements 1..4 along axis 1 in [2, 3]"),
        (0, 3..3, "no elements 3..3 along axis 0 in [2, 3]"),
        (2, 0..0, "no elements 0..0 along axis 2 in [2, 3]"),
        (1, std::ops::Range { start: 2, end: 1 }, "no elements 2..1 along axis 1 in [2, 3]"),
        (
            usize::MAX,
            0..usize::MAX,
            "no elements 0..18446744073709551615 along axis 18446744073709551615 in [2, 3]",
        ),
    ];
    for (axis, range, text) in slices {
        assert_eq!(error(x.slice(axis, range)), refused(text));
    }
    let parts: [(&[ConstantExpr], usize); 5] = [
        (&[], 0),
        (&[counted(&[2, 3]), counted(&[2, 2])], 0),
        (&[counted(&[2, 3]), counted(&[3])], 0),
        (&[counted(&[3]), counted(&[2, 3])], 0),
        (&[counted(&[2, 3])], 2),
    ];
    for (parts, axis) in parts {
        let text = format!("constants that do not fit each other along axis {axis}");
        assert_eq!(error(ConstantExpr::concat(parts, axis)), refused(&text), "{parts:?}");
    }
    let empty = |n| ConstantExpr::literal(Tensor::f64([0, n], vec![]).unwrap());
    let joined = ConstantExpr::concat(&[empty(1 << 59), empty(1 << 59)], 1);
    assert_eq!(joined.unwrap_err().kind(), ErrorKind::Limit);
}

/// A weight `[2, 4]` of the numbers 0 to 7 that counts how often it is read.
#[derive(Debug, Default)]
struct Counting {
    reads: AtomicUsize,
    missing: bool,
}

impl StoredTensor for Counting {
    fn shape(&self) -> &[usize] {
        &[2, 4]
    }

    fn dtype(&self) -> DType {
        DType::I8
    }

    fn is_bound(&self) -> bool {
        !self.missing
    }

    fn read(&self) -> Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.missing { Err(Error::new(ErrorKind::Io, "nothing there")) } else { Ok((0..8).collect()) }
    }
}

/// Both halves of a matrix of floats, exchanged.
fn exchanged(x: &ConstantExpr) -> ConstantExpr {
    let halves = [x.slice(1, 2..4).unwrap(), x.slice(1, 0..2).unwrap()];
    ConstantExpr::concat(&halves, 1).unwrap()
}

#[test]
fn nothing_is_read_before_it_is_evaluated() {
    let stored = Arc::new(Counting::default());
    let x = ConstantExpr::stored(stored.clone());
    let expr = exchanged(&x);
    assert_eq!((expr.shape(), expr.depth(), expr.is_bound()), (&[2, 4][..], 3, true));
    assert_eq!(stored.reads.load(Ordering::Relaxed), 0);
    assert_eq!(expr.evaluate().unwrap().as_i64().unwrap(), [2, 3, 0, 1, 6, 7, 4, 5]);
    assert!(stored.reads.load(Ordering::Relaxed) > 0);
}

#[test]
fn parts_are_bound_where_all_they_are_made_of_is() {
    let missing = ConstantExpr::stored(Arc::new(Counting { missing: true, ..Counting::default() }));
    let there = ConstantExpr::stored(Arc::new(Counting::default()));
    assert!(!missing.slice(0, 0..1).unwrap().is_bound());
    assert!(there.slice(0, 0..1).unwrap().is_bound());
    let join = |a: &ConstantExpr, b: &ConstantExpr| ConstantExpr::concat(&[a.clone(), b.clone()], 0).unwrap();
    assert!(join(&there, &there).is_bound());
    assert!(!join(&there, &missing).is_bound());
    assert!(!join(&missing, &there).is_bound());
    assert_eq!(join(&there, &missing).evaluate().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn depth_is_that_of_the_deepest_part() {
    let x = counted(&[2, 3]);
    assert_eq!(x.depth(), 1);
    let cut = x.slice(1, 0..1).unwrap();
    assert_eq!(cut.depth(), 2);
    let deep = cut.sqrt().sqrt();
    for parts in [[deep.clone(), x.clone(), cut.clone()], [x, cut, deep]] {
        assert_eq!(ConstantExpr::concat(&parts, 1).unwrap().depth(), 5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_of_a_constant_side_by_side_are_the_constant(
        shape in prop::collection::vec(0..4usize, 1..4), axis: prop::sample::Index,
        cuts in prop::array::uniform2(any::<prop::sample::Index>()),
    ) {
        let axis = axis.index(shape.len());
        let mut cuts = cuts.map(|cut| cut.index(shape[axis] + 1));
        cuts.sort_unstable();
        let x = counted(&shape);
        let ranges = [0..cuts[0], cuts[0]..cuts[1], cuts[1]..shape[axis]];
        let parts = ranges.map(|range| x.slice(axis, range).unwrap());
        let joined = ConstantExpr::concat(&parts, axis).unwrap();
        prop_assert_eq!(joined.evaluate().unwrap(), x.evaluate().unwrap());
    }
}
