//! Comparisons, what joins their results, and choices by them.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{Binary, BinaryKind, Compare, CompareKind, Infer, Operator, Select};
use k2o_core::{DType, Data, Dim, ErrorKind, Op, Tensor, TensorType};
use proptest::collection::vec;
use proptest::prelude::*;

const NAN: f64 = f64::NAN;

fn tensor(shape: &[usize], data: Data) -> Tensor {
    Tensor::new(shape, data).unwrap()
}

fn floats(shape: &[usize], data: &[f64]) -> Tensor {
    tensor(shape, Data::F64(data.to_vec()))
}

/// Truth values, one for each digit of 0 and 1.
fn bools(shape: &[usize], digits: &str) -> Tensor {
    tensor(shape, Data::Bool(digits.chars().map(|c| c == '1').collect()))
}

fn run(op: impl Into<Op>, inputs: &[Tensor]) -> Tensor {
    op.into().reference(&inputs.iter().collect::<Vec<_>>()).unwrap().remove(0)
}

/// Compares two vectors by all relations: equal, not equal, less, less or equal, greater, greater or equal.
#[track_caller]
fn check_compare(a: Data, b: Data, expected: [&str; 6]) {
    let n = a.len();
    let inputs = [tensor(&[n], a), tensor(&[n], b)];
    for (kind, expected) in CompareKind::ALL.into_iter().zip(expected) {
        assert_eq!(run(Compare { kind }, &inputs), bools(&[n], expected), "{kind:?}");
    }
}

#[test]
fn relations_hold_as_for_the_elements() {
    let expected = ["010", "101", "100", "110", "001", "011"];
    check_compare(Data::F64(vec![1., 2., 3.]), Data::F64(vec![2., 2., 2.]), expected);
    check_compare(Data::I64(vec![i64::MIN, 2, i64::MAX]), Data::I64(vec![2, 2, 2]), expected);
    // Neighbours that are one number as floating-point numbers.
    let large = 1 << 60;
    check_compare(
        Data::I64(vec![large, large, large + 1]),
        Data::I64(vec![large + 1, large, large]),
        expected,
    );
    let expected = ["1001", "0110", "0100", "1101", "0010", "1011"];
    let [a, b] = [vec![false, false, true, true], vec![false, true, false, true]].map(Data::Bool);
    check_compare(a, b, expected);
    check_compare(Data::F64(vec![0.]), Data::F64(vec![-0.]), ["1", "0", "0", "1", "0", "1"]);
}

#[test]
fn nan_is_unequal_to_everything_and_in_no_other_relation() {
    let a = vec![NAN, NAN, 1., NAN, f64::INFINITY];
    let b = vec![NAN, 1., NAN, f64::INFINITY, NAN];
    let none = "00000";
    check_compare(Data::F64(a), Data::F64(b), [none, "11111", none, none, none, none]);
}

#[test]
fn comparisons_broadcast() {
    let less = Compare { kind: CompareKind::Less };
    let (row, column) = (floats(&[3], &[1., 2., 3.]), floats(&[2, 1], &[2., 3.]));
    assert_eq!(run(less, &[row.clone(), column.clone()]), bools(&[2, 3], "100110"));
    assert_eq!(run(less, &[column, row.clone()]), bools(&[2, 3], "001000"));
    assert_eq!(run(less, &[floats(&[], &[2.]), row.clone()]), bools(&[3], "001"));
    assert_eq!(run(less, &[floats(&[0, 1], &[]), row]), bools(&[0, 3], ""));
}

#[test]
fn and_holds_where_both_hold_and_or_where_one_does() {
    let [and, or] = [BinaryKind::And, BinaryKind::Or].map(|kind| Binary { kind });
    let (a, b) = (bools(&[2, 2], "0011"), bools(&[2, 2], "0101"));
    assert_eq!(run(and, &[a.clone(), b.clone()]), bools(&[2, 2], "0001"));
    assert_eq!(run(or, &[a.clone(), b]), bools(&[2, 2], "0111"));
    assert_eq!(run(and, &[a.clone(), bools(&[1], "0")]), bools(&[2, 2], "0000"));
    assert_eq!(run(or, &[bools(&[2, 1, 1], "01"), a]), bools(&[2, 2, 2], "00111111"));
}

#[test]
fn select_takes_the_first_where_the_condition_holds() {
    let (a, b) = (floats(&[2, 2], &[1., 2., 3., 4.]), floats(&[2, 2], &[10., 20., 30., 40.]));
    let chosen = run(Select, &[bools(&[2, 2], "1001"), a.clone(), b.clone()]);
    assert_eq!(chosen, floats(&[2, 2], &[1., 20., 30., 4.]));
    let rows = run(Select, &[bools(&[2, 1], "01"), a.clone(), b.clone()]);
    assert_eq!(rows, floats(&[2, 2], &[10., 20., 3., 4.]));
    let by_scalar = run(Select, &[bools(&[], "1"), a, floats(&[1], &[9.])]);
    assert_eq!(by_scalar, floats(&[2, 2], &[1., 2., 3., 4.]));
    // Both are repeated along the condition.
    let wide = run(Select, &[bools(&[1, 3], "101"), floats(&[2, 1], &[1., 2.]), floats(&[], &[0.])]);
    assert_eq!(wide, floats(&[2, 3], &[1., 0., 1., 2., 0., 2.]));
    // NaN that is not chosen is not seen.
    let clean = run(Select, &[bools(&[2], "10"), floats(&[2], &[1., NAN]), floats(&[2], &[NAN, 2.])]);
    assert_eq!(clean, floats(&[2], &[1., 2.]));
    let integers = [7, 8].map(|n| tensor(&[2], Data::I64(vec![n, n << 55])));
    let chosen = run(Select, &[bools(&[2], "10"), integers[0].clone(), integers[1].clone()]);
    assert_eq!(chosen, tensor(&[2], Data::I64(vec![7, 8 << 55])));
    let chosen = run(Select, &[bools(&[2], "10"), bools(&[2], "11"), bools(&[2], "00")]);
    assert_eq!(chosen, bools(&[2], "10"));
}

#[track_caller]
fn check_refused(op: impl Into<Op>, inputs: &[(DType, &[i64])], expected: &str) {
    let types: Vec<TensorType> = inputs
        .iter()
        .map(|(dtype, sizes)| (*dtype, sizes.iter().copied().map(Dim::fixed).collect::<Vec<_>>()).into())
        .collect();
    let error = op.into().infer(&types, &mut Infer::default()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Shape, expected));
}

#[test]
fn operands_of_other_element_types_and_sizes_are_refused() {
    use DType::{Bool, F32, I32, I64};
    let less = Compare { kind: CompareKind::LessOrEqual };
    check_refused(less, &[(F32, &[2]), (I32, &[2])], "less_or_equal of float32 and int32");
    check_refused(less, &[(I64, &[2]), (Bool, &[2])], "less_or_equal of int64 and bool");
    check_refused(less, &[(F32, &[2, 3]), (F32, &[2])], "less_or_equal of [2, 3] and [2]: 3 and 2 differ");
    let binary = |kind| Binary { kind };
    check_refused(binary(BinaryKind::And), &[(F32, &[2]), (F32, &[2])], "and of float32 and float32");
    check_refused(binary(BinaryKind::Or), &[(Bool, &[2]), (I32, &[2])], "or of bool and int32");
    check_refused(binary(BinaryKind::Add), &[(Bool, &[2]), (Bool, &[2])], "add of bool and bool");
    check_refused(binary(BinaryKind::Or), &[(Bool, &[2]), (Bool, &[3])], "or of [2] and [3]: 2 and 3 differ");
    let three = |condition, a, b| [(condition, &[2i64][..]), (a, &[2][..]), (b, &[2][..])];
    check_refused(Select, &three(F32, F32, F32), "select by float32 of float32 and float32");
    check_refused(Select, &three(Bool, F32, I32), "select by bool of float32 and int32");
    check_refused(
        Select,
        &[(Bool, &[3]), (F32, &[2]), (F32, &[1])],
        "select by [3] of [2] and [1]: 3 and 2 differ",
    );
    check_refused(
        Select,
        &[(Bool, &[1]), (F32, &[2]), (F32, &[3])],
        "select by [1] of [2] and [3]: 2 and 3 differ",
    );
}

#[test]
fn comparisons_and_choices_give_the_types_of_their_results() {
    let types: [TensorType; 4] = [
        (DType::Bool, vec![Dim::symbol("batch"), 1.into()]).into(),
        (DType::I64, vec![5.into()]).into(),
        (DType::I64, vec![Dim::symbol("batch"), 5.into()]).into(),
        (DType::I64, vec![]).into(),
    ];
    let text = |op: &dyn Operator, types: &[TensorType]| {
        op.infer(types, &mut Infer::default()).unwrap()[0].to_string()
    };
    assert_eq!(text(&Select, &[types[0].clone(), types[1].clone(), types[3].clone()]), "int64 [batch, 5]");
    let equal = Compare { kind: CompareKind::Equal };
    assert_eq!(text(&equal, &types[1..3]), "bool [batch, 5]");
    assert_eq!(
        text(&Binary { kind: BinaryKind::And }, &[types[0].clone(), types[0].clone()]),
        "bool [batch, 1]"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_choice_by_a_comparison_is_a_maximum(pairs in vec((-3..4i64, -3..4i64), 0..9)) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(a, b)| (a as f64, b as f64)).unzip();
        let shape = [pairs.len()];
        let (a, b) = (floats(&shape, &a), floats(&shape, &b));
        let larger = run(Binary { kind: BinaryKind::Max }, &[a.clone(), b.clone()]);
        for kind in [CompareKind::Greater, CompareKind::GreaterOrEqual] {
            let condition = run(Compare { kind }, &[a.clone(), b.clone()]);
            prop_assert_eq!(&run(Select, &[condition, a.clone(), b.clone()]), &larger);
        }
    }

    #[test]
    fn relations_are_made_of_two_of_them(pairs in vec((-2..3i64, -2..3i64), 0..9), nan: prop::sample::Index) {
        let (mut a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(a, b)| (a as f64, b as f64)).unzip();
        if !a.is_empty() {
            let at = nan.index(a.len());
            a[at] = NAN;
        }
        let both = [floats(&[a.len()], &a), floats(&[a.len()], &b)];
        let turned = [both[1].clone(), both[0].clone()];
        let by = |kind, operands: &[Tensor]| run(Compare { kind }, operands);
        let or = |a, b| run(Binary { kind: BinaryKind::Or }, &[a, b]);
        let (less, equal) = (by(CompareKind::Less, &both), by(CompareKind::Equal, &both));
        prop_assert_eq!(&by(CompareKind::Greater, &turned), &less);
        prop_assert_eq!(&by(CompareKind::GreaterOrEqual, &turned), &by(CompareKind::LessOrEqual, &both));
        prop_assert_eq!(or(less, equal), by(CompareKind::LessOrEqual, &both));
    }
}
