//! What one layer costs as its work grows: along the steps, and with the channels.

use crate::contest::{Length, Turn, rounds};
use crate::net::{self, Made, Net};
use crate::table::{markdown, number};
use k2o::core::{Bindings, Dim, Graph, Operand, Padding, Window};
use k2o::cpu::{Plan, PlanOptions, TensorView};
use serde_json::{Value, json};
use std::time::Duration;

/// Steps: powers of ten, and numbers that are no multiples of anything.
const STEPS: [usize; 13] =
    [100, 127, 333, 1_000, 1_025, 3_001, 10_000, 10_007, 30_011, 65_537, 100_000, 300_007, 1_000_000];

/// The steps of a recurrence, which takes them one by one.
const FEW_STEPS: [usize; 7] = [100, 127, 333, 1_000, 1_025, 3_001, 10_000];

/// Channels: powers of two, their neighbours, and numbers between.
const CHANNELS: [usize; 31] = [
    1, 2, 3, 4, 6, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 160, 192, 255, 256,
    257, 320, 384, 511, 512,
];

/// More than this between neighbours is a cliff: the cost of a unit of work, over that with less work.
pub const CLIFF: f64 = 2.0;

/// Shorter turns than those of a contest: there are many sizes.
const TURN: Length = Length { time: Duration::from_millis(20), runs: 3, most: Duration::from_millis(500) };

/// One layer, on `[1, steps, channels]`, with as many channels going out as coming in.
pub struct Layer {
    /// The name.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    build: fn(&mut Net, Operand, usize) -> Made,
    steps: &'static [usize],
    /// The channels while the steps grow.
    channels: usize,
    /// The steps while the channels grow.
    length: usize,
}

/// The layers that are looked at.
pub const LAYERS: [Layer; 6] = [
    Layer { name: "conv", unit: MULTIPLY_ADD, build: conv, steps: &STEPS, channels: 32, length: 1_000 },
    Layer { name: "dilated", unit: MULTIPLY_ADD, build: dilated, steps: &STEPS, channels: 32, length: 1_000 },
    Layer {
        name: "depthwise",
        unit: MULTIPLY_ADD,
        build: depthwise,
        steps: &STEPS,
        channels: 32,
        length: 1_000,
    },
    Layer { name: "dense", unit: MULTIPLY_ADD, build: dense, steps: &STEPS, channels: 32, length: 1_000 },
    Layer { name: "max_pool", unit: COMPARISON, build: max_pool, steps: &STEPS, channels: 32, length: 1_000 },
    Layer { name: "lstm", unit: MULTIPLY_ADD, build: lstm, steps: &FEW_STEPS, channels: 32, length: 100 },
];

const MULTIPLY_ADD: &str = "multiply-add";
const COMPARISON: &str = "comparison";

/// Which size grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The steps.
    Steps,
    /// The channels.
    Channels,
}

impl Along {
    /// Both.
    pub const ALL: [Along; 2] = [Along::Steps, Along::Channels];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Along::Steps => "steps",
            Along::Channels => "channels",
        }
    }
}

/// The times of one layer as one of its sizes grows.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The layer's name.
    pub layer: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Which size grows.
    pub along: Along,
    /// By size.
    pub points: Vec<Point>,
}

/// One size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The size that grows.
    pub size: usize,
    /// The time of a run.
    pub microseconds: f64,
    /// The units of work in a run.
    pub units: f64,
}

impl Point {
    /// Nanoseconds for a unit of work.
    pub fn cost(&self) -> f64 {
        self.microseconds * 1e3 / self.units
    }
}

impl Series {
    /// Times a layer: the fastest of `count` rounds over all sizes.
    ///
    /// # Errors
    /// Where a layer has no plan or does not run.
    pub fn measure(layer: &Layer, along: Along, count: usize) -> Result<Series, String> {
        let sizes: Vec<(usize, usize, usize)> = match along {
            Along::Steps => layer.steps.iter().map(|&steps| (steps, steps, layer.channels)).collect(),
            Along::Channels => CHANNELS.iter().map(|&channels| (channels, layer.length, channels)).collect(),
        };
        let (mut turns, mut units) = (Vec::<Turn<'_>>::new(), Vec::new());
        for (_, steps, channels) in &sizes {
            let graph = graph(layer, *channels).map_err(|error| error.to_string())?;
            units.push(work(&graph, layer.unit, *steps).map_err(|error| error.to_string())?);
            let plan = Plan::new(&graph, &PlanOptions::default()).map_err(|error| error.to_string())?;
            let mut session = plan.session();
            let shape = [1, *steps, *channels];
            let data: Vec<f32> = (0..steps * channels).map(|i| (i as f32 / 7.0).sin()).collect();
            turns.push(Box::new(move || {
                let view = TensorView::f32(&shape, &data).map_err(|error| error.to_string())?;
                session.run(&[view]).map(|_| ()).map_err(|error| error.to_string())
            }));
        }
        let times = rounds(&mut turns, count, TURN);
        let point = |((&(size, _, _), units), times): ((_, _), Result<Vec<f64>, String>)| {
            // Nobody is compared with others here, so what disturbs a round is left out.
            let microseconds = times?.into_iter().fold(f64::INFINITY, f64::min);
            Ok(Point { size, microseconds, units })
        };
        let points = sizes.iter().zip(units).zip(times).map(point).collect::<Result<_, String>>()?;
        Ok(Series { layer: layer.name, unit: layer.unit, along, points })
    }

    /// The points whose unit of work costs more than [`CLIFF`] times what it costs at the size before.
    pub fn cliffs(&self) -> Vec<&Point> {
        let rises = self.points.windows(2).filter(|pair| pair[1].cost() > CLIFF * pair[0].cost());
        rises.map(|pair| &pair[1]).collect()
    }

    /// The series as a table, with what each point costs beside the one before.
    pub fn table(&self) -> String {
        let header = [self.along.name(), "µs", &format!("ns / {}", self.unit), "/ before", ""];
        let cliffs = self.cliffs();
        let mut before = None;
        let row = |point: &Point| {
            let ratio = before.replace(point.cost()).map_or(String::new(), |before| {
                let ratio: f64 = point.cost() / before;
                format!("{ratio:.2}")
            });
            let is_cliff = cliffs.contains(&point);
            let mark = if is_cliff { "cliff" } else { "" };
            let cost = format!("{:.4}", point.cost());
            vec![point.size.to_string(), number(point.microseconds), cost, ratio, mark.to_string()]
        };
        let rows: Vec<_> = self.points.iter().map(row).collect();
        format!("{}:\n\n{}", self.layer, markdown(&header.map(String::from), &rows))
    }

    /// The series with all figures.
    pub fn json(&self) -> Value {
        let point = |point: &Point| {
            json!({
                "size": point.size,
                "microseconds": point.microseconds,
                "units": point.units,
                "nanoseconds_per_unit": point.cost(),
            })
        };
        json!({
            "layer": self.layer,
            "unit": self.unit,
            "along": self.along.name(),
            "points": self.points.iter().map(point).collect::<Vec<_>>(),
            "cliffs": self.cliffs().iter().map(|point| point.size).collect::<Vec<_>>(),
        })
    }
}

/// The layer alone, on any number of steps.
fn graph(layer: &Layer, channels: usize) -> k2o::core::Result<Graph> {
    let sizes = [1.into(), Dim::symbol("steps"), (channels as i64).into()];
    net::graph(sizes, |net, x| (layer.build)(net, x, channels))
}

/// The units of work for so many steps.
fn work(graph: &Graph, unit: &str, steps: usize) -> k2o::core::Result<f64> {
    let bindings = Bindings::from([("steps".into(), steps as i64)]);
    let mut total = 0.0;
    for node in graph.nodes() {
        let cost = graph.cost(node)?;
        let work = if unit == MULTIPLY_ADD { cost.multiply_adds } else { cost.element_ops };
        total += work.eval(&bindings)? as f64;
    }
    Ok(total)
}

fn conv(net: &mut Net, x: Operand, channels: usize) -> Made {
    net.conv(x, Window::new(3, 1, 1, Padding::Same)?, [channels; 2], 1)
}

fn dilated(net: &mut Net, x: Operand, channels: usize) -> Made {
    net.conv(x, Window::new(3, 1, 16, Padding::Explicit(32, 0))?, [channels; 2], 1)
}

fn depthwise(net: &mut Net, x: Operand, channels: usize) -> Made {
    net.conv(x, Window::new(5, 1, 1, Padding::Same)?, [channels; 2], channels)
}

fn dense(net: &mut Net, x: Operand, channels: usize) -> Made {
    net.dense(x, [channels; 2])
}

fn max_pool(net: &mut Net, x: Operand, _: usize) -> Made {
    net.max_pool(x, 2)
}

fn lstm(net: &mut Net, x: Operand, channels: usize) -> Made {
    net.lstm(x, [channels; 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_as_the_layers_are_defined() {
        for (name, expected) in [
            ("conv", 3 * 4 * 4 * 100),
            ("dilated", 3 * 4 * 4 * 100),
            ("depthwise", 5 * 4 * 100),
            ("dense", 4 * 4 * 100),
            ("max_pool", 4 * 100),
            ("lstm", (4 + 4) * 4 * 4 * 100),
        ] {
            let layer = LAYERS.iter().find(|layer| layer.name == name).unwrap();
            let graph = graph(layer, 4).unwrap();
            assert_eq!(work(&graph, layer.unit, 100), Ok(f64::from(expected)), "{name}");
        }
    }

    #[test]
    fn a_cliff_is_a_unit_of_work_that_costs_more_than_twice_what_it_did() {
        let point = |size, microseconds| Point { size, microseconds, units: size as f64 };
        let points = vec![point(1, 9.0), point(2, 2.0), point(4, 8.0), point(8, 16.1), point(16, 65.0)];
        let series = Series { layer: "conv", unit: MULTIPLY_ADD, along: Along::Steps, points };
        // Costs of 9, 1, 2, 2.01 and 4.06 thousand: twice is none.
        assert_eq!(series.cliffs().iter().map(|point| point.size).collect::<Vec<_>>(), [16]);
        assert_eq!(series.table().matches("cliff").count(), 1);
        assert_eq!(series.json()["cliffs"], json!([16]));
    }

    #[test]
    fn every_layer_runs_at_every_kind_of_size() {
        let sizes = Layer { steps: &[1, 7], ..LAYERS[0] };
        let series = Series::measure(&sizes, Along::Steps, 1).unwrap();
        assert_eq!(series.points.len(), 2);
        assert!(series.points.iter().all(|point| point.microseconds > 0.0 && point.units > 0.0));
    }
}
