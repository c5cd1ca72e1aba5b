//! What a contest is told as: tables, JSON, and the part of a README.

use crate::BATCHES;
use crate::contest::{Cell, Entry, Export, Failure};
use crate::machine::Machine;
use crate::ours::OURS;
use crate::peak::Peak;
use crate::streams::{CHUNKS, Stream};
use crate::table::{markdown, number};
use k2o::onnx::WeightsType;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything that was measured in one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The day, in UTC.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// The share of its cores that other programs had meanwhile, where the system says.
    pub others: Option<f64>,
    /// What a core of it can do, the best of before and after.
    pub peak: Peak,
    /// Versions, by name.
    pub versions: BTreeMap<String, String>,
    /// The names of the other runtimes, in the order of their columns.
    pub peers: Vec<&'static str>,
    /// The multiply-adds for one example, by model, as the direct algorithms of its operators have them.
    pub multiply_adds: BTreeMap<String, f64>,
    /// The contests.
    pub cells: Vec<Cell>,
    /// What it takes until a model can be run.
    pub loads: Vec<Load>,
    /// What a step of an endless sequence takes.
    pub streams: Vec<Stream>,
}

/// Microseconds from files on disk to models that can be run.
#[derive(Clone, Debug)]
pub struct Load {
    /// The fixture.
    pub model: String,
    /// A `.keras` file opened, imported, planned and given a session.
    pub k2o: Result<f64, String>,
    /// Sessions of onnxruntime from the file of each exporter.
    pub onnxruntime: Vec<(Export, Result<f64, String>)>,
}

impl Load {
    /// Our time by onnxruntime's, with the file that is faster there.
    pub fn ratio(&self) -> Option<f64> {
        let theirs = self.onnxruntime.iter().filter_map(|(_, time)| time.as_ref().ok());
        let fastest = theirs.copied().min_by(f64::total_cmp)?;
        Some(self.k2o.as_ref().ok()? / fastest)
    }
}

/// How many times as long as ours the fastest of the others is to take at least: by model and weights, for each of
/// [`BATCHES`].
const GOALS: [(&str, WeightsType, [Option<f64>; 3]); 6] = [
    ("basic", WeightsType::F32, [Some(2.2), Some(1.3), Some(1.15)]),
    ("advanced", WeightsType::F32, [Some(1.2), Some(1.4), Some(1.4)]),
    ("advanced", WeightsType::F16, [Some(1.7), None, None]),
    ("tcn", WeightsType::F32, [Some(1.15), Some(1.2), Some(1.2)]),
    ("separable", WeightsType::F32, [Some(2.0), Some(1.6), Some(1.6)]),
    ("convbilstm", WeightsType::F32, [Some(1.5), Some(1.5), Some(1.5)]),
];

/// The goal for the ratio of one contest, if there is one.
pub fn goal(model: &str, batch: usize, weights: WeightsType) -> Option<f64> {
    let (_, _, goals) = GOALS.iter().find(|(name, kind, _)| *name == model && *kind == weights)?;
    goals[BATCHES.iter().position(|&other| other == batch)?]
}

/// The most that our time from file to session is to be, of onnxruntime's.
const LOAD_GOAL: f64 = 0.5;

impl Report {
    /// Our multiply-adds a second, as a share of what the cores can do at most.
    pub fn share_of_peak(&self, cell: &Cell, ours: &str) -> Option<f64> {
        let time = cell.best(ours)?.microseconds()? / 1e6;
        let operations = 2.0 * self.multiply_adds.get(&cell.model)? * cell.batch as f64;
        Some(operations / time / (self.peak.fma_gflops * 1e9 * cell.threads as f64))
    }

    /// The times of all runtimes in microseconds, with the goals.
    pub fn times(&self) -> String {
        let mut header: Vec<String> = ["model", "batch", "threads"].map(String::from).to_vec();
        header.extend(OURS.iter().map(|(name, _)| name.to_string()));
        header.extend(self.peers.iter().map(|name| name.to_string()));
        for (name, _) in OURS {
            header.extend([format!("fastest / {name}"), "goal".to_string(), "of peak".to_string()]);
        }
        let row = |cell: &Cell| {
            let mut row = vec![cell.model.clone(), cell.batch.to_string(), cell.threads.to_string()];
            let names = OURS.iter().map(|(name, _)| *name).chain(self.peers.iter().copied());
            row.extend(names.map(|name| time(cell.best(name))));
            for (name, weights) in OURS {
                let ratio = cell.fastest_peer().and_then(|entry| cell.ratio(entry, name));
                let goal = goal(&cell.model, cell.batch, weights);
                let share = self.share_of_peak(cell, name);
                row.push(ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}")));
                row.push(goal.map_or("-".to_string(), |goal| format!("{goal:.2}")));
                row.push(share.map_or("-".to_string(), |share| format!("{:.1} %", 100.0 * share)));
            }
            row
        };
        markdown(&header, &self.cells.iter().map(row).collect::<Vec<_>>())
    }

    /// The times from file to session in milliseconds.
    pub fn load_times(&self) -> String {
        let exports = [Export::K2o, Export::Keras];
        let mut header = vec!["model".to_string(), "k2o, from .keras".to_string()];
        header.extend(exports.map(|export| format!("onnxruntime, from .onnx by {}", export.name())));
        header.extend(["k2o / onnxruntime".to_string(), "goal".to_string()]);
        let milliseconds = |time: Option<&f64>| time.map_or("fails".to_string(), |time| number(time / 1e3));
        let row = |load: &Load| {
            let mut row = vec![load.model.clone(), milliseconds(load.k2o.as_ref().ok())];
            row.extend(exports.map(|export| {
                let found = load.onnxruntime.iter().find(|(other, _)| *other == export);
                milliseconds(found.and_then(|(_, time)| time.as_ref().ok()))
            }));
            row.push(load.ratio().map_or("-".to_string(), |ratio| format!("{ratio:.2}")));
            row.push(format!("{LOAD_GOAL:.2}"));
            row
        };
        markdown(&header, &self.loads.iter().map(row).collect::<Vec<_>>())
    }

    /// The times for a pushed step of endless sequences, in microseconds.
    pub fn stream_times(&self) -> String {
        let mut header = vec!["model".to_string()];
        header.extend(CHUNKS.map(|steps| match steps {
            1 => "1 step at a time".to_string(),
            steps => format!("{steps} steps at a time"),
        }));
        let row = |stream: &Stream| {
            std::iter::once(stream.model.clone()).chain(stream.microseconds.map(number)).collect()
        };
        markdown(&header, &self.streams.iter().map(row).collect::<Vec<_>>())
    }

    /// Everything that was not timed, with the reason, each once.
    pub fn failures(&self) -> Vec<String> {
        let mut found: Vec<(String, String, Vec<String>)> = Vec::new();
        for cell in &self.cells {
            for entry in &cell.entries {
                let Err(failure) = &entry.rounds else { continue };
                let file =
                    entry.export.map_or(String::new(), |export| format!(", file by {}", export.name()));
                let who = format!("{} in {}{file}", cell.model, entry.runtime);
                let (reason, place) =
                    (one_line(&failure.to_string()), format!("{}/{}", cell.batch, cell.threads));
                match found.iter_mut().find(|(other, text, _)| *other == who && *text == reason) {
                    Some((_, _, places)) => places.push(place),
                    None => found.push((who, reason, vec![place])),
                }
            }
        }
        let contests = found
            .into_iter()
            .map(|(who, reason, places)| format!("{who}, at batch/threads {}: {reason}", places.join(", ")));
        let loads = self.loads.iter().flat_map(|load| {
            let theirs = load.onnxruntime.iter().map(|(export, time)| (export.name(), time));
            std::iter::once(("Keras, in k2o", &load.k2o)).chain(theirs).filter_map(|(file, time)| {
                let reason = one_line(time.as_ref().err()?);
                Some(format!("{}, loading of the file by {file}: {reason}", load.model))
            })
        });
        contests.chain(loads).collect()
    }

    /// The machine, its peaks, the versions.
    pub fn circumstances(&self) -> String {
        let Machine { cpu, cores, instruction_set, os } = &self.machine;
        let versions: Vec<String> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        format!(
            "{date}: {cpu}, {cores}, {instruction_set}; {os}. One core reaches {fma} GFLOP/s of fused multiply-adds \
             and reads {read} GB/s. {others}{versions}.",
            date = self.date,
            cores = match cores {
                1 => "1 core".to_string(),
                n => format!("{n} cores"),
            },
            fma = number(self.peak.fma_gflops),
            read = number(self.peak.read_gbps),
            others = self.others.map_or(String::new(), |share| {
                format!("Other programs had {:.0} % of the cores meanwhile. ", 100.0 * share)
            }),
            versions = versions.join(", "),
        )
    }

    /// What stands between the markers of the README.
    pub fn readme(&self) -> String {
        let failures: String = self.failures().iter().map(|failure| format!("\n- {failure}")).collect();
        let failures = if failures.is_empty() { failures } else { format!("\nNot timed:\n{failures}\n") };
        let tables =
            [self.load_times(), self.stream_times()].join("\nA pushed step of an endless sequence:\n\n");
        format!("{}\n\n{}{failures}\n{tables}", self.circumstances(), self.times())
    }

    /// All figures.
    pub fn json(&self) -> Value {
        let (mut rows, mut details) = (Vec::new(), Vec::new());
        for cell in &self.cells {
            let row = |entry: &Entry| {
                json!({
                    "model": cell.model,
                    "batch": cell.batch,
                    "threads": cell.threads,
                    "runtime": entry.runtime,
                    "export": entry.export.map(Export::name),
                    "microseconds": entry.microseconds(),
                    "ratio_to_ours": cell.ratio(entry, OURS[0].0),
                    "error": entry.rounds.as_ref().err().map(Failure::to_string),
                })
            };
            let names = OURS.iter().map(|(name, _)| *name).chain(self.peers.iter().copied());
            rows.extend(names.filter_map(|name| cell.best(name)).map(row));
            details.extend(cell.entries.iter().map(|entry| {
                let mut row = row(entry);
                row["rounds"] = json!(entry.rounds.as_ref().ok());
                row
            }));
        }
        let load = |load: &Load| {
            let theirs = |export| {
                let found = load.onnxruntime.iter().find(|(other, _)| *other == export);
                found.and_then(|(_, time)| time.as_ref().ok())
            };
            json!({
                "model": load.model,
                "k2o_microseconds": load.k2o.as_ref().ok(),
                "onnxruntime_microseconds": { "k2o": theirs(Export::K2o), "keras": theirs(Export::Keras) },
                "ratio": load.ratio(),
            })
        };
        let stream = |stream: &Stream| {
            CHUNKS
                .into_iter()
                .zip(stream.microseconds)
                .map(|(steps, microseconds)| {
                    json!({
                        "model": stream.model,
                        "steps_at_a_time": steps,
                        "microseconds_per_step": microseconds,
                    })
                })
                .collect::<Vec<_>>()
        };
        json!({
            "date": self.date,
            "machine": self.machine.json(),
            "share_of_others": self.others,
            "versions": self.versions,
            "fma_peak_gflops": self.peak.fma_gflops,
            "read_gbps": self.peak.read_gbps,
            "multiply_adds": self.multiply_adds,
            "rows": rows,
            "load": self.loads.iter().map(load).collect::<Vec<_>>(),
            "streams": self.streams.iter().flat_map(stream).collect::<Vec<_>>(),
            "details": details,
        })
    }
}

/// A time in microseconds, with a star where Keras's file is the faster one; what went wrong, where there is none.
fn time(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else { return "-".to_string() };
    match (&entry.rounds, entry.microseconds()) {
        (Err(Failure::Wrong(_)), _) => "wrong".to_string(),
        (Err(Failure::Fails(_)), _) | (_, None) => "fails".to_string(),
        (_, Some(time)) if entry.export == Some(Export::Keras) => format!("{}*", number(time)),
        (_, Some(time)) => number(time),
    }
}

/// The beginning of a message, without its line breaks.
fn one_line(message: &str) -> String {
    const MOST: usize = 200;
    let words: Vec<&str> = message.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

const BEGIN: &str = "<!-- begin generated: peers -->\n";
const END: &str = "<!-- end generated: peers -->\n";

/// `text`, the README, with what is between the markers replaced.
///
/// # Errors
/// Where it has no markers.
pub fn rewritten(text: &str, generated: &str) -> Result<String, String> {
    let missing = || format!("the README has no lines {BEGIN:?} and {END:?}");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}{generated}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(runtime: &str, export: Option<Export>, rounds: Result<&[f64], Failure>) -> Entry {
        Entry { runtime: runtime.to_string(), export, rounds: rounds.map(<[f64]>::to_vec) }
    }

    /// We take 10, 20 and 30 µs; `one` takes twice and half as long, `two` computes something else or fails.
    fn report() -> Report {
        let wrong = || Err(Failure::Wrong("the outputs differ by 1".to_string()));
        let fails = || Err(Failure::Fails("not\n\n  known".to_string()));
        let cell = |batch, entries| Cell { model: "basic".to_string(), batch, threads: 1, entries };
        Report {
            date: "2026-11-23".to_string(),
            machine: Machine {
                cpu: "a processor".to_string(),
                cores: 2,
                instruction_set: "portable".to_string(),
                os: "an OS".to_string(),
            },
            others: Some(0.031),
            peak: Peak { fma_gflops: 100.0, read_gbps: 10.0 },
            versions: BTreeMap::from([("one".to_string(), "1.0".to_string())]),
            peers: vec!["one", "two"],
            multiply_adds: BTreeMap::from([("basic".to_string(), 1e5)]),
            cells: vec![
                cell(
                    1,
                    vec![
                        entry("k2o", None, Ok(&[30.0, 10.0, 20.0])),
                        entry("one", Some(Export::K2o), Ok(&[50.0])),
                        entry("one", Some(Export::Keras), Ok(&[40.0])),
                        entry("two", Some(Export::K2o), wrong()),
                        entry("two", Some(Export::Keras), wrong()),
                    ],
                ),
                cell(
                    32,
                    vec![
                        entry("k2o", None, Ok(&[200.0])),
                        entry("one", Some(Export::K2o), Ok(&[100.0])),
                        entry("one", Some(Export::Keras), fails()),
                        entry("two", Some(Export::K2o), fails()),
                    ],
                ),
            ],
            loads: vec![Load {
                model: "basic".to_string(),
                k2o: Ok(1000.0),
                onnxruntime: vec![(Export::K2o, Ok(4000.0)), (Export::Keras, Err("none".to_string()))],
            }],
            streams: vec![Stream { model: "endless".to_string(), microseconds: [2.0, 1.5, 1.25] }],
        }
    }

    #[test]
    fn the_table_has_the_better_file_the_ratio_and_what_went_wrong() {
        let expected = "\
| model | batch | threads |  k2o | k2o f16 |   one |   two | fastest / k2o | goal | of peak | fastest / k2o f16 | goal | of peak |
| ----- | ----: | ------: | ---: | ------: | ----: | ----: | ------------: | ---: | ------: | ----------------: | ---: | ------: |
| basic |     1 |       1 | 20.0 |       - | 40.0* | wrong |          2.00 | 2.20 |  10.0 % |                 - |    - |       - |
| basic |    32 |       1 |  200 |       - |   100 | fails |          0.50 | 1.30 |  32.0 % |                 - |    - |       - |
";
        assert_eq!(report().times(), expected);
    }

    #[test]
    fn the_circumstances_say_how_much_of_the_machine_others_had() {
        let mut report = report();
        assert!(report.circumstances().contains("Other programs had 3 % of the cores meanwhile. one 1.0."));
        report.others = None;
        assert!(report.circumstances().contains("reads 10.0 GB/s. one 1.0."));
    }

    #[test]
    fn what_failed_the_same_way_is_told_once() {
        let expected = [
            "basic in two, file by k2o, at batch/threads 1/1: the outputs differ by 1",
            "basic in two, file by keras, at batch/threads 1/1: the outputs differ by 1",
            "basic in one, file by keras, at batch/threads 32/1: not known",
            "basic in two, file by k2o, at batch/threads 32/1: not known",
            "basic, loading of the file by keras: none",
        ];
        assert_eq!(report().failures(), expected);
    }

    #[test]
    fn a_load_is_held_against_the_faster_file() {
        let load = |times: [f64; 2]| Load {
            model: String::new(),
            k2o: Ok(1.0),
            onnxruntime: vec![(Export::K2o, Ok(times[0])), (Export::Keras, Ok(times[1]))],
        };
        assert_eq!((load([4.0, 2.0]).ratio(), load([4.0, 8.0]).ratio()), (Some(0.5), Some(0.25)));
        assert_eq!(report().loads[0].ratio(), Some(0.25));
    }

    #[test]
    fn the_json_has_a_row_for_each_runtime_and_details_of_each_file() {
        let json = report().json();
        let rows = json["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 6);
        let one = json!({
            "model": "basic", "batch": 1, "threads": 1, "runtime": "one", "export": "keras", "microseconds": 40.0,
            "ratio_to_ours": 2.0, "error": null,
        });
        assert_eq!(rows[1], one);
        assert_eq!(rows[2]["error"], "the outputs differ by 1");
        assert_eq!(rows[2]["microseconds"], Value::Null);
        assert_eq!(json["details"].as_array().map(Vec::len), Some(9));
        assert_eq!(json["details"][0]["rounds"], json!([30.0, 10.0, 20.0]));
        assert_eq!(json["fma_peak_gflops"], 100.0);
    }

    #[test]
    fn a_stream_has_a_time_for_each_number_of_steps() {
        let expected = "\
| model   | 1 step at a time | 16 steps at a time | 256 steps at a time |
| ------- | ---------------: | -----------------: | ------------------: |
| endless |             2.00 |               1.50 |                1.25 |
";
        assert_eq!(report().stream_times(), expected);
        assert!(report().readme().ends_with(expected));
        let row = json!({ "model": "endless", "steps_at_a_time": 16, "microseconds_per_step": 1.5 });
        assert_eq!(report().json()["streams"][1], row);
    }

    #[test]
    fn goals_are_of_a_model_a_batch_and_a_type_of_weights() {
        assert_eq!(goal("advanced", 1, WeightsType::F32), Some(1.2));
        assert_eq!(goal("advanced", 1, WeightsType::F16), Some(1.7));
        assert_eq!(goal("advanced", 32, WeightsType::F16), None);
        assert_eq!(goal("basic", 256, WeightsType::F32), Some(1.15));
        assert_eq!(goal("basic", 7, WeightsType::F32), None);
        assert_eq!(goal("conv_only", 1, WeightsType::F32), None);
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let new = rewritten(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(rewritten(&new, "new\n"), Ok(new));
        assert!(rewritten("no markers", "new").is_err());
    }
}
