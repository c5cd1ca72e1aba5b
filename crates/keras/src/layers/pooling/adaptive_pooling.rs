//! `AdaptiveMaxPooling1D` and `AdaptiveAveragePooling1D`: as many windows as asked for, spread over all steps; window `i`
//! of `m` reads the steps from `floor(i * n / m)` to `ceil((i + 1) * n / m)`.
//! <https://keras.io/api/layers/pooling_layers/>
//!
//! The number of steps must be known, as in Keras. Where all windows are as long and as far apart, they are ordinary
//! pooling; else the maximum is taken over gathered steps, and the average is a product with a matrix.

use crate::fields::missing;
use crate::layers::{DataFormat, expect_rank, size};
use crate::lowering::{Call, Lowering, Tensor};
use crate::{Error, Fields, Layer, Result};
use k2o_core::ops::{Dense, Gather, Pool, PoolKind, Reduce, ReduceKind};
use k2o_core::{Data, Padding, Tensor as Array, Window};

/// The most windows, and the most elements of a table of them.
const MAX_TABLE: usize = 1 << 22;

#[derive(Debug)]
pub(in crate::layers) struct AdaptivePooling {
    kind: PoolKind,
    output_size: usize,
    data_format: DataFormat,
}

/// Where each of `count` windows over `steps` steps starts, and how long it is. Keras computes in single precision, and
/// knows two lengths only.
fn windows(steps: usize, count: usize) -> Vec<(usize, usize)> {
    let bound = |i: usize| i as f32 * steps as f32 / count as f32;
    let longest = steps.div_ceil(count) + 1;
    let window = |i: usize| {
        let start = (bound(i).floor() as usize).min(steps.saturating_sub(1));
        let end = (bound(i + 1).ceil() as usize).min(steps);
        let length = if end.saturating_sub(start) == longest { longest } else { longest - 1 };
        (start, length.min(steps - start))
    };
    (0..count).map(window).collect()
}

/// The ordinary pooling that has these windows, if there is one.
fn regular(windows: &[(usize, usize)], steps: usize) -> Result<Option<Window>> {
    let &[(0, length), ref others @ ..] = windows else { return Ok(None) };
    let stride = others.first().map_or(length, |&(start, _)| start);
    let expected = (0..windows.len()).map(|i| (i * stride, length));
    if stride == 0 || !windows.iter().copied().eq(expected) {
        return Ok(None);
    }
    let too_long = |_| Error::limit("a pooling window does not fit memory");
    let (length, stride) =
        (i64::try_from(length).map_err(too_long)?, i64::try_from(stride).map_err(too_long)?);
    let window = Window::new(length, stride, 1, Padding::Explicit(0, 0))?;
    Ok(Some(window).filter(|window| window.extent(steps).is_ok_and(|extent| extent.output == windows.len())))
}

impl Layer for AdaptivePooling {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let kind = match fields.class() {
            "AdaptiveMaxPooling1D" => PoolKind::Max,
            _ => PoolKind::Average,
        };
        let sizes = fields.ints(&["output_size"], 1)?.ok_or_else(|| missing("output_size"))?;
        let output_size = sizes.first().copied().filter(|&n| n > 0);
        let output_size = output_size.ok_or_else(|| Error::malformed("`output_size` must be above zero"))?;
        Ok(AdaptivePooling { kind, output_size: size(output_size)?, data_format: DataFormat::take(fields)? })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let x = call.input()?;
        expect_rank(cx, x, 3)?;
        let is_last = self.data_format == DataFormat::ChannelsLast;
        let steps = cx.size(x, if is_last { 1 } else { 2 })?;
        let beyond = || Error::limit(format!("{} windows over {steps} steps", self.output_size));
        if steps == 0 || self.output_size > MAX_TABLE {
            return Err(beyond());
        }
        let windows = windows(steps, self.output_size);
        let regular = regular(&windows, steps)?;
        let table = match self.kind {
            PoolKind::Average => steps,
            PoolKind::Max => steps / self.output_size + 2,
        };
        if regular.is_none() && table.saturating_mul(self.output_size) > MAX_TABLE {
            return Err(beyond());
        }
        if regular.is_none() && self.kind == PoolKind::Average {
            let x = if is_last { cx.channels_first(x)? } else { x };
            let y = average(cx, x, steps, &windows)?;
            return Ok(vec![if is_last { cx.channels_last(y)? } else { y }]);
        }
        let x = self.data_format.to_channels_last(cx, x)?;
        let y = match regular {
            Some(window) => cx.apply(Pool { kind: self.kind, windows: vec![window] }, x)?,
            None => maximum(cx, x, &windows)?,
        };
        Ok(vec![self.data_format.lay_out(cx, y)?])
    }
}

/// The averages over windows of the last axis.
fn average(cx: &mut Lowering, x: Tensor, steps: usize, windows: &[(usize, usize)]) -> Result<Tensor> {
    let weight =
        |step: usize, &(start, length): &(usize, usize)| match (start..start + length).contains(&step) {
            true => 1.0 / length as f64,
            false => 0.0,
        };
    let matrix = (0..steps).flat_map(|step| windows.iter().map(move |window| weight(step, window))).collect();
    let matrix = cx.literal("windows", Array::f64([steps, windows.len()], matrix)?)?;
    cx.add(Dense, &[cx.operand(x)?, matrix])
}

/// The maxima over windows of axis 1. Shorter windows read their last step twice.
fn maximum(cx: &mut Lowering, x: Tensor, windows: &[(usize, usize)]) -> Result<Tensor> {
    let longest = windows.iter().map(|window| window.1).max().unwrap_or(0);
    let steps = |&(start, length): &(usize, usize)| {
        (0..longest).map(move |i| (start + i.min(length - 1)) as i64).collect::<Vec<_>>()
    };
    let indices = Array::new([windows.len(), longest], Data::I64(windows.iter().flat_map(steps).collect()))?;
    let indices = cx.literal("windows", indices)?;
    let gathered = cx.add(Gather { axis: 1 }, &[cx.operand(x)?, indices])?;
    cx.apply(Reduce { kind: ReduceKind::Max, axes: vec![2], keep_dims: false }, gathered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_all_steps() {
        assert_eq!(windows(9, 3), [(0, 3), (3, 3), (6, 3)]);
        assert_eq!(windows(9, 4), [(0, 3), (2, 3), (4, 3), (6, 3)]);
        assert_eq!(windows(7, 3), [(0, 3), (2, 3), (4, 3)]);
        assert_eq!(windows(3, 5), [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)]);
    }

    #[test]
    fn equal_windows_are_ordinary_pooling() {
        for (steps, count, expected) in
            [(9, 3, Some((3, 3))), (9, 4, Some((3, 2))), (8, 5, None), (9, 1, Some((9, 9))), (3, 5, None)]
        {
            let window = regular(&windows(steps, count), steps).unwrap();
            assert_eq!(window.map(|w| (w.size(), w.stride())), expected, "{steps} {count}");
        }
    }
}
