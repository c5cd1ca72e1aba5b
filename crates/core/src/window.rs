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

impl Window {
    /// A window, or an error where a number is not positive, padding is negative, or the span overflows.
    pub fn new(size: i64, stride: i64, dilation: i64, padding: Padding) -> Result<Window> {
        for (what, n) in [("size", size), ("stride", stride), ("dilation", dilation)] {
            if n < 1 {
                return Err(Error::shape(format!("the window's {what} is {n}; it must be at least 1")));
            }
        }
        let too_large = || Error::limit("the window's span does not fit a 64-bit integer");
        let span = (size - 1).checked_mul(dilation).and_then(|n| n.checked_add(1)).ok_or_else(too_large)?;
        // Same padding with stride 1 or of a single step does not depend on the input, so it has one form only.
        let padding = match padding {
            Padding::Same if stride == 1 || span == 1 => {
                let total = span - 1;
                Padding::Explicit(total / 2, total - total / 2)
            }
            other => other,
        };
        if let Padding::Explicit(before, after) = padding {
            if before < 0 || after < 0 {
                return Err(Error::shape(format!("the padding ({before}, {after}) is negative")));
            }
            before.checked_add(after).ok_or_else(too_large)?;
        }
        Ok(Window { size, stride, dilation, padding })
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
        (self.size - 1) * self.dilation + 1
    }

    /// Whether no position reads outside the input, whatever its length.
    pub fn is_unpadded(&self) -> bool {
        self.padding == Padding::Explicit(0, 0)
    }

    /// The number of positions on an input of `input` steps:
    /// `floor((input + before + after - span) / stride) + 1`, or `ceil(input / stride)` for `Same`.
    pub fn positions(&self, input: &Dim, infer: &mut Infer) -> Result<Dim> {
        match self.padding {
            Padding::Explicit(before, after) => {
                let total = before + after;
                let padded = input.add_const(total)?;
                let room = padded.add_const(-self.span())?;
                let rule = || {
                    let mut rule = format!("a window of {} steps", self.span());
                    if self.dilation > 1 {
                        rule += &format!(" ({} taps, dilation {})", self.size, self.dilation);
                    }
                    rule += &format!(" does not fit an input of {input}");
                    if total > 0 {
                        rule += &format!(" padded by {total}");
                    }
                    rule += &format!(": ({padded} - {}) / {} + 1 ", self.span(), self.stride);
                    match room.floor_div(self.stride).and_then(|n| n.add_const(1)).map(|n| n.as_fixed()) {
                        Ok(Some(n)) => rule + &format!("= {n}"),
                        _ => rule + "must be at least 1",
                    }
                };
                let needed = Relation::AtLeast((self.span() - total).max(0));
                infer.require(input, needed, rule).map_err(|error| match padded.as_fixed() {
                    Some(padded) => error.with_help(self.smaller(padded)),
                    None => error,
                })?;
                room.floor_div(self.stride)?.add_const(1)
            }
            Padding::Same => {
                infer.require(input, Relation::AtLeast(1), || "a window needs at least 1 step".into())?;
                input.ceil_div(self.stride)
            }
        }
    }

    /// What would fit `padded` steps, which this window does not.
    fn smaller(&self, padded: i64) -> String {
        match (padded - 1).div_euclid(self.dilation) + 1 {
            ..1 => "the input has no steps: make it longer, or drop fewer steps before".to_string(),
            1 => "a window of 1 step fits, or one with padding=\"same\"".to_string(),
            most if self.dilation > 1 => format!(
                "a window of at most {most} taps of dilation {} fits, or one with padding=\"same\"",
                self.dilation
            ),
            most => format!("a window of at most {most} steps fits, or one with padding=\"same\""),
        }
    }

    /// The positions on an input of `input` steps, which must have room for one.
    pub fn extent(&self, input: usize) -> Result<Extent> {
        let output = self.positions(&Dim::from_usize(input)?, &mut Infer::default())?;
        let too_large = || Error::limit("a window's extent does not fit memory");
        let output = output.as_usize().ok_or_else(too_large)?;
        let (before, after) = match self.padding {
            Padding::Explicit(before, after) => (before, after),
            Padding::Same => {
                let n = i64::try_from(input).map_err(|_| too_large())?;
                let last = (output as i64 - 1).checked_mul(self.stride).ok_or_else(too_large)?;
                let total = last.checked_add(self.span()).ok_or_else(too_large)?.saturating_sub(n).max(0);
                (total / 2, total - total / 2)
            }
        };
        let size = |n: i64| usize::try_from(n).map_err(|_| too_large());
        Ok(Extent { input, output, before: size(before)?, after: size(after)? })
    }

    /// The input steps that position `at` reads, one per tap, `None` in the padding.
    pub fn taps(&self, extent: &Extent, at: usize) -> impl Iterator<Item = Option<usize>> {
        let start = (at as i64) * self.stride - extent.before as i64;
        let input = extent.input as i64;
        let dilation = self.dilation;
        (0..self.size).map(move |tap| {
            let step = start + tap * dilation;
            (0..input).contains(&step).then_some(step as usize)
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
