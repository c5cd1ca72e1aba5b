//! The attributes that `Conv`, `MaxPool` and `AveragePool` share.

use super::ints;
use crate::draft::NodeSpec;
use crate::{Error, Result};
use k2o_core::{Dim, Padding, Window};

/// Adds the windows' attributes for steps along the middle axes of these sizes; what ONNX assumes anyway is left out.
///
/// Padding is written out where it is known. `Same` with a stride depends on the input's size; where that is a
/// symbol, `auto_pad` is used, which means the same for all axes or cannot be said.
pub(super) fn with_windows(node: NodeSpec, windows: &[Window], steps: &[Dim]) -> Result<NodeSpec> {
    let list = |get: fn(&Window) -> i64| windows.iter().map(get).collect::<Vec<i64>>();
    let (strides, dilations) = (list(Window::stride), list(Window::dilation));
    let mut node = node.ints("kernel_shape", &list(Window::size));
    if strides.iter().any(|&n| n != 1) {
        node = node.ints("strides", &strides);
    }
    if dilations.iter().any(|&n| n != 1) {
        node = node.ints("dilations", &dilations);
    }
    let pads = windows.iter().zip(steps).map(|(window, steps)| pads(window, steps)).collect::<Result<Vec<_>>>()?;
    match pads.into_iter().collect::<Option<Vec<(i64, i64)>>>() {
        Some(pads) if pads.iter().all(|&pads| pads == (0, 0)) => Ok(node),
        Some(pads) => {
            let (before, after): (Vec<i64>, Vec<i64>) = pads.into_iter().unzip();
            Ok(node.ints("pads", &[before, after].concat()))
        }
        None if windows.iter().all(is_same) => Ok(node.string("auto_pad", "SAME_UPPER")),
        None => {
            let windows: Vec<String> = windows.iter().map(|window| format!("({window})")).collect();
            let text = windows.join(", ");
            Err(Error::unsupported(format!("windows {text}: ONNX cannot pad some axes as needed and others not")))
        }
    }
}

/// Padding before and after an axis of so many steps, if it is known.
fn pads(window: &Window, steps: &Dim) -> Result<Option<(i64, i64)>> {
    match (window.padding(), steps.as_usize()) {
        (Padding::Explicit(before, after), _) => Ok(Some((before, after))),
        (Padding::Same, Some(steps)) => {
            let extent = window.extent(steps)?;
            let pads = ints(&[extent.before, extent.after])?;
            Ok(pads.first().copied().zip(pads.last().copied()))
        }
        (Padding::Same, None) => Ok(None),
    }
}

/// Whether the window is padded as `SAME_UPPER` does.
fn is_same(window: &Window) -> bool {
    let total = window.span() - 1;
    match window.padding() {
        Padding::Same => true,
        padding => window.stride() == 1 && padding == Padding::Explicit(total / 2, total - total / 2),
    }
}
