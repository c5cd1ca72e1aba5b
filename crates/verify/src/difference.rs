//! How far apart two arrays are, and how far they may be.

/// The factor of the bound: `|ours - expected| <= BOUND * max(1, max|expected|)`.
pub const BOUND: f64 = 1e-5;

/// The worst difference between an array and what was expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// `max|ours - expected|`; infinite where one is NaN or infinite and the other is not the same.
    pub worst: f64,
    /// What it may be.
    pub allowed: f64,
}

impl Difference {
    /// The difference between arrays of the same length; arrays of different lengths are infinitely far apart.
    pub fn between(ours: impl IntoIterator<Item = f64>, expected: &[f64]) -> Difference {
        let finite = expected.iter().filter(|x| x.is_finite());
        let largest = finite.fold(1.0f64, |largest, x| largest.max(x.abs()));
        let mut worst = 0.0f64;
        let mut count = 0;
        for (ours, expected) in ours.into_iter().zip(expected) {
            count += 1;
            let same = ours == *expected || (ours.is_nan() && expected.is_nan());
            let distance = (ours - expected).abs();
            worst = match (same, distance.is_nan()) {
                (true, _) => worst,
                (_, true) => f64::INFINITY,
                _ => worst.max(distance),
            };
        }
        if count != expected.len() {
            worst = f64::INFINITY;
        }
        Difference { worst, allowed: BOUND * largest }
    }

    /// Whether the bound holds.
    pub fn is_within(&self) -> bool {
        self.worst <= self.allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ours: &[f64], expected: &[f64], within: bool) {
        assert_eq!(Difference::between(ours.iter().copied(), expected).is_within(), within);
    }

    #[test]
    fn the_bound_grows_with_the_largest_expected_value() {
        check(&[1.000009], &[1.0], true);
        check(&[1.00002], &[1.0], false);
        check(&[0.0, 100.0009], &[0.0, 100.0], true);
        check(&[0.0009, 100.0], &[0.0, 100.0], true);
        check(&[0.002, 100.0], &[0.0, 100.0], false);
    }

    #[test]
    fn what_is_not_finite_must_be_the_same() {
        check(&[f64::NAN], &[f64::NAN], true);
        check(&[f64::INFINITY], &[f64::INFINITY], true);
        check(&[f64::NAN], &[1.0], false);
        check(&[1.0], &[f64::NAN], false);
        check(&[f64::INFINITY], &[f64::NEG_INFINITY], false);
        check(&[1e9], &[f64::INFINITY], false);
    }

    #[test]
    fn lengths_must_agree() {
        check(&[1.0], &[1.0, 1.0], false);
        check(&[], &[1.0], false);
    }
}
