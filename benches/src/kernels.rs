//! How near single layers come to what the processor can do: the roofline model.
//!
//! S. Williams, A. Waterman, D. Patterson: Roofline: An Insightful Visual Performance Model for Multicore Architectures.
//! CACM 52(4), 2009.

use crate::contest::{Length, Turn, rounds};
use crate::net::{self, Made, Net};
use crate::peak::Peak;
use crate::table::{markdown, number};
use k2o::core::{Bindings, Dim, Graph, Operand, Padding, Window, ops};
use k2o::cpu::{Plan, PlanOptions, TensorView};
use serde_json::{Value, json};
use std::time::Duration;

/// Shorter turns than those of a contest: there are many geometries.
const TURN: Length = Length { time: Duration::from_millis(30), runs: 3, most: Duration::from_millis(500) };

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `Conv1D` of so many filters, over windows of so many taps; stride and dilation.
    Conv { filters: usize, taps: i64, stride: i64, dilation: i64 },
    /// `DepthwiseConv1D` over windows of so many taps, with so many filters for each channel.
    Depthwise { taps: i64, multiplier: usize },
    /// `Dense` on every step.
    Dense { units: usize },
    /// `LSTM`, all steps.
    Lstm { units: usize },
    /// `GRU`, all steps.
    Gru { units: usize },
    /// `MaxPooling1D`.
    MaxPool { size: i64 },
    /// `GlobalAveragePooling1D`.
    Mean,
    /// `Softmax` over the channels.
    Softmax,
}

/// A layer and the sizes of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    kind: Kind,
    /// Samples, steps and channels.
    input: [usize; 3],
}

const fn conv(input: [usize; 3], filters: usize, taps: i64) -> Geometry {
    Geometry { kind: Kind::Conv { filters, taps, stride: 1, dilation: 1 }, input }
}

const fn on(input: [usize; 3], kind: Kind) -> Geometry {
    Geometry { kind, input }
}

/// What is measured: the layers of the contest's networks, and some that are awkward.
pub const GEOMETRIES: [Geometry; 38] = [
    conv([32, 100, 1], 32, 3),
    conv([32, 49, 32], 64, 3),
    conv([32, 200, 1], 64, 5),
    conv([32, 98, 64], 128, 3),
    conv([32, 48, 128], 256, 3),
    conv([1, 48, 128], 256, 3),
    conv([1, 1000, 64], 64, 3),
    conv([8, 1000, 8], 64, 1),
    conv([8, 200, 4], 32, 5),
    conv([8, 200, 64], 64, 2),
    conv([8, 200, 64], 64, 5),
    conv([8, 200, 64], 64, 7),
    conv([8, 200, 17], 33, 3),
    conv([8, 200, 17], 33, 5),
    conv([1, 16000, 1], 64, 80),
    on([8, 200, 64], Kind::Conv { filters: 64, taps: 3, stride: 2, dilation: 1 }),
    on([8, 1000, 64], Kind::Conv { filters: 64, taps: 3, stride: 1, dilation: 16 }),
    on([8, 1000, 64], Kind::Conv { filters: 64, taps: 5, stride: 1, dilation: 16 }),
    on([8, 256, 16], Kind::Depthwise { taps: 5, multiplier: 1 }),
    on([8, 128, 64], Kind::Depthwise { taps: 5, multiplier: 1 }),
    on([8, 128, 65], Kind::Depthwise { taps: 5, multiplier: 1 }),
    on([8, 128, 32], Kind::Depthwise { taps: 5, multiplier: 2 }),
    on([8, 128, 512], Kind::Depthwise { taps: 3, multiplier: 1 }),
    on([8, 256, 16], Kind::Dense { units: 64 }),
    on([8, 128, 64], Kind::Dense { units: 64 }),
    on([1, 1, 5888], Kind::Dense { units: 512 }),
    on([4, 1, 5888], Kind::Dense { units: 512 }),
    on([32, 1, 5888], Kind::Dense { units: 512 }),
    on([256, 1, 1472], Kind::Dense { units: 64 }),
    on([256, 1, 512], Kind::Dense { units: 10 }),
    on([1, 100, 32], Kind::Lstm { units: 64 }),
    on([32, 100, 32], Kind::Lstm { units: 64 }),
    on([32, 100, 64], Kind::Lstm { units: 256 }),
    on([1, 100, 32], Kind::Gru { units: 64 }),
    on([32, 100, 32], Kind::Gru { units: 64 }),
    on([32, 98, 64], Kind::MaxPool { size: 2 }),
    on([32, 128, 64], Kind::Mean),
    on([32, 128, 64], Kind::Softmax),
];

impl Geometry {
    /// The name in tables, as `[32, 98, 64] conv 3 -> 128`.
    pub fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Conv { filters, taps, stride, dilation } => {
                let stride = if stride == 1 { String::new() } else { format!(", stride {stride}") };
                let dilation = if dilation == 1 { String::new() } else { format!(", dilation {dilation}") };
                format!("conv {taps} -> {filters}{stride}{dilation}")
            }
            Kind::Depthwise { taps, multiplier } => format!("depthwise {taps} x {multiplier}"),
            Kind::Dense { units } => format!("dense -> {units}"),
            Kind::Lstm { units } => format!("lstm -> {units}"),
            Kind::Gru { units } => format!("gru -> {units}"),
            Kind::MaxPool { size } => format!("max_pool {size}"),
            Kind::Mean => "mean of steps".to_string(),
            Kind::Softmax => "softmax".to_string(),
        };
        format!("{:?} {kind}", self.input)
    }

    fn graph(&self) -> k2o::core::Result<Graph> {
        let sizes = self.input.map(|size| Dim::fixed(size as i64));
        net::graph(sizes, |net, x| self.layer(net, x))
    }

    fn layer(&self, net: &mut Net, x: Operand) -> Made {
        let channels = self.input[2];
        match self.kind {
            Kind::Conv { filters, taps, stride, dilation } => {
                net.conv(x, Window::new(taps, stride, dilation, Padding::Same)?, [channels, filters], 1)
            }
            Kind::Depthwise { taps, multiplier } => {
                let window = Window::new(taps, 1, 1, Padding::Same)?;
                net.conv(x, window, [channels, multiplier * channels], channels)
            }
            Kind::Dense { units } => net.dense(x, [channels, units]),
            Kind::Lstm { units } => net.lstm(x, [channels, units]),
            Kind::Gru { units } => net.gru(x, [channels, units]),
            Kind::MaxPool { size } => net.max_pool(x, size),
            Kind::Mean => {
                let mean = ops::Reduce { kind: ops::ReduceKind::Mean, axes: vec![1], keep_dims: false };
                net.add(mean, vec![x])
            }
            Kind::Softmax => net.add(ops::Softmax::over([2]), vec![x]),
        }
    }
}

/// What was measured of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The layer and its sizes.
    pub geometry: Geometry,
    /// The time of a run on one thread.
    pub microseconds: f64,
    /// Floating-point operations of a run, as the direct algorithm has them: two for a multiply-add, and one for what
    /// happens to an element else.
    pub operations: f64,
    /// Bytes that must be read or written at least: input, weights and output, once each.
    pub bytes: f64,
}

impl Point {
    /// Billions of operations a second.
    pub fn gflops(&self) -> f64 {
        self.operations / self.microseconds / 1e3
    }

    /// Billions of bytes a second.
    pub fn gbps(&self) -> f64 {
        self.bytes / self.microseconds / 1e3
    }

    /// The microseconds that the operations or the bytes take at least, and whether it is the operations.
    pub fn least(&self, peak: &Peak) -> (f64, bool) {
        let compute = self.operations / peak.fma_gflops / 1e3;
        let memory = self.bytes / peak.read_gbps / 1e3;
        (compute.max(memory), compute >= memory)
    }
}

/// Times all of `geometries`: the fastest of `count` rounds.
///
/// # Errors
/// Where a layer has no plan or does not run.
pub fn measure(geometries: &[Geometry], count: usize) -> Result<Vec<Point>, String> {
    let mut turns = Vec::<Turn<'_>>::new();
    let mut works = Vec::new();
    for geometry in geometries {
        let graph = geometry.graph().map_err(|error| error.to_string())?;
        works.push(work(&graph).map_err(|error| error.to_string())?);
        let plan = Plan::new(&graph, &PlanOptions::default()).map_err(|error| error.to_string())?;
        let mut session = plan.session();
        let shape = geometry.input;
        let data: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i as f32 / 7.0).sin()).collect();
        turns.push(Box::new(move || {
            let view = TensorView::f32(&shape, &data).map_err(|error| error.to_string())?;
            session.run(&[view]).map(|_| ()).map_err(|error| error.to_string())
        }));
    }
    let mut points = Vec::new();
    let times = rounds(&mut turns, count, TURN);
    for ((&geometry, (operations, bytes)), times) in geometries.iter().zip(works).zip(times) {
        // Nobody is compared with others here, so what disturbs a round is left out.
        let microseconds = times?.into_iter().fold(f64::INFINITY, f64::min);
        points.push(Point { geometry, microseconds, operations, bytes });
    }
    Ok(points)
}

/// The operations and the bytes of a run.
fn work(graph: &Graph) -> k2o::core::Result<(f64, f64)> {
    let (mut operations, mut elements) = (0.0, 0.0);
    let none = Bindings::default();
    for node in graph.nodes() {
        let cost = graph.cost(node)?;
        operations += 2.0 * cost.multiply_adds.eval(&none)? as f64 + cost.element_ops.eval(&none)? as f64;
    }
    for value in graph.values() {
        let sizes = value.r#type.shape.iter().map(|size| Ok(size.eval(&none)? as f64));
        elements += sizes.product::<k2o::core::Result<f64>>()?;
    }
    let weights = graph.constants().iter().map(|constant| constant.shape().iter().product::<usize>() as f64);
    Ok((operations, 4.0 * (elements + weights.sum::<f64>())))
}

/// The points as a table, with what bounds each.
pub fn table(points: &[Point], peak: &Peak) -> String {
    let header = ["layer", "µs", "GFLOP/s", "GB/s", "bound by", "of the bound"].map(String::from);
    let row = |point: &Point| {
        let (least, is_compute) = point.least(peak);
        vec![
            point.geometry.name(),
            number(point.microseconds),
            number(point.gflops()),
            number(point.gbps()),
            if is_compute { "multiply-adds" } else { "memory" }.to_string(),
            format!("{:.0} %", 100.0 * least / point.microseconds),
        ]
    };
    markdown(&header, &points.iter().map(row).collect::<Vec<_>>())
}

/// The points with all figures.
pub fn json(points: &[Point], peak: &Peak) -> Value {
    let point = |point: &Point| {
        let (least, is_compute) = point.least(peak);
        json!({
            "layer": point.geometry.name(),
            "microseconds": point.microseconds,
            "operations": point.operations,
            "bytes": point.bytes,
            "bound_by": if is_compute { "multiply-adds" } else { "memory" },
            "share_of_bound": least / point.microseconds,
        })
    };
    points.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_bytes_are_those_of_the_layer() {
        for (geometry, operations, floats) in [
            // Two for a multiply-add, and one for the bias.
            (conv([2, 10, 4], 8, 3), 2 * 10 * 8 * (2 * 3 * 4 + 1), 2 * 10 * (4 + 8) + (3 * 4 + 1) * 8),
            (on([1, 10, 4], Kind::Dense { units: 8 }), 10 * 8 * (2 * 4 + 1), 10 * (4 + 8) + (4 + 1) * 8),
            (on([1, 10, 4], Kind::MaxPool { size: 2 }), 40, 40 + 20),
        ] {
            let found = work(&geometry.graph().unwrap()).unwrap();
            assert_eq!(found, (f64::from(operations), f64::from(4 * floats)), "{}", geometry.name());
        }
    }

    #[test]
    fn what_takes_longer_is_the_bound() {
        let geometry = on([1, 10, 4], Kind::Mean);
        let peak = Peak { fma_gflops: 100.0, read_gbps: 10.0 };
        let point = |operations, bytes| Point { geometry, microseconds: 4.0, operations, bytes };
        assert_eq!(point(2e5, 1e4).least(&peak), (2.0, true));
        assert_eq!(point(1e5, 3e4).least(&peak), (3.0, false));
    }

    #[test]
    fn every_kind_of_layer_runs() {
        let small = |geometry: &Geometry| Geometry { input: [1, 8, geometry.input[2].min(8)], ..*geometry };
        let all: Vec<Geometry> = GEOMETRIES.iter().map(small).collect();
        let points = measure(&all, 1).unwrap();
        assert!(points.iter().all(|point| point.microseconds > 0.0 && point.operations > 0.0));
    }
}
