//! Rounds in which every contestant has its turn, so that a machine that is slow for a while is so for all of them.

use crate::ours::OURS;
use crate::peak::clear_registers;
use ndarray::ArrayD;
use std::fmt;
use std::time::{Duration, Instant};

/// A model in some runtime, with its inputs.
pub trait Runner {
    /// Computes the outputs, and leaves them where the runtime puts them.
    ///
    /// # Errors
    /// What the runtime says.
    fn run(&mut self) -> Result<(), String>;

    /// Computes the outputs and copies them, in the model's order.
    ///
    /// # Errors
    /// What the runtime says.
    fn outputs(&mut self) -> Result<Vec<ArrayD<f32>>, String>;
}

/// Who wrote an ONNX file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// K2O.
    K2o,
    /// Keras, through TensorFlow and tf2onnx.
    Keras,
}

impl Export {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Export::K2o => "k2o",
            Export::Keras => "keras",
        }
    }
}

/// Why something was not timed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It does not run.
    Fails(String),
    /// It runs and computes something else than we do.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Fails(reason) | Failure::Wrong(reason) => f.write_str(reason),
        }
    }
}

/// What came of one file in one runtime.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The runtime's name.
    pub runtime: String,
    /// Who wrote the file; `None` for our own runtime, which has none.
    pub export: Option<Export>,
    /// The median microseconds of a run, for each round; or why it was not timed.
    pub rounds: Result<Vec<f64>, Failure>,
}

impl Entry {
    /// The median of the rounds.
    pub fn microseconds(&self) -> Option<f64> {
        self.rounds.as_deref().ok().map(median)
    }
}

/// One contest.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The fixture.
    pub model: String,
    /// The examples in a run.
    pub batch: usize,
    /// The threads that each runtime may use.
    pub threads: usize,
    /// Everyone who took part, our own runtime first.
    pub entries: Vec<Entry>,
}

impl Cell {
    /// The fastest entry of a runtime; one that was not timed, if there is no other.
    pub fn best(&self, runtime: &str) -> Option<&Entry> {
        fastest(self.entries.iter().filter(|entry| entry.runtime == runtime))
    }

    /// The fastest entry of all runtimes but ours.
    pub fn fastest_peer(&self) -> Option<&Entry> {
        fastest(self.entries.iter().filter(|entry| !OURS.iter().any(|(name, _)| *name == entry.runtime)))
    }

    /// How many times as long `entry` takes as `ours`, which is one of our own rows.
    pub fn ratio(&self, entry: &Entry, ours: &str) -> Option<f64> {
        Some(entry.microseconds()? / self.best(ours)?.microseconds()?)
    }
}

fn fastest<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<&'a Entry> {
    let time = |entry: &Entry| entry.microseconds().unwrap_or(f64::INFINITY);
    entries.min_by(|a, b| time(a).total_cmp(&time(b)))
}

/// The middle of some numbers, or the mean of the two in the middle; NaN of none.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, middle) if n % 2 == 1 => sorted[middle],
        (_, middle) => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// A run to be timed.
pub type Turn<'a> = Box<dyn FnMut() -> Result<(), String> + 'a>;

/// How long a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// It ends after this time, ..
    pub time: Duration,
    /// .. unless there were fewer runs, ..
    pub runs: usize,
    /// .. for which there is this time.
    pub most: Duration,
}

impl Length {
    /// What a median within a turn takes, of runs of microseconds and of seconds.
    pub const DEFAULT: Length =
        Length { time: Duration::from_millis(100), runs: 5, most: Duration::from_secs(1) };

    fn is_over(self, time: Duration, runs: usize) -> bool {
        runs > 0 && (time >= self.most || time >= self.time && runs >= self.runs)
    }
}

/// The median microseconds of a run, for each round, of each contestant; or the first error of its runs. In every round
/// all have one turn; who begins is another one each time.
pub fn rounds(turns: &mut [Turn<'_>], count: usize, length: Length) -> Vec<Result<Vec<f64>, String>> {
    let mut results = vec![Ok(Vec::new()); turns.len()];
    for round in 0..count {
        for place in 0..turns.len() {
            let who = (round + place) % turns.len();
            let Ok(times) = &mut results[who] else { continue };
            match turn(&mut turns[who], length) {
                Ok(time) => times.push(time),
                Err(error) => results[who] = Err(error),
            }
        }
    }
    results
}

/// The median microseconds of the runs of one turn.
fn turn(run: &mut Turn<'_>, length: Length) -> Result<f64, String> {
    // Threads of the runtime before may still be waiting for more work, and have a core each.
    std::thread::sleep(Duration::from_millis(10));
    clear_registers();
    let begin = Instant::now();
    let mut first = Duration::ZERO;
    while first.is_zero() || begin.elapsed() < length.time / 10 {
        run()?;
        first = begin.elapsed();
    }
    if first >= length.most {
        return Ok(first.as_secs_f64() * 1e6);
    }
    let (begin, mut times) = (Instant::now(), Vec::new());
    while !length.is_over(begin.elapsed(), times.len()) {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&times))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Length = Length { time: Duration::ZERO, runs: 3, most: Duration::from_secs(60) };

    fn entry(runtime: &str, export: Export, rounds: &[f64]) -> Entry {
        let rounds =
            if rounds.is_empty() { Err(Failure::Fails("no".to_string())) } else { Ok(rounds.to_vec()) };
        let is_ours = runtime.starts_with("k2o");
        Entry { runtime: runtime.to_string(), export: (!is_ours).then_some(export), rounds }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 100.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn every_round_gives_each_one_turn_and_begins_with_another() {
        let order = std::cell::RefCell::new(Vec::new());
        let mut turns: Vec<Turn<'_>> = (0..3)
            .map(|who| {
                let order = &order;
                Box::new(move || {
                    let mut order = order.borrow_mut();
                    if order.last() != Some(&who) {
                        order.push(who);
                    }
                    Ok(())
                }) as Turn<'_>
            })
            .collect();
        let results = rounds(&mut turns, 3, SHORT);
        drop(turns);
        // Neighbours that are the same are one turn here.
        assert_eq!(order.into_inner(), [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert!(results.iter().all(|times| times.as_ref().is_ok_and(|times| times.len() == 3)));
    }

    #[test]
    fn who_fails_is_out_and_the_others_go_on() {
        let mut left = 5;
        let fails: Turn<'_> = Box::new(|| {
            left -= 1;
            if left == 0 { Err("no more".to_string()) } else { Ok(()) }
        });
        let mut turns = [fails, Box::new(|| Ok(()))];
        let results = rounds(&mut turns, 4, SHORT);
        assert_eq!(results[0], Err("no more".to_string()));
        assert_eq!(results[1].as_ref().map(Vec::len), Ok(4));
    }

    #[test]
    fn a_turn_is_long_enough_for_some_runs_but_not_longer_than_its_limit() {
        let length = Length::DEFAULT;
        let over = |millis, runs| length.is_over(Duration::from_millis(millis), runs);
        assert!(!over(99, 1_000_000) && over(100, 5));
        assert!(!over(999, 4) && over(1000, 4));
        assert!(!over(5000, 0));
    }

    #[test]
    fn a_runtime_is_as_fast_as_with_the_better_file() {
        let cell = Cell {
            model: "basic".to_string(),
            batch: 1,
            threads: 1,
            entries: vec![
                entry("k2o", Export::K2o, &[10.0]),
                entry("one", Export::K2o, &[30.0, 20.0, 25.0]),
                entry("one", Export::Keras, &[15.0]),
                entry("two", Export::K2o, &[40.0]),
                entry("two", Export::Keras, &[]),
                entry("three", Export::K2o, &[]),
            ],
        };
        let best = |runtime| cell.best(runtime).map(|entry| (entry.microseconds(), entry.export));
        assert_eq!(best("one"), Some((Some(15.0), Some(Export::Keras))));
        assert_eq!(best("two"), Some((Some(40.0), Some(Export::K2o))));
        assert_eq!(best("three"), Some((None, Some(Export::K2o))));
        assert_eq!(best("four"), None);
        let fastest = cell.fastest_peer().unwrap();
        assert_eq!((fastest.runtime.as_str(), cell.ratio(fastest, "k2o")), ("one", Some(1.5)));
    }
}
