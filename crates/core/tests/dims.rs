//! Dimensions are what their expressions say: a random tree of operations is built as a [`Dim`] and computed directly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::{Bindings, Dim, ErrorKind, Result};
use proptest::prelude::*;
use std::collections::HashSet;

const SYMBOLS: [&str; 3] = ["batch", "n", "steps"];

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() }
}

/// An expression as it is written.
#[derive(Clone, Debug)]
enum Expr {
    Number(i64),
    Symbol(usize),
    Add(Box<Expr>, Box<Expr>),
    Sub(Box<Expr>, Box<Expr>),
    Mul(Box<Expr>, Box<Expr>),
    FloorDiv(Box<Expr>, i64),
    CeilDiv(Box<Expr>, i64),
}

impl Expr {
    /// The expression as a dimension; a symbol for which there is a number is that number.
    fn build(&self, numbers: &[Option<i64>; 3]) -> Result<Dim> {
        match self {
            Expr::Number(n) => Ok(Dim::fixed(*n)),
            Expr::Symbol(i) => Ok(numbers[*i].map_or_else(|| Dim::symbol(SYMBOLS[*i]), Dim::fixed)),
            Expr::Add(a, b) => a.build(numbers)?.add(&b.build(numbers)?),
            Expr::Sub(a, b) => a.build(numbers)?.sub(&b.build(numbers)?),
            Expr::Mul(a, b) => a.build(numbers)?.mul(&b.build(numbers)?),
            Expr::FloorDiv(a, d) => a.build(numbers)?.floor_div(*d),
            Expr::CeilDiv(a, d) => a.build(numbers)?.ceil_div(*d),
        }
    }

    /// The expression's number, unless an intermediate result leaves the range of `i64`.
    fn compute(&self, numbers: &[i64; 3]) -> Option<i128> {
        let result = match self {
            Expr::Number(n) => i128::from(*n),
            Expr::Symbol(i) => i128::from(numbers[*i]),
            Expr::Add(a, b) => a.compute(numbers)? + b.compute(numbers)?,
            Expr::Sub(a, b) => a.compute(numbers)? - b.compute(numbers)?,
            Expr::Mul(a, b) => a.compute(numbers)? * b.compute(numbers)?,
            Expr::FloorDiv(a, d) => a.compute(numbers)?.div_euclid(i128::from(*d)),
            Expr::CeilDiv(a, d) => -(-a.compute(numbers)?).div_euclid(i128::from(*d)),
        };
        i64::try_from(result).ok().map(i128::from)
    }
}

fn expr(number: BoxedStrategy<i64>, divisor: BoxedStrategy<i64>, leaves: u32) -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![number.prop_map(Expr::Number), (0..3usize).prop_map(Expr::Symbol)];
    leaf.prop_recursive(3, leaves, 2, move |inner| {
        let pair = (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        let divided = (inner.prop_map(Box::new), divisor.clone());
        prop_oneof![
            pair.clone().prop_map(|(a, b)| Expr::Add(a, b)),
            pair.clone().prop_map(|(a, b)| Expr::Sub(a, b)),
            pair.prop_map(|(a, b)| Expr::Mul(a, b)),
            divided.clone().prop_map(|(a, d)| Expr::FloorDiv(a, d)),
            divided.prop_map(|(a, d)| Expr::CeilDiv(a, d)),
        ]
    })
    .boxed()
}

/// Expressions that cannot overflow.
fn small() -> BoxedStrategy<Expr> {
    expr((-9..10i64).boxed(), (1..6i64).boxed(), 8)
}

/// Expressions of numbers from all over `i64`.
fn enormous() -> BoxedStrategy<Expr> {
    let divisor = any_i64().prop_map(|n| n.checked_abs().unwrap_or(i64::MAX).max(1));
    expr(any_i64(), divisor.boxed(), 8)
}

fn any_i64() -> BoxedStrategy<i64> {
    let edge = prop::sample::select(vec![
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        1,
        1 << 32,
        1 << 62,
        i64::MAX - 1,
        i64::MAX,
    ]);
    prop_oneof![edge, any::<i64>(), -9..10i64].boxed()
}

fn bindings(numbers: &[i64; 3], which: [bool; 3]) -> Bindings {
    let bound = SYMBOLS.iter().zip(numbers).zip(which).filter(|(_, wanted)| *wanted);
    bound.map(|((name, n), _)| ((*name).into(), *n)).collect()
}

/// What a dimension's text means by the usual rules: `*` and `/` before `+` and `-`, from left to right, `/`
/// rounding down, a sign before a product negating its first factor.
fn read(text: &str, numbers: &[i64; 3]) -> i64 {
    let spaced =
        ["(", ")", "*", "/", "+", "-"].iter().fold(text.to_string(), |t, s| t.replace(s, &format!(" {s} ")));
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let value = read_sum(&mut rest, numbers);
    assert!(rest.is_empty(), "{text:?} goes on with {rest:?}");
    value
}

fn read_sum(rest: &mut &[&str], numbers: &[i64; 3]) -> i64 {
    let mut sum = read_product(rest, numbers);
    while let [sign @ ("+" | "-"), after @ ..] = *rest {
        *rest = after;
        let term = read_product(rest, numbers);
        sum = if *sign == "+" { sum + term } else { sum - term };
    }
    sum
}

fn read_product(rest: &mut &[&str], numbers: &[i64; 3]) -> i64 {
    let mut product = read_factor(rest, numbers);
    while let [operator @ ("*" | "/"), after @ ..] = *rest {
        *rest = after;
        let factor = read_factor(rest, numbers);
        product = if *operator == "*" { product * factor } else { product.div_euclid(factor) };
    }
    product
}

fn read_factor(rest: &mut &[&str], numbers: &[i64; 3]) -> i64 {
    let (first, after) = rest.split_first().expect("a factor");
    *rest = after;
    match *first {
        "-" => -read_factor(rest, numbers),
        "(" => {
            let inner = read_sum(rest, numbers);
            let (close, after) = rest.split_first().expect("a closing parenthesis");
            assert_eq!(*close, ")");
            *rest = after;
            inner
        }
        name => match SYMBOLS.iter().position(|symbol| *symbol == name) {
            Some(i) => numbers[i],
            None => name.parse().expect("a number or a symbol"),
        },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_dimension_is_the_number_that_its_expression_is(
        expr in small(), numbers in prop::array::uniform3(-9..10i64), which: [bool; 3],
    ) {
        let expected = expr.compute(&numbers).unwrap() as i64;
        let dim = expr.build(&[None; 3]).unwrap();
        let all = bindings(&numbers, [true; 3]);
        prop_assert_eq!(dim.eval(&all).unwrap(), expected, "{}", dim);
        // Some symbols first, the others later; or some of them numbers from the start.
        let some = dim.substitute(&bindings(&numbers, which)).unwrap();
        prop_assert_eq!(some.eval(&all).unwrap(), expected, "{} by way of {}", dim, some);
        let early = [0, 1, 2].map(|i| which[i].then_some(numbers[i]));
        prop_assert_eq!(expr.build(&early).unwrap().eval(&all).unwrap(), expected);
        prop_assert_eq!(expr.build(&numbers.map(Some)).unwrap(), Dim::fixed(expected));
    }

    #[test]
    fn replacing_symbols_is_building_with_other_dimensions(
        expr in small(), others in prop::array::uniform3(expr((-3..4i64).boxed(), (1..4i64).boxed(), 3)),
        which: [bool; 3], numbers in prop::array::uniform3(-4..5i64),
    ) {
        let dim = expr.build(&[None; 3]).unwrap();
        let others = others.map(|other| other.build(&[None; 3]).unwrap());
        let find = |name: &str| {
            let at = SYMBOLS.iter().position(|symbol| *symbol == name).filter(|&at| which[at]);
            at.map(|at| others[at].clone())
        };
        let replaced = dim.replace(&find).unwrap();
        // All at once: what a symbol is replaced by is not replaced again.
        let all = bindings(&numbers, [true; 3]);
        let inner = [0, 1, 2].map(|at| if which[at] { others[at].eval(&all).unwrap() } else { numbers[at] });
        prop_assert_eq!(replaced.eval(&all).unwrap(), dim.eval(&bindings(&inner, [true; 3])).unwrap());
        prop_assert_eq!(&dim.replace(&|_| None).unwrap(), &dim);
        prop_assert_eq!(dim.replace(&|name| Some(Dim::symbol(name))).unwrap(), dim);
    }

    #[test]
    fn numbers_from_all_over_overflow_or_are_right(
        expr in enormous(), numbers in prop::array::uniform3(any_i64()),
    ) {
        let expected = expr.compute(&numbers);
        // On numbers alone the arithmetic fails exactly where a result does not fit.
        match expr.build(&numbers.map(Some)) {
            Ok(dim) => prop_assert_eq!(dim.as_fixed().map(i128::from), expected),
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Limit);
                prop_assert_eq!(expected, None);
            }
        }
        // With symbols it may fail earlier, or simplify what would have overflowed.
        if let Ok(dim) = expr.build(&[None; 3]) {
            prop_assert!(!dim.to_string().is_empty());
            if let (Ok(given), Some(expected)) = (dim.eval(&bindings(&numbers, [true; 3])), expected) {
                prop_assert_eq!(i128::from(given), expected, "{}", dim);
            }
        }
    }

    #[test]
    fn the_order_of_terms_and_factors_does_not_matter(
        (terms, shuffled) in prop::collection::vec(prop::collection::vec(expr((-3..4i64).boxed(), (1..4i64).boxed(), 3), 1..3), 1..4)
            .prop_flat_map(|terms| {
                let inner: Vec<_> = terms.iter().map(|factors| Just(factors.clone()).prop_shuffle()).collect();
                (Just(terms), inner.prop_shuffle())
            }),
    ) {
        let sum = |terms: &[Vec<Expr>], backwards: bool| {
            let product = |factors: &Vec<Expr>| {
                factors.iter().fold(Dim::ONE, |p, f| p.mul(&f.build(&[None; 3]).unwrap()).unwrap())
            };
            let products: Vec<Dim> = terms.iter().map(product).collect();
            if backwards {
                products.iter().rev().fold(Dim::ZERO, |sum, p| p.add(&sum).unwrap())
            } else {
                products.iter().fold(Dim::ZERO, |sum, p| sum.add(p).unwrap())
            }
        };
        let forms = [sum(&terms, false), sum(&terms, true), sum(&shuffled, false), sum(&shuffled, true)];
        for form in &forms {
            prop_assert_eq!(form, &forms[0]);
            prop_assert_eq!(form.to_string(), forms[0].to_string());
        }
        prop_assert_eq!(HashSet::from(forms).len(), 1);
    }

    #[test]
    fn products_distribute_and_multiples_leave_divisions(
        [a, b, c] in prop::array::uniform3(expr((-3..4i64).boxed(), (1..4i64).boxed(), 3)),
        divisor in 1..6i64, count in -3..4i64,
    ) {
        let [a, b, c] = [a, b, c].map(|expr| expr.build(&[None; 3]).unwrap());
        let apart = a.mul(&b).unwrap().add(&a.mul(&c).unwrap()).unwrap();
        prop_assert_eq!(a.mul(&b.add(&c).unwrap()).unwrap(), apart);
        prop_assert_eq!(a.sub(&b).unwrap().add(&b).unwrap(), a.clone());
        // A multiple that shares a term with the rest does not leave: `(3*n) / 2` is not `n + n / 2`.
        let whole = Dim::symbol("other").mul_const(count).unwrap().add_const(count).unwrap();
        let inside = a.add(&whole.mul_const(divisor).unwrap()).unwrap().floor_div(divisor).unwrap();
        prop_assert_eq!(inside, a.floor_div(divisor).unwrap().add(&whole).unwrap());
        let up = a.add_const(divisor - 1).unwrap().floor_div(divisor).unwrap();
        prop_assert_eq!(a.ceil_div(divisor).unwrap(), up);
    }

    #[test]
    fn an_exact_quotient_times_its_divisor_is_the_dimension(
        [a, b] in prop::array::uniform2(expr((-6..7i64).boxed(), (1..4i64).boxed(), 3)),
    ) {
        let [a, b] = [a, b].map(|expr| expr.build(&[None; 3]).unwrap());
        if let Some(quotient) = a.exact_div(&b) {
            prop_assert_eq!(quotient.mul(&b).unwrap(), a.clone());
        }
        let product = a.mul(&b).unwrap();
        // A divisor of one term is always found.
        if b != Dim::ZERO && !b.to_string().contains([' ', '(']) {
            prop_assert_eq!(product.exact_div(&b), Some(a));
        }
    }

    #[test]
    fn the_text_of_a_dimension_means_the_dimension(
        expr in small(), numbers in prop::array::uniform3(-9..10i64),
    ) {
        let dim = expr.build(&[None; 3]).unwrap();
        let expected = dim.eval(&bindings(&numbers, [true; 3])).unwrap();
        prop_assert_eq!(read(&dim.to_string(), &numbers), expected, "{}", dim);
        prop_assert_eq!(format!("{dim:?}"), dim.to_string());
    }

    #[test]
    fn different_dimensions_have_different_texts(
        dims in prop::collection::vec(expr((-2..3i64).boxed(), (1..4i64).boxed(), 4), 2..12),
    ) {
        let dims: HashSet<Dim> = dims.iter().map(|expr| expr.build(&[None; 3]).unwrap()).collect();
        let texts: HashSet<String> = dims.iter().map(Dim::to_string).collect();
        prop_assert_eq!(texts.len(), dims.len(), "{:?}", dims);
    }
}

#[test]
fn divisors_that_are_not_positive_are_refused() {
    for dim in [Dim::fixed(7), Dim::symbol("n")] {
        for divisor in [0, -1, i64::MIN] {
            assert!(dim.floor_div(divisor).is_err(), "{dim} / {divisor}");
            assert!(dim.ceil_div(divisor).is_err(), "{dim} / {divisor}");
        }
    }
}

#[test]
fn a_negated_division_keeps_its_parentheses() {
    let half = Dim::symbol("n").floor_div(2).unwrap();
    assert_eq!(half.mul_const(-1).unwrap().to_string(), "-(n / 2)");
    assert_eq!(Dim::symbol("n").sub(&half).unwrap().to_string(), "n - n / 2");
    assert_eq!(Dim::symbol("n").mul_const(-1).unwrap().floor_div(2).unwrap().to_string(), "(-n) / 2");
}

#[test]
fn a_constant_beside_a_division_is_written_into_it() {
    let half = |n| Dim::symbol("n").add_const(n).unwrap().floor_div(2).unwrap();
    assert_eq!(half(-3).add_const(1).unwrap().to_string(), "(n - 1) / 2");
    assert_eq!(half(7).to_string(), "(n + 7) / 2");
    assert_eq!(half(7).mul_const(2).unwrap().to_string(), "2*((n + 1) / 2) + 6");
    let largest = half(0).add_const(i64::MAX).unwrap();
    assert_eq!(largest.to_string(), format!("n / 2 + {}", i64::MAX));
}

#[test]
fn a_difference_near_the_limit_is_a_number() {
    assert_eq!(Dim::fixed(-1).sub(&Dim::fixed(i64::MIN)).unwrap(), Dim::fixed(i64::MAX));
    assert!(Dim::ZERO.sub(&Dim::fixed(i64::MIN)).is_err());
}

#[test]
fn symbols_change_places_when_they_are_replaced_by_each_other() {
    let (n, m) = (Dim::symbol("n"), Dim::symbol("m"));
    let dim = n.mul_const(2).unwrap().add(&m.floor_div(3).unwrap()).unwrap();
    let turned = dim.replace(&|name| Some(if name == "n" { m.clone() } else { n.clone() })).unwrap();
    assert_eq!(turned, m.mul_const(2).unwrap().add(&n.floor_div(3).unwrap()).unwrap());
    assert_eq!(Dim::fixed(7).replace(&|_| Some(Dim::ZERO)).unwrap(), Dim::fixed(7));
    // The difference becomes a number, and what is inside a division too.
    assert_eq!(dim.replace(&|_| Some(Dim::fixed(7))).unwrap(), Dim::fixed(16));
}

#[test]
fn a_replacement_past_the_limit_is_an_error() {
    let squared = Dim::symbol("n").mul(&Dim::symbol("n")).unwrap();
    for large in [1 << 32, i64::MAX, i64::MIN] {
        let error = squared.replace(&|_| Some(Dim::fixed(large))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}

#[test]
fn a_division_of_a_division_is_one_division() {
    let n = Dim::symbol("n");
    let twice = n.floor_div(2).unwrap().floor_div(3).unwrap();
    assert_eq!((&twice, twice.to_string().as_str()), (&n.floor_div(6).unwrap(), "n / 6"));
    // With a number between the two, too: floor((floor(n / 2) + 1) / 3) = floor((n + 2) / 6).
    let moved = n.floor_div(2).unwrap().add_const(1).unwrap().floor_div(3).unwrap();
    assert_eq!(moved, n.add_const(2).unwrap().floor_div(6).unwrap());
}

#[test]
fn every_symbol_is_visited_as_often_as_it_occurs() {
    let (n, m) = (Dim::symbol("n"), Dim::symbol("m"));
    let dim = n.mul(&n).unwrap().add(&m.add(&n).unwrap().floor_div(3).unwrap()).unwrap();
    let mut names = Vec::new();
    dim.visit_symbols(&mut |name| names.push(name.to_string()));
    names.sort();
    assert_eq!(names, ["m", "n", "n", "n"]);
    Dim::fixed(3).visit_symbols(&mut |name| unreachable!("{name}"));
}
