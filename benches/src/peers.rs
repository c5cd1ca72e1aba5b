//! The contest with other runtimes: everything that is loaded, checked and timed.

use crate::contest::{Cell, Entry, Export, Failure, Length, Runner, Turn, median, rounds};
use crate::machine::{Machine, Ticks, today, version_of};
use crate::ours::{OURS, k2o};
use crate::peak::Peak;
use crate::report::{Load, Report};
use crate::runtimes::{self, OnnxRuntime, Runtime};
use crate::selection::Selection;
use crate::streams::{self, STREAMS, Stream};
use crate::{agree, agree_within, path};
use k2o::core::Bindings;
use k2o::cpu::Session;
use k2o::onnx::{Target, WeightsType};
use k2o::{Array, ExportOptions, Model};
use k2o_verify::random_inputs;
use ndarray::ArrayD;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The other runtimes, in the folder that `benches/setup` has made.
pub struct Peers {
    folder: PathBuf,
    onnxruntime: OnnxRuntime,
    runtimes: Vec<Box<dyn Runtime>>,
}

impl Peers {
    /// Loads the runtimes that are shared libraries.
    ///
    /// # Errors
    /// Where the folder has not what it needs; names the command that makes it.
    pub fn open(folder: &Path) -> Result<Peers, String> {
        let (onnxruntime, runtimes) = runtimes::all(&folder.join("lib"))
            .map_err(|error| format!("{error}\n`benches/setup` makes what the contest needs"))?;
        Ok(Peers { folder: folder.to_path_buf(), onnxruntime, runtimes })
    }

    /// Runs what is selected; `progress` is told of every contest as it begins.
    ///
    /// # Errors
    /// Where a model cannot be opened, exported or run by us, or Keras's file is not there.
    pub fn run(mut self, selection: &Selection, mut progress: impl FnMut(&str)) -> Result<Report, String> {
        self.runtimes.retain(|runtime| selection.peers.iter().any(|name| name == runtime.name()));
        let (ticks, before) = (Ticks::now(), Peak::measure());
        let (mut cells, mut loads, mut multiply_adds) = (Vec::new(), Vec::new(), BTreeMap::new());
        for name in &selection.models {
            let model = Model::open(path(name)).map_err(|error| error.to_string())?;
            multiply_adds.insert(name.clone(), per_example(&model)?);
            progress(&format!("{name}: from file to session"));
            loads.push(self.load(name, &model, selection.rounds)?);
            for &batch in &selection.batches {
                for &threads in &selection.threads {
                    progress(&format!("{name}: batch {batch}, threads {threads}"));
                    let entries = self.cell(name, &model, batch, threads, selection.rounds)?;
                    cells.push(Cell { model: name.clone(), batch, threads, entries });
                }
            }
        }
        progress("streams");
        let streams = STREAMS.iter().map(|name| streams::time(name, selection.rounds));
        let streams = streams.collect::<Result<Vec<Stream>, String>>()?;
        let versions = self.runtimes.iter().map(|runtime| (runtime.name().to_string(), runtime.version()));
        Ok(Report {
            date: today(),
            machine: Machine::this(),
            others: ticks.zip(Ticks::now()).map(|(before, after)| after.others_since(before)),
            peak: before.max(Peak::measure()),
            versions: versions.chain([("k2o".to_string(), version_of("k2o"))]).collect(),
            peers: self.runtimes.iter().map(|runtime| runtime.name()).collect(),
            multiply_adds,
            cells,
            loads,
            streams,
        })
    }

    /// Every runtime with the files of both exporters, checked against ours and timed.
    fn cell(
        &self,
        name: &str,
        model: &Model,
        batch: usize,
        threads: usize,
        count: usize,
    ) -> Result<Vec<Entry>, String> {
        let inputs = inputs(model, batch)?;
        let mut entries = Vec::new();
        let mut runners: Vec<(usize, Box<dyn Runner>)> = Vec::new();
        let mut expected = None;
        for (runtime, weights) in OURS {
            let mut runner = k2o(model, &inputs, threads, weights)?;
            let outputs = runner.outputs()?;
            agree_within(expected.get_or_insert_with(|| outputs.clone()), &outputs, slack(weights))?;
            runners.push((entries.len(), runner));
            entries.push(Entry { runtime: runtime.to_string(), export: None, rounds: Ok(Vec::new()) });
        }
        let expected = expected.unwrap_or_default();
        for runtime in self.runtimes.iter().filter(|runtime| threads == 1 || runtime.is_parallel()) {
            for export in [Export::K2o, Export::Keras] {
                let file = match export {
                    Export::K2o => exported(model, runtime.target(), batch)?,
                    Export::Keras => self.by_keras(name)?,
                };
                let loaded = checked(runtime.as_ref(), &file, &inputs, threads, &expected);
                let rounds = loaded.map(|runner| {
                    runners.push((entries.len(), runner));
                    Vec::new()
                });
                entries.push(Entry { runtime: runtime.name().to_string(), export: Some(export), rounds });
            }
        }
        let (places, mut runners): (Vec<usize>, Vec<_>) = runners.into_iter().unzip();
        let mut turns: Vec<Turn<'_>> =
            runners.iter_mut().map(|runner| Box::new(|| runner.run()) as Turn<'_>).collect();
        for (place, times) in places.into_iter().zip(rounds(&mut turns, count, Length::DEFAULT)) {
            entries[place].rounds = times.map_err(Failure::Fails);
        }
        Ok(entries)
    }

    /// The times from files to sessions, onnxruntime's with one thread.
    fn load(&self, name: &str, model: &Model, count: usize) -> Result<Load, String> {
        let ours = self.folder.join(format!("{name}.k2o.onnx"));
        std::fs::write(&ours, exported_bytes(model, &ExportOptions::default())?)
            .map_err(|error| format!("{}: {error}", ours.display()))?;
        let files = [(Export::K2o, ours), (Export::Keras, self.keras_path(name))];
        let mut turns: Vec<Turn<'_>> = vec![Box::new(|| {
            let model = Model::open(path(name)).map_err(|error| error.to_string())?;
            let plan = model.plan().map_err(|error| error.to_string())?;
            std::hint::black_box(Session::new(plan));
            Ok(())
        })];
        turns.extend(
            files.iter().map(|(_, file)| Box::new(|| self.onnxruntime.create_session(file)) as Turn<'_>),
        );
        let mut times = rounds(&mut turns, count, Length::DEFAULT)
            .into_iter()
            .map(|times| times.map(|times| median(&times)));
        let k2o = times.next().unwrap_or_else(|| Err("not timed".to_string()));
        Ok(Load {
            model: name.to_string(),
            k2o,
            onnxruntime: files.iter().map(|(export, _)| *export).zip(times).collect(),
        })
    }

    fn keras_path(&self, name: &str) -> PathBuf {
        self.folder.join("models").join(format!("{name}.onnx"))
    }

    fn by_keras(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.keras_path(name);
        std::fs::read(&path).map_err(|error| format!("{}: {error}\n`benches/setup` makes it", path.display()))
    }
}

/// How many times as far as single precision's outputs those of weights of a type may be from them: weights of half
/// precision are off by `2^-12` each, and what a network makes of that is to stay below a hundredth.
fn slack(weights: WeightsType) -> f64 {
    match weights {
        WeightsType::F32 => 1.0,
        _ => 1e3,
    }
}

/// A file in a runtime, which computes what we do from it.
fn checked(
    runtime: &dyn Runtime,
    onnx: &[u8],
    inputs: &[ArrayD<f32>],
    threads: usize,
    expected: &[ArrayD<f32>],
) -> Result<Box<dyn Runner>, Failure> {
    let load_and_run = || {
        let mut runner = runtime.load(onnx, inputs, threads)?;
        let outputs = runner.outputs()?;
        Ok((runner, outputs))
    };
    // Some give up on a file by a panic.
    let loaded = catch_unwind(AssertUnwindSafe(load_and_run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!(
            "panics: {}",
            text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
        ))
    });
    let (runner, outputs) = loaded.map_err(Failure::Fails)?;
    agree(expected, &outputs).map_err(Failure::Wrong)?;
    Ok(runner)
}

/// Random inputs, which are all of floating point in the models of the contest.
fn inputs(model: &Model, batch: usize) -> Result<Vec<ArrayD<f32>>, String> {
    let inputs = random_inputs(model, batch, 7).map_err(|error| error.to_string())?;
    let float = |input| match input {
        Array::F32(array) => Ok(array),
        _ => Err("an input of integers".to_string()),
    };
    inputs.into_iter().map(float).collect()
}

fn exported(model: &Model, target: Target, batch: usize) -> Result<Vec<u8>, String> {
    exported_bytes(model, &ExportOptions::default().with_target(target).with_batch(batch))
}

fn exported_bytes(model: &Model, options: &ExportOptions) -> Result<Vec<u8>, String> {
    let export = model.to_onnx(options).map_err(|error| error.to_string())?;
    export.to_bytes().map_err(|error| error.to_string())
}

/// The multiply-adds for one example, of the graph that is run.
fn per_example(model: &Model) -> Result<f64, String> {
    let graph = model.rewritten();
    let bindings = Bindings::from([("batch".into(), 1)]);
    let mut total = 0.0;
    for node in graph.nodes() {
        let cost = graph.cost(node).map_err(|error| error.to_string())?;
        total += cost.multiply_adds.eval(&bindings).map_err(|error| error.to_string())? as f64;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiply_adds_are_those_of_the_direct_algorithm() {
        let model = Model::open(path("advanced")).unwrap();
        let convolutions = 196 * 5 * 64 + 96 * 3 * 64 * 128 + 46 * 3 * 128 * 256;
        let dense = 23 * 256 * 512 + 512 * 10;
        assert_eq!(per_example(&model), Ok(f64::from(convolutions + dense)));
    }

    /// A runtime that computes the same whatever it is given.
    struct Constant(Option<f32>);

    impl Runtime for Constant {
        fn name(&self) -> &'static str {
            "constant"
        }

        fn version(&self) -> String {
            String::new()
        }

        fn load(&self, _: &[u8], _: &[ArrayD<f32>], _: usize) -> Result<Box<dyn Runner>, String> {
            Ok(Box::new(Constant(self.0)))
        }
    }

    impl Runner for Constant {
        fn run(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn outputs(&mut self) -> Result<Vec<ArrayD<f32>>, String> {
            Ok(vec![ArrayD::from_elem(vec![2], self.0.unwrap())])
        }
    }

    #[test]
    fn what_computes_something_else_or_panics_is_not_timed() {
        let expected = [ArrayD::from_elem(vec![2], 0.5)];
        let failure = |value| checked(&Constant(value), &[], &[], 1, &expected).err();
        assert_eq!(failure(Some(0.5)), None);
        assert!(matches!(failure(Some(0.5001)), Some(Failure::Wrong(_))));
        assert!(matches!(failure(None), Some(Failure::Fails(reason)) if reason.contains("panics")));
    }
}
