//! `ConvTranspose`: one node, bias included, over as many axes as there are windows.
//!
//! ONNX: `x` `[batch, channels, steps..]`, kernel `[channels, filters, taps..]`. What is cropped is called `pads`.

use super::{Emit, Layouts, Lower, Tie};
use crate::draft::{Arg, NodeSpec, TensorId};
use crate::layout::Layout;
use crate::layout::assign::Site;
use crate::{Error, Result};
use k2o_core::ops::{ConvTranspose, Spread};

impl Lower for ConvTranspose {
    fn tie(&self) -> Tie {
        Tie::Anchor
    }

    fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
        let rank = self.windows.len();
        let x = Layout::channels_first(rank + 2);
        // From [taps.., channels, filters].
        let kernel = Layout::Axes([rank, rank + 1].into_iter().chain(0..rank).collect());
        let mut inputs = vec![x.clone(), kernel, Layout::keras(1)];
        inputs.truncate(site.node.inputs.len());
        Ok(Layouts { inputs, output: x })
    }

    fn emit(&self, emit: &mut Emit<'_>) -> Result<TensorId> {
        let (x, kernel) = (emit.input(0)?, emit.input(1)?);
        let bias = if emit.has(2) { emit.input(2)? } else { Arg::Absent };
        let node = NodeSpec::new("ConvTranspose", [x, kernel, bias]);
        Ok(emit.node(with_spreads(node, &self.windows)?))
    }
}

/// Adds the windows' attributes; what ONNX assumes anyway is left out.
///
/// onnxruntime 1.32 adds fewer steps than the stride or the dilation has; more are an error here.
fn with_spreads(node: NodeSpec, windows: &[Spread]) -> Result<NodeSpec> {
    let list = |get: fn(&Spread) -> i64| windows.iter().map(get).collect::<Vec<i64>>();
    let (strides, dilations) = (list(Spread::stride), list(Spread::dilation));
    // What is added at the end and what is cropped there cancel.
    let added = |window: &Spread| (window.output_padding() - window.crop().1).max(0);
    let after = |window: &Spread| (window.crop().1 - window.output_padding()).max(0);
    let output_padding: Vec<i64> = windows.iter().map(added).collect();
    for (window, &added) in windows.iter().zip(&output_padding) {
        let (stride, dilation) = (window.stride(), window.dilation());
        if added > 0 && added >= stride.max(dilation) {
            return Err(Error::unsupported(format!(
                "a transposed convolution of stride {stride} and dilation {dilation} with {added} added steps"
            )));
        }
    }
    let pads: Vec<i64> =
        windows.iter().map(|window| window.crop().0).chain(windows.iter().map(after)).collect();
    let mut node = node.ints("kernel_shape", &list(Spread::size));
    if strides.iter().any(|&n| n != 1) {
        node = node.ints("strides", &strides);
    }
    if dilations.iter().any(|&n| n != 1) {
        node = node.ints("dilations", &dilations);
    }
    if pads.iter().any(|&n| n != 0) {
        node = node.ints("pads", &pads);
    }
    if output_padding.iter().any(|&n| n != 0) {
        node = node.ints("output_padding", &output_padding);
    }
    Ok(node)
}
