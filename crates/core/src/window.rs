//! How a window slides along one axis: the geometry that convolution and pooling share.

use crate::ops::Infer;
use crate::{Dim, Error, Relation, Result};
use std::fmt;

/// A window of `size` taps, `dilation` steps apart, that moves by `stride`.
///
/// Made by [`Window::new`], which refuses what has no meaning, so that every window in a graph is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    size: i64,
    stride: i64,
    dilation: i64,
    span: i64,
    padding: Padding,
}

/// What lies outside the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// This many steps before and after the input; Keras's `valid` is `(0, 0)`, `causal` is
    /// `(dilation * (size - 1), 0)`.
    Explicit(i64, i64),
    /// As many steps as give `ceil(input / stride)` outputs; the odd one is after the input, as in TensorFlow.
    Same,
}

/// A window's positions on an input of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Steps of the input.
    pub input: usize,
    /// Window positions: steps of the output.
    pub output: usize,
    /// Padded steps before the input.
    pub before: usize,
    /// Padded steps after the input.
    pub after: usize,
}

/// Steps from the first of `size` taps to the last, both included, which are `dilation` steps apart; `what` has them.
pub(crate) fn span(what: &str, size: i64, dilation: i64) -> Result<i64> {
    let gaps = size.checked_sub(1).and_then(|gaps| gaps.checked_mul(dilation));
    let span = gaps.and_then(|gaps| gaps.checked_add(1));
    span.ok_or_else(|| Error::limit(format!("the {what}'s span does not fit a 64-bit integer")))
}

impl Window {
    /// A window, or an error where a number is not positive, padding is negative, or the span overflows.
    pub fn new(size: i64, stride: i64, dilation: i64, padding: Padding) -> Result<Window> {
        for (what, n) in [("size", size), ("stride", stride), ("dilation", dilation)] {
            if n < 1 {
                return Err(Error::shape(format!("the window's {what} is {n}; it must be at least 1")));
            }
        }
        let span = span("window", size, dilation)?;
        // Same padding with stride 1 or of a single step does not depend on the input, so it has one form only.
        let padding = match padding {
            // A span is one step at least; half of the others are before the input, rounded down.
            Padding::Same if stride == 1 || span == 1 => {
                Padding::Explicit(span.saturating_sub(1) / 2, span / 2)
            }
            other => other,
        };
        if let Padding::Explicit(before, after) = padding {
            if before < 0 || after < 0 {
                return Err(Error::shape(format!("the padding ({before}, {after}) is negative")));
            }
            let too_large =
                || Error::limit(format!("the padding ({before}, {after}) does not fit a 64-bit integer"));
            before.checked_add(after).ok_or_else(too_large)?;
        }
        Ok(Window { size, stride, dilation, span, padding })
    }

    /// The number of taps.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// Steps between two positions.
    pub fn stride(&self) -> i64 {
        self.stride
    }

    /// Steps between two taps.
    pub fn dilation(&self) -> i64 {
        self.dilation
    }

    /// What lies outside the input.
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Steps from the first tap to the last, both included: `dilation * (size - 1) + 1`.
    pub fn span(&self) -> i64 {
        self.span
    }

    /// Whether no position reads outside the input, whatever its length.
    pub fn is_unpadded(&self) -> bool {
        self.padding == Padding::Explicit(0, 0)
    }

    /// The fewest steps of an input that have room for a position.
    pub(crate) fn fewest_steps(&self) -> i64 {
        match self.padding {
            // None of the three is negative, so that a difference past the limit is below 0 too.
            Padding::Explicit(before, after) => self.span.saturating_sub(before).saturating_sub(after).max(0),
            Padding::Same => 1,
        }
    }

    /// The number of positions on an input of `input` steps:
    /// `floor((input + before + after - span) / stride) + 1`, or `ceil(input / stride)` for `Same`.
    pub fn positions(&self, input: &Dim, infer: &mut Infer) -> Result<Dim> {
        match self.padding {
            Padding::Explicit(before, after) => {
                let total = Dim::fixed(before).add_const(after)?;
                let padded = input.add(&total)?;
                let room = padded.sub(&Dim::fixed(self.span))?;
                let rule = || {
                    let mut rule = format!("a window of {} steps", self.span);
                    if self.dilation > 1 {
                        rule += &format!(" ({} taps, dilation {})", self.size, self.dilation);
                    }
                    rule += &format!(" does not fit an input of {input}");
                    if total != Dim::ZERO {
                        rule += &format!(" padded by {total}");
                    }
                    rule += &format!(": ({padded} - {}) / {} + 1 ", self.span, self.stride);
                    match room.floor_div(self.stride).and_then(|n| n.add_const(1)).map(|n| n.as_fixed()) {
                        Ok(Some(n)) => rule + &format!("= {n}"),
                        _ => rule + "must be at least 1",
                    }
                };
                let needed = Relation::AtLeast(self.fewest_steps());
                infer.require(input, needed, rule).map_err(|error| match self.smaller(&padded) {
                    Some(help) => error.with_help(help),
                    None => error,
                })?;
                room.floor_div(self.stride)?.add_const(1)
            }
            Padding::Same => {
                let needed = Relation::AtLeast(self.fewest_steps());
                infer.require(input, needed, || "a window needs at least 1 step".into())?;
                input.ceil_div(self.stride)
            }
        }
    }

    /// What would fit `padded` steps, which this window does not, if they are a number.
    fn smaller(&self, padded: &Dim) -> Option<String> {
        Some(match padded.ceil_div(self.dilation).ok()?.as_fixed()? {
            ..1 => "the input has no steps: make it longer, or drop fewer steps before".to_string(),
            1 => "a window of 1 step fits, or one with padding=\"same\"".to_string(),
            most if self.dilation > 1 => format!(
                "a window of at most {most} taps of dilation {} fits, or one with padding=\"same\"",
                self.dilation
            ),
            most => format!("a window of at most {most} steps fits, or one with padding=\"same\""),
        })
    }

    /// The positions on an input of `input` steps, which must have room for one.
    pub fn extent(&self, input: usize) -> Result<Extent> {
        let steps = Dim::from_usize(input)?;
        let positions = self.positions(&steps, &mut Infer::default())?;
        let too_large = || Error::limit("a window's extent does not fit memory");
        let size = |dim: Dim| dim.as_usize().ok_or_else(too_large);
        let (before, after) = match self.padding {
            Padding::Explicit(before, after) => (size(before.into())?, size(after.into())?),
            Padding::Same => {
                let reached = positions.add_const(-1)?.mul_const(self.stride)?.add_const(self.span)?;
                let total = size(reached)?.saturating_sub(input);
                (total / 2, total.div_ceil(2))
            }
        };
        Ok(Extent { input, output: size(positions)?, before, after })
    }

    /// The input steps that position `at` reads, one per tap, `None` in the padding.
    pub fn taps(&self, extent: &Extent, at: usize) -> impl Iterator<Item = Option<usize>> {
        let &Extent { input, before, .. } = extent;
        let dilation = self.dilation;
        let first = i64::try_from(at).ok().and_then(|at| at.checked_mul(self.stride));
        // Steps are counted from the padding's start; no input reaches past the limit.
        (0..self.size).map(move |tap| {
            let step = tap.checked_mul(dilation)?.checked_add(first?)?;
            usize::try_from(step).ok()?.checked_sub(before).filter(|&step| step < input)
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "size {}, stride {}, dilation {}", self.size, self.stride, self.dilation)?;
        match self.padding {
            Padding::Explicit(before, after) => write!(f, ", padding ({before}, {after})"),
            Padding::Same => write!(f, ", padding same"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: (i64, i64, i64, Padding), input: usize, expected: Option<(usize, usize, usize)>) {
        let (size, stride, dilation, padding) = window;
        let extent = Window::new(size, stride, dilation, padding).unwrap().extent(input).ok();
        assert_eq!(extent.map(|e| (e.output, e.before, e.after)), expected);
    }

    #[test]
    fn same_padding_with_stride_puts_the_odd_pad_right() {
        check((3, 2, 1, Padding::Same), 7, Some((4, 1, 1)));
        check((3, 2, 1, Padding::Same), 8, Some((4, 0, 1)));
        check((2, 1, 1, Padding::Same), 5, Some((5, 0, 1)));
        check((1, 3, 1, Padding::Same), 8, Some((3, 0, 0)));
    }

    #[test]
    fn valid_padding_needs_room_for_one_window() {
        check((5, 1, 1, Padding::Explicit(0, 0)), 5, Some((1, 0, 0)));
        check((5, 1, 1, Padding::Explicit(0, 0)), 4, None);
        check((3, 1, 2, Padding::Explicit(0, 0)), 4, None);
        check((3, 1, 2, Padding::Explicit(4, 0)), 4, Some((4, 4, 0)));
    }

    #[test]
    fn meaningless_windows_are_refused() {
        for (size, stride, dilation) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-3, 1, 1), (i64::MAX, 1, 3)] {
            assert!(
                Window::new(size, stride, dilation, Padding::Same).is_err(),
                "{size} {stride} {dilation}"
            );
        }
        assert!(Window::new(3, 1, 1, Padding::Explicit(-1, 0)).is_err());
        assert!(Window::new(3, 1, 1, Padding::Explicit(i64::MAX, 1)).is_err());
    }

    #[test]
    fn the_error_shows_the_arithmetic() {
        let window = Window::new(5, 1, 1, Padding::Explicit(0, 0)).unwrap();
        let error = window.positions(&Dim::fixed(3), &mut Infer::default()).unwrap_err();
        assert_eq!(error.message(), "a window of 5 steps does not fit an input of 3: (3 - 5) / 1 + 1 = -1");
    }
}
