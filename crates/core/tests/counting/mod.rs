//! Where windows are, by counting: every start is tried, every tap looked at.

use k2o_core::ops::Spread;
use k2o_core::{Padding, Window};
use proptest::prelude::*;

/// A window as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Slide {
    pub size: i64,
    pub stride: i64,
    pub dilation: i64,
    pub padding: Padding,
}

impl Slide {
    pub fn window(&self) -> Window {
        Window::new(self.size, self.stride, self.dilation, self.padding).unwrap()
    }

    /// How many steps are padded before and after an input, by TensorFlow's definition of `SAME`.
    pub fn pads(&self, input: i64) -> (i64, i64) {
        let span = self.dilation * (self.size - 1) + 1;
        match self.padding {
            Padding::Explicit(before, after) => (before, after),
            Padding::Same => {
                let beyond = if input % self.stride == 0 { self.stride } else { input % self.stride };
                let total = (span - beyond).max(0);
                (total / 2, total - total / 2)
            }
        }
    }

    /// For every position, found start by start over the padded input, what each tap reads: a step of the input, or
    /// `None` in the padding. No positions where the window does not fit.
    pub fn positions(&self, input: i64) -> Vec<Vec<Option<usize>>> {
        if input < 0 || (input == 0 && self.padding == Padding::Same) {
            return Vec::new();
        }
        let (before, after) = self.pads(input);
        let starts = (0..before + input + after).filter(|start| start % self.stride == 0);
        let taps = starts.map(|start| (0..self.size).map(move |tap| start + tap * self.dilation));
        let inside = taps.filter(|taps| taps.clone().all(|at| at < before + input + after));
        let read = |at: i64| (before..before + input).contains(&at).then(|| (at - before) as usize);
        inside.map(|taps| taps.map(read).collect()).collect()
    }

    pub fn count(&self, input: i64) -> Option<i64> {
        Some(self.positions(input).len() as i64).filter(|&n| n > 0)
    }
}

pub fn slide() -> impl Strategy<Value = Slide> {
    let padding = prop_oneof![
        3 => Just(Padding::Same),
        2 => Just(Padding::Explicit(0, 0)),
        2 => (0..5i64, 0..5i64).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ];
    (1..6i64, 1..5i64, prop_oneof![2 => Just(1i64), 1 => 2..5i64], padding)
        .prop_map(|(size, stride, dilation, padding)| Slide { size, stride, dilation, padding })
}

/// How many output steps a transposed convolution of `input` steps has, found tap by tap. None where none is left.
pub fn spread_count(spread: &Spread, input: i64) -> Option<i64> {
    let starts = (0..input).map(|step| step * spread.stride());
    let reached = starts.flat_map(|start| (0..spread.size()).map(move |tap| start + tap * spread.dilation()));
    let steps = 0..=reached.max()? + spread.output_padding();
    let kept = steps.clone().filter(|step| *step >= spread.crop().0 && steps.end() - step >= spread.crop().1);
    Some(kept.count() as i64).filter(|&n| n > 0)
}

pub fn spread() -> impl Strategy<Value = Spread> {
    let crop = prop_oneof![1 => Just((0i64, 0i64)), 2 => (0..5i64, 0..5i64)];
    let dilation = prop_oneof![2 => Just(1i64), 1 => 2..4i64];
    (1..6i64, 1..5i64, dilation, crop, prop_oneof![2 => Just(0i64), 1 => 1..6i64]).prop_map(
        |(size, stride, dilation, crop, output_padding)| {
            Spread::new(size, stride, dilation, crop, output_padding).unwrap()
        },
    )
}
