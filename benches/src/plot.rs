//! Plots, as SVG.

use crate::contest::Cell;
use crate::growth::{Along, Point, Series};
use crate::ours::OURS;
use crate::report::goal;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

/// Colours that are told apart by most eyes, also on paper.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
const AIM: RGBColor = BLACK;

/// Pixels of a row, of which so many on the right say what the colours mean.
const WIDTH: u32 = 900;
const HEIGHT: u32 = 220;
const LEGEND: u32 = 130;
const LEGEND_LEFT: i32 = (WIDTH - LEGEND) as i32 + 20;
const LEGEND_TOP: i32 = 50;
const LINE: i32 = 20;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// How many times as long as ours the other runtimes take: a row for each model, with a column for each batch and number
/// of threads, a point for each of `peers`, and a bar where the fastest is to be.
///
/// # Errors
/// Where nothing was timed.
pub fn ratios(cells: &[Cell], peers: &[&str]) -> Result<String, String> {
    let mut models: Vec<&str> = cells.iter().map(|cell| cell.model.as_str()).collect();
    models.dedup();
    let points =
        cells.iter().flat_map(|cell| peers.iter().filter_map(|peer| height(cell, peer)).chain(aim(cell)));
    let points: Vec<f64> = points.chain([0.0]).collect();
    if models.is_empty() || points.len() == 1 {
        return Err("nothing was timed".to_string());
    }
    let least = points.iter().copied().fold(f64::INFINITY, f64::min).floor();
    let most = points.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();

    drawn(HEIGHT, models.len(), |area, at| {
        let columns: Vec<&Cell> = cells.iter().filter(|cell| cell.model == models[at]).collect();
        row(area, &columns, peers, least..most)
    })
}

/// A picture of so many rows, each drawn by itself.
fn drawn(height: u32, rows: usize, draw: impl Fn(&Area<'_>, usize) -> Outcome<()>) -> Result<String, String> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH, height * rows as u32)).into_drawing_area();
    let all = || -> Outcome<()> {
        root.fill(&WHITE)?;
        for (at, area) in root.split_evenly((rows, 1)).iter().enumerate() {
            draw(area, at)?;
        }
        Ok(root.present()?)
    };
    all().map_err(|error| error.to_string())?;
    drop(root);
    Ok(svg)
}

/// Says in the margin which colour means what, below the first `skipped` lines.
fn legend(area: &Area<'_>, names: &[&str], skipped: usize) -> Outcome<()> {
    for (line, (name, colour)) in names.iter().zip(COLOURS).enumerate() {
        let y = LEGEND_TOP + LINE * (line + skipped) as i32;
        area.draw(&Circle::new((LEGEND_LEFT, y), 4, colour.filled()))?;
        entry(area, name, y)?;
    }
    Ok(())
}

fn entry(area: &Area<'_>, name: &str, y: i32) -> Outcome<()> {
    Ok(area.draw(&Text::new(name.to_string(), (LEGEND_LEFT + 14, y - 6), ("sans-serif", 12)))?)
}

/// Where a runtime is in a column: the binary logarithm of its ratio.
fn height(cell: &Cell, peer: &str) -> Option<f64> {
    cell.best(peer).and_then(|entry| cell.ratio(entry, OURS[0].0)).map(f64::log2)
}

/// Where the fastest is to be.
fn aim(cell: &Cell) -> Option<f64> {
    goal(&cell.model, cell.batch, OURS[0].1).map(f64::log2)
}

/// Draws one model's columns.
fn row(area: &Area<'_>, columns: &[&Cell], peers: &[&str], heights: Range<f64>) -> Outcome<()> {
    let model = columns.first().map_or("", |cell| &cell.model);
    let ticks = (heights.end - heights.start) as usize + 1;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{model}: time / time of {}", OURS[0].0), ("sans-serif", 16))
        .margin(8)
        .margin_right(LEGEND)
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..columns.len() as f64, heights)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(0)
        .y_labels(ticks)
        .y_label_formatter(&|y| match y.exp2() {
            ratio if ratio < 1.0 => format!("1/{}", 1.0 / ratio),
            ratio => ratio.to_string(),
        })
        .draw()?;
    let bar = |at: usize, y: f64, style: ShapeStyle| {
        PathElement::new([(at as f64 + 0.1, y), (at as f64 + 0.9, y)], style)
    };
    chart.draw_series([PathElement::new([(0.0, 0.0), (columns.len() as f64, 0.0)], BLACK)])?;
    let aims =
        columns.iter().enumerate().filter_map(|(at, cell)| Some(bar(at, aim(cell)?, AIM.stroke_width(2))));
    chart.draw_series(aims)?;
    for (peer, colour) in peers.iter().zip(COLOURS) {
        let place = |at: usize| at as f64 + 0.5;
        let heights =
            columns.iter().enumerate().filter_map(|(at, cell)| Some((place(at), height(cell, peer)?)));
        chart.draw_series(heights.map(|point| Circle::new(point, 4, colour.filled())))?;
    }

    let dash = [(LEGEND_LEFT - 6, LEGEND_TOP), (LEGEND_LEFT + 6, LEGEND_TOP)];
    area.draw(&PathElement::new(dash, AIM.stroke_width(2)))?;
    entry(area, "goal", LEGEND_TOP)?;
    legend(area, peers, 1)?;
    let centred = ("sans-serif", 12).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Top));
    for (at, cell) in columns.iter().enumerate() {
        let (x, _) = chart.backend_coord(&(at as f64 + 0.5, 0.0));
        let threads = if cell.threads == 1 { "thread" } else { "threads" };
        let label = format!("{}, {} {threads}", cell.batch, cell.threads);
        area.draw(&Text::new(label, (x, HEIGHT as i32 - 28), centred.clone()))?;
    }
    Ok(())
}

/// Nanoseconds for a unit of work as the work grows: a row for each size that grows, a line for each layer.
///
/// # Errors
/// Where there is nothing to draw.
pub fn costs(all: &[Series]) -> Result<String, String> {
    let mut along: Vec<Along> = all.iter().map(|series| series.along).collect();
    along.dedup();
    if all.iter().all(|series| series.points.is_empty()) {
        return Err("nothing was timed".to_string());
    }
    drawn(2 * HEIGHT, along.len(), |area, at| {
        let lines: Vec<&Series> = all.iter().filter(|series| series.along == along[at]).collect();
        let points = || lines.iter().flat_map(|series| &series.points);
        let sizes = around(points().map(|point| point.size as f64), 1.0);
        let costs = around(points().map(Point::cost), 1.2);
        let mut chart = ChartBuilder::on(area)
            .caption(
                format!("nanoseconds for a multiply-add or comparison, by {}", along[at].name()),
                ("sans-serif", 16),
            )
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(sizes.log_scale(), costs.log_scale())?;
        // In single precision, so that the mesh's rounding errors are gone.
        let plain = |x: &f64| (*x as f32).to_string();
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_label_formatter(&plain)
            .y_label_formatter(&plain)
            .draw()?;
        for (series, colour) in lines.iter().zip(COLOURS) {
            let points: Vec<(f64, f64)> =
                series.points.iter().map(|point| (point.size as f64, point.cost())).collect();
            chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(1))])?;
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 2, colour.filled())))?;
        }
        legend(area, &lines.iter().map(|series| series.layer).collect::<Vec<_>>(), 0)
    })
}

/// From the least of some positive numbers to the largest, and a factor more on both sides.
fn around(numbers: impl Iterator<Item = f64> + Clone, more: f64) -> Range<f64> {
    let (least, most) = (numbers.clone().fold(f64::INFINITY, f64::min), numbers.fold(0.0, f64::max));
    least / more..most * more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Entry;

    #[test]
    fn there_is_a_point_for_each_peer_that_was_timed() {
        let entry = |name: &str, times: &[f64]| Entry {
            runtime: name.to_string(),
            export: None,
            rounds: Ok(times.to_vec()),
        };
        let cell = |threads| Cell {
            model: "tcn".to_string(),
            batch: 32,
            threads,
            entries: vec![entry("k2o", &[2.0]), entry("one", &[3.0]), entry("two", &[8.0])],
        };
        let svg = ratios(&[cell(1), cell(2)], &["one", "two", "three"]).unwrap();
        // Of two peers in two columns, and three in the legend.
        assert_eq!(svg.matches("<circle").count(), 2 * 2 + 3);
        assert!(svg.contains("32, 1 thread\n") && svg.contains("32, 2 threads\n"));
        assert!(ratios(&[], &["one"]).is_err());
    }

    #[test]
    fn there_is_a_line_for_each_layer_in_the_row_of_what_grows() {
        let series = |layer, along| Series {
            layer,
            unit: "multiply-add",
            along,
            points: [1, 10, 100].map(|size| Point { size, microseconds: 1.0, units: size as f64 }).to_vec(),
        };
        let all = [("a", Along::Steps), ("b", Along::Steps), ("a", Along::Channels)];
        let svg = costs(&all.map(|(layer, along)| series(layer, along))).unwrap();
        // Three points a line, and one in the legend.
        assert_eq!(svg.matches("<circle").count(), 3 * (3 + 1));
        assert!(svg.contains("by steps") && svg.contains("by channels"));
        assert!(costs(&[]).is_err());
    }
}
