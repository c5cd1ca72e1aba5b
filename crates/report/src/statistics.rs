//! The numbers in one weight, counted as they pass by.

/// How a weight's elements are distributed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// How many elements there are.
    pub count: u64,
    /// How many are not a number.
    pub nan: u64,
    /// How many are infinite.
    pub infinite: u64,
    /// How many are 0.
    pub zero: u64,
    /// How many are finite and more than six standard deviations from the mean.
    pub outliers: u64,
    /// The least and the largest finite element; of none, 0.
    pub range: (f64, f64),
    /// The mean of the finite elements.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// Where the bins begin and end: the range, but for outliers.
    pub shown: (f64, f64),
    /// How many elements are in each of the equal parts of what is shown.
    pub bins: Vec<u64>,
}

/// How many standard deviations an element must be from the mean to be an outlier.
pub(crate) const OUTLIER: f64 = 6.0;

const BINS: usize = 32;

impl Statistics {
    /// The statistics of the elements that `visit` gives to its argument, some at a time. It is called twice, and must give the
    /// same elements each time.
    ///
    /// # Errors
    /// Those of `visit`.
    ///
    /// ```
    /// # use k2o_report::Statistics;
    /// let weights = [0.0f32, 1.0, 3.0, f32::NAN];
    /// let statistics = Statistics::new::<()>(|each| Ok(each(&weights)))?;
    /// assert_eq!((statistics.nan, statistics.zero, statistics.range), (1, 1, (0.0, 3.0)));
    /// # Ok::<(), ()>(())
    /// ```
    pub fn new<E>(mut visit: impl FnMut(&mut dyn FnMut(&[f32])) -> Result<(), E>) -> Result<Statistics, E> {
        let mut all = Statistics { range: (f64::INFINITY, f64::NEG_INFINITY), ..Statistics::default() };
        let (mut finite, mut squares) = (0u64, 0.0);
        visit(&mut |some| {
            all.count += some.len() as u64;
            let (mut count, mut sum) = (0u64, 0.0);
            for &x in some {
                all.nan += u64::from(x.is_nan());
                all.infinite += u64::from(x.is_infinite());
                all.zero += u64::from(x == 0.0);
                if x.is_finite() {
                    let x = f64::from(x);
                    all.range = (all.range.0.min(x), all.range.1.max(x));
                    sum += x;
                    count += 1;
                }
            }
            if count == 0 {
                return;
            }
            // Two sets of numbers are joined by Chan's formula, which cancels nothing.
            let mean = sum / count as f64;
            let deviations = some.iter().filter(|x| x.is_finite()).map(|&x| (f64::from(x) - mean).powi(2));
            let (before, joined) = (finite as f64, (finite + count) as f64);
            let apart = mean - all.mean;
            squares += deviations.sum::<f64>() + apart * apart * before * count as f64 / joined;
            all.mean += apart * count as f64 / joined;
            finite += count;
        })?;
        if finite == 0 {
            all.range = (0.0, 0.0);
        } else {
            all.deviation = (squares / finite as f64).sqrt();
        }
        let (low, high) = (all.mean - OUTLIER * all.deviation, all.mean + OUTLIER * all.deviation);
        all.shown = (all.range.0.max(low), all.range.1.min(high));
        let width = (all.shown.1 - all.shown.0) / BINS as f64;
        all.bins = vec![0; if width > 0.0 { BINS } else { 1 }];
        let last = all.bins.len() - 1;
        visit(&mut |some| {
            for x in some.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x)) {
                // Of equal numbers, none is far from the mean, however that was rounded.
                if width > 0.0 && (x < low || x > high) {
                    all.outliers += 1;
                } else {
                    let bin = if width > 0.0 { ((x - all.shown.0) / width) as usize } else { 0 };
                    all.bins[bin.min(last)] += 1;
                }
            }
        })?;
        Ok(all)
    }

    /// Whether there is something in it that training should not leave: what is not finite.
    pub(crate) fn is_broken(&self) -> bool {
        self.nan + self.infinite > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(numbers: &[f32], block: usize) -> Statistics {
        let visit = |each: &mut dyn FnMut(&[f32])| {
            numbers.chunks(block).for_each(each);
            Ok::<(), ()>(())
        };
        Statistics::new(visit).unwrap()
    }

    #[test]
    fn what_is_odd_is_counted() {
        let mut numbers = [0.5f32, -0.5].repeat(500);
        numbers.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1000.0]);
        let all = of(&numbers, 7);
        assert_eq!((all.count, all.nan, all.infinite, all.zero, all.outliers), (1006, 1, 2, 2, 1));
        assert_eq!(all.range, (-0.5, 1000.0));
        // The bins are of what is no outlier.
        assert!(all.shown.1 < 200.0);
        assert_eq!(all.bins.iter().sum::<u64>(), 1002);
    }

    #[test]
    fn few_numbers_or_equal_ones_have_statistics_too() {
        assert_eq!(of(&[], 1).bins, [0]);
        assert_eq!(of(&[f32::NAN], 1).range, (0.0, 0.0));
        let equal = of(&[0.1; 1000], 3);
        assert_eq!((equal.bins.iter().sum::<u64>(), equal.outliers), (1000, 0));
    }

    proptest! {
        #[test]
        fn blocks_change_nothing_but_rounding(
            numbers in proptest::collection::vec(-1e3f32..1e3, 1..200),
            block in 1usize..50,
        ) {
            let (whole, parts) = (of(&numbers, numbers.len()), of(&numbers, block));
            let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / numbers.len() as f64;
            let squares = numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
            prop_assert!((parts.mean - mean).abs() < 1e-9 && (whole.mean - mean).abs() < 1e-9);
            prop_assert!((parts.deviation - (squares / numbers.len() as f64).sqrt()).abs() < 1e-9);
            prop_assert_eq!(parts.bins.iter().sum::<u64>() + parts.outliers, numbers.len() as u64);
        }
    }
}
