//! `summary MODEL`: the columns and totals of Keras's own summary, what layers cost, how far they see, and what is odd.

use super::table::{Style, table};
use super::{ModelArgs, bytes, grouped};
use crate::failure::Failure;
use k2o::{Bound, CostOptions, Costs, LayerCost, Model, NonFinite, ReceptiveField, Summary, SummaryRow};
use serde_json::{Value, json};
use std::fmt::Write;

/// Operations in the time in which a byte is read: of the order of 200 GFLOP/s and 25 GB/s, one core of a processor of today.
const BALANCE: f64 = 8.0;

/// Weights of so many bytes in all are read unasked: in a small part of a second, from a disk that is not slow.
const READ_UNASKED: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Shows the layers of nested models too
    #[arg(long)]
    expand_nested: bool,
    /// Says of each layer whether training changes its weights
    #[arg(long)]
    show_trainable: bool,
    /// Adds what each layer costs to run, in multiply-adds, bytes and operations per byte, what it would wait for, and its
    /// receptive field
    #[arg(long)]
    cost: bool,
    /// Steps per second of the input: adds receptive fields, in seconds too
    #[arg(long, value_name = "HZ", value_parser = rate)]
    rate: Option<f64>,
    /// For --cost: the number of examples
    #[arg(long, value_name = "N", default_value_t = 1, requires = "cost")]
    batch: u32,
    /// For --cost: the length of inputs whose file leaves it open [default: 100, or the next greater one that fits]
    #[arg(long, value_name = "N", requires = "cost")]
    steps: Option<u32>,
    /// For --cost: how many operations the machine does in the time in which it reads a byte; layers of more operations
    /// per byte wait for the arithmetic, others for memory
    #[arg(long, value_name = "N", default_value_t = BALANCE, requires = "cost")]
    balance: f64,
    /// Looks for NaN and infinite numbers in weights of more than 256 MiB, too
    #[arg(long)]
    all_weights: bool,
    /// Writes the tables as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Writes JSON: {"layers": [{"name", "class", "output_shape", "params"}], "total_params", ..}
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number".to_string())?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("expected a number above zero".to_string()) }
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let model = args.model.open()?;
    let summary = if args.expand_nested { model.summary_expanded() } else { model.summary() };
    let costs = match args.cost {
        false => None,
        true => {
            let mut options = CostOptions::default();
            (options.batch, options.length) = (args.batch, args.steps);
            Some(model.costs(&summary, &options)?)
        }
    };
    let wants_fields = args.cost || args.rate.is_some();
    let fields = wants_fields.then(|| model.receptive_fields(&summary));
    let weights = looked_through(&model, &summary, if args.all_weights { u64::MAX } else { READ_UNASKED });
    let parts = Parts { args, model: &model, summary: &summary, costs, fields, weights };
    if args.json { Ok(format!("{}\n", parts.json())) } else { Ok(parts.text()) }
}

/// What is known of NaN and infinite numbers in the weights.
enum Weights {
    /// Those that have some.
    Read(Vec<NonFinite>),
    /// They take this many bytes.
    TooMany(u64),
    Unreadable(k2o::Error),
}

/// The weights are read unless they take more than `most` bytes. A summary does without them where they cannot be.
fn looked_through(model: &Model, summary: &Summary, most: u64) -> Weights {
    let size = summary.total_parameters.saturating_mul(4);
    if size > most && model.provenance().has_weights {
        return Weights::TooMany(size);
    }
    model.non_finite_weights().map_or_else(Weights::Unreadable, Weights::Read)
}

struct Parts<'a> {
    args: &'a Args,
    model: &'a Model,
    summary: &'a Summary,
    costs: Option<Costs>,
    fields: Option<Vec<Option<ReceptiveField>>>,
    weights: Weights,
}

impl Parts<'_> {
    fn text(&self) -> String {
        let style = if self.args.markdown { Style::Markdown } else { Style::Terminal };
        let mut text = format!("Model: {:?}\n", self.summary.name);
        if style == Style::Markdown {
            text.push('\n');
        }
        text += &self.layers(style);
        text.push('\n');
        let mut total = |what: &str, n: u64| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{what}: {}", grouped(n));
        };
        total("Total params", self.summary.total_parameters);
        total("Trainable params", self.summary.trainable_parameters);
        total("Non-trainable params", self.summary.non_trainable_parameters);
        if self.summary.optimizer_parameters > 0 {
            total("Optimizer params", self.summary.optimizer_parameters);
        }
        if let Some(steps) = self.model.shortest_input() {
            total("Shortest input", steps);
        }
        text += &self.weights_note();
        if let Some(costs) = &self.costs {
            text += &self.cost_table(style, costs);
        }
        let advice = self.model.advice();
        if !advice.is_empty() {
            text += "\nAdvice:\n";
            advice.iter().for_each(|sentence| {
                let _ = writeln!(text, "- {sentence}");
            });
        }
        text
    }

    /// What is not as it should be with the weights; nothing where all is.
    fn weights_note(&self) -> String {
        match &self.weights {
            Weights::Read(found) if found.is_empty() => String::new(),
            Weights::Read(found) => {
                let lines: String = found.iter().map(|found| format!("- {found}\n")).collect();
                format!("\nNot finite:\n{lines}")
            }
            Weights::TooMany(size) => {
                let size = bytes(*size);
                format!(
                    "Weights: {size}, not searched for NaN and infinite numbers (--all-weights does that)\n"
                )
            }
            Weights::Unreadable(error) => format!("Weights: not readable: {error}\n"),
        }
    }

    /// How many elements of a row's weights are not finite.
    fn non_finite(&self, row: &SummaryRow) -> u64 {
        let Weights::Read(found) = &self.weights else { return 0 };
        found.iter().filter(|found| row.calls.contains(&found.call)).map(NonFinite::count).sum()
    }

    fn layers(&self, style: Style) -> String {
        let has_connections = is_graph(&self.summary.rows);
        let mut header = vec!["Layer (type)", "Output Shape", "Param #"];
        if has_connections {
            header.push("Connected to");
        }
        if self.args.show_trainable {
            header.push("Trainable");
        }
        if self.fields.is_some() {
            header.extend(["Receptive field", "Stride"]);
        }
        let rows = self.summary.rows.iter().enumerate().map(|(at, row)| {
            let indent = "  ".repeat(row.depth);
            let mut cells = vec![
                format!("{indent}{} ({})", row.name, row.class),
                row.shape_text(),
                grouped(row.parameters),
            ];
            if has_connections {
                cells.push(row.connected_to.join(", "));
            }
            if self.args.show_trainable {
                cells.push(row.is_trainable().map_or("-", |is| if is { "Y" } else { "N" }).to_string());
            }
            if let Some(fields) = &self.fields {
                cells.extend(field_cells(fields.get(at).copied().flatten(), self.args.rate));
            }
            cells
        });
        table(style, &header, &["Param #", "Receptive field", "Stride"], &rows.collect::<Vec<_>>())
    }

    fn cost_table(&self, style: Style, costs: &Costs) -> String {
        let header =
            ["Layer", "Multiply-adds", "Other ops", "Weights", "Activations", "Ops / byte", "Bound by"];
        let cells = |name: String, cost: &LayerCost| {
            vec![
                name,
                grouped(cost.multiply_adds),
                grouped(cost.element_ops),
                bytes(cost.weight_bytes),
                bytes(cost.activation_bytes),
                format!("{:.2}", cost.intensity()),
                bound_name(cost.bound(self.args.balance)).unwrap_or("-").to_string(),
            ]
        };
        let layers = self.summary.rows.iter().zip(&costs.rows);
        let mut rows: Vec<Vec<String>> = layers
            .map(|(row, cost)| cells(format!("{}{}", "  ".repeat(row.depth), row.name), cost))
            .collect();
        rows.push(cells("total".to_string(), &costs.total));
        let sizes: Vec<String> = costs.sizes.iter().map(|(name, size)| format!("{name} = {size}")).collect();
        let of = if sizes.is_empty() { String::new() } else { format!(" of {}", sizes.join(", ")) };
        let balance = self.args.balance;
        format!(
            "\nCost of a run{of}, layer by layer; bound by memory below {balance} operations per byte:\n{}{}",
            if style == Style::Markdown { "\n" } else { "" },
            table(style, &header, &header[1..6], &rows)
        )
    }

    fn json(&self) -> Value {
        let layers = self.summary.rows.iter().enumerate().map(|(at, row)| {
            let mut layer = json!({
                "name": row.name,
                "class": row.class,
                "output_shape": shapes_json(&row.output_shapes),
                "params": row.parameters,
            });
            let mut set = |key: &str, value: Value| layer[key] = value;
            let non_finite = self.non_finite(row);
            if non_finite > 0 {
                set("non_finite", json!(non_finite));
            }
            if self.args.expand_nested {
                set("depth", json!(row.depth));
            }
            if self.args.show_trainable {
                set("trainable", json!(row.is_trainable()));
            }
            if let Some(cost) = self.costs.as_ref().and_then(|costs| costs.rows.get(at)) {
                set("connected_to", json!(row.connected_to));
                set("cost", self.cost_json(cost));
            }
            if let Some(fields) = &self.fields {
                set("receptive_field", field_json(fields.get(at).copied().flatten(), self.args.rate));
            }
            layer
        });
        let mut summary = json!({
            "layers": layers.collect::<Vec<_>>(),
            "total_params": self.summary.total_parameters,
            "trainable_params": self.summary.trainable_parameters,
            "non_trainable_params": self.summary.non_trainable_parameters,
        });
        if let Some(costs) = &self.costs {
            summary["name"] = json!(self.summary.name);
            summary["cost"] = self.cost_json(&costs.total);
            summary["sizes"] = json!(costs.sizes);
            summary["balance"] = json!(self.args.balance);
            summary["shortest_input"] = json!(self.model.shortest_input());
            summary["advice"] = json!(self.model.advice());
        }
        summary
    }

    fn cost_json(&self, cost: &LayerCost) -> Value {
        json!({
            "multiply_adds": cost.multiply_adds,
            "element_ops": cost.element_ops,
            "weight_bytes": cost.weight_bytes,
            "activation_bytes": cost.activation_bytes,
            "operations_per_byte": cost.intensity(),
            "bound_by": bound_name(cost.bound(self.args.balance)),
        })
    }
}

/// Whether there is more to say of connections than that each layer reads the one before.
fn is_graph(rows: &[SummaryRow]) -> bool {
    let mut before: [Option<&SummaryRow>; 1] = [None];
    rows.iter().filter(|row| row.depth == 0).any(|row| {
        let [last] = before;
        before = [Some(row)];
        match (last, row.connected_to.as_slice()) {
            (_, []) => last.is_some(),
            (Some(last), [only]) => *only != format!("{}[0][0]", last.name),
            _ => true,
        }
    })
}

fn bound_name(bound: Option<Bound>) -> Option<&'static str> {
    bound.map(|bound| match bound {
        Bound::Compute => "compute",
        Bound::Memory => "memory",
    })
}

/// A number without the zeros of a fraction that it lacks.
fn short(n: f64) -> String {
    if n.fract() == 0.0 { format!("{n:.0}") } else { format!("{n:.3}") }
}

fn seconds(steps: f64, rate: Option<f64>) -> String {
    rate.map_or_else(String::new, |rate| format!(" ({:.4} s)", steps / rate))
}

fn field_cells(field: Option<ReceptiveField>, rate: Option<f64>) -> [String; 2] {
    let Some(field) = field else { return ["-".to_string(), "-".to_string()] };
    let steps = match (field.first.is_finite(), field.last.is_finite()) {
        (true, true) => format!("{}{}", short(field.steps()), seconds(field.steps(), rate)),
        (false, true) => "all before".to_string(),
        _ => "all".to_string(),
    };
    [steps, format!("{}{}", short(field.stride), seconds(field.stride, rate))]
}

/// `steps` is null where there is no bound.
fn field_json(field: Option<ReceptiveField>, rate: Option<f64>) -> Value {
    let Some(field) = field else { return Value::Null };
    let number = |n: f64| match n {
        n if !n.is_finite() => Value::Null,
        n if n.fract() == 0.0 && n.abs() < 1e15 => json!(n as i64),
        n => json!(n),
    };
    let mut value = json!({"steps": number(field.steps()), "stride": number(field.stride)});
    if let Some(rate) = rate {
        value["seconds"] = number(field.steps() / rate);
        value["stride_seconds"] = number(field.stride / rate);
    }
    value
}

/// The shape of one output, or a list of shapes.
pub(crate) fn shapes_json(shapes: &[Vec<Option<i64>>]) -> Value {
    match shapes {
        [only] => json!(only),
        several => json!(several),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_weights_are_not_read_unasked() {
        let model = Model::open(k2o_fixtures::case("dense_plain").path("keras3.keras")).unwrap();
        let looked = |most| looked_through(&model, &model.summary(), most);
        // 4 x 3 and 3 numbers.
        assert!(matches!(looked(59), Weights::TooMany(60)));
        assert!(matches!(looked(60), Weights::Read(found) if found.is_empty()));
    }
}
