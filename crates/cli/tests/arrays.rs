//! The formats of arrays that are read and written: by content, by name, and through pipes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod run;

use k2o_fixtures::case;
use ndarray::{ArrayD, Axis, IxDyn};
use ndarray_npy::{ReadNpyExt, write_npy};
use run::{Outcome, Run};
use std::fs::File;

fn model(name: &str) -> String {
    case(name).path("keras3.keras").display().to_string()
}

/// One line per element of the first axis, as Rust prints numbers.
fn csv(array: &ArrayD<f32>) -> String {
    let line = |example: ndarray::ArrayViewD<'_, f32>| {
        example.iter().map(|x| format!("{x}")).collect::<Vec<_>>().join(",") + "\n"
    };
    array.axis_iter(Axis(0)).map(line).collect()
}

/// A folder with a model's first input as `x.npy`, and the input.
fn folder(name: &str) -> (Run, ArrayD<f32>) {
    let run = Run::new();
    let x = case(name).inputs().remove(0).1.into_f32();
    write_npy(run.path("x.npy"), &x).unwrap();
    (run, x)
}

fn predict(run: &Run, model: &str, input: &str, output: &str) -> Outcome {
    run.k2o(&["predict", model, "-i", input, "-o", output])
}

/// What the model gives for a file of inputs, which must be accepted.
fn outputs(run: &Run, model: &str, input: &str) -> ArrayD<f32> {
    let outcome = predict(run, model, input, "y.npy");
    assert_eq!(outcome.status, 0, "{input}: {}", outcome.stderr);
    assert!(outcome.stdout.starts_with("y.npy: "), "{input}: {}", outcome.stdout);
    ArrayD::read_npy(File::open(run.path("y.npy")).unwrap()).unwrap()
}

#[test]
fn a_line_of_an_example_is_the_array_in_every_spelling_of_csv() {
    let model = model("conv_only");
    let (run, x) = folder("conv_only");
    let expected = outputs(&run, &model, "x.npy");
    let text = csv(&x);
    for (what, text) in [
        ("plain", text.clone()),
        ("with a header", format!("time,value\n{text}")),
        ("with a byte order mark", format!("\u{feff}{text}")),
        ("with lines of Windows", text.replace('\n', "\r\n")),
        ("without a last line end", text.trim_end().to_string()),
        ("with spaces and empty lines", text.replace(',', " , ").replace('\n', "\n\n")),
        ("with quotes", text.lines().map(|line| format!("\"{}\"\n", line.replace(',', "\",\""))).collect()),
    ] {
        // The name does not matter.
        std::fs::write(run.path("x.npz"), text).unwrap();
        assert_eq!(outputs(&run, &model, "x.npz"), expected, "{what}");
    }
}

#[test]
fn lines_of_as_many_numbers_as_channels_are_the_steps_of_one_example() {
    for name in ["dense_between_steps", "lstm_any_length"] {
        let model = model(name);
        let (run, x) = folder(name);
        let example = x.index_axis(Axis(0), 0).to_owned();
        assert!(example.shape()[1] > 1);
        let one = x.select(Axis(0), &[0]);
        write_npy(run.path("one.npy"), &one).unwrap();
        let expected = outputs(&run, &model, "one.npy");
        // Steps as lines, and the example as a line, whose number of steps follows where it is not known.
        for text in [csv(&example), csv(&one)] {
            std::fs::write(run.path("x.csv"), text).unwrap();
            assert_eq!(outputs(&run, &model, "x.csv"), expected, "{name}");
        }
    }
}

#[test]
fn csv_that_does_not_fit_is_refused_with_its_line_and_what_was_expected() {
    let run = Run::new();
    let [one, any, two] = ["dense_between_steps", "lstm_any_length", "two_inputs_two_outputs"].map(model);
    let ones = |n: usize| vec!["1"; n].join(",");
    for (model, text, status, words) in [
        (
            &one,
            format!("a,b\n{}\n", ones(5)),
            2,
            "x.csv: line 2: 5 numbers, but input \"input_layer\" has shape [batch, 40, 3]: expected 120 numbers, an example, or 3, a step of a single example",
        ),
        (&one, format!("{0}\n{0}\n", ones(3)), 2, "which has 40 of them where the file has 2 lines"),
        (&one, format!("{}\n\n{}\n", ones(120), ones(3)), 4, "x.csv: line 3: 3 numbers, but line 1 has 120"),
        (&one, "1,x,3\n".to_string(), 4, "x.csv: line 1, field 2: expected a number, found \"x\""),
        (&one, "a,b,c\n1,2,\n".to_string(), 4, "x.csv: line 2, field 3: expected a number, found \"\""),
        (&one, "a,b\n".to_string(), 4, "x.csv: no array"),
        (&one, String::new(), 4, "x.csv: no array"),
        (&one, "\0".to_string(), 4, "x.csv: neither an .npy nor an .npz nor CSV"),
        (
            &any,
            "1,2,3\n".to_string(),
            2,
            "expected 2 numbers, a step of a single example, or a multiple of 2, an example",
        ),
        (&two, "1,2\n".to_string(), 2, "x.csv: one array, but the model has 2 inputs"),
    ] {
        std::fs::write(run.path("x.csv"), &text).unwrap();
        let outcome = predict(&run, model, "x.csv", "y.npz");
        assert_eq!(outcome.status, status, "{text:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{text:?}: {}", outcome.stderr);
        assert_eq!(run.files(), ["x.csv"]);
    }
}

#[test]
fn csv_holds_every_bit_of_the_output() {
    let (run, _) = folder("conv_only");
    let model = model("conv_only");
    let y = outputs(&run, &model, "x.npy");
    for args in [&["-o", "y.csv"][..], &["-o", "y.txt", "--format", "csv"]] {
        let outcome = run.k2o(&[&["predict", &model, "-i", "x.npy"], args].concat());
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        let text = std::fs::read_to_string(run.path(args[1])).unwrap();
        assert_eq!(text.lines().count(), y.shape()[0]);
        let numbers: Vec<f32> =
            text.lines().flat_map(|line| line.split(',')).map(|x| x.parse().unwrap()).collect();
        assert_eq!(ArrayD::from_shape_vec(IxDyn(y.shape()), numbers).unwrap(), y);
    }
}

#[test]
fn standard_input_and_output_are_called_by_a_dash() {
    let (run, x) = folder("conv_only");
    let model = model("conv_only");
    let y = outputs(&run, &model, "x.npy");
    let npy = std::fs::read(run.path("y.npy")).unwrap();
    std::fs::write(run.path("x.csv"), csv(&x)).unwrap();
    let inputs = case("conv_only").path("inputs.npz").display().to_string();
    for input in ["x.npy", "x.csv", &inputs] {
        for (format, expected) in [("", npy.clone()), ("--format csv", csv(&y).into_bytes())] {
            let script = format!("\"$0\" predict \"$1\" -i - -o - {format} < {input} > piped");
            let outcome = run.run("sh", &["-c", &script, env!("CARGO_BIN_EXE_k2o"), &model]);
            assert_eq!(outcome.status, 0, "{input}: {}", outcome.stderr);
            // What else there is to say does not mix with the array.
            assert!(outcome.stderr.starts_with("-: "), "{}", outcome.stderr);
            let piped = std::fs::read(run.path("piped")).unwrap();
            match format {
                "" => assert!(piped == expected, "{input}"),
                _ => {
                    let numbers = |text: &[u8]| -> Vec<f32> {
                        let text = String::from_utf8(text.to_vec()).unwrap();
                        text.split([',', '\n']).filter_map(|x| x.parse().ok()).collect()
                    };
                    assert_eq!(numbers(&piped), numbers(&expected), "{input}");
                }
            }
        }
    }
    let script = "\"$0\" predict \"$1\" -i - -o y.npy < /dev/null";
    let outcome = run.run("sh", &["-c", script, env!("CARGO_BIN_EXE_k2o"), &model]);
    assert_eq!(outcome.status, 4, "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("error: standard input: "), "{}", outcome.stderr);
    let outcome = run.k2o(&["verify", &model, "-i", "-", "-e", "-"]);
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
}

#[test]
fn a_decimal_number_becomes_the_nearest_single_precision_number() {
    let (run, x) = folder("conv_only");
    let model = model("conv_only");
    // The nearest number in double precision is half way between two in single precision.
    for (text, nearest) in [
        ("1.00000005960464477539062500001", 1.000_000_1_f32),
        ("1.0000000596046447753906249999", 1.0),
        ("-1e-3", -1e-3),
        ("+2.5E2", 250.0),
    ] {
        let constant = x.mapv(|_| nearest);
        write_npy(run.path("x.npy"), &constant).unwrap();
        let line = vec![text; x.len() / x.shape()[0]].join(",") + "\n";
        std::fs::write(run.path("x.csv"), line.repeat(x.shape()[0])).unwrap();
        assert_eq!(outputs(&run, &model, "x.csv"), outputs(&run, &model, "x.npy"), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (run, x) = folder("conv_only");
    // More than a pipe holds.
    let many = x.select(Axis(0), &vec![0; 10_000]);
    write_npy(run.path("x.npy"), &many).unwrap();
    let script = "{ \"$0\" predict \"$1\" -i x.npy -o - --format csv -q; echo status $? >&2; } | head -n 1";
    let outcome = run.run("sh", &["-c", script, env!("CARGO_BIN_EXE_k2o"), &model("conv_only")]);
    assert_eq!((outcome.stdout.lines().count(), outcome.stderr.as_str()), (1, "status 0\n"));
}

#[test]
fn a_format_of_one_array_takes_no_more_outputs() {
    let run = Run::new();
    let case = case("two_inputs_two_outputs");
    let x = case.path("inputs.npz").display().to_string();
    let model = model("two_inputs_two_outputs");
    for (args, status) in [
        (&["-o", "y.csv"][..], 2),
        (&["-o", "y.npz", "--format", "csv"], 2),
        (&["-o", "-"], 2),
        (&["-o", "y.npy", "--format", "npz"], 0),
    ] {
        let outcome = run.k2o(&[&["predict", &model, "-i", &x], args].concat());
        assert_eq!(outcome.status, status, "{args:?}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.contains("2 outputs"), status == 2, "{}", outcome.stderr);
    }
    assert_eq!(run.files(), ["y.npy"]);
}
