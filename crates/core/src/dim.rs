//! One dimension of a shape: a number, or an expression of symbols.

use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A number of elements along one axis.
///
/// A dimension that is not a number is kept as a polynomial in canonical form over symbols and floor divisions,
/// so that two expressions that are equal by the rules of [`add`](Dim::add), [`mul`](Dim::mul) and
/// [`floor_div`](Dim::floor_div) compare equal. All arithmetic is checked: what does not fit `i64` is an error of
/// kind [`Limit`](crate::ErrorKind::Limit).
///
/// ```
/// # use k2o_core::{Bindings, Dim};
/// let steps = Dim::symbol("steps");
/// let out = steps.add_const(-3)?.floor_div(2)?.add_const(1)?;
/// assert_eq!(out.to_string(), "(steps - 1) / 2");
/// assert_eq!(out.eval(&Bindings::from_iter([("steps".into(), 10)]))?, 4);
/// # Ok::<(), k2o_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Fixed(i64),
    /// Sum of coefficient x monomial, sorted, without zero coefficients; the empty monomial is the constant.
    Polynomial(Arc<[(Monomial, i64)]>),
}

/// A product of atoms, sorted; the empty product is 1.
pub type Monomial = Vec<Atom>;

/// What a [`Monomial`] multiplies.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Atom {
    /// A named unknown, such as `batch`.
    Symbol(Arc<str>),
    /// The floor of a dimension divided by a positive number.
    FloorDiv(Dim, i64),
}

/// What each symbol stands for.
pub type Bindings = BTreeMap<Arc<str>, i64>;

fn overflow() -> Error {
    Error::limit("a dimension does not fit a 64-bit integer")
}

impl Dim {
    /// The dimension 0.
    pub const ZERO: Dim = Dim(Repr::Fixed(0));
    /// The dimension 1.
    pub const ONE: Dim = Dim(Repr::Fixed(1));

    /// The number `n`.
    pub const fn fixed(n: i64) -> Dim {
        Dim(Repr::Fixed(n))
    }

    /// The number `n`, which must fit `i64`.
    pub fn from_usize(n: usize) -> Result<Dim> {
        i64::try_from(n).map(Dim::fixed).map_err(|_| overflow())
    }

    /// The unknown called `name`.
    pub fn symbol(name: &str) -> Dim {
        Dim(Repr::Polynomial(Arc::from([(vec![Atom::Symbol(name.into())], 1)])))
    }

    /// The number, if it is one.
    pub fn as_fixed(&self) -> Option<i64> {
        match &self.0 {
            Repr::Fixed(n) => Some(*n),
            Repr::Polynomial(_) => None,
        }
    }

    /// The number as a size in memory, if it is one and not negative.
    pub fn as_usize(&self) -> Option<usize> {
        self.as_fixed().and_then(|n| usize::try_from(n).ok())
    }

    /// The symbol's name, if the dimension is a bare symbol.
    pub fn as_symbol(&self) -> Option<&str> {
        match &self.0 {
            Repr::Polynomial(terms) => match &**terms {
                [(monomial, 1)] => match monomial.as_slice() {
                    [Atom::Symbol(name)] => Some(name),
                    _ => None,
                },
                _ => None,
            },
            Repr::Fixed(_) => None,
        }
    }

    /// Coefficient x monomial of every term.
    fn terms(&self) -> Vec<(Monomial, i64)> {
        match &self.0 {
            Repr::Fixed(0) => Vec::new(),
            Repr::Fixed(n) => vec![(Vec::new(), *n)],
            Repr::Polynomial(terms) => terms.to_vec(),
        }
    }

    fn from_terms(terms: impl IntoIterator<Item = (Monomial, i64)>) -> Result<Dim> {
        let mut sum: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (monomial, coefficient) in terms {
            let slot = sum.entry(monomial).or_insert(0);
            *slot = slot.checked_add(coefficient).ok_or_else(overflow)?;
        }
        sum.retain(|_, coefficient| *coefficient != 0);
        let is_constant = sum.keys().all(Vec::is_empty);
        if is_constant {
            return Ok(Dim::fixed(sum.into_values().next().unwrap_or(0)));
        }
        Ok(Dim(Repr::Polynomial(sum.into_iter().collect())))
    }

    /// `self + other`.
    pub fn add(&self, other: &Dim) -> Result<Dim> {
        if let (Repr::Fixed(a), Repr::Fixed(b)) = (&self.0, &other.0) {
            return a.checked_add(*b).map(Dim::fixed).ok_or_else(overflow);
        }
        Dim::from_terms(self.terms().into_iter().chain(other.terms()))
    }

    /// `self + n`.
    pub fn add_const(&self, n: i64) -> Result<Dim> {
        self.add(&Dim::fixed(n))
    }

    /// `self - other`.
    pub fn sub(&self, other: &Dim) -> Result<Dim> {
        if let (Repr::Fixed(a), Repr::Fixed(b)) = (&self.0, &other.0) {
            return a.checked_sub(*b).map(Dim::fixed).ok_or_else(overflow);
        }
        self.add(&other.mul(&Dim::fixed(-1))?)
    }

    /// `self x other`.
    pub fn mul(&self, other: &Dim) -> Result<Dim> {
        if let (Repr::Fixed(a), Repr::Fixed(b)) = (&self.0, &other.0) {
            return a.checked_mul(*b).map(Dim::fixed).ok_or_else(overflow);
        }
        let mut product = Vec::new();
        for (left, a) in self.terms() {
            for (right, b) in other.terms() {
                let mut monomial = [left.as_slice(), right.as_slice()].concat();
                monomial.sort();
                product.push((monomial, a.checked_mul(b).ok_or_else(overflow)?));
            }
        }
        Dim::from_terms(product)
    }

    /// `self x n`.
    pub fn mul_const(&self, n: i64) -> Result<Dim> {
        self.mul(&Dim::fixed(n))
    }

    /// The floor of `self / divisor`. `divisor` must be positive.
    pub fn floor_div(&self, divisor: i64) -> Result<Dim> {
        if divisor <= 0 {
            return Err(Error::shape(format!("division of a dimension by {divisor}")));
        }
        if let Repr::Fixed(n) = &self.0 {
            return Ok(Dim::fixed(n.div_euclid(divisor)));
        }
        // floor((d·w + r) / d) = w + floor(r / d): what divides leaves the division.
        let mut whole = Vec::new();
        let mut rest = Vec::new();
        for (monomial, coefficient) in self.terms() {
            let (q, r) = (coefficient.div_euclid(divisor), coefficient.rem_euclid(divisor));
            if monomial.is_empty() {
                whole.push((monomial.clone(), q));
                rest.push((monomial, r));
            } else if r == 0 {
                whole.push((monomial, q));
            } else {
                rest.push((monomial, coefficient));
            }
        }
        let rest = Dim::from_terms(rest)?;
        let quotient = match rest.as_fixed() {
            Some(n) => Dim::fixed(n.div_euclid(divisor)),
            None => match rest.as_single_division() {
                // floor((floor(x / a) + c) / b) = floor((x + c·a) / (a·b))
                Some((inner, a, c)) => {
                    let shifted = inner.add_const(c.checked_mul(a).ok_or_else(overflow)?)?;
                    return Dim::from_terms(whole)?
                        .add(&shifted.floor_div(a.checked_mul(divisor).ok_or_else(overflow)?)?);
                }
                None => Dim(Repr::Polynomial(Arc::from([(vec![Atom::FloorDiv(rest, divisor)], 1)]))),
            },
        };
        Dim::from_terms(whole)?.add(&quotient)
    }

    /// `(x, a, c)` where `self` is `floor(x / a) + c`.
    fn as_single_division(&self) -> Option<(Dim, i64, i64)> {
        let terms = self.terms();
        let (constant, division) = match terms.as_slice() {
            [(one, c), (monomial, 1)] if one.is_empty() => (*c, monomial),
            [(monomial, 1)] => (0, monomial),
            _ => return None,
        };
        match division.as_slice() {
            [Atom::FloorDiv(inner, a)] => Some((inner.clone(), *a, constant)),
            _ => None,
        }
    }

    /// The ceiling of `self / divisor`. `divisor` must be positive.
    pub fn ceil_div(&self, divisor: i64) -> Result<Dim> {
        let up = divisor.checked_sub(1).ok_or_else(overflow)?;
        match &self.0 {
            // No intermediate sum, so that numbers near the limit do not overflow.
            Repr::Fixed(n) if divisor > 0 => {
                let rest = i64::from(n.rem_euclid(divisor) != 0);
                n.div_euclid(divisor).checked_add(rest).map(Dim::fixed).ok_or_else(overflow)
            }
            _ => self.add_const(up)?.floor_div(divisor),
        }
    }

    /// `self / divisor` if that is a whole number for every value of the symbols, else `None`.
    pub fn exact_div(&self, divisor: &Dim) -> Option<Dim> {
        if *divisor == Dim::ZERO {
            return None;
        }
        if self == divisor {
            return Some(Dim::ONE);
        }
        // A divisor of one term divides term by term.
        let divisor = divisor.terms();
        let [(divisor, d)] = divisor.as_slice() else { return None };
        let mut quotient = Vec::new();
        for (mut monomial, coefficient) in self.terms() {
            for atom in divisor {
                let at = monomial.iter().position(|other| other == atom)?;
                monomial.remove(at);
            }
            if coefficient.checked_rem(*d)? != 0 {
                return None;
            }
            quotient.push((monomial, coefficient.checked_div(*d)?));
        }
        Dim::from_terms(quotient).ok()
    }

    /// The dimension with the symbols in `bindings` replaced by their numbers.
    pub fn substitute(&self, bindings: &Bindings) -> Result<Dim> {
        self.replace(&|name| bindings.get(name).copied().map(Dim::fixed))
    }

    /// The dimension with each symbol replaced by what `find` gives for it; symbols for which it gives nothing stay.
    pub fn replace(&self, find: &dyn Fn(&str) -> Option<Dim>) -> Result<Dim> {
        let Repr::Polynomial(terms) = &self.0 else { return Ok(self.clone()) };
        let mut sum = Dim::ZERO;
        for (monomial, coefficient) in terms.iter() {
            let mut product = Dim::fixed(*coefficient);
            for atom in monomial {
                let factor = match atom {
                    Atom::Symbol(name) => find(name).unwrap_or_else(|| Dim::symbol(name)),
                    Atom::FloorDiv(inner, divisor) => inner.replace(find)?.floor_div(*divisor)?,
                };
                product = product.mul(&factor)?;
            }
            sum = sum.add(&product)?;
        }
        Ok(sum)
    }

    /// The number that the dimension is once every symbol is bound.
    pub fn eval(&self, bindings: &Bindings) -> Result<i64> {
        let bound = self.substitute(bindings)?;
        bound.as_fixed().ok_or_else(|| Error::shape(format!("the dimension {bound} is not bound")))
    }

    /// Calls `visit` with the name of every symbol, each as often as it occurs.
    pub fn visit_symbols(&self, visit: &mut dyn FnMut(&Arc<str>)) {
        let Repr::Polynomial(terms) = &self.0 else { return };
        for atom in terms.iter().flat_map(|(monomial, _)| monomial) {
            match atom {
                Atom::Symbol(name) => visit(name),
                Atom::FloorDiv(inner, _) => inner.visit_symbols(visit),
            }
        }
    }
}

impl From<i64> for Dim {
    fn from(n: i64) -> Dim {
        Dim::fixed(n)
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Symbol(name) => f.write_str(name),
            Atom::FloorDiv(inner, divisor) if inner.as_symbol().is_some() => write!(f, "{inner} / {divisor}"),
            Atom::FloorDiv(inner, divisor) => write!(f, "({inner}) / {divisor}"),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = match &self.0 {
            Repr::Fixed(n) => return write!(f, "{n}"),
            Repr::Polynomial(terms) => terms,
        };
        // floor(x / a) + c is written floor((x + c·a) / a).
        if let Some((inner, a, c)) = self.as_single_division()
            && let Some(Ok(dividend)) = c.checked_mul(a).map(|shift| inner.add_const(shift))
        {
            return write!(f, "{}", Atom::FloorDiv(dividend, a));
        }
        // The constant sorts first and is written last.
        let constant = terms.iter().filter(|(monomial, _)| monomial.is_empty());
        let others = terms.iter().filter(|(monomial, _)| !monomial.is_empty());
        for (i, (monomial, coefficient)) in others.chain(constant).enumerate() {
            match (i, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let magnitude = coefficient.unsigned_abs();
            if monomial.is_empty() {
                write!(f, "{magnitude}")?;
                continue;
            }
            if magnitude != 1 {
                write!(f, "{magnitude}*")?;
            }
            // A leading sign would be read as the dividend's.
            let alone = magnitude == 1 && monomial.len() == 1 && (i > 0 || *coefficient > 0);
            for (j, atom) in monomial.iter().enumerate() {
                if j > 0 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::FloorDiv(..) if !alone => write!(f, "({atom})")?,
                    _ => write!(f, "{atom}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Dim {
        Dim::symbol("n")
    }

    #[test]
    fn equal_expressions_have_one_form() {
        let a = n().add_const(4).unwrap().floor_div(2).unwrap();
        let b = n().floor_div(2).unwrap().add_const(2).unwrap();
        assert_eq!(a, b);
        let a = n().mul_const(6).unwrap().add_const(3).unwrap().floor_div(3).unwrap();
        assert_eq!(a, n().mul_const(2).unwrap().add_const(1).unwrap());
        assert_eq!(n().sub(&n()).unwrap(), Dim::ZERO);
        let m = Dim::symbol("m");
        assert_eq!(n().mul(&m).unwrap(), m.mul(&n()).unwrap());
    }

    #[test]
    fn nested_floors_become_one() {
        let twice = n().floor_div(2).unwrap().add_const(1).unwrap().floor_div(3).unwrap();
        for value in 0..40 {
            let bound = Bindings::from_iter([("n".into(), value)]);
            assert_eq!(twice.eval(&bound).unwrap(), (value / 2 + 1).div_euclid(3));
        }
        assert_eq!(twice.to_string(), "(n + 2) / 6");
    }

    #[test]
    fn division_is_exact_or_refused() {
        let flat = n().mul_const(64).unwrap();
        assert_eq!(flat.exact_div(&Dim::fixed(16)), Some(n().mul_const(4).unwrap()));
        assert_eq!(flat.exact_div(&n()), Some(Dim::fixed(64)));
        assert_eq!(flat.exact_div(&Dim::fixed(7)), None);
        assert_eq!(flat.exact_div(&Dim::ZERO), None);
    }

    #[test]
    fn overflow_is_an_error() {
        let big = Dim::fixed(i64::MAX);
        assert!(big.add_const(1).is_err());
        assert!(big.mul_const(2).is_err());
        assert!(n().mul(&big).unwrap().mul_const(2).is_err());
        assert!(Dim::fixed(i64::MIN).exact_div(&Dim::fixed(-1)).is_none());
        assert_eq!(big.ceil_div(1).unwrap(), big);
        assert!(n().floor_div(0).is_err());
    }
}
