//! One model for many threads at once: every run has the bits of a run alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot run must fail")]

use k2o::{Array, Model, PlanOptions, Session};
use k2o_fixtures::{Case, Input, case};
use std::sync::Barrier;
use std::thread;

const THREADS: usize = 16;
const RUNS: usize = 20;

/// Convolutions, a recurrence, both, large dense layers, one of narrow weights, and many residuals.
const MODELS: &[&str] = &[
    "basic",
    "narrow_advanced",
    "convbilstm",
    "bidirectional_lstm_sequences",
    "gru_sequences",
    "rnn_stacked",
    "embedding_mask_lstm",
    "tcn",
];

fn inputs(case: &Case) -> Vec<Array> {
    let array = |(_, input): (String, Input)| match input {
        Input::F32(array) => Array::from(array),
        Input::I32(array) => Array::from(array),
        Input::I64(array) => Array::from(array),
    };
    case.inputs().into_iter().map(array).collect()
}

fn bits(outputs: &[ndarray::ArrayD<f32>]) -> Vec<u32> {
    outputs.iter().flatten().map(|x| x.to_bits()).collect()
}

/// Runs `job` in all threads at once, which begin together.
fn in_all_threads(job: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (barrier, job) = (&barrier, &job);
            scope.spawn(move || {
                barrier.wait();
                job(number);
            });
        }
    });
}

/// The first examples, fewer or more from thread to thread, so that they do not do the same at the same time.
fn first(inputs: &[Array], count: usize) -> Vec<Array> {
    let axis = ndarray::Axis(0);
    let part = |array: &Array| match array {
        Array::F32(array) => Array::F32(array.slice_axis(axis, (..count).into()).to_owned()),
        Array::I32(array) => Array::I32(array.slice_axis(axis, (..count).into()).to_owned()),
        Array::I64(array) => Array::I64(array.slice_axis(axis, (..count).into()).to_owned()),
    };
    inputs.iter().map(part).collect()
}

#[test]
fn sessions_of_one_plan_do_not_disturb_each_other() {
    for name in MODELS {
        let case = case(name);
        let (model, inputs) = (Model::open(&case.forms()[0].model).unwrap(), inputs(&case));
        let batch = inputs[0].shape()[0];
        let parts: Vec<Vec<Array>> = (1..=batch).map(|count| first(&inputs, count)).collect();
        let alone = model.plan_with(&PlanOptions::default()).unwrap();
        let alone = parts.iter().map(|part| bits(&model.run(&mut Session::new(&alone), part).unwrap()));
        let expected: Vec<Vec<u32>> = alone.collect();
        let plan = model.plan_with(&PlanOptions::default()).unwrap();
        in_all_threads(|number| {
            let mut session = Session::new(&plan);
            for run in 0..RUNS {
                let at = (number + run) % batch;
                let outputs = model.run(&mut session, &parts[at]).unwrap();
                assert!(bits(&outputs) == expected[at], "{name}: thread {number}, run {run}");
            }
        });
    }
}

#[test]
fn a_model_may_be_asked_by_many_threads_before_it_has_a_plan() {
    for name in MODELS {
        let case = case(name);
        let (path, inputs) = (case.forms()[0].model.clone(), inputs(&case));
        let expected = bits(&Model::open(&path).unwrap().predict(&inputs).unwrap());
        // Its plan is made by whoever is first.
        let model = Model::open(&path).unwrap();
        in_all_threads(|number| {
            for run in 0..RUNS {
                let outputs = model.predict(&inputs).unwrap();
                assert!(bits(&outputs) == expected, "{name}: thread {number}, run {run}");
            }
        });
    }
}
