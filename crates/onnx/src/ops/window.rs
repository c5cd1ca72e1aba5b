//! The attributes that `Conv`, `MaxPool` and `AveragePool` share.

use super::ints;
use crate::draft::NodeSpec;
use crate::{Error, Result};
use k2o_core::{Dim, Padding, Shape, Window};

/// Adds the windows' attributes for steps along the middle axes of these sizes; what ONNX assumes anyway is left out, but
/// for the strides of pooling, which rten 0.27 needs.
///
/// Padding is written out where it is known. `Same` with a stride depends on the input's size; where that is a
/// symbol, `auto_pad` is used, which means the same for all axes or cannot be said.
///
/// onnxruntime 1.32 refuses `auto_pad` with dilation, and for a window shorter than its stride it pads pooling by
/// negative amounts: such nodes are errors here.
pub(super) fn with_windows(node: NodeSpec, windows: &[Window], steps: &[Dim]) -> Result<NodeSpec> {
    let list = |get: fn(&Window) -> i64| windows.iter().map(get).collect::<Vec<i64>>();
    let (strides, dilations) = (list(Window::stride), list(Window::dilation));
    let mut node = node.ints("kernel_shape", &list(Window::size));
    if node.op_type != "Conv" || strides.iter().any(|&n| n != 1) {
        node = node.ints("strides", &strides);
    }
    if dilations.iter().any(|&n| n != 1) {
        node = node.ints("dilations", &dilations);
    }
    let pads =
        windows.iter().zip(steps).map(|(window, steps)| pads(window, steps)).collect::<Result<Vec<_>>>()?;
    match pads.into_iter().collect::<Option<Vec<(i64, i64)>>>() {
        Some(pads) if pads.iter().all(|&pads| pads == (0, 0)) => Ok(node),
        Some(pads) => {
            let (before, after): (Vec<i64>, Vec<i64>) = pads.into_iter().unzip();
            Ok(node.ints("pads", &[before, after].concat()))
        }
        None => {
            let conv = node.op_type == "Conv";
            let automatic = |window: &Window| is_same(window) && (conv || window.span() >= window.stride());
            let refused = windows.iter().find(|window| !automatic(window) || window.dilation() != 1);
            match refused {
                None => Ok(node.string("auto_pad", "SAME_UPPER")),
                Some(window) => Err(Error::unsupported(format!(
                    "a window ({window}) over a number of steps that is not known; it can be written for a fixed \
                     number"
                ))),
            }
        }
    }
}

/// The dimensions of a channels-last tensor between the first, the batch, and the last, the channels.
pub(super) fn steps(shape: &Shape) -> Result<&[Dim]> {
    match &**shape {
        [_, steps @ .., _] => Ok(steps),
        _ => Err(Error::shape(format!("windows over a tensor of shape {shape}"))),
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
        // At most one step is padded, always after. Padding it where it is not needed adds no position:
        // floor((n + span - 1 - span) / stride) + 1 = ceil(n / stride).
        (Padding::Same, None) if window.span() <= 2 => Ok(Some((0, window.span() - 1))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        op_type: &'static str,
        windows: &[(i64, i64, i64, Padding)],
        steps: &[Dim],
        expected: Option<&str>,
    ) {
        let windows: Vec<Window> =
            windows.iter().map(|&(k, s, d, p)| Window::new(k, s, d, p).unwrap()).collect();
        let node = with_windows(NodeSpec::new(op_type, []), &windows, steps);
        let text = node.map(|node| {
            let text = |a: &crate::messages::AttributeProto| match &a.s {
                Some(s) => format!("{}={}", a.name, String::from_utf8_lossy(s)),
                None => format!("{}={:?}", a.name, a.ints),
            };
            node.attributes.iter().map(text).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(text.ok().as_deref(), expected);
    }

    #[test]
    fn padding_is_written_out_where_it_is_known() {
        let n = [Dim::symbol("n")];
        let valid = Padding::Explicit(0, 0);
        check("Conv", &[(3, 1, 1, valid)], &n, Some("kernel_shape=[3]"));
        check("Conv", &[(3, 1, 1, Padding::Same)], &n, Some("kernel_shape=[3] pads=[1, 1]"));
        check(
            "Conv",
            &[(3, 2, 1, Padding::Same)],
            &[8.into()],
            Some("kernel_shape=[3] strides=[2] pads=[0, 1]"),
        );
        check("MaxPool", &[(2, 2, 1, Padding::Same)], &n, Some("kernel_shape=[2] strides=[2] pads=[0, 1]"));
        check("MaxPool", &[(1, 3, 1, Padding::Same)], &n, Some("kernel_shape=[1] strides=[3]"));
        let mixed = [(3, 2, 1, Padding::Same), (2, 1, 2, Padding::Explicit(2, 0))];
        let expected = "kernel_shape=[3, 2] strides=[2, 1] dilations=[1, 2] pads=[1, 2, 1, 0]";
        check("Conv", &mixed, &[7.into(), 9.into()], Some(expected));
    }

    #[test]
    fn padding_that_depends_on_a_symbol_is_left_to_the_runtime() {
        let n = [Dim::symbol("n")];
        let automatic = "kernel_shape=[3] strides=[2] auto_pad=SAME_UPPER";
        check("AveragePool", &[(3, 2, 1, Padding::Same)], &n, Some(automatic));
        check(
            "Conv",
            &[(3, 4, 1, Padding::Same)],
            &n,
            Some("kernel_shape=[3] strides=[4] auto_pad=SAME_UPPER"),
        );
        check("MaxPool", &[(3, 4, 1, Padding::Same)], &n, None);
        check("Conv", &[(3, 2, 2, Padding::Same)], &n, None);
        let mixed = [(3, 2, 1, Padding::Same), (3, 1, 1, Padding::Explicit(2, 0))];
        check("Conv", &mixed, &[Dim::symbol("n"), 9.into()], None);
    }
}
