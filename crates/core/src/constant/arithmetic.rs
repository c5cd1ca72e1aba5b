//! Arithmetic on ranges of numbers.

use super::Arithmetic;

/// Numbers that meet others one by one.
#[derive(Clone, Copy)]
pub(super) struct Spaced<'a> {
    /// From the first that is met on.
    pub numbers: &'a [f64],
    /// How far they are apart; 0 for one that meets all.
    pub step: usize,
}

/// Evaluates `$loop` with `$op` as a function and `$y` as an iterator, each known where the loop is compiled.
macro_rules! compiled {
    ($op:expr, $y:expr, |$f:ident, $each:ident| $loop:expr) => {
        compiled!($op, $y, |$f, $each| $loop, Add, Sub, Mul, Div, Max)
    };
    ($op:expr, $y:expr, |$f:ident, $each:ident| $loop:expr, $($kind:ident),*) => {
        match $op {
            $(Arithmetic::$kind => {
                let $f = |x: f64, y: f64| Arithmetic::$kind.apply(x, y);
                match $y {
                    Spaced { numbers, step: 0 } => {
                        let $each = std::iter::repeat(&numbers[0]);
                        $loop
                    }
                    Spaced { numbers, step: 1 } => {
                        let $each = numbers;
                        $loop
                    }
                    Spaced { numbers, step } => {
                        let $each = numbers.iter().step_by(step);
                        $loop
                    }
                }
            })*
        }
    };
}

/// Replaces each `x` by `x op y`.
#[expect(clippy::indexing_slicing, reason = "what is read again and again is one number at least")]
pub(super) fn apply(op: Arithmetic, x: &mut [f64], y: Spaced<'_>) {
    compiled!(op, y, |f, y| x.iter_mut().zip(y).for_each(|(x, &y)| *x = f(*x, y)));
}

/// Gives each `x op y` to an element of `out` by way of `set`, `x` being single-precision numbers as they are stored.
#[expect(clippy::indexing_slicing, reason = "what is read again and again is one number at least")]
pub(super) fn combine<T>(op: Arithmetic, x: &[u8], y: Spaced<'_>, out: &mut [T], set: impl Fn(&mut T, f64)) {
    let x = x.as_chunks().0;
    compiled!(op, y, |f, y| {
        let all = out.iter_mut().zip(x).zip(y);
        all.for_each(|((out, x), &y)| set(out, f(f32::from_le_bytes(*x).into(), y)));
    });
}
