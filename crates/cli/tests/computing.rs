//! What the commands compute with: threads, instruction sets, narrow weights.

#![allow(clippy::unwrap_used, reason = "a test that cannot run must fail")]

mod run;

use k2o::{InstructionSet, Model, PlanOptions, Session, core::DType};
use k2o_fixtures::{Case, case};
use ndarray::ArrayD;
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use run::{Outcome, Run};
use std::fs::File;

/// A folder with a model's first input as `x.npy`, and the path of the model.
fn folder(case: &Case) -> (Run, String) {
    let run = Run::new();
    let x = case.inputs().remove(0).1.into_f32();
    x.write_npy(File::create(run.path("x.npy")).unwrap()).unwrap();
    (run, case.path("keras3.keras").display().to_string())
}

/// Runs `k2o` with `K2O_ISA` set.
fn with_set(run: &Run, set: &str, args: &[&str]) -> Outcome {
    let variable = format!("K2O_ISA={set}");
    run.run("env", &[&[&*variable, env!("CARGO_BIN_EXE_k2o")], args].concat())
}

/// An array's shape and bits.
#[derive(Debug, PartialEq)]
struct Written(Vec<usize>, Vec<u32>);

impl Written {
    fn of(array: &ArrayD<f32>) -> Written {
        Written(array.shape().to_vec(), array.iter().map(|x| x.to_bits()).collect())
    }
}

/// What `predict` writes.
fn predict(run: &Run, set: &str, model: &str, more: &[&str]) -> Written {
    let args = [&["predict", model, "-i", "x.npy", "-o", "y.npy"], more].concat();
    let outcome = with_set(run, set, &args);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(run.files(), ["x.npy", "y.npy"]);
    let y: ArrayD<f32> = ArrayD::read_npy(File::open(run.path("y.npy")).unwrap()).unwrap();
    Written::of(&y)
}

/// What the library computes with a plan of these options, as `predict` writes it.
fn expected(run: &Run, model: &str, options: &PlanOptions) -> Written {
    let model = Model::open(model).unwrap();
    let x: ArrayD<f32> = ArrayD::read_npy(File::open(run.path("x.npy")).unwrap()).unwrap();
    let mut session = Session::new(&model.plan_with(options).unwrap());
    let y = model.run(&mut session, &[x.into()]).unwrap().remove(0);
    Written::of(&y)
}

#[test]
fn any_number_of_threads_and_any_batch_give_the_same_file() {
    let (run, model) = folder(&case("conv_only"));
    let one = predict(&run, "", &model, &[]);
    assert_eq!(one, expected(&run, &model, &PlanOptions::default()));
    for threads in ["1", "2", "3"] {
        for more in [&[][..], &["--batch-size", "1"]] {
            assert_eq!(
                predict(&run, "", &model, &[&["--threads", threads], more].concat()),
                one,
                "{threads}"
            );
        }
    }
    for threads in ["0", "-1", "many"] {
        let outcome = run.k2o(&["predict", &model, "-i", "x.npy", "-o", "y.npy", "--threads", threads]);
        assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    }
}

#[test]
fn narrow_weights_are_those_of_the_library() {
    // Its weights have few bits, but some are times those of batch normalization.
    let (run, model) = folder(&case("narrow_advanced"));
    for (name, narrow_weights) in [("f32", None), ("f16", Some(DType::F16)), ("bf16", Some(DType::BF16))] {
        let options = PlanOptions { narrow_weights, ..PlanOptions::default() };
        let given = predict(&run, "", &model, &["--weights-type", name, "--threads", "2"]);
        assert_eq!(given, expected(&run, &model, &options), "{name}");
        assert_eq!(given == predict(&run, "", &model, &[]), name == "f32");
        let outcome = run.k2o(&["verify", &model, "--weights-type", name, "--threads", "2"]);
        assert_eq!(outcome.status, 0, "{}{}", outcome.stdout, outcome.stderr);
    }
}

#[test]
fn the_environment_names_the_instruction_set() {
    let (run, model) = folder(&case("basic"));
    let commands = [
        vec!["predict", &model, "-i", "x.npy", "-o", "y.npy"],
        vec!["verify", &model],
        vec!["summary", &model],
    ];
    for set in InstructionSet::ALL {
        let status = if set.is_available() { 0 } else { 2 };
        for args in &commands[..2] {
            let outcome = with_set(&run, set.name(), args);
            assert_eq!(outcome.status, status, "{}", outcome.stderr);
        }
        if set.is_available() {
            let options = PlanOptions { instruction_set: Some(set), ..PlanOptions::default() };
            assert_eq!(predict(&run, set.name(), &model, &[]), expected(&run, &model, &options), "{set}");
        }
    }
    // What computes nothing does not ask.
    for (args, status) in commands.iter().zip([2, 2, 0]) {
        let outcome = with_set(&run, "avx1", args);
        assert_eq!(outcome.status, status, "{}", outcome.stderr);
        let text = "K2O_ISA: an instruction set called \"avx1\"; there are portable, avx2, avx512";
        assert_eq!(outcome.stderr.contains(text), status == 2, "{}", outcome.stderr);
    }
}
